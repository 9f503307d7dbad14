"""Why a drain waits or fails, and why a whole cycle stops: one enumeration, with sentences for people.

The names are constants. Reports, metrics and Events contain them, so they must not change.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Effect(Enum):
    """The effect of a reason."""

    WAITS = "waits"
    """The drain waits."""
    REFUSES = "refuses"
    """The drain does not start, and nothing was set on the node."""
    ROLLS_BACK = "rolls back"
    """The node is rolled back."""
    STOPS = "stops"
    """All nodes of the cycle that are not emptied are rolled back."""
    HANDS_BACK = "hands back"
    """An emptied node is handed back to the scheduler."""
    ENDS = "ends"
    """Nothing is left to do, or nothing can be done."""


class Reason(Enum):
    """All reasons."""

    effect: Effect
    sentence: str

    def __init__(self, effect: Effect, sentence: str) -> None:
        self.effect = effect
        self.sentence = sentence

    # A pod, or the whole node, waits.
    NOT_ALL_TAINTED = (Effect.WAITS, "not every node of the cycle has its taint yet")
    TURN = (Effect.WAITS, "other nodes of the cycle are emptied first")
    PAUSED = (Effect.WAITS, "nothing is evicted for the moment")
    SETTLING = (Effect.WAITS, "evictions of the previous leader may still be under way")
    FLOOR = (Effect.WAITS, "its workload would have too few available pods")
    FLOOR_UNKNOWN = (Effect.WAITS, "the number of pods that its workload must keep is unknown")
    BUDGET_SPENT = (Effect.WAITS, "its PodDisruptionBudget allows no eviction now")
    BUDGET_STALE = (Effect.WAITS, "what its PodDisruptionBudget allows is not known yet")
    EVICTING = (Effect.WAITS, "its eviction is under way")
    LEAVING = (Effect.WAITS, "the pod is being deleted")
    EVICTION_REFUSED = (Effect.WAITS, "its eviction is refused")
    NOT_EVICTED = (Effect.WAITS, "the API server accepted its eviction, and the pod still exists")
    API_UNAVAILABLE = (Effect.WAITS, "the API server is not able to")
    REPLACEMENTS = (Effect.WAITS, "the replacements of its pods are not available yet")
    # A chosen node does not start.
    FOREIGN_MARK = (Effect.REFUSES, "another installation drains the node")
    RESTING = (Effect.REFUSES, "the node was rolled back or handed back not long ago")
    MARK_UNREADABLE = (Effect.REFUSES, "the mark of an earlier drain of the node cannot be read")
    # One node is rolled back.
    FOREIGN_CORDON = (Effect.ROLLS_BACK, "another party has cordoned the node")
    UNCORDONED = (Effect.ROLLS_BACK, "the cordon was removed from the node")
    UNTAINTED = (Effect.ROLLS_BACK, "the taint was removed from the node")
    NODE_NOT_READY = (Effect.ROLLS_BACK, "the node is not ready")
    MARKED_BY_OTHERS = (Effect.ROLLS_BACK, "another program has marked the node, or is at work on it")
    POD_HOLDS = (Effect.ROLLS_BACK, "a pod on the node may not be moved")
    REFILLED = (Effect.ROLLS_BACK, "a new pod was put on the node")
    SEVERAL_BUDGETS = (
        Effect.ROLLS_BACK,
        "more than one PodDisruptionBudget selects a pod, so its eviction is always refused",
    )
    NOT_KEPT = (Effect.ROLLS_BACK, "what is set on the node does not last: a policy or webhook undoes it")
    WRITE_FAILS = (Effect.ROLLS_BACK, "the node could not be written")
    NODE_REFUSED = (Effect.ROLLS_BACK, "the API server refuses the taint or cordon")
    TIMEOUT = (Effect.ROLLS_BACK, "the node was not emptied in time")
    NOT_WANTED = (Effect.ROLLS_BACK, "the pods of the node would not all fit elsewhere any more")
    INTERRUPTED = (Effect.ROLLS_BACK, "the drain of the node was interrupted")
    DEFECT = (Effect.ROLLS_BACK, "there was an internal error")
    # The whole cycle stops.
    REPLACEMENT_PENDING = (Effect.STOPS, "the replacement of an evicted pod is unschedulable")
    REPLACEMENT_NOT_READY = (Effect.STOPS, "the replacement of an evicted pod does not become available")
    REPLACEMENT_MISSING = (Effect.STOPS, "no replacement of an evicted pod was created")
    PENDING_RISES = (Effect.STOPS, "more and more pods are unschedulable")
    NODES_NOT_READY = (Effect.STOPS, "too many nodes are not ready")
    NODE_CREATED = (Effect.STOPS, "a node was created meanwhile")
    API_ERRORS = (Effect.STOPS, "the API server fails again and again")
    RIGHTS = (Effect.STOPS, "a required permission is missing")
    STOPPED = (Effect.STOPS, "it was stopped")
    # An emptied node is handed back.
    NOT_DELETED = (Effect.HANDS_BACK, "the node has not been deleted since it was emptied")
    USED_AGAIN = (Effect.HANDS_BACK, "the scheduler needs the node")
    TAKEN_BACK = (Effect.HANDS_BACK, "the taint was removed from the emptied node")
    # There is nothing left to do, or nothing can be done.
    NODE_GONE = (Effect.ENDS, "the node is gone")
    NODE_DELETED = (Effect.ENDS, "the node is being deleted")


class Finding(NamedTuple):
    """A reason with its details.

    Attributes:
        reason: the reason.
        detail: for example how many pods there are, and how many there must be.
        pod: the pod that it is about, ``namespace/name``; empty when there is none.
    """

    reason: Reason
    detail: str = ""
    pod: str = ""

    def __str__(self) -> str:
        """The sentence for people."""
        particulars = ": ".join(each for each in (self.pod, self.detail) if each)
        return f"{self.reason.sentence} ({particulars})" if particulars else self.reason.sentence
