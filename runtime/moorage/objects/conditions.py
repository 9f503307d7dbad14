"""Conditions of a status, following the API conventions. No I/O.

Source: ``metav1.Condition`` (meta/v1/types.go) and ``SetStatusCondition`` (api/meta/conditions.go) of apimachinery. The
time of the last transition changes with the status, not with reason or message.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple


class Condition(NamedTuple):
    """The wanted content of one condition; ``holds`` is None for Unknown."""

    type: str
    holds: bool | None
    reason: str
    message: str = ""

    @property
    def status(self) -> str:
        """True, False or Unknown, as in the API."""
        return "Unknown" if self.holds is None else str(self.holds)


def merged(
    listed: Any, wanted: Iterable[Condition], now: datetime, *, generation: int | None = None
) -> list[dict[str, Any]]:
    """Return the list with all wanted conditions. Conditions of other types stay.

    Args:
        listed: the current list, which may be malformed.
        wanted: the wanted conditions.
        now: the API server's time, UTC.
        generation: the ``metadata.generation`` that was observed; None where it does not apply.
    """
    known = _by_type(listed)
    for each in wanted:
        old = known.get(each.type, {})
        since = old.get("lastTransitionTime") if old.get("status") == each.status else None
        known[each.type] = {
            "type": each.type,
            "status": each.status,
            "reason": each.reason,
            "message": each.message,
            **({} if generation is None else {"observedGeneration": generation}),
            "lastTransitionTime": since if isinstance(since, str) else f"{now:%Y-%m-%dT%H:%M:%SZ}",
        }
    return [dict(each) for each in known.values()]


def turned(listed: Any, wanted: Iterable[Condition]) -> bool:
    """Whether the status of a condition in the list differs from the wanted one. Missing conditions do not count.

    Args:
        listed: the current list, which may be malformed.
        wanted: the wanted conditions.
    """
    known = _by_type(listed)
    return any(each.type in known and known[each.type].get("status") != each.status for each in wanted)


def holds(listed: Any, condition: str) -> bool:
    """Whether a condition of a type is in the list and True.

    Args:
        listed: the current list, which may be malformed.
        condition: the type.
    """
    return _by_type(listed).get(condition, {}).get("status") == "True"


def timeless(listed: Any) -> list[tuple[Any, Any]]:
    """Type and status of each condition in a list, for comparing two lists.

    Args:
        listed: the current list, which may be malformed.
    """
    return [(name, each.get("status")) for name, each in _by_type(listed).items()]


def _by_type(listed: Any) -> dict[str, Mapping[str, Any]]:
    if not isinstance(listed, list):
        return {}
    return {each["type"]: each for each in listed if isinstance(each, Mapping) and isinstance(each.get("type"), str)}
