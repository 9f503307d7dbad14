"""Who may go: for each node whether it may be emptied, for each pod whether it holds its node, and why; no I/O."""

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
