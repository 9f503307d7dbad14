"""Where a drain looks: the watch caches of a service, with our own writes on top."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Protocol

from moorage.cluster.caches import Latest
from moorage.kube.cache import WatchCache
from moorage.objects import Node, Pod, PodDisruptionBudget

from .sight import Sight


class Followed(Protocol):
    """The caches of a service that drains; those of workloads by kind."""

    @property
    def nodes(self) -> WatchCache[Node]:
        """Nodes."""

    @property
    def pods(self) -> WatchCache[Pod]:
        """Pods."""

    @property
    def workloads(self) -> Mapping[str, WatchCache[Any]]:
        """ReplicaSets, ReplicationControllers, StatefulSets and Deployments."""

    @property
    def budgets(self) -> WatchCache[PodDisruptionBudget]:
        """PodDisruptionBudgets."""


class World:
    """What the caches say, with our own writes on top.

    Args:
        caches: the watch caches.
    """

    def __init__(self, caches: Followed) -> None:
        self._caches = caches
        self.nodes = Latest(caches.nodes)
        self.pods = Latest(caches.pods)

    def sight(self, now: datetime, *, unseen: Mapping[str, str] | None = None) -> Sight:
        """What there is now.

        Args:
            now: the API server's time.
            unseen: kinds that cannot be seen, each with the reason.
        """
        caches = self._caches
        return Sight(
            now,
            {node.key: node for node in _latest(caches.nodes, self.nodes)},
            list(_latest(caches.pods, self.pods)),
            {kind: {each.key: each for each in cache} for kind, cache in caches.workloads.items()},
            {budget.key: budget for budget in caches.budgets},
            unseen or {},
        )


def _latest(cache: WatchCache[Any], latest: Latest[Any]) -> Iterable[Any]:
    return (found for each in cache if (found := latest.get(each.key)) is not None)
