"""What happens in the pod pinner's demo, as recorded."""

from __future__ import annotations

import enum
from typing import TypeAlias

from .common.events import Event, Said


class NodeState(enum.Enum):
    """How far a node is."""

    PLANNED = "planned"
    """Promised in the plan, and nothing in the cluster yet."""
    PLACEHOLDER = "placeholder"
    """A Node object without a machine."""
    JOINING = "joining"
    """Its machine has been switched on or its kubelet has reported; not yet ready for everybody."""
    READY = "ready"
    """Its kubelet is Ready and the pinner has opened it."""
    GONE = "gone"
    """The Node object was deleted."""


class PodState(enum.Enum):
    """How far a pod is."""

    PENDING = "pending"
    PINNED = "pinned"
    """Bound to a node and not running yet."""
    RUNNING = "running"
    FAILED = "failed"
    GONE = "gone"


class Promised(Event, frozen=True):
    """The plan promises a node of so much CPU (milli-cores) to so many pods requesting so much."""

    node: str
    capacity: int
    pods: int
    promised: int


class NodeSeen(Event, frozen=True):
    """A node is in this state now."""

    node: str
    state: NodeState


class PodSeen(Event, frozen=True):
    """A pod is in this state now; ``node`` is empty until it is bound, ``cpu`` is its request in milli-cores."""

    pod: str
    app: str
    cpu: int
    state: PodState
    node: str = ""


AnyEvent: TypeAlias = Promised | NodeSeen | PodSeen | Said
