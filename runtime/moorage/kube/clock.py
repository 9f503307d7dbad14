"""The API server's time, learnt from the ``Date`` header of its responses.

Deadlines and Lease times use the server's clock, never this machine's. ``Date`` has a resolution of one second. So one
response only shows that at some moment between sending and receiving, the server's clock was in ``[date, date + 1 s)``.
That bounds the offset between the server's clock and our monotonic clock, and the bounds of many responses narrow it.
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
"""Drift, in seconds per second, that two synchronised clocks may have: ntpd slews at most this much (``adjtime``)."""


class ClockNotSynchronised(KubeError):
    """The API server's time was requested before any response carried a ``Date`` header."""


class ServerClock:
    """The time of the API server, as a lower bound that is never ahead of it.

    Each response narrows the bounds, and time without responses widens them by ``MAX_DRIFT``. If a response contradicts
    the bounds, the server's clock was set, or another API server with another clock responded: the clock then starts
    again with this response. So ``now()`` only decreases after such a contradiction. A jump of this machine's wall
    clock has no effect, because only the monotonic clock is read.

    There are two assumptions. The server's clock drifts by at most ``MAX_DRIFT`` while nobody sets it. A step smaller
    than ``uncertainty()`` is noticed only when a later response happens to reveal it.

    Args:
        monotonic: seconds on a clock that never goes back. The moments passed to ``observe`` come from the same clock.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._low = 0.0  # lower bound of the offset between the server's wall clock and our monotonic clock, in seconds
        self._high = 0.0  # upper bound
        self._as_of: float | None = None  # the monotonic moment that the bounds refer to

    @property
    def synchronised(self) -> bool:
        """Whether the server's time is known."""
        return self._as_of is not None

    def observe(self, date_header: str | None, sent: float, received: float) -> None:
        """Learn from one response. A missing or unreadable header is ignored.

        Args:
            date_header: the response's ``Date`` header.
            sent: monotonic moment, in seconds, before the request was sent.
            received: monotonic moment, in seconds, after the response's headers arrived.
        """
        date = _seconds(date_header)
        if date is None or received < sent:
            return
        # Responses are not always observed in the order of their arrival. The bounds only move forward.
        as_of = received if self._as_of is None else max(received, self._as_of)
        drift = MAX_DRIFT * (as_of - sent)
        low, high = date - received - drift, date + DATE_RESOLUTION - sent + drift
        if self._as_of is not None:
            known_low, known_high = self._bounds_at(as_of)
            if low <= known_high and high >= known_low:
                low, high = max(low, known_low), min(high, known_high)
        self._as_of, self._low, self._high = as_of, low, high

    def now(self) -> datetime:
        """The server's time, UTC. Never ahead of the true time.

        Raises:
            ClockNotSynchronised: no response with a ``Date`` header arrived yet.
        """
        return self.at(self._monotonic())

    def at(self, moment: float) -> datetime:
        """The server's time, UTC, at a monotonic moment in seconds. Never ahead of the true time.

        Raises:
            ClockNotSynchronised: no response with a ``Date`` header arrived yet.
        """
        low, _ = self._bounds_at(moment)
        return datetime.fromtimestamp(moment + low, UTC)

    def uncertainty(self) -> timedelta:
        """How far the server's true time may be ahead of ``now()``, in seconds.

        Raises:
            ClockNotSynchronised: no response with a ``Date`` header arrived yet.
        """
        low, high = self._bounds_at(self._monotonic())
        return timedelta(seconds=high - low)

    def _bounds_at(self, moment: float) -> tuple[float, float]:
        if self._as_of is None:
            raise ClockNotSynchronised(
                "The time of the API server is unknown: no answer with a Date header arrived. "
                "If this stays, a proxy in front of the API server removes the header: make it keep the header."
            )
        drift = MAX_DRIFT * abs(moment - self._as_of)
        return self._low - drift, self._high + drift


def micro_time(moment: datetime) -> str:
    """Format a UTC time as ``metav1.MicroTime``: RFC 3339, always with six digits."""
    return f"{moment.replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


@lru_cache(maxsize=8)  # the header changes once a second and is in every response
def _seconds(date_header: str | None) -> float | None:
    if not date_header:
        return None
    try:
        date = parsedate_to_datetime(date_header)
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
