"""Failed steps that are still needed: each waits separately, longer each time, and is reported once."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from moorage.objects import Node, ObjectMeta
from moorage.pinner.decisions.steps import (
    Bind,
    Confirm,
    CreateNode,
    DeleteNode,
    DeletePod,
    PatchNode,
    ShowStatus,
    Step,
    key,
)
from moorage.pinner.node.attempts import AT_ONCE, REMEMBERED, Attempts
from moorage.pinner.refusal import Refusal
from moorage.protocol import ReasonCode
from tests.unit.pinner.model import NAME, pin, pod, reservation_of, spec_of

WHY = Refusal(ReasonCode.API_UNAVAILABLE, "away")
OTHER = Refusal(ReasonCode.API_REFUSED, "no")


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def node(uid: str = "n") -> Node:
    return Node(metadata=ObjectMeta(name=NAME, uid=uid))


def delete(uid: str = "n") -> DeleteNode:
    return DeleteNode(node(uid), WHY)


def made(cap: float = 60.0) -> tuple[Attempts, Clock]:
    clock = Clock()
    return Attempts(0.5, cap, clock), clock


def test_what_was_never_tried_is_due_and_what_was_waits_and_holds_nobody_up() -> None:
    attempts, clock = made()
    assert attempts.due(NAME, [delete()]) == (delete(),)
    attempts.failed(NAME, delete(), WHY)
    assert attempts.due(NAME, [delete(), delete("other")]) == (delete("other"),)
    assert attempts.due("another node", [delete()]) == (delete(),)
    wait = attempts.wait(NAME, [delete(), delete("other")])
    assert wait is not None
    assert 0.25 <= wait <= 0.5
    clock.now += wait
    assert attempts.due(NAME, [delete()]) == (delete(),)


@given(st.floats(0.1, 5.0), st.integers(0, 2**31))
def test_ten_seconds_see_less_than_ten_tries_whatever_is_wanted_how_often(step: float, seed: int) -> None:
    attempts, clock = made()
    tries = []
    for tick in range(200):
        if attempts.due(NAME, [delete()]):
            tries.append(clock.now)
            if (seed >> tick % 31) & 1:
                attempts.made(NAME, delete(), "deletion")
            else:
                attempts.failed(NAME, delete(), WHY)
        clock.now += step
    for first in tries:
        assert sum(first <= moment < first + 10 for moment in tries) < 10
    assert all(later - before <= 60 + step for before, later in itertools.pairwise(tries))


def test_a_change_by_others_is_no_reason_to_wait_until_it_goes_on() -> None:
    attempts, clock = made()
    for _ in range(AT_ONCE):
        attempts.changed(NAME, delete())
        assert attempts.due(NAME, [delete()])
    attempts.changed(NAME, delete())
    assert not attempts.due(NAME, [delete()])
    assert attempts.trouble(NAME, [delete()]) is None, "it is nobody's fault"
    clock.now += 1
    assert attempts.due(NAME, [delete()])


def test_the_server_says_how_long_to_wait_at_least() -> None:
    attempts, clock = made()
    attempts.failed(NAME, delete(), WHY, least=7.0)
    clock.now += 6.9
    assert not attempts.due(NAME, [delete()])
    clock.now += 0.2
    assert attempts.due(NAME, [delete()])


def test_a_look_is_due_when_what_it_is_for_is() -> None:
    attempts, _ = made()
    look = Confirm((delete(), DeletePod(pod(1), 0, WHY)))
    attempts.failed(NAME, delete(), WHY)
    assert attempts.due(NAME, [look]) == (look,)
    attempts.failed(NAME, look, WHY)
    assert attempts.due(NAME, [look]) == ()
    assert attempts.trouble(NAME, [look]) == WHY
    assert attempts.wait(NAME, [look]) is not None


def test_what_hinders_a_step_is_said_once_and_again_when_it_is_another() -> None:
    attempts, _ = made()
    attempts.failed(NAME, delete(), WHY)
    assert attempts.news(NAME, [delete()]) == ((delete(), WHY),)
    attempts.failed(NAME, delete(), WHY)
    assert attempts.news(NAME, [delete()]) == ()
    attempts.failed(NAME, delete(), OTHER)
    assert attempts.news(NAME, [delete()]) == ((delete(), OTHER),)
    assert attempts.news(NAME, []) == (), "a step that is wanted no more is no news"


def test_what_was_accepted_is_trouble_only_when_it_is_wanted_again() -> None:
    attempts, _ = made()
    attempts.made(NAME, delete(), "deletion of node a")
    assert attempts.trouble(NAME, []) is None
    trouble = attempts.trouble(NAME, [delete()])
    assert trouble is not None
    assert "deletion of node a" in trouble.text


def test_a_note_that_failed_is_waited_for_and_one_that_was_accepted_is_not() -> None:
    attempts, _ = made()
    note = ShowStatus(reservation_of(spec_of(1)), {"state": "Ready"})
    attempts.failed(NAME, note, WHY)
    assert attempts.wait(NAME, [note], accepted=False) is not None
    attempts.made(NAME, note, "status")
    assert attempts.wait(NAME, [note], accepted=False) is None
    assert attempts.wait(NAME, [note]) is not None


def test_pins_know_why_they_wait_and_are_forgotten_when_they_are_done() -> None:
    attempts, _ = made()
    bind = Bind(pin(1), pod(1))
    attempts.failed(NAME, bind, WHY)
    attempts.failed(NAME, delete(), OTHER)
    assert attempts.pins(NAME) == {"u1": WHY}
    attempts.succeeded(NAME, bind)
    assert attempts.pins(NAME) == {}
    assert attempts.due(NAME, [bind]) == (bind,)


def test_nothing_is_remembered_for_ever() -> None:
    attempts, clock = made(cap=5.0)
    for number in range(20):
        attempts.failed(NAME, delete(f"n{number}"), WHY)
    clock.now += REMEMBERED + 6
    assert attempts.due(NAME, [delete("new")])
    assert attempts.trouble(NAME, [delete(f"n{number}") for number in range(20)]) is None
    attempts.failed(NAME, delete(), WHY)
    attempts.forget(NAME)
    assert attempts.due(NAME, [delete()])


def test_a_step_is_the_same_while_object_and_wish_are() -> None:
    manifest = {"metadata": {"annotations": {"moorage.dev/reservation": "r"}}}
    reservation = reservation_of(spec_of(1))
    different: list[Step] = [
        CreateNode(manifest),
        Bind(pin(1), pod(1)),
        Bind(pin(2), pod(2)),
        DeletePod(pod(1), 0, WHY),
        DeletePod(pod(1), None, WHY),
        delete(),
        delete("another"),
        PatchNode(node(), {"metadata": {"labels": {"a": "b"}}}),
        PatchNode(node(), {"metadata": {"labels": {"a": None}}}),
        ShowStatus(reservation, {"state": "Ready"}),
        ShowStatus(reservation, {"state": "Failing"}),
    ]
    assert len({key(step) for step in different}) == len(different)
    assert key(PatchNode(node(), {"a": 1, "b": 2})) == key(PatchNode(node(), {"b": 2, "a": 1}))
