"""The way of one PinPods through the pinner stays within its limits."""

from __future__ import annotations

import json

import pytest

from tools import way


def test_one_instruction_passes_no_more_of_the_pinner_than_is_agreed(capsys: pytest.CaptureFixture[str]) -> None:
    assert way.main(["--check", "-o", "json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["modules"] == len(figures["entered"]) <= way.MOST_MODULES
    assert figures["changes"] == sum(figures["entered"].values()) - 1


def test_the_way_is_the_same_each_time_and_ends_with_the_request() -> None:
    one, other = way.measure(), way.measure()
    assert one == other
    assert one.calls[0].partition(":")[0] == "term"
    assert not any("landed" in call or "pinned" in call for call in one.calls), "what follows the binding is not on it"
