"""Intents merge in any order and any number of times, and a merge patch has exactly the differences."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.reservations import Owner, Pin, Promise, Record, Slot, Spec, merging


def pin(number: int, instruction: str = "i") -> Pin:
    return Pin("ns", f"pod-{number}", f"uid-{number}", instruction=instruction)


_pins = st.lists(st.integers(0, 6).map(pin), max_size=5)


@given(st.lists(_pins, max_size=4))
def test_pins_add_up_without_repetition(several: list[list[Pin]]) -> None:
    spec = Spec()
    for pins in several:
        spec = merging.with_pins(spec, pins)
        assert merging.with_pins(spec, pins) == spec
    assert {p.uid for p in spec.pins} == {p.uid for pins in several for p in pins}
    assert len({p.uid for p in spec.pins}) == len(spec.pins)


_promises = st.builds(
    Promise,
    allocatable=st.dictionaries(st.sampled_from("abc"), st.sampled_from(["1", "2"]), max_size=3),
    labels=st.dictionaries(st.sampled_from("abc"), st.sampled_from("xy"), max_size=3),
)
_specs = st.builds(
    Spec,
    intent=st.sampled_from(["Hold", "Delete"]),
    node_uid=st.sampled_from(["", "u"]),
    promise=st.none() | _promises,
    pins=_pins.map(tuple),
    released=st.booleans(),
    deadline=st.sampled_from(["", "2026-01-31T12:00:00Z"]),
)


@given(_specs, _specs)
def test_a_patch_turns_one_spec_into_the_other(old: Spec, new: Spec) -> None:
    stored = msgspec.to_builtins(old)
    assert msgspec.convert(merging.merge_patch(stored, merging.changes(old, new)), Spec) == new
    assert merging.changes(new, new) == {}


def test_a_patch_leaves_what_it_does_not_name() -> None:
    stored = {"a": {"b": 1, "c": 2}, "d": [1, 2], "ours": 0}
    assert merging.merge_patch(stored, {"a": {"c": None, "e": {"f": None, "g": 3}}, "d": [3], "ours": None}) == {
        "a": {"b": 1, "e": {"g": 3}},
        "d": [3],
    }
    assert merging.merge_patch("nonsense", {"a": 1}) == {"a": 1}


def test_a_promise_ends_earlier_ends() -> None:
    spec = merging.with_deletion(merging.with_release(Spec(pins=(pin(1),))))
    again = merging.with_promise(spec, Promise(allocatable={}), deadline="d", plan="p")
    assert (again.intent, again.released, again.deadline, again.pins) == ("Hold", False, "d", (pin(1),))


def test_slots_replace_each_other_and_a_release_ends_them() -> None:
    slot = Slot(Owner("Deployment", "web", "ns"))
    spec = merging.with_slots(Spec(), [slot], until="u")
    assert merging.with_slots(spec, [slot], until="u") == spec
    assert merging.with_release(spec) == Spec(released=True)


def test_records_are_forgotten_from_the_oldest_but_never_while_a_pin_came_with_them() -> None:
    spec = merging.with_pins(Spec(), [pin(1, "needed")])
    spec = merging.with_record(spec, Record("needed", "PinPods", 1, 1))
    for number in range(100):
        spec = merging.with_record(spec, Record(f"r-{number}", "Release", 1, number + 2))
    ids = [record.id for record in spec.instructions]
    assert len(ids) == 32
    assert ids[0] == "needed"
    assert ids[-1] == "r-99"
    assert merging.latest_position(spec) == (1, 101)
    again = merging.with_record(spec, Record("r-99", "Release", 2, 1))
    assert len(again.instructions) == 32
    assert merging.record_of(again, "r-99") == Record("r-99", "Release", 2, 1)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [({"cpu": "4"}, {"cpu": "4000m"}, True), ({"cpu": "4"}, {"cpu": "5"}, False), ({"memory": "1Gi"}, {}, False)],
)
def test_promises_are_compared_by_what_they_mean(one: Any, other: Any, same: bool) -> None:
    assert merging.same_promise(Promise(allocatable=one), Promise(allocatable=other)) is same


def test_room_for_static_pods_is_a_part_of_a_promise_and_that_its_zone_may_be_new_is_not() -> None:
    plain = Promise(allocatable={"cpu": "4"})
    static = Promise(allocatable={"cpu": "4"}, static_pods={"cpu": "1"})
    assert not merging.same_promise(plain, static)
    assert merging.same_promise(static, Promise(allocatable={"cpu": "4"}, static_pods={"cpu": "1000m"}))
    assert merging.same_promise(plain, Promise(allocatable={"cpu": "4"}, allow_new_zone=True))


def test_what_is_too_large_is_said() -> None:
    assert merging.size_problem(Spec(pins=tuple(pin(n) for n in range(1000)))) is None
    found = merging.size_problem(Spec(pins=tuple(pin(n) for n in range(1001))))
    assert found is not None
    assert found.field == "spec.pins"
    long = tuple(Pin("n" * 63, "p" * 253, f"{n:036}", Owner("ReplicaSet", "o" * 253), "i" * 128) for n in range(1000))
    assert merging.size_problem(Spec(pins=long)) is None or "bytes" in str(merging.size_problem(Spec(pins=long)))
    huge = tuple(Slot(Owner("k" * 63, "n" * 253), {f"{r:060}/x": "1" * 60 for r in range(20)}) for _ in range(900))
    assert "bytes" in str(merging.size_problem(Spec(slots=huge)))
