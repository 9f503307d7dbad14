"""What happens in the pod pinner's demo, as recorded."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from moorage.cli.pictures.scene import NodeState, PodState

from .common.events import Event, Said

__all__ = ["AnyEvent", "NodeSeen", "NodeState", "Phase", "PodSeen", "PodState", "Promised", "SchedulerAlone"]


class Phase(Event, frozen=True):
    """The story comes to its part ``number`` of ``parts``: ``caption`` says what is to be seen."""

    number: int
    parts: int
    caption: str


class SchedulerAlone(Event, frozen=True):
    """From now on the same pods are given to kube-scheduler alone, on the same machines."""


class Promised(Event, frozen=True):
    """The plan promises a node of so much CPU (milli-cores) to so many pods requesting so much; ``apps`` says whose."""

    node: str
    capacity: int
    pods: int
    promised: int
    apps: dict[str, int] = msgspec.field(default_factory=dict)


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


AnyEvent: TypeAlias = Promised | NodeSeen | PodSeen | Said | Phase | SchedulerAlone
