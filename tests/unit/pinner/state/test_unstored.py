"""Pins that are accepted first and stored later: none is lost, and none stays unstored for long."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.pinner.names import PIN_ANNOTATION
from moorage.pinner.state.unstored import Intents, between, done
from moorage.reservations import Record, Spec, merging
from tests.unit.pinner.model import DEADLINE, NAME, marked, pin, pod, spec_of


def uids(spec: Spec) -> set[str]:
    return {each.uid for each in spec.pins}


def test_what_is_taken_on_counts_at_once_and_is_all_there_is_to_write() -> None:
    intents = Intents()
    intents.stored(NAME, spec_of(1), anew=False)
    intents.take_on(NAME, spec_of(1, 2))
    assert intents.of(NAME) == spec_of(1, 2)
    assert set(intents.nodes_of("u2")) == {NAME}
    intents.stored(NAME, spec_of(1, 2), anew=False)
    assert intents.of(NAME) == spec_of(1, 2)
    intents.stored(NAME, spec_of(1), anew=False)  # a person took it out after it was written
    assert intents.of(NAME) == spec_of(1)
    assert not intents.nodes_of("u2")


def test_what_others_write_meanwhile_takes_nothing_away() -> None:
    intents = Intents()
    intents.stored(NAME, spec_of(), anew=False)
    intents.take_on(NAME, spec_of(3))
    intents.stored(NAME, spec_of(1, plan="edited"), anew=False)
    assert uids(intents.of(NAME)) == {"u1", "u3"}
    assert intents.of(NAME).plan == "edited"


def test_a_reservation_that_is_gone_or_another_object_begins_anew() -> None:
    for spec, anew in ((None, False), (spec_of(1), True)):
        intents = Intents()
        intents.stored(NAME, spec_of(1), anew=False)
        intents.take_on(NAME, spec_of(1, 2))
        intents.stored(NAME, spec, anew=anew)
        assert intents.of(NAME) == (spec or Spec())
        assert not intents.nodes_of("u2")


def test_an_instruction_is_remembered_as_long_as_its_pins_are() -> None:
    late = Record("late", "PinPods", 1, 3, DEADLINE)
    pin_of_it = msgspec.structs.replace(pin(2), instruction="late")
    intents = Intents()
    intents.stored(NAME, spec_of(1), anew=False)
    intents.take_on(NAME, merging.with_record(merging.with_pins(spec_of(1), [pin_of_it]), late))
    assert merging.pin_deadlines(intents.of(NAME))["late"] == DEADLINE
    intents.give_up(NAME, {"u2"})
    assert intents.of(NAME) == spec_of(1)
    assert merging.record_of(intents.of(NAME), "late") is None


def test_giving_up_what_is_written_is_for_whoever_writes() -> None:
    intents = Intents()
    intents.stored(NAME, spec_of(1), anew=False)
    intents.give_up(NAME, {"u1"})
    assert uids(intents.of(NAME)) == {"u1"}


def test_only_a_pod_with_our_mark_tells_of_a_pin() -> None:
    assert done([marked(pod(1, node=NAME)), pod(3, node=NAME)], spec_of()) == (pin(1),)


_numbers = st.sets(st.integers(1, 6))


@given(_numbers, st.lists(st.tuples(st.sampled_from(["store", "take", "give"]), _numbers), max_size=8))
def test_intents_are_what_is_stored_and_what_was_taken_on_since(
    first: set[int], steps: list[tuple[str, set[int]]]
) -> None:
    intents, stored, taken = Intents(), set(first), set[int]()
    intents.stored(NAME, spec_of(*sorted(first)), anew=False)
    for what, numbers in steps:
        match what:
            case "store":
                stored, taken = set(numbers), taken - numbers
                intents.stored(NAME, spec_of(*sorted(numbers)), anew=False)
            case "take":
                taken = (taken | numbers) - stored
                intents.take_on(NAME, merging.with_pins(intents.of(NAME), [pin(n) for n in sorted(numbers)]))
            case "give":
                taken -= numbers
                intents.give_up(NAME, {f"u{n}" for n in numbers})
        assert uids(intents.of(NAME)) == {f"u{n}" for n in stored | taken}
        for number in range(1, 7):
            assert bool(intents.nodes_of(f"u{number}")) == (number in stored | taken)
        written = between(spec_of(*sorted(stored)), intents.of(NAME))
        assert {each.uid for each in written.pins} == {f"u{n}" for n in taken}


def test_an_instruction_that_is_issued_again_brings_its_deadline_to_pins_that_are_written() -> None:
    old, new = Record("i", "PinPods", 1, 2, DEADLINE), Record("i", "PinPods", 2, 2, "2030-01-01T00:00:00Z")
    stored = merging.with_record(spec_of(1), old)
    intents = Intents()
    intents.stored(NAME, stored, anew=False)
    intents.take_on(NAME, merging.with_record(merging.with_pins(stored, [pin(1)]), new))
    assert merging.pin_deadlines(intents.of(NAME))["i"] == "2030-01-01T00:00:00Z"
    intents.stored(NAME, intents.of(NAME), anew=False)
    assert between(intents.of(NAME), intents.of(NAME)) == between(Spec(), Spec()), "nothing is left to write"


def test_a_pin_that_another_instruction_names_too_belongs_to_the_newer_one() -> None:
    later = msgspec.structs.replace(pin(1), instruction="later")
    intents = Intents()
    intents.stored(NAME, spec_of(1, 2), anew=False)
    wanted = merging.with_pins(spec_of(1, 2), [later])
    intents.take_on(NAME, wanted)
    assert {each.uid: each.instruction for each in intents.of(NAME).pins} == {"u1": "later", "u2": "i"}


@pytest.mark.parametrize(
    ("mark", "taken"),
    [("i", True), ("i" * 128, True), ("i" * 129, False), ("", False), ("a\nb", False), ("Ω-plan", True)],
)
def test_a_mark_is_taken_for_a_pin_only_as_far_as_it_can_be_one(mark: str, taken: bool) -> None:
    meta = msgspec.structs.replace(pod(1).metadata, annotations={PIN_ANNOTATION: mark})
    assert bool(done([msgspec.structs.replace(pod(1, node=NAME), metadata=meta)], spec_of())) == taken


def test_marks_of_pods_that_we_would_not_bind_are_nothing() -> None:
    one = marked(pod(1, node=NAME))
    bare = msgspec.structs.replace(one, metadata=msgspec.structs.replace(one.metadata, owner_references=()))
    assert done([bare], spec_of()) == ()


def test_no_more_marks_count_than_the_node_was_promised_to_hold_and_known_instructions_come_first() -> None:
    pods = [marked(pod(number, node=NAME)) for number in range(1, 31)]
    strangers = [
        msgspec.structs.replace(
            each, metadata=msgspec.structs.replace(each.metadata, annotations={PIN_ANNOTATION: "a stranger's"})
        )
        for each in pods[:25]
    ]
    stored = merging.with_record(spec_of(), Record("i", "PinPods", 1, 2, DEADLINE))
    found = done([*strangers, *pods[25:]], stored)
    assert len(found) == 10, "the promise says pods: 10"
    assert {each.uid for each in found} >= {f"u{number}" for number in range(26, 31)}
