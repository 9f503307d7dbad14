"""The API server's time, learnt from the ``Date`` header of its answers.

Deadlines and Lease times are the server's, never this machine's. A ``Date`` has a resolution of one second, so that
one answer only says: at some moment between sending and receiving, the server's clock stood in ``[date, date + 1 s)``.
That bounds the offset between the server's clock and our monotonic clock; many answers intersect to far less.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache

from moorage.kube.errors import KubeError

DATE_RESOLUTION = 1.0
"""Seconds: RFC 9110 dates have no fraction."""

MAX_DRIFT = 500e-6
"""Seconds per second by which two disciplined clocks may drift apart: what ntpd slews at most (``adjtime``)."""


class ClockNotSynchronised(KubeError):
    """The API server's time was asked for before any answer of it carried a ``Date`` header."""


class ServerClock:
    """The time on the API server, as a lower bound that is never ahead of it.

    Each answer narrows the bounds, and time without answers widens them by ``MAX_DRIFT``. An answer that contradicts
    them means that the server's clock was set (or that another API server with another clock answered): the clock then
    starts again from that answer alone. ``now()`` therefore never decreases, except over such a contradiction, where it
    follows the server. A jump of this machine's wall clock has no effect, because only the monotonic clock is read.

    Two assumptions: the server's clock drifts by at most ``MAX_DRIFT`` while it is not set, and a step that is smaller
    than ``uncertainty()`` is noticed only by a later answer whose fraction of a second happens to reveal it.

    Args:
        monotonic: seconds on a clock that never goes back; the moments given to ``observe`` are read from the same one.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._low = 0.0  # offset of the server's wall clock to our monotonic clock, in seconds: at least this
        self._high = 0.0  # … and at most this
        self._as_of: float | None = None  # monotonic moment for which the bounds hold

    @property
    def synchronised(self) -> bool:
        """Whether the server's time is known at all."""
        return self._as_of is not None

    def observe(self, date_header: str | None, sent: float, received: float) -> None:
        """Learn from one answer; a missing or unreadable header teaches nothing.

        Args:
            date_header: the answer's ``Date`` header.
            sent: monotonic moment (seconds) before the request left.
            received: monotonic moment (seconds) after the answer's headers arrived.
        """
        date = _seconds(date_header)
        if date is None or received < sent:
            return
        # Answers are not always reported in the order in which they arrived; the bounds only ever move forward.
        as_of = received if self._as_of is None else max(received, self._as_of)
        drift = MAX_DRIFT * (as_of - sent)
        low, high = date - received - drift, date + DATE_RESOLUTION - sent + drift
        if self._as_of is not None:
            known_low, known_high = self._bounds_at(as_of)
            if low <= known_high and high >= known_low:
                low, high = max(low, known_low), min(high, known_high)
        self._as_of, self._low, self._high = as_of, low, high

    def now(self) -> datetime:
        """The server's time, UTC, at the latest what it truly is.

        Raises:
            ClockNotSynchronised: no answer with a ``Date`` header was seen yet.
        """
        return self.at(self._monotonic())

    def at(self, moment: float) -> datetime:
        """The server's time, UTC, at a monotonic moment (seconds); never ahead of the true one.

        Raises:
            ClockNotSynchronised: no answer with a ``Date`` header was seen yet.
        """
        low, _ = self._bounds_at(moment)
        return datetime.fromtimestamp(moment + low, UTC)

    def uncertainty(self) -> timedelta:
        """How far the server's true time may be ahead of ``now()``.

        Raises:
            ClockNotSynchronised: no answer with a ``Date`` header was seen yet.
        """
        low, high = self._bounds_at(self._monotonic())
        return timedelta(seconds=high - low)

    def _bounds_at(self, moment: float) -> tuple[float, float]:
        if self._as_of is None:
            raise ClockNotSynchronised(
                "The time of the API server is not known yet: no answer with a Date header was received. "
                "If this stays, a proxy in front of the API server removes that header; let it pass."
            )
        drift = MAX_DRIFT * abs(moment - self._as_of)
        return self._low - drift, self._high + drift


def micro_time(moment: datetime) -> str:
    """Write a UTC time as ``metav1.MicroTime`` does: RFC 3339 with six digits, always."""
    return f"{moment.replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


@lru_cache(maxsize=8)  # it changes once a second, and is in every answer
def _seconds(date_header: str | None) -> float | None:
    if not date_header:
        return None
    try:
        date = parsedate_to_datetime(date_header)
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
