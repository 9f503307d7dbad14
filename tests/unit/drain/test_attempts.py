"""Writes to nodes: none is repeated for nothing, and parallelism grows with success."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from moorage.drain import Finding, Reason
from moorage.drain.attempts import AT_ONCE, Attempts
from moorage.drain.parallelism import Parallelism
from moorage.drain.steps import Begin, RollBack, SoftTaint

from .build import Clock, node

TAINT = SoftTaint(node())
NO = Finding(Reason.NODE_REFUSED, "no")


def test_what_is_under_way_or_has_failed_waits_and_holds_nothing_else_up() -> None:
    clock = Clock()
    attempts = Attempts(clock)
    assert attempts.due(TAINT)
    attempts.begun(TAINT)
    assert not attempts.due(TAINT)
    assert attempts.wait(TAINT) is None
    assert attempts.due(Begin(node(), cordon=True))
    attempts.failed(TAINT, NO)
    attempts.ended(TAINT)
    assert (attempts.due(TAINT), attempts.wait(TAINT), attempts.trouble(TAINT)) == (False, 1.0, NO)
    clock.now += 1
    assert attempts.due(TAINT)


def test_waits_grow_and_the_server_may_ask_for_more() -> None:
    clock = Clock()
    attempts = Attempts(clock)
    waits = []
    for _ in range(7):
        attempts.failed(TAINT, NO)
        waits.append(attempts.wait(TAINT))
    assert waits == [1, 2, 4, 8, 16, 30, 30]
    attempts.failed(TAINT, NO, least=90.0)
    assert attempts.wait(TAINT) == 90


def test_a_node_that_changes_is_tried_at_once_a_few_times() -> None:
    attempts = Attempts(Clock())
    for _ in range(AT_ONCE):
        attempts.changed(TAINT)
        assert attempts.due(TAINT)
    attempts.changed(TAINT)
    assert not attempts.due(TAINT)
    assert attempts.tries(TAINT) == 1


def test_what_was_kept_is_forgotten_and_what_was_not_waits() -> None:
    attempts = Attempts(Clock())
    attempts.failed(TAINT, NO)
    attempts.made(TAINT, kept=True)
    assert attempts.tries(TAINT) == 0
    attempts.made(TAINT, kept=False)
    trouble = attempts.trouble(TAINT)
    assert trouble is not None
    assert trouble.reason is Reason.NOT_KEPT


def test_a_rollback_for_another_reason_is_the_same_rollback() -> None:
    attempts = Attempts(Clock())
    attempts.failed(RollBack(node(), NO), NO)
    assert not attempts.due(RollBack(node(), Finding(Reason.TIMEOUT)))


@given(st.lists(st.booleans(), max_size=20), st.integers(0, 40))
def test_trust_begins_with_one_doubles_and_is_lost_at_once(days: list[bool], most: int) -> None:
    parallelism, expected = Parallelism(most), 1
    for well in days:
        assert parallelism.at_once == min(expected, max(most, 1))
        (parallelism.succeeded if well else parallelism.failed)()
        expected = expected * 2 if well else 1
