"""The time of a dump: the newest time in it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_TIME = re.compile(rb"2[0-9]{3}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?=([.][0-9]{1,9})?Z)")
_KEY = re.compile(rb"""([A-Za-z]+)"?: ?["']?$""")
_PAST = (
    b"lastHeartbeatTime",
    b"renewTime",
    b"lastTransitionTime",
    b"creationTimestamp",
    b"startTime",
    b"startedAt",
    b"lastUpdateTime",
    b"lastScheduleTime",
    b"acquireTime",
    b"time",
)
"""Keys of times at which something has happened; others, a deletionTimestamp for one, may lie ahead."""
SLACK = timedelta(days=1)
"""How far the cluster's clock may be ahead of the local one."""


def newest(data: bytes, now: datetime) -> datetime | None:
    """Return the newest of the times in a text; None when it has none.

    Args:
        data: JSON, or YAML.
        now: our own clock's time: what lies far ahead of it is no time at which anything has happened.
    """
    latest = f"{now + SLACK:%Y-%m-%dT%H:%M:%S}".encode()
    best = b""
    for found in _TIME.finditer(data):
        if best < found[0] <= latest and _is_past(data[max(0, found.start() - 30) : found.start()]):
            best = found[0]
    try:
        return datetime.fromisoformat(best.decode()).replace(tzinfo=UTC) if best else None
    except ValueError:  # the 31st of February
        return None


def _is_past(before: bytes) -> bool:
    key = _KEY.search(before)
    return key is not None and key[1] in _PAST
