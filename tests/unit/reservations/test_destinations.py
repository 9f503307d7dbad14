"""Slots on running nodes: which count, for how long, and invalid ones from users."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from moorage.objects import ObjectMeta, OwnerReference, Pod
from moorage.reservations import Owner, Slot, SlotReservation, destinations
from moorage.reservations.destinations import Served, SlotsSpec, SlotsStatus

CRD = Path(__file__).parents[3] / "schemas" / "crds" / "slotreservations.moorage.dev.yaml"
WEB = {"kind": "ReplicaSet", "namespace": "ns", "name": "web"}
GOOD: dict[str, Any] = {
    "nodeUID": "u-1",
    "by": "castai-agent/castai-evictor",
    "since": "2026-01-31T12:00:00Z",
    "until": "2026-01-31T12:30:00Z",
    "slots": [{"owner": WEB, "requests": {"cpu": "1"}, "count": 2}],
}
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def reading(spec: Any) -> destinations.Reading:
    return destinations.read(SlotReservation(metadata=ObjectMeta(name="n"), spec=spec))


def test_a_good_one_has_no_problems_and_survives_being_written() -> None:
    found = reading(GOOD)
    assert not found.problems
    assert found.spec.node_uid == "u-1"
    assert found.spec.slots == (Slot(Owner(**WEB), {"cpu": "1"}, 2),)
    assert reading(msgspec.json.decode(msgspec.json.encode(found.spec))) == found


def test_fields_of_a_newer_version_are_no_problem() -> None:
    assert not reading({**GOOD, "later": {"x": 1}, "slots": [{**GOOD["slots"][0], "more": True}]}).problems


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"nodeUID": ""}, "spec.nodeUID", "which Node"),
        ({"nodeUID": 7}, "spec.nodeUID", "not a text"),
        ({"since": None}, "spec.since", "none"),
        ({"until": "soon"}, "spec.until", "not a time"),
        ({"until": "2026-01-31T13:00:01Z"}, "spec.until", "within an hour"),
        ({"until": "9999-12-31T23:59:59Z"}, "spec.until", "within an hour"),
        ({"until": GOOD["since"]}, "spec.until", "within an hour"),
        ({"slots": 3}, "spec.slots", "not a list"),
        ({"slots": [{"owner": WEB, "count": -1}]}, "spec.slots.count", "negative"),
        ({"slots": [{"owner": WEB, "count": 1001}]}, "spec.slots", "1001 pods"),
        ({"slots": [{"owner": WEB}] * 257}, "spec.slots", "257 entries"),
        ({"slots": [{"owner": WEB, "requests": {"cpu": "much"}}]}, "spec.slots.requests[cpu]", "not a quantity"),
        ({"slots": [{"owner": {"kind": "ReplicaSet", "name": "web"}}]}, "spec.slots[0].owner", "namespace"),
        ({"slots": [{"count": 1}]}, "spec.slots[0]", "owner"),
    ],
)
def test_with_any_nonsense_nothing_counts(change: dict[str, Any], field: str, words: str) -> None:
    found = reading({**GOOD, **change})
    assert found.problems
    (problem, *_) = found.problems
    assert problem.field == field
    assert words in problem.sentence


@pytest.mark.parametrize("spec", [None, "x", [], 1])
def test_what_is_no_spec_is_said_to_be_none(spec: Any) -> None:
    (problem,) = reading(spec).problems
    assert problem.field == "spec"


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from([GOOD["since"], GOOD["until"]]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*GOOD, "owner", "count"]), inner),
    max_leaves=12,
)


@given(anything, anything)
def test_reading_never_fails(spec: Any, status: Any) -> None:
    found = reading(spec)
    assert destinations.in_force(found.spec, NOON) or found.spec.until != GOOD["until"] or found.problems
    destinations.is_served(SlotReservation(spec=spec, status=status))


def test_it_begins_and_ends_by_itself() -> None:
    spec = reading(GOOD).spec
    times = {-3600: False, -2: True, 0: True, 1799: True, 1800: False}  # the server's time is learnt, not known
    assert {at: destinations.in_force(spec, NOON + timedelta(seconds=at)) for at in times} == times
    assert not destinations.in_force(SlotsSpec(), NOON)


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
def test_the_ends_of_time_are_no_trouble(day: str) -> None:
    found = reading({**GOOD, "since": f"{day}T23:59:58Z", "until": f"{day}T23:59:59Z"})
    assert not found.problems
    assert not destinations.in_force(found.spec, NOON)


def pod(name: str, created: str | None) -> Pod:
    owner = OwnerReference("apps/v1", "ReplicaSet", "web", "rs", controller=True)
    return Pod(metadata=ObjectMeta(name, "ns", f"u-{name}", creation_timestamp=created, owner_references=(owner,)))


def test_pods_that_were_there_before_fill_nothing() -> None:
    spec = msgspec.structs.replace(reading(GOOD).spec, since="2026-01-31T12:00:00.7Z")
    pods = [pod("old", "2026-01-31T11:59:59Z"), pod("same-second", "2026-01-31T12:00:00Z"), pod("coming", None)]
    ((slot, there),) = destinations.slots_filled(spec, pods)
    assert [each.metadata.name for each in there] == ["same-second", "coming"]
    assert slot.count == 2


@pytest.mark.parametrize(
    ("status", "served"),
    [
        ({"served": {"generation": 3}}, True),
        ({"served": {"generation": 2}}, False),
        ({"served": {"generation": "3"}}, False),
        ({"served": {"generation": True}}, False),
        ({"served": 3}, False),
        ({}, False),
        (None, False),
        ("served", False),
    ],
)
def test_it_is_served_only_as_it_is_now(status: Any, served: bool) -> None:
    found = SlotReservation(metadata=ObjectMeta(name="n", generation=3), spec=GOOD, status=status)
    assert destinations.is_served(found) is served


def test_the_definition_knows_every_field_and_the_same_limits() -> None:
    version = yaml.safe_load(CRD.read_text("utf-8"))["spec"]["versions"][0]
    parts = version["schema"]["openAPIV3Schema"]["properties"]
    spec, status = parts["spec"]["properties"], parts["status"]["properties"]
    assert list(spec) == [each.encode_name for each in msgspec.structs.fields(SlotsSpec)]
    assert list(status) == [each.encode_name for each in msgspec.structs.fields(SlotsStatus)]
    assert list(status["served"]["properties"]) == [each.encode_name for each in msgspec.structs.fields(Served)]
    slot = spec["slots"]["items"]["properties"]
    assert list(slot) == [each.encode_name for each in msgspec.structs.fields(Slot)]
    assert spec["slots"]["maxItems"] == destinations.MAX_SLOTS
    assert slot["count"]["maximum"] == destinations.MAX_PODS
