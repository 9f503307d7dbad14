"""The phase without a kubelet: the placeholder is held, and pods are bound to it. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from moorage.objects import Node
from moorage.protocol import ReasonCode
from moorage.reservations import moment

from ..refusal import Refusal
from . import edits, ending, pins
from .observation import Observation, PinState, Room
from .steps import Decision


def decide(o: Observation, node: Node, room: Room) -> Decision:
    """What to do about a node without a kubelet; arguments as of ``decide.decide``."""
    if o.given_up:
        return ending.end(o, ending.GIVEN_UP, node=node)
    if node.metadata.deletion_timestamp is not None:
        return ending.end(o, Refusal(ReasonCode.PLACEHOLDER_REMOVED), node=node)
    if o.refused is not None:  # it is there, and not as it must be
        return ending.end(o, o.refused, node=node)
    found: Mapping[str, PinState] = pins.states(o)
    over = pins.never_came(o) or ending.unwanted(o, found) or o.instance
    if over is not None:
        return ending.end(o, over, node=node)
    binds, _, found = pins.bind(o, room, found)
    # They may get no grace, which a pod that has started just now would need.
    deletions = ending.once_confirmed(o, (*pins.left_hanging(o), *pins.sweep(o, room)))
    wake = pins.earliest(moment(o.spec.deadline), pins.next_overdue(o), *pins.deadlines(o.spec, found))
    steps = (*binds, *deletions, *edits.drop_lost(o, found))
    message = pins.waiting(found) or "waiting for the machine"
    return Decision(steps, "Placeholder", message, found, wake=wake, later=edits.note_done(o, node))
