"""Tracks the workloads from which pods were evicted: whether the replacements are available, and if not, why."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from moorage.objects import Pod
from moorage.reservations import moment
from moorage.wording import counted

from . import floor
from .cluster_state import ClusterState, Group, unscheduled
from .eviction_check import EvictionCheck
from .reasons import Finding, Reason
from .settings import Settings

_CLOCK = timedelta(seconds=2)
"""How far the time of a creation may be behind ours: it has whole seconds, and so have the responses that set our
clock."""


@dataclass(slots=True)
class _Disturbed:
    """A workload from which pods were evicted.

    Attributes:
        group: the workload at that time.
        before: its available pods before the first eviction.
        nodes: the nodes of the evicted pods.
        since: the API server's time of the first eviction.
        last: monotonic seconds of the last eviction.
    """

    group: Group
    before: int
    since: datetime
    nodes: set[str] = field(default_factory=set)
    last: float = 0.0


class Replacements:
    """Tracks these workloads during one cycle.

    Args:
        settings: the time limits.
        monotonic: seconds on a monotonic clock.
    """

    def __init__(self, settings: Settings, monotonic: Callable[[], float]) -> None:
        self._settings = settings
        self._monotonic = monotonic
        self._disturbed: dict[str, _Disturbed] = {}

    def evicting(self, pod: Pod, cluster: ClusterState) -> None:
        """A pod is about to be evicted."""
        group = cluster.group(pod)
        if group is None:
            return
        known = self._disturbed.get(group.uid)
        if known is None:
            available = sum(1 for each in cluster.pods_of(group.uid) if cluster.available(each))
            known = self._disturbed[group.uid] = _Disturbed(group, available, cluster.now)
        known.nodes.add(pod.spec.node_name)
        known.last = self._monotonic()

    def missing(self, node: str, cluster: ClusterState, check: EvictionCheck) -> Finding | None:
        """Which replacement is still missing after a node was emptied; None when all are there."""
        for uid, each in self._disturbed.items():
            if node in each.nodes and (why := self._short(uid, each, cluster, check)):
                return why
        return None

    def pending(self, cluster: ClusterState) -> Finding | None:
        """The replacement that has had no node for too long, so that no more evictions are made; or None."""
        for uid, each in self._disturbed.items():
            for pod in self._new(uid, each, cluster):
                late = _age(pod, cluster.now) > self._settings.unscheduled_hold
                if late and unscheduled(pod):
                    return Finding(Reason.REPLACEMENTS, _why_pending(pod), pod.key)
        return None

    def trouble(self, cluster: ClusterState, check: EvictionCheck) -> Finding | None:
        """Why no more pods should be evicted (a replacement is not created, or does not start), or None."""
        reasons = (self._trouble(uid, each, cluster, check) for uid, each in self._disturbed.items())
        return next((why for why in reasons if why is not None), None)

    # --- one workload ---

    def _short(self, uid: str, known: _Disturbed, cluster: ClusterState, check: EvictionCheck) -> Finding | None:
        group = cluster.again(known.group)
        if group is None:
            return None  # the workload was deleted and needs no replacements
        wanted = min(floor.wanted(group.workload), known.before)
        there = check.available(uid)
        if there >= wanted:
            return None
        return Finding(Reason.REPLACEMENTS, f"{group.who}: {there} of {wanted}")

    def _trouble(self, uid: str, known: _Disturbed, cluster: ClusterState, check: EvictionCheck) -> Finding | None:
        short, group = self._short(uid, known, cluster, check), cluster.again(known.group)
        if short is None or group is None:
            return None
        for pod in self._new(uid, known, cluster):
            why = self._against(pod, group, cluster.now)
            if why is not None:
                return why
        patience = self._settings.missing_patience.total_seconds()
        present = sum(1 for pod in cluster.pods_of(uid) if not pod.finished)
        late = self._monotonic() - known.last > patience
        if late and present < floor.wanted(group.workload):
            detail = f"{group.who} has {present} of {counted(floor.wanted(group.workload), 'pod')}"
            return Finding(Reason.REPLACEMENT_MISSING, detail)
        return None

    def _new(self, uid: str, known: _Disturbed, cluster: ClusterState) -> Iterator[Pod]:
        """The pods that were created since and are not available."""
        for pod in cluster.pods_of(uid):
            created = moment(pod.metadata.creation_timestamp or "")
            gone = pod.finished or pod.metadata.deletion_timestamp is not None
            if created is not None and created >= known.since - _CLOCK and not gone and not cluster.available(pod):
                yield pod

    def _against(self, pod: Pod, group: Group, now: datetime) -> Finding | None:
        age = _age(pod, now)
        if not pod.spec.node_name:
            late = age > self._settings.unscheduled_patience
            return Finding(Reason.REPLACEMENT_PENDING, _why_pending(pod), pod.key) if late else None
        patience = self._settings.starting_patience + timedelta(seconds=group.workload.spec.min_ready_seconds)
        return Finding(Reason.REPLACEMENT_NOT_READY, _why_waiting(pod), pod.key) if age > patience else None


def _age(pod: Pod, now: datetime) -> timedelta:
    return now - (moment(pod.metadata.creation_timestamp or "") or now)


def _why_pending(pod: Pod) -> str:
    scheduled = next((each for each in pod.status.conditions if each.type == "PodScheduled"), None)
    return scheduled.message if scheduled is not None else ""


def _why_waiting(pod: Pod) -> str:
    reasons = (each.state.waiting.reason for each in pod.status.container_statuses if each.state.waiting is not None)
    return ", ".join(dict.fromkeys(reason for reason in reasons if reason)) or pod.status.phase
