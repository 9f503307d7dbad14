"""The number of pods: `replicas` is Moorage's, `replicaCount` the closed chart's, and 0 means 0."""

from __future__ import annotations

import pytest

from tests.charts.rendering import PINNER, PLANNER, Values, refusal, render


def replicas(chart: str, values: Values) -> int:
    found: int = render(chart, values).one("Deployment")["spec"]["replicas"]
    return found


@pytest.mark.parametrize("count", [0, 1, 3])
@pytest.mark.parametrize("key", ["replicas", "replicaCount"])
def test_each_alone(key: str, count: int) -> None:
    assert replicas(PINNER, {key: count}) == count


@pytest.mark.parametrize("count", [0, 1, 3])
def test_both_equal(count: int) -> None:
    assert replicas(PINNER, {"replicas": count, "replicaCount": count}) == count


@pytest.mark.parametrize(("ours", "theirs"), [(0, 1), (1, 0), (3, 2), (2, 0)])
def test_both_different_is_an_error_that_says_what_to_do(ours: int, theirs: int) -> None:
    said = refusal(PINNER, {"replicas": ours, "replicaCount": theirs})
    assert f"replicas is {ours} and replicaCount is {theirs}" in said
    assert "--set replicaCount=null" in said


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (("--set", "replicas=0"), 0),
        (("--set", "replicaCount=0"), 0),
        (("--set", "replicas=0,replicaCount=0"), 0),
    ],
)
def test_on_the_command_line(options: tuple[str, ...], wanted: int) -> None:
    assert render(PINNER, options=options).one("Deployment")["spec"]["replicas"] == wanted


def test_defaults() -> None:
    assert replicas(PINNER, {}) == 2
    assert replicas(PLANNER, {}) == 1


@pytest.mark.parametrize("count", [0, 3])
def test_the_planner_knows_only_ours(count: int) -> None:
    assert replicas(PLANNER, {"replicas": count}) == count
    assert "replicaCount" in refusal(PLANNER, {"replicaCount": count})


def test_the_old_switch_deploy() -> None:
    assert replicas(PINNER, {"deploy": False}) == 0
    assert replicas(PINNER, {"deploy": False, "replicaCount": 2}) == 0
    assert replicas(PINNER, {"deploy": True}) == 2
