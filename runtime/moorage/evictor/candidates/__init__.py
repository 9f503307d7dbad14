"""Candidates: may a node be emptied, does a pod hold its node, and why. No I/O."""

from .judge import judge
from .policy import Policy
from .reasons import NodeFinding, NodeReason, PodFinding, PodReason, Stance
from .verdicts import NodeVerdict, PodVerdict
from .view import View

__all__ = [
    "NodeFinding",
    "NodeReason",
    "NodeVerdict",
    "PodFinding",
    "PodReason",
    "PodVerdict",
    "Policy",
    "Stance",
    "View",
    "judge",
]
