"""Conditions: unchanged ones, changed ones, and unexpected content in a list."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from moorage.objects.conditions import Condition, holds, merged, timeless, turned

THEN = datetime(2026, 1, 31, 12, tzinfo=UTC)
NOW = THEN + timedelta(hours=1)
READY, WAITING = Condition("Ready", True, "NodeReady", "fine"), Condition("Ready", False, "MachineAwaited", "not yet")
NOT_YET = merged(None, [WAITING], THEN)


def test_a_condition_is_as_the_api_has_it() -> None:
    assert NOT_YET == [
        {
            "type": "Ready",
            "status": "False",
            "reason": "MachineAwaited",
            "message": "not yet",
            "lastTransitionTime": "2026-01-31T12:00:00Z",
        }
    ]
    (found,) = merged([], [Condition("Ready", None, "Unknown")], THEN, generation=3)
    assert (found["status"], found["message"], found["observedGeneration"]) == ("Unknown", "", 3)


def test_the_time_moves_with_the_status_alone() -> None:
    (same,) = merged(NOT_YET, [WAITING._replace(reason="MachineStarting", message="soon")], NOW)
    assert (same["reason"], same["message"]) == ("MachineStarting", "soon")
    assert same["lastTransitionTime"] == NOT_YET[0]["lastTransitionTime"]
    (other,) = merged(NOT_YET, [READY], NOW)
    assert (other["status"], other["lastTransitionTime"]) == ("True", "2026-01-31T13:00:00Z")


def test_what_turns_is_what_is_there_and_has_another_status() -> None:
    assert turned(NOT_YET, [READY])
    assert not turned(NOT_YET, [WAITING._replace(message="else")])
    assert not turned([], [READY]), "one that is not there has not turned"
    assert holds(merged(NOT_YET, [READY], NOW), "Ready")
    assert not holds(NOT_YET, "Ready")


def test_two_lists_that_differ_in_times_and_words_say_the_same() -> None:
    assert timeless(NOT_YET) == timeless(merged(None, [WAITING._replace(message="else")], NOW)) == [("Ready", "False")]


def test_conditions_of_others_stay_as_they_are() -> None:
    others = {"type": "Seen", "status": "True", "more": 1}
    assert merged([others, *NOT_YET], [READY], NOW)[0] == others


@pytest.mark.parametrize(
    "listed", [None, 1, "x", {}, [None, 1, {}, {"type": 1}, {"type": "Ready", "lastTransitionTime": 1}]]
)
def test_whatever_somebody_has_written_there_is_no_error(listed: Any) -> None:
    found = {each["type"]: each for each in merged(listed, [READY], NOW)}
    assert found["Ready"]["lastTransitionTime"] == "2026-01-31T13:00:00Z"
    assert not holds(listed, "Ready")
