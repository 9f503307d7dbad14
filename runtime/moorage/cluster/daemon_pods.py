"""Simulates the DaemonSet pods of promised nodes in the snapshot, until the real pods exist."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set

import msgspec

from moorage.kube.cache import WatchCache
from moorage.kube.unreadable import Unreadable
from moorage.objects import Node, Pod
from moorage.scheduling import Snapshot, Unread

from .daemons import DaemonSet, comes, daemon_pod

Placing = tuple[dict[str, str], tuple[tuple[str, str, str], ...], bool]
"""Labels, taints and cordon of a node: they decide which DaemonSets create a pod for it."""

_TEMPLATE = "spec.template"
_PLACES = ("spec.nodeSelector", "spec.affinity", "spec.tolerations")
"""The fields of a pod that decide on which nodes its DaemonSet creates it."""


class DaemonPods:
    """Keeps one simulated pod per DaemonSet and promised node, from the promise until the real pod exists.

    Args:
        snapshot: receives the simulated pods.
        daemon_sets: the cache of DaemonSets.
        unread: partly readable DaemonSets by key; the caller maintains it.
        uncounted: keys of DaemonSets for which counting fails; the caller maintains it.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        daemon_sets: WatchCache[DaemonSet],
        unread: Mapping[str, Unreadable[DaemonSet]],
        uncounted: Set[str] = frozenset(),
    ) -> None:
        self._snapshot = snapshot
        self._daemon_sets = daemon_sets
        self._unread, self._uncounted = unread, uncounted
        self._placing: dict[str, Placing] = {}
        self._there: dict[str, set[str]] = {}  # node to the uids of the DaemonSets whose real pods exist there
        self._pods: dict[str, Pod] = {}  # DaemonSet key to the pod that it will create

    def node(self, node: Node, pods: Iterable[Pod], *, count: bool = True) -> None:
        """A promised node is new or has changed.

        Args:
            node: the promised node.
            pods: the pods that are on it.
            count: False when the caller reports each DaemonSet as ``changed`` anyway.
        """
        name = node.metadata.name
        taints = tuple((taint.key, taint.value, taint.effect) for taint in node.spec.taints)
        placing = (node.metadata.labels, taints, node.spec.unschedulable)
        if self._placing.get(name) == placing:
            return
        if name not in self._there:
            self._there[name] = {uid for pod in pods if not pod.finished and (uid := _daemons(pod))}
        self._placing[name] = placing
        for key in {*(daemons.key for daemons in self._daemon_sets), *self._unread} if count else ():
            self._count(name, key)

    def forget(self, name: str) -> None:
        """A node is not promised any more."""
        if self._placing.pop(name, None) is None:
            return
        del self._there[name]
        for key in tuple(self._pods):
            self._snapshot.remove(_key(name, key))
            self._snapshot.trust(Pod, _key(name, key))

    def pod(self, name: str, pod: Pod, *, gone: bool) -> None:
        """A pod was bound to a node, or is gone from it."""
        there = self._there.get(name)
        uid = _daemons(pod)
        if there is None or not uid or (uid in there) != gone:
            return
        there.symmetric_difference_update((uid,))
        owner = pod.metadata.controller()
        if owner is not None:
            self._count(name, f"{pod.metadata.namespace}/{owner.name}")

    def changed(self, key: str) -> None:
        """A DaemonSet is new, has changed, or is gone."""
        self._pods.pop(key, None)
        for name in self._placing:
            self._count(name, key)

    def _count(self, name: str, key: str) -> None:
        """Add or remove the simulated pod of a DaemonSet on a node."""
        place = _key(name, key)
        self._snapshot.remove(place)
        self._snapshot.trust(Pod, place)
        unread = self._unread.get(key)
        daemons = self._daemon_sets.get(key) if unread is None else unread.rest
        if daemons is None or daemons.metadata.uid in self._there[name]:
            return
        pod = self._pods.get(key)
        if pod is None:
            pod = self._pods[key] = daemon_pod(daemons)
        there = msgspec.structs.replace(pod, spec=msgspec.structs.replace(pod.spec, node_name=name))
        missing, why = (_of_template(unread.fields), unread.reason) if unread is not None else ((), "")
        doubt = Unread(there, f"DaemonSet {key}", missing, why)
        if doubt.lacks(*_PLACES) or comes(self._snapshot.verdict(pod, name, doubts=False)):
            self._snapshot.unread.put(place, doubt)
            if key not in self._uncounted:
                self._snapshot.place(pod, name, key=place)


def _of_template(fields: Iterable[str]) -> tuple[str, ...]:
    """The missing fields of the pod, from the missing fields of its DaemonSet."""
    if any(field in ("spec", _TEMPLATE) for field in fields):
        return ("metadata.labels", "spec")
    return tuple(field.removeprefix(f"{_TEMPLATE}.") for field in fields if field.startswith(f"{_TEMPLATE}."))


def _key(node: str, daemons: str) -> str:
    """The key of a simulated pod. It contains a colon, so it never equals the key of a real pod."""
    return f"{daemons}:to-come:{node}"


def _daemons(pod: Pod) -> str:
    owner = pod.metadata.controller()
    return owner.uid if owner is not None and owner.kind == "DaemonSet" else ""
