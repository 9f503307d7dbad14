"""Edits of a reservation, and what of it is left on its Node: shared by all phases. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from moorage.objects import Node
from moorage.reservations import Spec

from ..names import RESERVATION_ANNOTATION
from . import pins
from .observation import Observation, PinState
from .steps import EditReservation


def drop_lost(o: Observation, found: Mapping[str, PinState]) -> tuple[EditReservation, ...]:
    """Stores that some pods will not be pinned, before anybody is told so; what was never stored is just forgotten."""
    lost = pins.lost(found)
    if not o.open or not any(pin.uid in lost for pin in o.stored.pins):
        return ()
    step = edit(o, pins.without_lost(o, found), close=False)
    return (step,) if step is not None else ()


def note_done(o: Observation, node: Node) -> EditReservation | None:
    """Stores what was done: which Node was made, so that even a later leader notices its end, and what was bound."""
    return edit(o, with_node(o.spec, node), close=False)


def with_node(spec: Spec, node: Node) -> Spec:
    """The spec with the uid of the Node that there is."""
    return msgspec.structs.replace(spec, node_uid=node.metadata.uid) if spec.node_uid != node.metadata.uid else spec


def edit(o: Observation, spec: Spec, *, close: bool) -> EditReservation | None:
    """The step that stores a spec, where it says something new; ``close``: and that nothing is left to clean up."""
    if o.reservation is None or o.reservation.metadata.deletion_timestamp is not None:
        return None
    if spec == o.stored and not (close and o.open):
        return None
    return EditReservation(o.reservation, o.stored, spec, close=close)


def with_mark(o: Observation, changes: dict[str, Any]) -> dict[str, Any]:
    """A patch of a Node; of one that brought nothing of ours but the taint it leaves our mark when that goes.

    By it a later leader tells the Node from one off which somebody else took the taint.
    """
    if not o.late or o.reservation is None:
        return changes
    annotations = {RESERVATION_ANNOTATION: o.reservation.metadata.uid}
    return {**changes, "metadata": {**changes.get("metadata", {}), "annotations": annotations}}
