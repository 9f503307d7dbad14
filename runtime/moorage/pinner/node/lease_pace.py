"""When the Leases of placeholders are renewed, and how many at a time. Pure."""

from __future__ import annotations

import math

CONCURRENT = 4
"""Renewals under way at a time while the API server answers quickly."""
MOST = 64
"""The same at most, however slowly it answers: API Priority and Fairness queues more of one client, and so do we."""
CATCH_UP = 5.0
"""Seconds within which all that are due are to be under way, as after a change of leader."""
SOONEST = 0.8
"""Times the interval: no Lease is renewed again before that."""


class Pace:
    """When Leases are renewed, and how many at a time.

    Args:
        interval: seconds between two renewals of a Lease.
    """

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._latency = 0.1  # until it is known

    def observe(self, seconds: float) -> None:
        """Take note of how long a renewal took, whatever became of it."""
        self._latency += (seconds - self._latency) / 8

    def concurrent(self, leases: int, waiting: int) -> int:
        """How many renewals must be under way at a time to keep up, twice over, and to catch up.

        Args:
            leases: how many are held.
            waiting: how many of them are due.
        """
        needed = (2 * leases / self._interval + waiting / CATCH_UP) * self._latency
        return min(max(math.ceil(needed), CONCURRENT), MOST)

    def next(self, now: float, phase: float) -> float:
        """When a Lease is due again: at its moment, or earlier until it comes to that.

        Args:
            now: when it was renewed, on the clock of ``phase``.
            phase: one of its moments.
        """
        ahead = self._interval - (now - phase) % self._interval
        return now + max(ahead, SOONEST * self._interval)
