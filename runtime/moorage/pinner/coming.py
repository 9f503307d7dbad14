"""The DaemonSet pods to come, counted on promised nodes in the snapshot until the real ones are there."""

from __future__ import annotations

from collections.abc import Iterable

from moorage.kube.cache import WatchCache
from moorage.objects import Node, Pod
from moorage.scheduling import Snapshot

from .daemons import DaemonSet, comes, daemon_pod

Placing = tuple[dict[str, str], tuple[tuple[str, str, str], ...], bool]
"""Labels, taints and cordon: what decides which DaemonSets come."""


class Coming:
    """Keeps one simulated pod per DaemonSet and promised node, as long as the DaemonSet will come and has not.

    Args:
        snapshot: where they are counted.
        daemon_sets: the cache of DaemonSets.
    """

    def __init__(self, snapshot: Snapshot, daemon_sets: WatchCache[DaemonSet]) -> None:
        self._snapshot = snapshot
        self._daemon_sets = daemon_sets
        self._placing: dict[str, Placing] = {}
        self._there: dict[str, set[str]] = {}  # node to the uids of the DaemonSets whose pods have come
        self._pods: dict[str, Pod] = {}  # DaemonSet key to the pod it will create

    def node(self, node: Node, pods: Iterable[Pod]) -> None:
        """A promised node is new, or has changed."""
        name = node.metadata.name
        taints = tuple((taint.key, taint.value, taint.effect) for taint in node.spec.taints)
        placing = (node.metadata.labels, taints, node.spec.unschedulable)
        if self._placing.get(name) == placing:
            return
        if name not in self._there:
            self._there[name] = {uid for pod in pods if not pod.finished and (uid := _daemons(pod))}
        self._placing[name] = placing
        for daemons in self._daemon_sets:
            self._count(name, daemons.key, daemons)

    def forget(self, name: str) -> None:
        """A node is promised no more."""
        if self._placing.pop(name, None) is None:
            return
        del self._there[name]
        for key in tuple(self._pods):
            self._snapshot.remove(_key(name, key))

    def pod(self, name: str, pod: Pod, *, gone: bool) -> None:
        """A pod has come to a node, or has gone from it."""
        there = self._there.get(name)
        uid = _daemons(pod)
        if there is None or not uid or (uid in there) != gone:
            return
        there.symmetric_difference_update((uid,))
        owner = pod.metadata.controller()
        if owner is not None:
            key = f"{pod.metadata.namespace}/{owner.name}"
            self._count(name, key, self._daemon_sets.get(key))

    def changed(self, key: str) -> None:
        """A DaemonSet is new, has changed, or has gone."""
        daemons = self._daemon_sets.get(key)
        self._pods.pop(key, None)
        for name in self._placing:
            self._count(name, key, daemons)

    def _count(self, name: str, key: str, daemons: DaemonSet | None) -> None:
        """Count the DaemonSet's pod in or out, as is right for this node."""
        self._snapshot.remove(_key(name, key))
        if daemons is None or daemons.metadata.uid in self._there[name]:
            return
        pod = self._pods.get(key)
        if pod is None:
            pod = self._pods[key] = daemon_pod(daemons)
        if comes(self._snapshot.verdict(pod, name)):
            self._snapshot.place(pod, name, key=_key(name, key))


def _key(node: str, daemons: str) -> str:
    """Never the key of a real pod: no name has a colon."""
    return f"{daemons}:to-come:{node}"


def _daemons(pod: Pod) -> str:
    owner = pod.metadata.controller()
    return owner.uid if owner is not None and owner.kind == "DaemonSet" else ""
