"""Decides when a whole cycle stops, by what happens in the cluster while nodes are emptied, whatever the cause."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from moorage.reservations import moment
from moorage.wording import counted

from .cluster_state import ClusterState, unscheduled
from .reasons import Finding, Reason
from .settings import Settings

_FRESH = timedelta(seconds=15)
"""A pod that has had no node for less than this does not count."""
_ALWAYS_ALLOWED = 3
"""This many nodes may be not ready in any cluster."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """The state at the start of a cycle.

    Attributes:
        since: the API server's time.
        pending: how many pods had no node.
        nodes: the uids of the nodes.
    """

    since: datetime
    pending: int
    nodes: frozenset[str]

    @classmethod
    def of(cls, cluster: ClusterState) -> Baseline:
        """Record the state at the start of a cycle."""
        nodes = frozenset(node.metadata.uid for node in cluster.nodes.values())
        return cls(cluster.now, _pending(cluster), nodes)


def why_stop(cluster: ClusterState, baseline: Baseline, errors: int, settings: Settings) -> Finding | None:
    """Why no more nodes should be emptied; None when they may be.

    Args:
        cluster: the current state.
        baseline: the state at the start.
        errors: failures of the API server in a row.
        settings: the limits.
    """
    return next(_against(cluster, baseline, errors, settings), None)


def _against(cluster: ClusterState, baseline: Baseline, errors: int, settings: Settings) -> Iterator[Finding]:
    if errors >= settings.errors_in_a_row:
        yield Finding(Reason.API_ERRORS, f"{counted(errors, 'time')} in a row")
    for node in cluster.nodes.values():
        if node.metadata.uid not in baseline.nodes and node.metadata.name not in cluster.virtual:
            yield Finding(Reason.NODE_CREATED, node.metadata.name)
    pending = _pending(cluster)
    if pending > baseline.pending + settings.pending_rise:
        yield Finding(Reason.PENDING_RISES, f"{pending}, and {baseline.pending} at the beginning")
    not_ready, allowed = _not_ready(cluster), settings.not_ready_share * len(cluster.nodes)
    if not_ready > max(allowed, _ALWAYS_ALLOWED):
        yield Finding(Reason.NODES_NOT_READY, f"{not_ready} of {len(cluster.nodes)}")


def _pending(cluster: ClusterState) -> int:
    """How many pods have had no node for some time."""
    count = 0
    for pod in cluster.pods:
        if unscheduled(pod) and pod.metadata.deletion_timestamp is None:
            created = moment(pod.metadata.creation_timestamp or "")
            count += created is not None and created + _FRESH <= cluster.now
    return count


def _not_ready(cluster: ClusterState) -> int:
    return sum(1 for name, node in cluster.nodes.items() if not node.ready and name not in cluster.virtual)
