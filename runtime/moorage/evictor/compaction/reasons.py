"""Reasons why a node that may be emptied is not: the choice among all nodes decides them. Names never change."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class KeptReason(Enum):
    """Every reason."""

    sentence: str

    def __init__(self, sentence: str) -> None:
        self.sentence = sentence

    HELD = "it may not be emptied"
    UNSEEN = "the fit check does not know it yet"
    QUIET = "a node was created lately, and nothing is emptied until the quiet period is over"
    NEEDED = "an emptied node was needed again lately, and nothing is emptied for some time"
    ROLLOUT = "the controller of a pod is in the middle of a rollout"
    WAITING = "a pod that has no node yet may need it"
    BUDGET = "a PodDisruptionBudget allows fewer evictions than this node and the chosen ones would need"
    OWNER = "the owner of a pod would have too many evictions within the hour"
    NOT_WORTH = "moving its pods counts more than the node costs"
    NO_ROOM = "its pods do not all fit elsewhere, once those of the chosen nodes have moved"
    TARGET = "pods of chosen nodes would move to it"
    LIMIT = "enough nodes are emptied in this cycle"
    CUT_OFF = "it was not tried: the steps were used up"


class KeptFinding(NamedTuple):
    """A reason with its particulars.

    Attributes:
        reason: why.
        detail: for example the budget, and how much it allows.
        pod: the pod it is about; empty when it is about none.
    """

    reason: KeptReason
    detail: str = ""
    pod: str = ""

    def __str__(self) -> str:
        """Return the sentence for people."""
        return f"{self.reason.sentence} ({self.detail})" if self.detail else self.reason.sentence
