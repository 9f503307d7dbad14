"""The floor of a workload, and the pods that count."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.drain import floor

from .build import NOW, pod, rolling, workload

CASES = [
    # kind, replicas, what its strategy says, how many it keeps
    ("Deployment", 1, {"strategy": rolling("25%")}, 1),
    ("Deployment", 2, {"strategy": rolling("25%")}, 1),
    ("Deployment", 3, {"strategy": rolling("25%")}, 2),  # 25 % of 3 rounds down to none: one may go all the same
    ("Deployment", 4, {"strategy": rolling("25%")}, 3),
    ("Deployment", 10, {"strategy": rolling("25%")}, 8),
    ("Deployment", 10, {"strategy": rolling("29%")}, 8),
    ("Deployment", 10, {"strategy": rolling("100%")}, 1),
    ("Deployment", 10, {"strategy": rolling("250%")}, 1),
    ("Deployment", 10, {"strategy": rolling(3)}, 7),
    ("Deployment", 10, {"strategy": rolling(0)}, 9),
    ("Deployment", 10, {"strategy": rolling(30)}, 1),
    ("Deployment", 10, {"strategy": rolling(-3)}, 9),
    ("Deployment", 10, {"strategy": rolling("many")}, 9),
    ("Deployment", 10, {"strategy": rolling(None)}, 9),
    ("Deployment", 10, {"strategy": rolling(5, "Recreate")}, 9),
    ("Deployment", 10, {"strategy": {"type": "Recreate"}}, 9),
    ("Deployment", None, {"strategy": rolling("25%")}, 1),
    ("Deployment", 0, {"strategy": rolling("25%")}, 1),
    ("StatefulSet", 5, {"updateStrategy": rolling(None)}, 4),
    ("StatefulSet", 5, {"updateStrategy": rolling("40%")}, 3),
    ("StatefulSet", 5, {"updateStrategy": {"type": "OnDelete"}}, 4),
    ("StatefulSet", 5, {"strategy": rolling(3)}, 4),  # that is not where a StatefulSet says it
    ("ReplicaSet", 5, {"strategy": rolling(3)}, 4),
    ("ReplicationController", 2, {}, 1),
]


@pytest.mark.parametrize(("kind", "replicas", "spec", "keeps"), CASES)
def test_what_a_workload_keeps(kind: str, replicas: int | None, spec: dict[str, Any], keeps: int) -> None:
    assert floor.least(kind, workload("web", replicas, **spec)) == keeps


@given(
    st.integers(0, 500), st.one_of(st.integers(-5, 600), st.integers(0, 200).map(lambda part: f"{part}%"), st.text())
)
def test_it_keeps_one_at_least_and_all_but_one_at_most(replicas: int, unavailable: int | str) -> None:
    keeps = floor.least("Deployment", workload("web", replicas, strategy=rolling(unavailable)))
    assert 1 <= keeps <= max(1, replicas - 1)


@pytest.mark.parametrize(
    ("ready", "min_ready", "counts"),
    [(-60.0, 0, True), (-60.0, 60, True), (-59.0, 60, False), (0.0, 0, True), (None, 0, False)],
)
def test_a_pod_counts_once_it_has_been_ready_for_long_enough(
    ready: float | None, min_ready: int, *, counts: bool
) -> None:
    assert floor.available(pod("a", ready=ready), min_ready, NOW) is counts


def test_a_pod_that_ends_does_not_count_whatever_it_says() -> None:
    assert not floor.available(pod("a", going=True), 0, NOW)
    assert not floor.available(pod("a", phase="Failed"), 0, NOW)
