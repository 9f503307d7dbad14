"""A newer version's fields in a reservation survive an older version's writes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from moorage.objects import ObjectMeta
from moorage.reservations import (
    NodeReservation,
    Owner,
    Pin,
    Promise,
    Record,
    Slot,
    Spec,
    merging,
    read,
    unknown_fields,
)

POD = {"namespace": "ns", "name": "pod-1", "uid": "u-1", "owner": {"kind": "ReplicaSet", "name": "web"}}
SLOT = {"owner": {"kind": "Deployment", "namespace": "ns", "name": "web"}, "requests": {"cpu": "1"}, "count": 3}
RECORD = {"id": "i", "action": "PinPods", "epoch": 1, "sequence": 2}
STORED: dict[str, Any] = {
    "intent": "Hold",
    "zone": {"spare": True},
    "promise": {"allocatable": {"cpu": "4"}, "image": "blue"},
    "pins": [{**POD, "rank": 1}, {**POD, "name": "pod-2", "uid": "u-2"}],
    "nominations": [{"uid": "u-1", "tries": 1, "at": "2026-01-31T12:00:00Z", "score": 7}],
    "slots": [{**SLOT, "shape": ["a", "b"]}],
    "instructions": [{**RECORD, "from": "east"}],
}
"""As a newer version writes it: each level has an unknown field."""


def after(new: Spec, stored: Any = STORED) -> Any:
    """What is stored once our version has changed it."""
    old = read(NodeReservation(metadata=ObjectMeta(name="n"), spec=stored)).spec
    patch = unknown_fields.keeping(stored, merging.changes(old, new))
    return msgspec.json.decode(msgspec.json.encode(merging.merge_patch(stored, patch)))


def known() -> Spec:
    found = read(NodeReservation(metadata=ObjectMeta(name="n"), spec=STORED))
    assert found.usable
    return found.spec


def test_what_is_not_touched_stays_as_it_is() -> None:
    assert after(known()) == STORED
    assert merging.changes(known(), known()) == {}


def test_entries_that_stay_keep_what_is_not_known_of_them_and_new_ones_have_nothing_more() -> None:
    third = Pin("ns", "pod-3", "u-3")
    spec = merging.with_pins(known(), [third])
    spec = merging.with_nominations(spec, ["u-1", "u-3"], at="2026-01-31T12:01:00Z")
    spec = merging.with_slots(spec, [Slot(Owner("Deployment", "web", "ns"), {"cpu": "1"}, 2)], until="")
    spec = merging.with_record(spec, Record("j", "PinPods", 1, 3))
    found = after(spec)
    assert found["zone"] == {"spare": True}
    assert found["promise"] == STORED["promise"]
    assert [pin.get("rank") for pin in found["pins"]] == [1, None, None]
    assert found["nominations"][0] == {"uid": "u-1", "tries": 2, "at": "2026-01-31T12:01:00Z", "score": 7}
    assert found["nominations"][1].get("score") is None
    assert found["slots"] == [{**SLOT, "count": 2, "shape": ["a", "b"]}]
    assert [record.get("from") for record in found["instructions"]] == ["east", None]
    assert read(NodeReservation(metadata=ObjectMeta(name="n"), spec=found)).spec == spec


def test_what_goes_goes_with_what_is_not_known_of_it() -> None:
    found = after(merging.without_pins(merging.with_release(known()), {"u-1"}))
    assert [pin["uid"] for pin in found["pins"]] == ["u-2"]
    assert "rank" not in str(found)
    assert not found.get("nominations")
    assert not found.get("slots")
    assert found["zone"] == {"spare": True}


def test_a_newer_promise_of_the_same_node_keeps_what_is_not_known_of_it() -> None:
    promise = Promise(allocatable={"cpu": "8"})
    found = after(merging.with_promise(known(), promise, deadline="2026-01-31T13:00:00Z", plan="p"))
    assert found["promise"] == {"allocatable": {"cpu": "8"}, "image": "blue"}


@pytest.mark.parametrize("pins", ["nonsense", [3, None, {"uid": 3, "rank": 1}], {"a": 1}])
def test_nonsense_is_no_newer_version(pins: Any) -> None:
    stored = {"intent": "Hold", "pins": pins}
    found = after(merging.with_pins(Spec(), [Pin("ns", "pod-3", "u-3")]), stored)
    assert found["pins"] == [{"namespace": "ns", "name": "pod-3", "uid": "u-3"}]


def test_one_of_an_earlier_version_has_neither_slots_nor_nominations_and_is_whole() -> None:
    earlier = {"promise": {"allocatable": {"cpu": "4"}}, "pins": [{"namespace": "ns", "name": "p", "uid": "u"}]}
    found = read(NodeReservation(metadata=ObjectMeta(name="n"), spec=earlier))
    assert found.usable
    assert (found.spec.slots, found.spec.nominations, found.spec.instructions) == ((), (), ())
    assert after(found.spec, earlier) == earlier
