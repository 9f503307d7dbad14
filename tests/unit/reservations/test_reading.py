"""Users' changes of a reservation: invalid fields are named, and valid ones are kept."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.objects import ObjectMeta, Taint
from moorage.reservations import NodeReservation, Pin, Promise, Spec, merging, moment, read

GOOD: dict[str, Any] = {
    "intent": "Hold",
    "nodeUID": "u-1",
    "promise": {
        "allocatable": {"cpu": "4", "memory": "8Gi", "pods": 110},
        "labels": {"a": "b"},
        "taints": [{"key": "k", "effect": "NoSchedule"}],
        "providerID": "aws:///a/i-1",
        "profile": "aws",
        "bindWhen": "StartupTaintsGone",
    },
    "pins": [{"namespace": "n", "name": "p", "uid": "1", "instruction": "i"}],
    "slots": [{"owner": {"kind": "Deployment", "namespace": "n", "name": "web"}, "requests": {"cpu": "1"}, "count": 2}],
    "expectedUntil": "2026-01-31T12:00:00Z",
    "deadline": "2026-01-31T12:00:00+01:00",
    "instructions": [{"id": "i", "action": "PinPods", "epoch": 1, "sequence": 2}],
}


def reading(spec: Any) -> Any:
    return read(NodeReservation(metadata=ObjectMeta(name="n"), spec=spec))


def test_a_good_one_has_no_problems_and_survives_being_written() -> None:
    found = reading(GOOD)
    assert found.usable
    assert found.spec.promise.taints == (Taint(key="k", effect="NoSchedule"),)
    assert found.spec.slots[0].count == 2
    assert reading(as_json(merging.changes(None, found.spec))) == found


def as_json(spec: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(spec))


def test_fields_of_a_newer_version_are_no_problem() -> None:
    assert reading({**GOOD, "later": {"x": 1}, "pins": [{**GOOD["pins"][0], "more": True}]}).usable


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"intent": "Destroy"}, "spec.intent", "none of Hold, Delete"),
        ({"deadline": "soon"}, "spec.deadline", "not a time"),
        ({"deadline": "2026-01-31T12:00:00"}, "spec.deadline", "not a time"),
        ({"deadline": 7}, "spec.deadline", "not a text"),
        ({"released": "yes"}, "spec.released", "not true or false"),
        ({"pins": {"a": 1}}, "spec.pins", "not a list"),
        ({"pins": [{"namespace": "n", "name": "p"}]}, "spec.pins[0]", "uid"),
        ({"pins": [{"namespace": "n", "name": "p", "uid": ""}]}, "spec.pins", "a uid"),
        ({"pins": [GOOD["pins"][0]] * 1001}, "spec.pins", "1001 entries"),
        ({"slots": [{"owner": {}, "count": -1}]}, "spec.slots.count", "negative"),
        ({"slots": [{"owner": {}, "requests": {"cpu": "much"}}]}, "spec.slots.requests[cpu]", "not a quantity"),
        ({"promise": {"labels": {}}}, "spec.promise", "allocatable"),
        ({"promise": {"allocatable": {}, "bindWhen": "Later"}}, "spec.promise.bindWhen", "none of Immediately"),
        ({"promise": {"allocatable": {"cpu": "-4"}}}, "spec.promise.allocatable[cpu]", "negative"),
        (
            {"promise": {"allocatable": {}, "taints": [{"key": "k", "effect": "Never"}]}},
            "spec.promise.taints[0]",
            "effect",
        ),
        ({"promise": {"allocatable": {}, "labels": {"a": 1}}}, "spec.promise.labels", "str"),
        ({"instructions": [{}]}, "spec.instructions[0]", "id"),
    ],
)
def test_nonsense_is_named_and_the_rest_is_kept(change: dict[str, Any], field: str, words: str) -> None:
    found = reading({**GOOD, **change})
    (problem, *_) = found.problems
    assert problem.field.startswith(field)
    assert words in problem.sentence
    assert not found.usable
    whole = reading(GOOD).spec
    for name in ("node_uid", "slots", "pins", "promise", "deadline"):
        key = {"node_uid": "nodeUID"}.get(name, name)
        if key not in change:
            assert getattr(found.spec, name) == getattr(whole, name)


@pytest.mark.parametrize("spec", [None, "x", 4, []])
def test_no_spec_at_all_is_one_problem(spec: Any) -> None:
    found = reading(spec)
    assert [p.field for p in found.problems] == ["spec"]
    assert found.spec == Spec()


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)


@given(
    st.dictionaries(
        st.sampled_from([*GOOD, "plan", "released"]),
        _json | st.fixed_dictionaries({"allocatable": _json, "labels": _json, "taints": _json}) | st.lists(_json),
    )
)
def test_anything_can_be_read(spec: dict[str, Any]) -> None:
    found = reading(spec)
    if found.usable:
        assert reading(as_json(merging.changes(None, found.spec))) == found


@given(st.text(max_size=40))
def test_any_text_is_a_deadline_or_a_problem(text: str) -> None:
    found = reading({"deadline": text})
    assert found.spec.deadline in (text, "")
    assert found.usable == (found.spec.deadline == text)


def test_defaults_are_those_of_an_empty_spec() -> None:
    assert reading({}).spec == Spec()
    promise = Promise(allocatable={"cpu": "1"})
    assert reading({"promise": {"allocatable": {"cpu": "1"}}}).spec.promise == promise
    assert Pin("a", "b", "c").key == "a/b"


@pytest.mark.parametrize("text", ["", "soon", "2026-01-31T12:00:00", "9999-12-31T23:59:59-12:00"])
def test_what_means_no_time(text: str) -> None:
    assert moment(text) is None
