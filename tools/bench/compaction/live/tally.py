"""What a watch of every revision shows: floors that were broken, evictions, how long pods had no node; pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from moorage.objects import Pod
from tools.bench.compaction.clusters import Cluster

_SURGE = 4
"""A Deployment that says nothing of it may miss a quarter of its pods in an update, rounded down."""


class Floor(NamedTuple):
    """How many ready pods a workload keeps, and whether a PodDisruptionBudget says so."""

    least: int
    budget: bool = False


class _Seen(NamedTuple):
    """What was last seen of a pod."""

    app: str
    ready: bool
    node: str


def floor(replicas: int, max_unavailable: int | None = None) -> Floor:
    """The floor of a Deployment: its budget, else what an update may take away, or one; and one pod at the least.

    Args:
        replicas: how many pods it is to have.
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
    """Counts; to be told of every revision of every pod, in order.

    Args:
        floors: of the workloads, by the label ``app`` of their pods; other pods do not count.
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
        """From now on pods that come are replacements; all that there are have a node."""
        self._measuring = True

    def see(self, pod: Pod, when: float, *, gone: bool = False) -> None:
        """Take note of a revision.

        Args:
            pod: as it is, or as it last was.
            when: the time, seconds.
            gone: whether it exists no more.
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
        """A pod waits for a node no more, if it did."""
        began = self._began.pop(uid, None)
        if began is not None and self._measuring:
            self._waits.append(when - began)

    def _judge(self, app: str, when: float) -> None:
        """A workload that had what it keeps, and now has less, has been taken below its floor: once a fall."""
        ready, least = self._ready[app], self._floors[app].least
        if ready >= least:
            self._kept.add(app)
        elif app in self._kept:
            self._kept.remove(app)
            self.broken.append((app, ready, when))

    @property
    def ready(self) -> int:
        """How many pods are ready now."""
        return sum(self._ready.values())

    @property
    def evictions(self) -> int:
        """How many pods were evicted."""
        return len(self._evicted)

    @property
    def unbound(self) -> int:
        """How many pods have no node now."""
        return len(self._began)

    def on(self, nodes: Iterable[str]) -> int:
        """How many pods are on some nodes now."""
        known = set(nodes)
        return sum(each.node in known for each in self._seen.values())

    def violations(self, *, budget: bool) -> int:
        """How often a floor was broken that a budget says, or that none says."""
        return sum(self._floors[app].budget is budget for app, _, _ in self.broken)

    def waits(self, now: float) -> list[float]:
        """How long each replacement had no node, in order; those that still have none count up to now.

        Args:
            now: the time, seconds.
        """
        return sorted([*self._waits, *(now - began for began in self._began.values())])


def is_evicted(pod: Pod) -> bool:
    """Whether the Eviction API has taken a pod away."""
    why = {each.reason for each in pod.status.conditions if each.type == "DisruptionTarget"}
    return "EvictionByEvictionAPI" in why


def _serves(pod: Pod) -> bool:
    ready = any(each.type == "Ready" and each.status == "True" for each in pod.status.conditions)
    return ready and pod.metadata.deletion_timestamp is None


def percentile(values: Sequence[float], part: float) -> float:
    """The least of sorted values that so large a part of them does not exceed; 0 when there are none."""
    return values[max(0, math.ceil(len(values) * part) - 1)] if values else 0.0
