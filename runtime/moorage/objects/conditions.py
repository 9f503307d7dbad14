"""Conditions of a status as the API conventions have them, put together without I/O.

Source: ``metav1.Condition`` (meta/v1/types.go) and ``SetStatusCondition`` (api/meta/conditions.go) of apimachinery: the
time of the last transition moves when the status does, and not when reason or message do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple


class Condition(NamedTuple):
    """What one condition is to say; ``holds`` is None for Unknown."""

    type: str
    holds: bool | None
    reason: str
    message: str = ""

    @property
    def status(self) -> str:
        """True, False or Unknown, as the API has it."""
        return "Unknown" if self.holds is None else str(self.holds)


def merged(
    listed: Any, wanted: Iterable[Condition], now: datetime, *, generation: int | None = None
) -> list[dict[str, Any]]:
    """The list that says all that is wanted; conditions of other types stay.

    Args:
        listed: the list as it is, whatever has become of it.
        wanted: what is to be said.
        now: the API server's time, UTC.
        generation: the ``metadata.generation`` that this is about; None where it says nothing.
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
    """Whether a condition that is in the list has another status than it is to have; one that is not there has none.

    Args:
        listed: the list as it is, whatever has become of it.
        wanted: what is to be said.
    """
    known = _by_type(listed)
    return any(each.type in known and known[each.type].get("status") != each.status for each in wanted)


def holds(listed: Any, condition: str) -> bool:
    """Whether a condition of a type is in the list and True.

    Args:
        listed: the list as it is, whatever has become of it.
        condition: the type.
    """
    return _by_type(listed).get(condition, {}).get("status") == "True"


def timeless(listed: Any) -> list[tuple[Any, Any]]:
    """Type and status of each condition in a list: what two lists that say the same have in common.

    Args:
        listed: the list as it is, whatever has become of it.
    """
    return [(name, each.get("status")) for name, each in _by_type(listed).items()]


def _by_type(listed: Any) -> dict[str, Mapping[str, Any]]:
    if not isinstance(listed, list):
        return {}
    return {each["type"]: each for each in listed if isinstance(each, Mapping) and isinstance(each.get("type"), str)}
