"""The cost of nodes, and the number of recent evictions of an owner."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from moorage.evictor.compaction import History, Prices, Unit
from moorage.evictor.compaction.prices import Priced
from tests.unit.evictor.build import NOW, Json, view

from .build import room

TYPE, SPOT = "node.kubernetes.io/instance-type", "karpenter.sh/capacity-type"
LIST = {("m6i", False): 0.4, ("m6i", True): 0.1}


def priced(*nodes: Json, **prices: Any) -> Priced:
    return Prices(**prices).of(view(*nodes).nodes.values())


def typed(name: str, kind: str = "m6i") -> Json:
    return room(name, metadata={"labels": {TYPE: kind}})


def annotated(name: str, price: str) -> Json:
    return room(name, metadata={"annotations": {"moorage.dev/price-per-hour": price}, "labels": {TYPE: "m6i"}})


def test_money_is_what_somebody_has_stated_for_every_node() -> None:
    spot = room("n2", metadata={"labels": {TYPE: "m6i", SPOT: "spot"}})
    found = priced(typed("n1"), spot, annotated("n3", "0.25"), per_hour=LIST)
    assert found == Priced(Unit.MONEY, {"n1": 0.4, "n2": 0.1, "n3": 0.25}, (), 0.75)


def test_one_node_without_a_price_makes_all_of_them_units() -> None:
    found = priced(annotated("n1", "0.25"), typed("n2", "c7g"), per_hour=LIST)
    assert found == Priced(Unit.MODEL, {"n1": 4 * 7 + 8, "n2": 4 * 7 + 8}, ("n2",), 72)
    assert found.average == 36


@pytest.mark.parametrize("text", ["", "free", "-1", "nan", "inf", "0,25"])
def test_what_is_no_price_is_none(text: str) -> None:
    assert priced(annotated("n1", text)).unknown == ("n1",)
    assert priced(annotated("n1", text), per_hour=LIST).of == {"n1": 0.4}, "the list knows it"


@pytest.mark.parametrize(
    ("key", "value", "cheaper"),
    [
        (SPOT, "spot", True),
        (SPOT, "on-demand", False),
        ("eks.amazonaws.com/capacityType", "SPOT", True),
        ("cloud.google.com/gke-spot", "true", True),
        ("kubernetes.azure.com/scalesetpriority", "spot", True),
        ("scheduling.cast.ai/spot", "true", True),
    ],
)
def test_units_follow_the_published_model(key: str, value: str, cheaper: bool) -> None:
    node = room("n1", metadata={"labels": {key: value}})
    assert priced(node).of == {"n1": 18.0 if cheaper else 36.0}
    assert priced(node, cpu=1.0, memory=0.0, spot_discount=0.25).of == {"n1": 3.0 if cheaper else 4.0}


def test_units_are_of_what_can_be_read() -> None:
    assert priced(room("n1", status={"capacity": {"cpu": "x"}})).of == {"n1": 8.0}
    assert priced(room("n1", status={"capacity": None})).of == {"n1": 36.0}, "allocatable stands in for it"
    assert priced(room("n1", status={"capacity": {"cpu": "2"}})).of == {"n1": 14.0 + 8.0}


# --- history ---


def test_evictions_are_forgotten_in_time() -> None:
    early, late = NOW - timedelta(minutes=50), NOW - timedelta(minutes=10)
    history = History().with_evictions(["a", "a", "b"], early).with_evictions(["a"], late)
    assert [history.count(owner) for owner in "abc"] == [3, 1, 0]
    assert [history.left("a", replicas) for replicas in (0, 1, 3, 5)] == [0, 0, 0, 2]
    assert history.left("c", 0) == 1, "a single replica, too, may be moved once"
    rest = history.since(NOW - timedelta(minutes=30))
    assert rest == History({"a": (late,)})


def test_history_is_written_down_and_read_again() -> None:
    history = History().with_evictions(["b", "a"], NOW).with_evictions(["a"], NOW - timedelta(minutes=1))
    written = history.as_status()
    assert list(written) == ["a", "b"]
    assert History.from_status(written, NOW, timedelta(hours=1)) == history
    later = NOW + timedelta(hours=1)
    assert History.from_status(written, later, timedelta(hours=1)) == History()


@pytest.mark.parametrize(
    ("written", "count"),
    [
        (None, 0),
        ([], 0),
        ({"a": None}, 0),
        ({"a": ["yesterday"]}, 1),
        ({"a": [7, None]}, 2),
        ({"a": ["2030-01-01T00:00:00Z"]}, 1),
        ({"a": ["2026-01-01T11:30:00"]}, 1),
    ],
)
def test_what_cannot_be_read_of_it_makes_nobody_evictable(written: Any, count: int) -> None:
    history = History.from_status(written, NOW, timedelta(hours=1))
    assert history.count("a") == count
    assert history.since(NOW + timedelta(hours=1)).count("a") == 0, "but not for ever"
