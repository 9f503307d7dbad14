"""How nodes are drained."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Settings:
    """What may be chosen; all but the first five are our own.

    Attributes:
        drain_timeout: how long emptying a node may take (drainTimeout).
        rollback_timeout: how long rolling a node back may take (drainRollbackTimeout).
        eviction_back_off: time before a refused eviction is tried again (podEvictionFailureBackOff); doubled each time.
        eviction_back_off_most: what doubling ends at.
        soft_only: whether nodes are only tainted, and not cordoned (softTainting).
        parallel: how many nodes are emptied at a time, once that has gone well.
        evictions_at_once: how many evictions may be under way at a time.
        unscheduled_hold: how long a replacement may have no node until nothing more is evicted.
        unscheduled_patience: how long it may have none until the cycle stops.
        starting_patience: how long a replacement may take until it is available, its minReadySeconds apart.
        missing_patience: how long a workload may have too few pods, replacements that do not start included.
        pending_rise: how many more pods than at the beginning may have no node.
        not_ready_share: which part of all nodes may be not ready, as a part of 1; three of them may be always.
        errors_in_a_row: after how many failures in a row the API server is left alone.
        look_after: how long after an answer was lost the pod is looked at: a server tries for that long.
        settle: how long nothing is evicted after another leader may have.
        hand_back_after: how long an emptied node may stay.
        rest_after_rollback: how long a node is left alone after it was rolled back.
        rest_after_hand_back: how long it is left alone when nobody deleted it.
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
