"""Which reservations need attention, and why: one rule for every command that shows them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from .terminal import plain

if TYPE_CHECKING:  # loaded when there is something to do: --help and wrong usage need none of it
    from moorage.pinner.commands.overview import Held

GOOD = ("Ready", "Preparing", "Served")
"""States of reservations that are served."""
BAD = ("Failing", "Stopped", "Foreign", "NotServed")
"""States of reservations that need attention."""


def why(held: Held, now: datetime) -> str:
    """Why a reservation needs attention; empty when it does not.

    Args:
        held: the reservation.
        now: the API server's time.
    """
    from moorage.reservations import moment

    if held.state in BAD:
        return f"{held.state}: {plain(held.message)}" if held.message else held.state
    deadline = moment(held.deadline)
    if deadline is not None and deadline <= now:
        return f"no machine has joined by its deadline, {held.deadline}"
    if not held.state and held.message:
        return plain(held.message)
    return ""
