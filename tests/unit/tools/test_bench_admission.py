"""From the measurements to the verdict of `bench:admission`."""

from __future__ import annotations

import pytest

from tools.bench.admission import figures, load
from tools.bench.admission.load import Steady
from tools.bench.common.figures import Figures, medians

RATES = {"none": [1000.0, 1200.0], "idle": [1100.0], "pinning": [880.0], "trivial": [900.0]}


def measured(asked: float, without: float, *, not_pinned: float = 0, rates: dict[str, list[float]] = RATES) -> Figures:
    """The figures of one round in which all pods took as long as this, in seconds."""
    of_round = figures.of_round(rates, Steady([asked] * 100, [without] * 100))
    return medians([of_round]) | {"failed_calls": 0, "not_pinned": not_pinned, "lag_ms": 20}


def test_a_round_is_compared_with_what_was_measured_before_and_after_it() -> None:
    found = measured(0.012, 0.004)
    assert (found["none_per_s"], found["ratio_idle"], found["ratio_pinning"]) == (1100, 1, 0.8)
    assert (found["p50_ms"], found["p99_ms"], found["p99_without_ms"]) == (8, 8, 4)
    assert figures.missed(found) == []


@pytest.mark.parametrize(
    ("found", "missed"),
    [
        (measured(0.015, 0.004), ["p99 above pods without the webhook, ms: 11 instead of ≤ 10"]),
        (measured(0.01, 0.004, not_pinned=1), ["expected pods that were not pinned: 1 instead of ≤ 0"]),
        (measured(0.01, 0.004, rates={**RATES, "pinning": [800.0]}), ["pinning / trivial: 0.889 instead of ≥ 0.95"]),
    ],
)
def test_what_is_missed_is_named_and_marked(found: Figures, missed: list[str]) -> None:
    assert figures.missed(found) == missed
    assert [line[-1] for line in figures.table(found)].count("MISSED") == 1


def test_pods_are_such_as_controllers_create() -> None:
    names = {load.deployment(index) for index in range(load.APPS)}
    assert len(names) == load.APPS
    assert not any(name.endswith("-") or "7d9c5b8f6d" in name for name in names)
