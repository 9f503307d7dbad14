"""What is known of one node, and what can be done about it: the input and the output of ``decide``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, TypeAlias

from moorage.objects import Node, Pod
from moorage.protocol import Outcome
from moorage.reservations import DELETE, NodeReservation, Pin, Problem, Spec

from .names import FINALIZER, RESERVATION_ANNOTATION
from .profiles import Profile
from .refusal import Refusal


class Room(Protocol):
    """The node as promised, with everything that is on it or about to be."""

    def admit(self, pod: Pod) -> Refusal | None:
        """Count a pod in and return None; or return why it does not fit, with all that was admitted before."""

    def misplaced(self, pod: Pod) -> Refusal | None:
        """Why a pod that is bound here can never start here, or None."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One node as it is known at one moment.

    Attributes:
        name: the node's name.
        now: the API server's time, UTC.
        reservation: the reservation as stored; None when there is none.
        stored: what it says, as far as it can be read.
        spec: the same with the pins that are not written yet: what is intended.
        problems: what in it cannot be read.
        profile: the profile of its promise, or why there is none; None without a promise.
        node: the Node, or None.
        pods: the pods bound to it.
        pinned: what bears the name of each pin's pod now, by pin uid; absent when nothing does.
        made: whether a placeholder was made for this reservation.
        confirmed: whether ``node`` was read from the API server for this very decision, not from a cache.
        refused: why the API server refused to create the Node, or None.
        sweeps_left: how many more pods of a controller (by uid) may be swept; ``sweep_limit`` for all others.
        sweep_limit: how many pods of one controller may be swept in an hour.
    """

    name: str
    now: datetime
    reservation: NodeReservation | None = None
    stored: Spec = Spec()  # noqa: RUF009 - immutable
    spec: Spec = Spec()  # noqa: RUF009 - immutable
    problems: tuple[Problem, ...] = ()
    profile: Profile | Refusal | None = None
    node: Node | None = None
    pods: tuple[Pod, ...] = ()
    pinned: Mapping[str, Pod] = field(default_factory=dict)
    made: bool = False
    confirmed: bool = False
    refused: Refusal | None = None
    sweeps_left: Mapping[str, int] = field(default_factory=dict)
    sweep_limit: int = 10

    @property
    def ours(self) -> bool:
        """Whether the Node was made for this reservation; says nothing about what may be done to it."""
        if self.node is None or self.reservation is None:
            return False
        meta = self.node.metadata
        return (
            meta.uid == self.spec.node_uid
            or meta.annotations.get(RESERVATION_ANNOTATION) == self.reservation.metadata.uid
        )

    @property
    def open(self) -> bool:
        """Whether the placeholder may still be ours to clean up: until the node was adopted."""
        return self.reservation is not None and FINALIZER in self.reservation.metadata.finalizers

    @property
    def given_up(self) -> bool:
        """Whether an instruction or a person has ended the reservation."""
        if self.reservation is None:
            return False
        return self.spec.intent == DELETE or self.reservation.metadata.deletion_timestamp is not None


@dataclass(frozen=True, slots=True)
class Confirm:
    """Read the Node from the API server: something is about to be destroyed on the word of a cache."""


@dataclass(frozen=True, slots=True)
class CreateNode:
    """Create the placeholder."""

    manifest: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Bind:
    """Bind a pod that was admitted to the node's room."""

    pin: Pin
    pod: Pod


@dataclass(frozen=True, slots=True)
class DeletePod:
    """Delete a pod; ``grace`` 0 where no kubelet will ever confirm, None for the pod's own."""

    pod: Pod
    grace: int | None
    why: Refusal
    sweep: bool = False


@dataclass(frozen=True, slots=True)
class DeleteNode:
    """Delete a placeholder; only exactly as it was seen."""

    node: Node
    why: Refusal


@dataclass(frozen=True, slots=True)
class PatchNode:
    """Change labels and taints of a Node; only as it was seen."""

    node: Node
    changes: Mapping[str, Any]
    adopted: bool = False
    shortfalls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EditReservation:
    """Store another spec; ``close`` says that no placeholder is left to clean up."""

    reservation: NodeReservation
    old: Spec
    new: Spec
    close: bool = False


@dataclass(frozen=True, slots=True)
class EndReservation:
    """Delete the reservation: nothing of it is left."""

    reservation: NodeReservation


Step: TypeAlias = Confirm | CreateNode | Bind | DeletePod | DeleteNode | PatchNode | EditReservation | EndReservation


@dataclass(frozen=True, slots=True)
class PinState:
    """What has become of one pin: ``outcome`` None means that it is still to be bound."""

    outcome: Outcome | None
    refusal: Refusal | None = None
    node: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do about a node now.

    Attributes:
        steps: done together; then the node is looked at again. None are left when all is as intended.
        state: one word for people: Pending, Placeholder, Joining, Preparing, Ready, Failing or Stopped.
        message: a sentence for people.
        pins: what has become of each pin, by uid.
        ended: why the reservation comes to nothing, or None.
        wake: when to look again even if nothing happens; None: never.
        later: a step that nobody waits for.
    """

    steps: tuple[Step, ...] = ()
    state: str = ""
    message: str = ""
    pins: Mapping[str, PinState] = field(default_factory=dict)
    ended: Refusal | None = None
    wake: datetime | None = None
    later: EditReservation | None = None
