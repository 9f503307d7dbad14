"""Compaction: which nodes can be emptied at the same time, where their pods fit, and why other nodes stay. No I/O."""

from .choose import Cluster, choose
from .history import History
from .prices import Priced, Prices, Unit
from .reasons import KeptFinding, KeptReason
from .result import Emptied, Move, Plan
from .settings import Settings
from .step_budget import Stopped, never

__all__ = [
    "Cluster",
    "Emptied",
    "History",
    "KeptFinding",
    "KeptReason",
    "Move",
    "Plan",
    "Priced",
    "Prices",
    "Settings",
    "Stopped",
    "Unit",
    "choose",
    "never",
]
