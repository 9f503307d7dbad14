"""What happens in the evictor's demo, as recorded."""

from __future__ import annotations

import enum
from typing import TypeAlias

from tools.demo.common.events import Event, Said


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


class PodState(enum.Enum):
    """How far a pod is."""

    PENDING = "pending"
    """On no node yet."""
    STARTING = "starting"
    READY = "ready"
    LEAVING = "leaving"
    """Evicted, and still on its node."""
    GONE = "gone"


class NodeSeen(Event, frozen=True):
    """A node is in this state now; it has so much CPU (milli-cores) for pods, and costs so much an hour."""

    node: str
    state: NodeState
    cpu: int
    price: float


class PodSeen(Event, frozen=True):
    """A pod is in this state now; ``node`` is empty until it is bound, ``cpu`` is its request in milli-cores."""

    pod: str
    app: str
    cpu: int
    state: PodState
    node: str = ""


class Watched(Event, frozen=True):
    """From now on it is watched how many pods of a Deployment are Ready: never fewer than its floor.

    ``budget`` says whether a PodDisruptionBudget sets the floor; else the Deployment's own strategy does.
    """

    app: str
    replicas: int
    floor: int
    budget: bool = False


class BudgetSeen(Event, frozen=True):
    """What the status of a Deployment's PodDisruptionBudget says now: pods that are healthy, and how many must be."""

    app: str
    healthy: int
    desired: int


class Judged(Event, frozen=True):
    """What the report says of a node: it could go, or what keeps it."""

    node: str
    goes: bool
    why: str = ""


AnyEvent: TypeAlias = NodeSeen | PodSeen | Watched | BudgetSeen | Judged | Said
