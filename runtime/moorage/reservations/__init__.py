"""Reservations: what a node is promised to have, and which pods it is reserved for. Pure functions, no I/O."""

from . import destinations, merging, unknown_fields
from .destinations import SlotReservation
from .model import (
    DELETE,
    GROUP_VERSION,
    HOLD,
    LATE,
    MAX_PINS,
    STARTUP_TAINTS_GONE,
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
    "STARTUP_TAINTS_GONE",
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
