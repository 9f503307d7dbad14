"""Counts from a watch of every revision: violated floors, evictions, and pending times of pods. No I/O."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from moorage.objects import Pod
from tools.bench.compaction.clusters import Cluster

_SURGE = 4
"""The default maxUnavailable of a Deployment: a quarter of its pods, rounded down."""


class Floor(NamedTuple):
    """The smallest number of ready pods of a workload, and whether a PodDisruptionBudget requires it."""

    least: int
    budget: bool = False


class _Seen(NamedTuple):
    """The last observed state of a pod."""

    app: str
    ready: bool
    node: str


def floor(replicas: int, max_unavailable: int | None = None) -> Floor:
    """The floor of a Deployment: its budget, else what an update may leave, but at least one pod.

    Args:
        replicas: number of its pods.
        max_unavailable: of its PodDisruptionBudget, if it has one.
    """
    if max_unavailable is not None:
        return Floor(max(replicas - max_unavailable, 0), budget=True)
    return Floor(max(1, replicas - max(1, replicas // _SURGE)))


def floors(cluster: Cluster) -> dict[str, Floor]:
    """The floors of a seeded cluster's Deployments, by name."""
    found = {}
    for key, each in cluster.workloads["Deployment"].items():
        budget = cluster.budgets.get(key)
        allowed = budget.spec.max_unavailable if budget is not None else None
        found[each.metadata.name] = floor(each.spec.replicas or 0, None if allowed is None else int(allowed))
    return found


class Tally:
    """Counts. It needs every revision of every pod, in order.

    Args:
        floors: of the workloads, by the label ``app`` of their pods. Other pods do not count.
    """

    def __init__(self, floors: Mapping[str, Floor]) -> None:
        self._floors = floors
        self._seen: dict[str, _Seen] = {}
        self._ready = dict.fromkeys(floors, 0)
        self._kept: set[str] = set()
        self._began: dict[str, float] = {}
        self._measuring = False
        self._evicted: set[str] = set()
        self.broken: list[tuple[str, int, float]] = []
        self._waits: list[float] = []

    def begin(self) -> None:
        """Count new pods as replacements from now on. All existing pods have a node."""
        self._measuring = True

    def see(self, pod: Pod, when: float, *, gone: bool = False) -> None:
        """Record a revision.

        Args:
            pod: the pod, or its last state.
            when: the time, in seconds.
            gone: whether it was deleted.
        """
        app, uid = pod.metadata.labels.get("app", ""), pod.metadata.uid
        if app not in self._floors:
            return
        before, serves = self._seen.get(uid), not gone and _serves(pod)
        if is_evicted(pod):
            self._evicted.add(uid)
        if before is None and uid not in self._began:
            self._began[uid] = when
        if pod.spec.node_name or gone:
            self._bound(uid, when)
        self._ready[app] += serves - (before is not None and before.ready)
        self._seen[uid] = _Seen(app, serves, pod.spec.node_name)
        if gone:
            del self._seen[uid]
        self._judge(app, when)

    def _bound(self, uid: str, when: float) -> None:
        """End the pending time of a pod, if it is pending."""
        began = self._began.pop(uid, None)
        if began is not None and self._measuring:
            self._waits.append(when - began)

    def _judge(self, app: str, when: float) -> None:
        """Count a workload that falls below its floor, once per fall."""
        ready, least = self._ready[app], self._floors[app].least
        if ready >= least:
            self._kept.add(app)
        elif app in self._kept:
            self._kept.remove(app)
            self.broken.append((app, ready, when))

    @property
    def ready(self) -> int:
        """The number of ready pods."""
        return sum(self._ready.values())

    @property
    def evictions(self) -> int:
        """The number of evicted pods."""
        return len(self._evicted)

    @property
    def unbound(self) -> int:
        """The number of pods without a node."""
        return len(self._began)

    def on(self, nodes: Iterable[str]) -> int:
        """The number of pods on some nodes."""
        known = set(nodes)
        return sum(each.node in known for each in self._seen.values())

    def violations(self, *, budget: bool) -> int:
        """The number of violated floors, with a budget or without."""
        return sum(self._floors[app].budget is budget for app, _, _ in self.broken)

    def waits(self, now: float) -> list[float]:
        """The pending time of each replacement, in order. For those without a node it counts up to now.

        Args:
            now: the time, seconds.
        """
        return sorted([*self._waits, *(now - began for began in self._began.values())])


def is_evicted(pod: Pod) -> bool:
    """Whether the Eviction API has deleted a pod."""
    why = {each.reason for each in pod.status.conditions if each.type == "DisruptionTarget"}
    return "EvictionByEvictionAPI" in why


def _serves(pod: Pod) -> bool:
    ready = any(each.type == "Ready" and each.status == "True" for each in pod.status.conditions)
    return ready and pod.metadata.deletion_timestamp is None


def percentile(values: Sequence[float], part: float) -> float:
    """The smallest sorted value that this part of the values does not exceed. 0 if there are none."""
    return values[max(0, math.ceil(len(values) * part) - 1)] if values else 0.0
