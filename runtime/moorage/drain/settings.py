"""The settings of a drain."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings. The first five are those of the chart; the others are internal.

    Attributes:
        drain_timeout: time limit for emptying a node (drainTimeout).
        rollback_timeout: time limit for rolling a node back (drainRollbackTimeout).
        eviction_back_off: time before a refused eviction is repeated (podEvictionFailureBackOff), doubled each time.
        eviction_back_off_most: upper limit of that time.
        soft_only: whether nodes are only tainted and not cordoned (softTainting).
        parallel: how many nodes are emptied at a time, once that has succeeded.
        evictions_at_once: how many evictions may be in flight.
        unscheduled_hold: no more evictions when a replacement has no node for this time.
        unscheduled_patience: the cycle stops when a replacement has no node for this time.
        starting_patience: how long a replacement may take to become available, not counting its minReadySeconds.
        missing_patience: how long a workload may have too few pods, including replacements that do not start.
        pending_rise: how many more pods than at the start of the cycle may have no node.
        not_ready_share: the share of nodes, from 0 to 1, that may be not ready. Three nodes always may be.
        errors_in_a_row: failures in a row after which no more requests are made.
        look_after: how long after a lost response the pod is read. A server may work on the request for that long.
        settle: how long no eviction is made after another leader may have made one.
        hand_back_after: how long an emptied node may stay.
        rest_after_rollback: the cool-down of a node that was rolled back.
        rest_after_hand_back: the cool-down of a node that was handed back.
    """

    drain_timeout: timedelta = timedelta(minutes=10)
    rollback_timeout: timedelta = timedelta(minutes=1)
    eviction_back_off: timedelta = timedelta(seconds=5)
    eviction_back_off_most: timedelta = timedelta(minutes=1)
    soft_only: bool = False
    parallel: int = 8
    evictions_at_once: int = 10
    unscheduled_hold: timedelta = timedelta(seconds=3)
    unscheduled_patience: timedelta = timedelta(minutes=1)
    starting_patience: timedelta = timedelta(minutes=5)
    missing_patience: timedelta = timedelta(minutes=1)
    pending_rise: int = 3
    not_ready_share: float = 0.2
    errors_in_a_row: int = 5
    look_after: timedelta = timedelta(seconds=15)
    settle: timedelta = timedelta(seconds=20)
    hand_back_after: timedelta = timedelta(minutes=15)
    rest_after_rollback: timedelta = timedelta(minutes=10)
    rest_after_hand_back: timedelta = timedelta(hours=1)
