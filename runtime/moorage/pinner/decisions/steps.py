"""What can be done about one node, the output of ``decide``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

import msgspec

from moorage.objects import Node, Pod, conditions
from moorage.reservations import NodeReservation, Pin, Spec, merging

from ..names import RESERVATION_ANNOTATION
from ..refusal import Refusal
from .observation import PinState


@dataclass(frozen=True, slots=True)
class Confirm:
    """Read the Node, and what tells of a kubelet: ``before`` is about to be done on the word of a cache."""

    before: tuple[DeletePod | DeleteNode | EndReservation, ...]


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
class Nominate:
    """Store that pods are nominated to the node, then nominate them; each only as it was seen.

    ``turn`` is when a node that is closed to the scheduler takes its turn to be opened; None: it is open.
    """

    reservation: NodeReservation
    old: Spec
    new: Spec
    pods: tuple[tuple[Pin, Pod], ...]
    turn: datetime | None = None


@dataclass(frozen=True, slots=True)
class ClearNomination:
    """Take back a nomination of ours; only as it was seen."""

    pod: Pod
    why: Refusal


@dataclass(frozen=True, slots=True)
class DeletePod:
    """Delete a pod; ``grace`` 0 where no kubelet will ever confirm, None for the pod's own.

    ``exact``, and without grace in any case: only as it was seen, because it may have started meanwhile.
    """

    pod: Pod
    grace: int | None
    why: Refusal
    sweep: bool = False
    exact: bool = False


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


@dataclass(frozen=True, slots=True)
class EditReservation:
    """Store another spec; ``close`` says that no placeholder is left to clean up.

    ``adopted`` says that this is because the machine has joined; ``shortfalls`` are sentences about what it lacks.
    ``news`` is told to people once it is stored.
    """

    reservation: NodeReservation
    old: Spec
    new: Spec
    close: bool = False
    adopted: bool = False
    shortfalls: tuple[str, ...] = ()
    news: str = ""


@dataclass(frozen=True, slots=True)
class EndReservation:
    """Delete the reservation: nothing of it is left. ``news`` is told to people once that is done."""

    reservation: NodeReservation
    news: str = ""


@dataclass(frozen=True, slots=True)
class ShowStatus:
    """Show people how it stands."""

    reservation: NodeReservation
    status: Mapping[str, Any]


Step: TypeAlias = (
    Confirm
    | CreateNode
    | Bind
    | Nominate
    | ClearNomination
    | DeletePod
    | DeleteNode
    | PatchNode
    | EditReservation
    | EndReservation
    | ShowStatus
)

_encode = msgspec.json.Encoder(order="deterministic").encode


def key(step: Step) -> tuple[str, ...]:
    """What makes two steps the same: the verb, the object as it was meant (its uid), and what it is to become."""
    match step:
        case Confirm():
            return ("confirm",)
        case CreateNode(manifest):
            return ("create node", str(manifest["metadata"]["annotations"][RESERVATION_ANNOTATION]))
        case Bind(pin):
            return ("bind", pin.uid)
        case Nominate(reservation, old, new):
            tries = [(each.uid, each.tries) for each in new.nominations]  # without the time, which is always another
            wanted = _encode({**merging.changes(old, new), "nominations": tries}).decode()
            return ("nominate", reservation.metadata.uid, wanted)
        case ClearNomination(pod):
            return ("clear nomination", pod.metadata.uid)
        case DeletePod(pod, grace):
            return ("delete pod", pod.metadata.uid, str(grace))
        case DeleteNode(node):
            return ("delete node", node.metadata.uid)
        case PatchNode(node, changes):
            return ("patch node", node.metadata.uid, _encode(changes).decode())
        case EditReservation(reservation, old, new, close):
            wanted = _encode(merging.changes(old, new)).decode()
            return ("edit reservation", reservation.metadata.uid, str(close), wanted)
        case EndReservation(reservation):
            return ("end reservation", reservation.metadata.uid)
        case ShowStatus(reservation, status):
            said = {**status, "conditions": conditions.timeless(status.get("conditions"))}
            return ("show status", reservation.metadata.uid, _encode(said).decode())


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do about a node now.

    Attributes:
        steps: done together; then the node is looked at again. None are left when all is as intended.
        state: one word for people: Pending, Placeholder, Joining, Preparing, Ready, Foreign, Failing or Stopped.
        message: a sentence for people.
        pins: what has become of each pin, by uid.
        ended: why the reservation comes to nothing, or None.
        wake: when to look again even if nothing happens; None: never.
        later: a step that nobody waits for.
        waits: what somebody else must do before it goes on, for people; empty when nobody must.
    """

    steps: tuple[Step, ...] = ()
    state: str = ""
    message: str = ""
    pins: Mapping[str, PinState] = field(default_factory=dict)
    ended: Refusal | None = None
    wake: datetime | None = None
    later: EditReservation | None = None
    waits: str = ""

    @property
    def finished(self) -> bool:
        """Whether nothing more is to be done, by us or by others."""
        return not self.steps and not self.waits
