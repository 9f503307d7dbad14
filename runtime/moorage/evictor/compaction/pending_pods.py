"""Reserves room for pending pods, and for pods that controllers are still to create."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from moorage.evictor.candidates import View
from moorage.objects import OwnerReference, Pod
from moorage.scheduling import Snapshot
from moorage.scheduling.nodes import Bools

from .replacements import Replacements

_MAKERS = (("ReplicaSet", "apps/v1"), ("ReplicationController", "v1"))


class PendingPod(NamedTuple):
    """A pending pod, and the node that it fits."""

    key: str
    pod: Pod
    node: str


class ReservedRoom(NamedTuple):
    """The room that pending pods take.

    Attributes:
        placed: the pods with room, in the order in which they get it.
        on: the nodes with reserved room, each with one of the pods.
        unplaced: the pods that fit nowhere, for which none is kept.
    """

    placed: tuple[PendingPod, ...]
    on: dict[str, str]
    unplaced: tuple[str, ...]


def reserve_room(
    snapshot: Snapshot, view: View, replacements: Replacements, may_go: Bools, open_to: Bools
) -> ReservedRoom:
    """Place pending pods where they fit, on nodes that stay if possible.

    Args:
        snapshot: the cluster, in a simulation.
        view: what is known of it.
        replacements: makes those that controllers are to make.
        may_go: the slots of the nodes that may be emptied.
        open_to: the slots of the nodes that receive pods.
    """
    placed: list[PendingPod] = []
    on: dict[str, str] = {}
    unplaced: list[str] = []
    hopeless: set[int] = set()  # room gets less only, so what a pod does not find its like will not find
    barred = ~open_to
    pods = np.array([0 if record is None else len(record.pods) for record in snapshot.nodes.records])
    rank = np.where(may_go, 0, pods.max(initial=0) + 1) + pods.astype(np.float64)
    for key, pod in (*_pending(view), *_missing(view, replacements)):
        node: str | None = pod.status.nominated_node_name
        if node not in snapshot.nodes.slots:
            pod_class = id(snapshot.classes.of(pod))
            node = None if pod_class in hopeless else snapshot.best_fit(pod, rank, barred=barred)
            if node is None:
                hopeless.add(pod_class)
                unplaced.append(key)
                continue
        snapshot.place(pod, node, key=key)
        placed.append(PendingPod(key, pod, node))
        owner = pod.metadata.controller()
        if owner is None or owner.kind != "DaemonSet":
            on.setdefault(node, key)
    return ReservedRoom(tuple(placed), on, tuple(unplaced))


def _pending(view: View) -> Iterator[tuple[str, Pod]]:
    """The pending pods, by priority; pods with scheduling gates are not pending yet."""
    waiting = [
        pod
        for pod in view.pods
        if not pod.spec.node_name
        and not pod.finished
        and not pod.spec.scheduling_gates
        and pod.metadata.deletion_timestamp is None
    ]
    waiting.sort(key=lambda pod: (-(pod.spec.priority or 0), pod.metadata.creation_timestamp or "", pod.key))
    yield from ((pod.key, pod) for pod in waiting)


def _missing(view: View, replacements: Replacements) -> Iterator[tuple[str, Pod]]:
    """The pods that controllers are still to create, replacements of evicted pods among them."""
    there: Counter[str] = Counter()
    for pod in view.pods:
        owner = pod.metadata.controller()
        if owner is not None and not pod.finished and pod.metadata.deletion_timestamp is None:
            there[owner.uid] += 1
    for kind, version in _MAKERS:
        for key, maker in sorted(view.workloads.get(kind, {}).items()):
            meta = maker.metadata
            wanted = 1 if maker.spec.replicas is None else maker.spec.replicas
            lacking = wanted - there[meta.uid]
            if lacking <= 0 or meta.deletion_timestamp is not None:
                continue
            coming = replacements.of_owner(OwnerReference(version, kind, meta.name, meta.uid, True))
            if coming is not None:
                yield from ((f"{key} (replica {number + 1} to come)", coming) for number in range(lacking))
