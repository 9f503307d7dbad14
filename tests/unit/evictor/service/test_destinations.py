"""Destinations: reserved before the first eviction, renewed, and removed. Without a pod pinner nothing changes."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moorage.evictor.destinations.reserving import LASTS
from moorage.reservations import moment
from moorage.reservations.destinations import LONGEST
from tests.examples import examples
from tests.unit.drain.bed.bed import US
from tests.unit.pinner.bed import faults, refusals
from tests.unit.pinner.bed.refusals import Json
from tests.unit.pinner.bed.virtual import run, virtual

from .cycle_drain import ACTS, Evictor
from .pinning import PLURAL, reservation

THEIRS = "elsewhere/castai-evictor"


def shop(bed: Evictor, most: int = 3) -> None:
    """Six nodes beside a scheduler that spreads: three of them could go."""
    for number in range(6):
        bed.cluster.node(f"n{number}")
    bed.cluster.deployment("web", 6)
    bed.cluster.deployment("api", 6)
    for number in range(6):
        bed.cluster.place("web", f"n{number}")
        bed.cluster.place("api", f"n{number}")
    bed.cluster.room = 5
    bed.cluster.spreads = True
    bed.configure(choice=replace(ACTS.choice, most=most))


def slots(found: Json) -> int:
    """How many pods a reservation expects."""
    return sum(each.get("count", 1) for each in found["spec"]["slots"])


def wrote(bed: Evictor) -> list[str]:
    """The reservations that were written, or were to be."""
    return [key for _, resource, key, _ in bed.writes() if resource == PLURAL]


@virtual
async def test_destinations_are_served_before_the_first_eviction_and_gone_after_the_cycle() -> None:
    async with Evictor() as bed:
        shop(bed)
        bed.pinner.serves = True
        await bed.start()
        served: list[bool] = []
        bed.api.watchers.append(
            lambda _: served.append(bool(bed.reserved) and all("status" in each for each in bed.reserved.values()))
        )
        await bed.until(lambda: bed.evictions)
        assert {each["spec"]["by"] for each in bed.reserved.values()} == {US}
        for name, each in bed.reserved.items():
            assert each["spec"]["nodeUID"] == bed.node(name)["metadata"]["uid"]
        assert sum(map(slots, bed.reserved.values())) == 6, "three nodes with two pods each"
        await bed.until(lambda: bed.drained.get("emptied", 0) == 3, 1800.0)
        await bed.until(lambda: bed.acting == (True, "Idle"))
        assert bed.reserved == {}
        assert len(served) == 6
        assert all(served)
        assert bed.arrivals == {"asSimulated": 6, "elsewhere": 0}
        assert bed.steering == (True, "Served")
        assert (bed.wrong(), bed.failures) == ([], [])


@virtual
async def test_without_a_pinner_the_scheduler_decides_and_that_is_counted() -> None:
    async with Evictor() as bed:
        shop(bed)
        await bed.start()
        began = bed.now()
        await bed.until(lambda: bed.evictions)
        assert bed.now() - began < 20.0
        assert bed.reserved == {}, "nobody serves it"
        await bed.until(lambda: bed.acting == (True, "Idle") and bed.drained, 1800.0)
        assert bed.steering == (False, "NotServed")
        assert bed.arrivals["elsewhere"] > 0
        assert (bed.wrong(), bed.failures) == ([], [])


@virtual
async def test_a_pinner_that_comes_later_is_found() -> None:
    async with Evictor() as bed:
        shop(bed, most=1)
        await bed.start()
        await bed.until(lambda: bed.drained.get("emptied", 0) == 1, 1800.0)
        bed.pinner.serves = True
        await bed.until(lambda: bed.steering == (True, "Served"), 1800.0, 1.0)
        await bed.until(lambda: bed.acting == (True, "Idle"), 600.0, 1.0)
        assert bed.reserved == {}


@pytest.mark.parametrize(
    ("fault", "verb", "reason", "tries"),
    [
        (faults.deny(lambda: refusals.not_found(PLURAL, "")), "list", "NotDefined", 1),
        (faults.lack_right, "list", "NotAllowed", 1),
        (faults.lack_right, "create", "NotAllowed", 2),
        (faults.deny(), "create", "NotAllowed", 2),
        (faults.fail(503), "create", "NotWritten", 8),
        (faults.swallow, "create", "NotWritten", 8),
        (faults.fail(500), "list", "NotWritten", 8),
    ],
)
@virtual
async def test_whatever_is_in_the_way_of_them_nodes_are_emptied_all_the_same_and_it_is_said_once(
    fault: faults.Effect, verb: str, reason: str, tries: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with Evictor() as bed:
        shop(bed, most=1)
        bed.pinner.serves = True
        bed.wire.faults.set(fault, verb, PLURAL)
        logging.getLogger("moorage").setLevel(logging.NOTSET)
        with caplog.at_level(logging.INFO, "moorage.evictor"):
            await bed.start()
            await bed.until(lambda: bed.drained.get("emptied", 0) == 2, 1800.0)
        assert bed.steering == (False, reason)
        reporter = [each.message for each in caplog.records]
        assert reporter.count("replacements are left to the scheduler") == 1
        assert len(wrote(bed)) <= tries
        assert (bed.wrong(), bed.failures) == ([], [])


@pytest.mark.parametrize("fault", [faults.lose_answer, faults.answer_too_late])
@pytest.mark.parametrize("verb", ["create", "patch", "delete"])
@virtual
async def test_what_was_written_although_no_answer_came_is_taken_away(fault: faults.Effect, verb: str) -> None:
    async with Evictor() as bed:
        shop(bed)
        bed.pinner.serves = True
        bed.wire.faults.set(fault, verb, PLURAL, times=2)
        await bed.start()
        await bed.until(lambda: bed.drained.get("emptied", 0) >= 3, 3600.0)
        await bed.until(lambda: bed.acting == (True, "Idle") and not bed.reserved, 3600.0)
        assert (bed.wrong(), bed.failures) == ([], [])


@virtual
async def test_those_of_others_are_left_alone() -> None:
    async with Evictor() as bed:
        shop(bed)
        bed.pinner.serves = True
        theirs = {name: reservation(THEIRS, bed.node(name)["metadata"]["uid"]) for name in bed.cluster.nodes}
        for name, spec in theirs.items():
            bed.api.create(PLURAL, {"metadata": {"name": name}, "spec": spec})
        await bed.start()
        await bed.until(lambda: bed.drained.get("emptied", 0) == 3, 3600.0)
        await bed.until(lambda: bed.acting == (True, "Idle"))
        assert {name: each["spec"] for name, each in bed.reserved.items()} == theirs
        assert (bed.wrong(), bed.failures) == ([], [])


@virtual
async def test_what_was_somebody_elses_is_tried_again_in_the_next_cycle_and_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with Evictor() as bed:
        shop(bed, most=1)
        bed.pinner.serves = True
        for name in bed.cluster.nodes:
            spec = reservation(THEIRS, bed.node(name)["metadata"]["uid"])
            bed.api.create(PLURAL, {"metadata": {"name": name}, "spec": spec})
        logging.getLogger("moorage").setLevel(logging.NOTSET)
        with caplog.at_level(logging.INFO, "moorage.evictor"):
            await bed.start()
            await bed.until(lambda: bed.drained.get("emptied", 0) == 2, 1800.0)
            sentence = "slot reservation has another owner"
            nodes = [each.node for each in caplog.records if each.message == sentence]  # type: ignore[attr-defined]
            assert len(nodes) == len(set(nodes)) > 0
        for name in bed.cluster.nodes:
            bed.api.delete(PLURAL, name)
        before = bed.arrivals["elsewhere"]
        await bed.until(lambda: bed.reserved, 600.0)
        assert {each["spec"]["by"] for each in bed.reserved.values()} == {US}
        await bed.until(lambda: bed.drained.get("emptied", 0) == 3, 1800.0)
        assert bed.arrivals["elsewhere"] == before


@virtual
async def test_one_that_somebody_takes_over_is_theirs() -> None:
    async with Evictor() as bed:
        shop(bed)
        bed.pinner.serves = True
        await bed.start()
        await bed.until(lambda: bed.evictions)
        name = next(iter(bed.reserved))
        bed.api.edit(PLURAL, name, lambda each: each["spec"].update(by=THEIRS))
        await bed.until(lambda: bed.drained.get("emptied", 0) == 3, 3600.0)
        await bed.until(lambda: bed.acting == (True, "Idle"))
        assert [(each, found["spec"]["by"]) for each, found in bed.reserved.items()] == [(name, THEIRS)]


@virtual
async def test_who_leads_next_takes_away_what_was_left() -> None:
    for evicted in (0, 1, 3):
        async with Evictor() as bed:
            shop(bed)
            bed.pinner.serves = True
            await bed.start()
            await bed.until(lambda evicted=evicted: bed.reserved and len(bed.evictions) >= evicted, step=0.002)  # type: ignore[misc]
            await bed.kill()
            left = set(bed.reserved)
            assert left
            await asyncio.sleep(1.0)
            bed.begin_term()
            await bed.until(lambda: bed.drained.get("emptied", 0) >= 1, 3600.0)
            await bed.until(lambda: bed.acting[1] == "Idle" and not bed.reserved, 3600.0)
            assert (bed.wrong(), bed.failures) == ([], [])


@virtual
async def test_whoever_is_killed_leaves_only_what_ends_by_itself() -> None:
    async with Evictor() as bed:
        shop(bed)
        bed.pinner.serves = True
        await bed.start()
        await bed.until(lambda: bed.evictions)
        await bed.kill()
        ends = [each["spec"]["until"] for each in bed.reserved.values()]
        assert max(ends) <= f"{bed.wire.clock.now() + LASTS:%Y-%m-%dT%H:%M:%SZ}"


@virtual
async def test_whoever_is_asked_to_end_takes_them_away() -> None:
    for evicted in (0, 2):
        async with Evictor() as bed:
            shop(bed)
            bed.pinner.serves = True
            await bed.start()
            await bed.until(lambda evicted=evicted: bed.reserved and len(bed.evictions) >= evicted, step=0.002)  # type: ignore[misc]
            await bed.stop()
            assert bed.reserved == {}


@virtual
async def test_whoever_leads_no_more_leaves_them_to_the_next() -> None:
    async with Evictor() as bed:
        shop(bed)
        bed.pinner.serves = True
        await bed.start()
        await bed.until(lambda: bed.evictions)
        bed.leads = False
        written = len(wrote(bed))
        await bed.stop()
        assert len(wrote(bed)) == written


@virtual
async def test_they_are_renewed_while_a_cycle_runs() -> None:
    async with Evictor() as bed:
        shop(bed)
        bed.pinner.serves = True
        bed.cluster.stop = (400.0, 400.0)
        await bed.start()
        await bed.until(lambda: bed.evictions)
        for _ in range(6):
            await asyncio.sleep(50.0)
            now = f"{bed.wire.clock.now():%Y-%m-%dT%H:%M:%SZ}"
            assert bed.reserved
            assert all(each["spec"]["until"] > now for each in bed.reserved.values())
        assert bed.repeated() == []


@virtual
async def test_in_a_long_cycle_they_begin_anew_because_none_may_last_longer_than_an_hour() -> None:
    async with Evictor() as bed:
        shop(bed)
        bed.pinner.serves = True
        bed.configure(drains=replace(ACTS.drains, parallel=1, drain_timeout=timedelta(hours=3)))
        bed.cluster.stop = (2400.0, 2400.0)
        await bed.start()
        await bed.until(lambda: bed.evictions)
        began = set()
        while bed.evictions[-1] - bed.evictions[0] <= LONGEST.total_seconds():
            await asyncio.sleep(20.0)
            now = bed.wire.clock.now()
            for spec in [each["spec"] for each in bed.reserved.values()]:
                since, until = moment(spec["since"]), moment(spec["until"])
                assert since is not None
                assert until is not None
                assert now < until <= since + LONGEST
                began.add(since)
        assert bed.states == ["Idle", "Draining"], "one cycle"
        assert len(began) > 1
        assert bed.failures == []


@pytest.mark.parametrize(("fault", "most"), [(faults.deny(), 12), (faults.fail(503), 12)])
@virtual
async def test_what_cannot_be_taken_away_is_tried_again_less_and_less_often(fault: faults.Effect, most: int) -> None:
    async with Evictor() as bed:
        shop(bed)
        bed.pinner.serves = True
        bed.configure(interval=timedelta(seconds=1))
        await bed.start()
        await bed.until(lambda: bed.evictions)
        await bed.kill()
        left = len(bed.reserved)
        rule = bed.wire.faults.set(fault, "delete", PLURAL)
        bed.begin_term()
        await asyncio.sleep(600.0)
        assert 0 < rule.met <= most * left
        bed.wire.faults.lift()
        await bed.until(lambda: not bed.reserved, 1200.0, 1.0)


@pytest.mark.parametrize("serves", [True, False])
@virtual
async def test_while_it_is_found_out_anew_where_replacements_go_nothing_is_evicted_if_they_are_steered(
    serves: bool,
) -> None:
    async with Evictor() as bed:
        shop(bed)
        for number in range(6, 12):
            bed.cluster.node(f"n{number}")
        bed.cluster.deployment("many", 24, unavailable=1)
        for number in range(12):
            bed.cluster.place("many", f"n{number}", 2)
        bed.configure(choice=replace(ACTS.choice, most=8), drains=replace(ACTS.drains, parallel=4))
        bed.cluster.room, bed.cluster.start, bed.cluster.stop = 12, (5.0, 40.0), (1.0, 2.0)
        bed.pinner.serves, bed.thinks = serves, 20.0
        await bed.start()
        await bed.until(lambda: len(bed.thought) > 3, 3600.0, 1.0)
        meanwhile = [at for at in bed.evictions for began, ended in bed.thought if began + 0.1 < at < ended]
        assert bool(meanwhile) != serves
        assert (bed.witness.wrong, bed.failures) == ([], [])


@virtual
async def test_what_has_come_is_expected_no_more_and_room_goes_to_what_is_still_to_come() -> None:
    async with Evictor() as bed:
        shop(bed)
        bed.pinner.serves = True
        bed.configure(drains=replace(ACTS.drains, parallel=1))
        await bed.start()
        open_: list[int] = []

        bed.api.watchers.append(lambda _: open_.append(sum(left for _, _, left in bed.pinner.free())))
        await bed.until(lambda: bed.drained.get("emptied", 0) == 3, 1800.0)
        assert open_ == [6, 6, 4, 4, 2, 2], "as many as are still to be evicted: two at a time are"


@virtual
async def test_dry_run_writes_none_and_reads_none() -> None:
    async with Evictor() as bed:
        shop(bed)
        bed.configure(dry_run=True)
        await bed.start()
        await asyncio.sleep(120.0)
        assert not any(each.resource == PLURAL for each in bed.api.audit)
        assert bed.steering == (None, "NotTried")


DAYS = st.lists(
    st.tuples(
        st.floats(0.05, 60.0),
        st.sampled_from(
            ["kill", "stop", "serve", "leave", "dry run", "act", "refuse", "lose", "allow", "foreign", "remove", "late"]
        ),
    ),
    max_size=10,
)


async def day_of(bed: Evictor, what: str) -> None:
    """Something happens."""
    match what:
        case "kill" | "stop":
            await (bed.kill() if what == "kill" else bed.stop())
            bed.begin_term()
        case "serve" | "leave":
            bed.pinner.serves = what == "serve"
        case "dry run" | "act":
            bed.configure(dry_run=what == "dry run")
        case "refuse":
            bed.wire.faults.set(faults.deny(), "patch", PLURAL)
        case "lose":
            bed.wire.faults.set(faults.lose_answer, resource=PLURAL, times=3)
        case "allow":
            bed.wire.faults.lift()
        case "foreign":
            for name in list(bed.reserved)[:1]:
                bed.api.edit(PLURAL, name, lambda each: each["spec"].update(by=THEIRS))
        case "remove":
            for name in list(bed.reserved)[:1]:
                bed.api.delete(PLURAL, name)
        case "late":
            bed.wire.lag["pods"] = 4.0


@settings(max_examples=examples(15))
@given(DAYS)
def test_whatever_happens_no_floor_is_broken_and_only_others_reservations_are_left(
    days: list[tuple[float, str]],
) -> None:
    async def live() -> None:
        async with Evictor() as bed:
            shop(bed)
            await bed.start()
            for pause, what in days:
                await asyncio.sleep(pause)
                await day_of(bed, what)
            for what in ("allow", "act", "serve"):
                await day_of(bed, what)
            bed.wire.lag.clear()
            await bed.until(lambda: bed.said, 600.0, 1.0)
            await bed.until(lambda: bed.acting == (True, "Idle"), 3600.0, 1.0)
            await asyncio.sleep(timedelta(minutes=11).total_seconds())
            await bed.until(lambda: bed.acting == (True, "Idle"), 3600.0, 1.0)
            assert {each["spec"]["by"] for each in bed.reserved.values()} <= {THEIRS}
            assert (bed.wrong(), bed.failures) == ([], [])

    run(live())
