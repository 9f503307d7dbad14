"""The watch caches of a service that drains nodes, with our own writes on top."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Protocol

from moorage.cluster.caches import Latest
from moorage.kube.cache import WatchCache
from moorage.kube.unreadable import Unreadable
from moorage.objects import Node, Pod, PodDisruptionBudget

from .cluster_state import ClusterState


class Followed(Protocol):
    """The caches that a drain needs. Workloads are by kind."""

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


class CachedCluster:
    """Creates the state of the cluster from the caches.

    Args:
        caches: the watch caches.
    """

    def __init__(self, caches: Followed) -> None:
        self._caches = caches
        self.nodes = Latest(caches.nodes)
        self.pods = Latest(caches.pods)
        self._unread_pods: dict[str, Unreadable[Pod]] = {}
        self._unsubscribe = caches.pods.subscribe(lambda _: None, unread=self._on_unread)

    def close(self) -> None:
        """Stop following the caches."""
        self._unsubscribe()

    def state(self, now: datetime, *, unseen: Mapping[str, str] | None = None) -> ClusterState:
        """The current state.

        Args:
            now: the API server's time.
            unseen: kinds that cannot be watched, each with the reason.
        """
        caches = self._caches
        return ClusterState(
            now,
            self.nodes.all(),
            self.pods.all().values(),
            {kind: cache.copy() for kind, cache in caches.workloads.items()},
            caches.budgets.copy(),
            unseen or {},
            {**{kind: dict(cache.unreadable) for kind, cache in caches.workloads.items()}, **self._unread()},
            dict(self._unread_on()),
        )

    def _unread(self) -> dict[str, dict[str, str]]:
        pods = {key: item.reason for key, item in self._unread_pods.items()}
        return {"Pod": pods, "PodDisruptionBudget": dict(self._caches.budgets.unreadable)}

    def _unread_on(self) -> Iterator[tuple[str, str]]:
        """The nodes with unreadable pods. Once bound, a pod stays on its node (ADR 12)."""
        for key, item in self._unread_pods.items():
            known = self._caches.pods.get(key)
            node = item.rest.spec.node_name
            if item.lacks("spec.nodeName") and known is not None and known.metadata.uid == item.uid:
                node = known.spec.node_name
            if node:
                yield node, f"Pod {key}: {item.reason}"

    def _on_unread(self, key: str, item: Unreadable[Pod] | None) -> None:
        if item is None:
            self._unread_pods.pop(key, None)
        else:
            self._unread_pods[key] = item
