"""The watch caches of a rebalancing: the objects from which floors and drains are computed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from moorage.kube import resources
from moorage.kube.cache import WatchCache
from moorage.kube.http.transport import Transport
from moorage.objects import Node, Pod, PodDisruptionBudget

_WORKLOADS = (
    resources.REPLICA_SETS,
    resources.REPLICATION_CONTROLLERS,
    resources.STATEFUL_SETS,
    resources.DEPLOYMENTS,
)


class RebalanceCaches:
    """The caches.

    Args:
        transport: the connections to the API server.
        changed: is called after each change; must be quick.
    """

    def __init__(self, transport: Transport, changed: Callable[[], None]) -> None:
        self.nodes: WatchCache[Node] = WatchCache(transport, resources.NODES)
        self.pods: WatchCache[Pod] = WatchCache(transport, resources.PODS)
        self.workloads: Mapping[str, WatchCache[Any]] = {each.kind: WatchCache(transport, each) for each in _WORKLOADS}
        self.budgets: WatchCache[PodDisruptionBudget] = WatchCache(transport, resources.DISRUPTION_BUDGETS)
        for each in self._all:
            each.subscribe(lambda _: changed())

    @property
    def _all(self) -> tuple[WatchCache[Any], ...]:
        return (*self.workloads.values(), self.budgets, self.nodes, self.pods)

    async def run(self) -> None:
        """Watch until cancelled."""
        await asyncio.gather(*(each.run() for each in self._all))

    def missing(self) -> str:
        """Which kinds are still unknown, for people; empty when each cache was complete or was refused.

        Without nodes and pods nothing can be decided: a node that cannot be seen is not a deleted node.
        """
        needed = next((each for each in (self.nodes, self.pods) if not each.synced), None)
        if needed is not None:
            return f"{needed.resource.plural} of the cluster are unknown: {needed.refusal or 'no answer yet'}"
        others = (each for each in self._all if not each.synced and each.refusal is None)
        return next((f"{each.resource.plural} of the cluster are unknown yet" for each in others), "")

    def on(self, node: str) -> list[Pod]:
        """The pods on a node."""
        return [pod for pod in self.pods if pod.spec.node_name == node]

    def unseen(self) -> dict[str, str]:
        """Kinds that may not be watched now, each with the reason. Their cached objects may be outdated."""
        return {each.resource.kind: str(each.refusal)[:200] for each in self._all if each.refusal is not None}
