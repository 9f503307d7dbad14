"""Times as people read them: how long from now, and how long ago."""

from __future__ import annotations

from datetime import datetime

NONE = "–"


def span(seconds: float) -> str:
    """A length of time as ``1h5m`` or ``4m10s``: the two largest units; below a second ``0s``."""
    minutes, rest = divmod(max(0, int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "h"), (minutes, "m"), (rest if not hours else 0, "s"))
    return "".join(f"{amount}{unit}" for amount, unit in parts if amount) or "0s"


def until(text: str, now: datetime) -> str:
    """How long it is until a moment; ``over`` once it has passed.

    Args:
        text: RFC 3339.
        now: the API server's time.
    """
    left = _seconds(text, now)
    if left is None:
        return NONE
    return span(left) if int(left) > 0 else "over"


def ago(text: str, now: datetime) -> str:
    """How long ago a moment was.

    Args:
        text: RFC 3339.
        now: the API server's time.
    """
    left = _seconds(text, now)
    return NONE if left is None else f"{span(-left)} ago"


def _seconds(text: str, now: datetime) -> float | None:
    from moorage.reservations import moment  # not for --help

    then = moment(text)
    return None if then is None else (then - now).total_seconds()
