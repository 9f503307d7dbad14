"""The events of the evictor's demo, as recorded."""

from __future__ import annotations

import enum
from typing import TypeAlias

from tools.demo.common.events import Event, Said
from tools.demo.common.workloads import BudgetSeen, PodSeen, Watched


class NodeState(enum.Enum):
    """State of a node on the way to its deletion."""

    RUNNING = "running"
    CHOSEN = "chosen"
    """The node has the soft taint and waits for its drain."""
    DRAINING = "draining"
    """Cordoned; its pods are evicted."""
    EMPTY = "empty"
    """Its pods are gone. Karpenter has to delete it."""
    DELETED = "deleted"
    """The Node object no longer exists. Only such nodes count as saved."""


class NodeSeen(Event, frozen=True):
    """The current state of a node, its CPU for pods (milli-cores) and its price per hour."""

    node: str
    state: NodeState
    cpu: int
    price: float


class Judged(Event, frozen=True):
    """The report's result for a node: it could be emptied, or the reason why not."""

    node: str
    goes: bool
    why: str = ""


AnyEvent: TypeAlias = NodeSeen | PodSeen | Watched | BudgetSeen | Judged | Said
