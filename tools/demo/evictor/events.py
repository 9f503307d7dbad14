"""What happens in the evictor's demo, as recorded."""

from __future__ import annotations

import enum
from typing import TypeAlias

from tools.demo.common.events import Event, Said
from tools.demo.common.workloads import BudgetSeen, PodSeen, Watched


class NodeState(enum.Enum):
    """How far a node is on its way out."""

    RUNNING = "running"
    CHOSEN = "chosen"
    """It has the soft taint, and its turn is to come."""
    DRAINING = "draining"
    """Cordoned; its pods are evicted."""
    EMPTY = "empty"
    """Its pods are gone; Karpenter is to delete it."""
    DELETED = "deleted"
    """There is no Node object any more: nothing else counts as saved."""


class NodeSeen(Event, frozen=True):
    """A node is in this state now; it has so much CPU (milli-cores) for pods, and costs so much an hour."""

    node: str
    state: NodeState
    cpu: int
    price: float


class Judged(Event, frozen=True):
    """What the report says of a node: it could go, or what keeps it."""

    node: str
    goes: bool
    why: str = ""


AnyEvent: TypeAlias = NodeSeen | PodSeen | Watched | BudgetSeen | Judged | Said
