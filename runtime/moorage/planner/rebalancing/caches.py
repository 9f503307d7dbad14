"""What is followed of the cluster while nodes are emptied: what floors and drains are reckoned from."""

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


class Followed:
    """The caches.

    Args:
        transport: the connections to the API server.
        changed: called when something has changed; must be quick.
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
        """Follow the API server until cancelled."""
        await asyncio.gather(*(each.run() for each in self._all))

    def missing(self) -> str:
        """What must be seen before anything is said of a node, for people; empty once all was complete or is refused.

        Without nodes and pods nothing is known: a node that cannot be seen is not gone.
        """
        needed = next((each for each in (self.nodes, self.pods) if not each.synced), None)
        if needed is not None:
            return f"{needed.resource.plural} of the cluster are not known: {needed.refusal or 'no answer yet'}"
        others = (each for each in self._all if not each.synced and each.refusal is None)
        return next((f"{each.resource.plural} of the cluster are not known yet" for each in others), "")

    def on(self, node: str) -> list[Pod]:
        """The pods on a node."""
        return [pod for pod in self.pods if pod.spec.node_name == node]

    def unseen(self) -> dict[str, str]:
        """Kinds that may not be followed now, each with the reason: what is known of them may be old."""
        return {each.resource.kind: str(each.refusal)[:200] for each in self._all if each.refusal is not None}
