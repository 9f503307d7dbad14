"""Days with any events in any order: the rules hold at every moment and at the end.

Each day is a list of events, so a failing day shrinks to the events that matter.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from tests.unit.pinner.bed import Bed, run
from tests.unit.pinner.bed.days import EFFECTS, EVERY, PLURALS, REQUESTS, Day
from tests.unit.pinner.bed.policies import POLICIES
from tests.unit.pinner.decisions.kubelet_reasons import EVERY as EVERY_REASON

Deed = tuple[Any, ...]

WAITS = st.sampled_from((0.0, 0.0, 0.02, 0.5, 2.0, 10.0))
NODES = st.sampled_from(("n1", "n1", "n2"))
MACHINES = st.sampled_from(("m1", "m1", "m2"))
WITHIN = st.sampled_from((15.0, 30.0, 60.0))


def deed(name: str, *args: st.SearchStrategy[Any]) -> st.SearchStrategy[Deed]:
    return st.tuples(WAITS, st.just(name), *args)


PLAN = st.one_of(
    deed("create", NODES, WITHIN),
    deed("pin", NODES, st.integers(1, 3), WITHIN),
    deed("pin", NODES, st.integers(1, 3), WITHIN),
    deed("pin_devices", NODES, st.integers(1, 3), WITHIN),
    deed("create_late", NODES, WITHIN),
    deed("create_starting", NODES, WITHIN),
    deed("create_removing", NODES, WITHIN),
    deed("create_instance", NODES, WITHIN),
    deed("pin_again", NODES, WITHIN),
    deed("delete", NODES, WITHIN),
    deed("release", NODES, WITHIN),
    deed("expect", NODES, WITHIN),
    deed("new_epoch", st.none() | WITHIN),
)
PEOPLE = st.one_of(
    deed("join", NODES | MACHINES, st.booleans()),
    deed("register", MACHINES, st.just(True) | st.booleans(), st.booleans()),
    deed("register_removing", MACHINES, st.booleans()),
    deed("agent_comes", NODES | MACHINES),
    deed("instance_registers", MACHINES, st.booleans()),
    deed("pod_is_refused", NODES | MACHINES, st.sampled_from(EVERY_REASON)),
    deed("publish", NODES | MACHINES, st.integers(0, 4)),
    deed("scheduler_binds", NODES | MACHINES),
    deed("scheduler_fails", NODES | MACHINES),
    deed("somebody_nominates"),
    deed("pod_fails", NODES | MACHINES),
    deed("pod_is_deleted", NODES | MACHINES),
    deed("is_deleted", st.sampled_from(("nodes", "nodereservations")), NODES),
    deed("is_deleted", st.just("nodes"), MACHINES),
    deed("is_touched", st.sampled_from(("nodes", "nodereservations")), NODES),
    deed("is_held", st.sampled_from(PLURALS), NODES),
    deed("crash"),
)
FAULT = st.sampled_from(sorted(EFFECTS))
TROUBLE = st.one_of(
    deed("fault", FAULT, st.sampled_from(REQUESTS), st.integers(1, 6)),
    deed("fault", FAULT, st.sampled_from(REQUESTS), st.just(1000)),
    deed("fault", FAULT, st.just(EVERY), st.integers(1, 20) | st.just(1000)),
    deed("somebody_is_faster", st.sampled_from(REQUESTS), NODES),
    deed("back_to_normal"),
    deed("watches_lag", st.sampled_from(PLURALS), st.sampled_from((0.5, 5.0))),
    deed("watches_are_held", st.sampled_from(PLURALS)),
    deed("watches_are_cut", st.booleans()),
)
POLICY = deed("policy", st.sampled_from(sorted(POLICIES)))


async def live(deeds: list[Deed]) -> None:
    async with Bed() as bed:
        day = Day(bed)
        for each in deeds:
            await day.do(*each)
        await day.end()


MORNINGS: tuple[tuple[Deed, ...], ...] = (
    (),
    ((0.0, "create_late", "n1", 60.0), (0.0, "pin", "n1", 2, 60.0)),
    (
        (0.0, "create_late", "n1", 60.0),
        (0.0, "pin_devices", "n1", 2, 60.0),
        (0.0, "pin", "n1", 1, 60.0),
        (0.5, "register", "m1", True, True),
    ),
    (
        (0.0, "create_late", "n1", 60.0),
        (0.0, "create_late", "n2", 60.0),
        (0.0, "pin", "n2", 1, 60.0),
        (0.5, "register", "m1", True, False),
    ),
    ((0.0, "create_removing", "n1", 60.0), (0.0, "pin", "n1", 2, 60.0), (0.5, "register_removing", "m1", True)),
    ((0.0, "create_starting", "n1", 60.0), (0.0, "pin", "n1", 2, 60.0)),
    ((0.0, "create_starting", "n1", 60.0), (0.0, "pin", "n1", 2, 60.0), (2.0, "join", "n1", True)),
    ((0.0, "create_starting", "n1", 60.0), (0.0, "expect", "n1", 60.0), (2.0, "join", "n1", True)),
    ((0.0, "create_instance", "n1", 60.0), (0.0, "pin", "n1", 2, 60.0)),
    ((0.0, "create", "n1", 60.0),),
    ((0.0, "create", "n1", 60.0), (0.0, "pin", "n1", 2, 60.0)),
    ((0.0, "create", "n1", 60.0), (0.5, "pin", "n1", 2, 60.0), (2.0, "join", "n1", False)),
    ((0.0, "create", "n1", 60.0), (0.5, "pin", "n1", 2, 60.0), (2.0, "delete", "n1", 30.0)),
    ((0.0, "create", "n1", 60.0), (0.5, "pin_devices", "n1", 2, 60.0), (2.0, "join", "n1", True)),
    (
        (0.0, "create", "n1", 60.0),
        (0.5, "pin_devices", "n1", 2, 60.0),
        (2.0, "join", "n1", True),
        (0.5, "publish", "n1", 2),
    ),
)


def days(*deeds: st.SearchStrategy[Deed]) -> st.SearchStrategy[list[Deed]]:
    """Days of many events, most of them about an existing node: faults need several."""
    rest = st.integers(0, 8).flatmap(lambda least: st.lists(st.one_of(*deeds), min_size=least, max_size=12))
    return st.tuples(st.sampled_from(MORNINGS), rest).map(lambda parts: [*parts[0], *parts[1]])


@settings(max_examples=examples(60))
@given(days(PLAN, PEOPLE))
def test_days_without_faults(deeds: list[Deed]) -> None:
    run(live(deeds))


@settings(max_examples=examples(60))
@given(days(PLAN, TROUBLE))
def test_days_with_faults(deeds: list[Deed]) -> None:
    run(live(deeds))


@settings(max_examples=examples(100))
@given(days(PLAN, PEOPLE, TROUBLE, POLICY))
def test_days_on_which_anything_may_happen(deeds: list[Deed]) -> None:
    run(live(deeds))


@pytest.mark.parametrize("seconds", [0.0, 0.02, 0.5])
@pytest.mark.parametrize("fault", ["429", "500", "no connection", "done, answer lost"])
def test_whoever_wants_to_write_a_reservation_waits_with_the_others_while_nothing_gets_through(
    fault: str, seconds: float
) -> None:
    """An intent to be stored, and writes of the one before: each retries by itself."""
    morning = [(0.0, "create", "n1", 15.0), (seconds, "fault", fault, EVERY, 1000)]
    run(live([*morning, (0.0, "create", "n1", 15.0), (0.5, "expect", "n1", 15.0), (10.0, "crash")]))
