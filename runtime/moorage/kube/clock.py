"""The API server's time, learnt from the ``Date`` header of its responses.

Deadlines and Lease times use the server's clock, never this machine's. ``Date`` has a resolution of one second. So one
response only shows that at some moment between sending and receiving, the server's clock was in ``[date, date + 1 s)``.
That bounds the offset between the server's clock and our monotonic clock, and the bounds of many responses narrow it.

A cluster has several API servers, and their clocks differ. The time is that of the slowest one that has responded of
late, and it does not go back when a slower one responds: it advances at half its speed until it is right again.
Node-lifecycle ignores a renewTime below one that it has seen, and a deadline that has passed must stay passed.
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

MAX_SKEW = 10.0
"""Seconds by which the clocks of two API servers may differ. A larger difference means that a clock was set."""

SLOWER_FOR = 30.0
"""Seconds for which an API server with a slower clock counts after its last response."""

SLEW = 0.5
"""Seconds per second by which the time advances while it is ahead of a slower API server."""


class ClockNotSynchronised(KubeError):
    """The API server's time was requested before any response carried a ``Date`` header."""


class ServerClock:
    """The time of the API server, as a lower bound that is never ahead of it.

    Each response narrows the bounds, and time without responses widens them by ``MAX_DRIFT``. If a response contradicts
    the bounds by up to ``MAX_SKEW``, another API server with another clock responded. A slower one's bounds replace the
    known ones. A faster one's are ignored while the slower one has responded within ``SLOWER_FOR``. If a response
    contradicts the bounds by more, the server's clock was set, and the clock starts again with this response: only then
    does ``now()`` go back. A jump of this machine's wall clock has no effect, because only the monotonic clock is read.

    While ``now()`` waits for a slower server, it may be ahead of it: by ``MAX_SKEW`` at most, and for twice that long.
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
        self._agreed_at = 0.0  # the monotonic moment of the last response that agreed with the bounds
        self._shown: tuple[float, float] | None = None  # the last moment asked for by `now`, and its answer in seconds

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
            elif 0 < low - known_high <= MAX_SKEW and received - self._agreed_at < SLOWER_FOR:
                return
        self._as_of, self._low, self._high = as_of, low, high
        self._agreed_at = received

    def now(self) -> datetime:
        """The server's time, UTC. Never ahead of the true time, and never back unless a clock was set.

        Raises:
            ClockNotSynchronised: no response with a ``Date`` header arrived yet.
        """
        moment = self._monotonic()
        seconds = moment + self._bounds_at(moment)[0]
        if self._shown is not None:
            slewed = self._shown[1] + SLEW * (moment - self._shown[0])
            if 0 < slewed - seconds <= MAX_SKEW:
                seconds = slewed
        self._shown = moment, seconds
        return datetime.fromtimestamp(seconds, UTC)

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
