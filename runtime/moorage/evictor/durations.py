"""Durations as Go writes them: ``1m30s``, ``1.5h``, ``100us``."""

from __future__ import annotations

import re
from datetime import timedelta

_WHOLE = re.compile(r"(?:[0-9]{1,9}(?:\.[0-9]{1,9})?(?:h|ms|m|s|us|µs|μs|ns))+")
_PART = re.compile(r"([0-9.]+)([a-zµμ]+)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9}
_LONGEST = 1e9


def duration(text: str) -> timedelta | None:
    """Read a duration, at most some thirty years; None when the text is none."""
    if _WHOLE.fullmatch(text) is None:
        return None
    seconds = sum(float(amount) * _SECONDS[unit] for amount, unit in _PART.findall(text))
    return timedelta(seconds=min(seconds, _LONGEST))
