"""Reservations: what is promised to whom on which node. Pure functions over one object per node; no I/O."""

from . import destinations, merging, unknown_fields
from .destinations import SlotReservation
from .model import (
    DELETE,
    GROUP_VERSION,
    HOLD,
    LATE,
    MAX_PINS,
    NodeReservation,
    Nomination,
    Owner,
    Pin,
    Promise,
    Record,
    Slot,
    Spec,
)
from .reading import Problem, Reading, moment, read

__all__ = [
    "DELETE",
    "GROUP_VERSION",
    "HOLD",
    "LATE",
    "MAX_PINS",
    "NodeReservation",
    "Nomination",
    "Owner",
    "Pin",
    "Problem",
    "Promise",
    "Reading",
    "Record",
    "Slot",
    "SlotReservation",
    "Spec",
    "destinations",
    "merging",
    "moment",
    "read",
    "unknown_fields",
]
