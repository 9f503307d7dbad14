"""Kill -9 at every step of a drain: the next leader reads everything from the nodes and pods."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest

from moorage.controller.fence import NotLeading
from moorage.drain import Outcome, Reason
from tests.unit.pinner.bed import faults
from tests.unit.pinner.bed.virtual import run, virtual

from .bed.bed import Bed, shop
from .bed.days import Day

NODES = ("n0", "n1")
JUST = (-0.0001, 0.0001, 0.003)
"""Seconds from a write on the server: it has not come, it has, and its answer is there."""


def crowded(bed: Bed) -> None:
    """Two nodes with two pods of each workload: who does not count evicts one too many."""
    for number in range(5):
        bed.cluster.node(f"n{number}")
    for app in ("web", "api"):
        bed.cluster.deployment(app, 4, 1, min_ready=3)
        bed.cluster.place(app, "n0", 2)
        bed.cluster.place(app, "n1", 2)
    bed.cluster.budget("api", "api", maxUnavailable=1)


def moments(make: Callable[[Bed], None], lag: float) -> list[float]:
    """When something is written in an undisturbed drain, in seconds from its beginning."""
    found: list[float] = []

    async def undisturbed() -> None:
        async with Bed() as bed:
            make(bed)
            drainer = await bed.begin()
            bed.wire.lag["pods"] = lag
            began = bed.now()
            await bed.drain(drainer, *NODES)
            found.extend(sorted({at - began for at, *_ in bed.writes()}))

    run(undisturbed())
    return found


async def killed(bed: Bed, make: Callable[[Bed], None], after: float, lag: float) -> None:
    """A drain whose leader is killed after some seconds; the next one goes on to the end."""
    make(bed)
    day = Day(bed, await bed.begin(), NODES)
    bed.wire.lag["pods"] = lag
    await asyncio.sleep(after)
    await day.kill()
    await bed.until(lambda: day.ended, 3600.0, 1.0)
    await day.end(patient=False)


@pytest.mark.parametrize("lag", [0.0, 6.0])
@pytest.mark.parametrize("make", [shop, crowded])
def test_whoever_is_killed_at_any_write_leaves_nothing_behind(make: Callable[[Bed], None], lag: float) -> None:
    for moment in moments(make, lag):
        for just in JUST:

            async def one(after: float = moment + just) -> None:
                async with Bed() as bed:
                    await killed(bed, make, after, lag)
                    assert bed.wrong() == [], after
                    assert bed.pods_on("n0") == bed.pods_on("n1") == []

            run(one())


@virtual
async def test_a_lost_answer_is_looked_up_and_the_pod_counts_as_gone_until_then() -> None:
    """Both pods of a workload are on the node: the second waits, although no one reported that the first has gone."""
    async with Bed() as bed:
        crowded(bed)
        drainer = await bed.begin()
        bed.wire.lag["pods"] = 9.0
        bed.wire.faults.set(faults.lose_answer, "create", "pods/eviction", times=2)
        drained = await bed.drain(drainer, *NODES)
        assert {each.outcome for each in drained.nodes.values()} == {Outcome.EMPTIED}
        await bed.peace()
        assert bed.wrong() == []
        evictions = [key for _, resource, key, _ in bed.writes() if resource == "pods/eviction"]
        assert len(evictions) == len(set(evictions)) == bed.witness.evicted == 8


@virtual
async def test_an_eviction_that_never_arrived_is_made_once_more() -> None:
    async with Bed() as bed:
        crowded(bed)
        drainer = await bed.begin()
        bed.wire.faults.set(faults.swallow, "create", "pods/eviction", times=1)
        drained = await bed.drain(drainer, *NODES)
        assert {each.outcome for each in drained.nodes.values()} == {Outcome.EMPTIED}
        assert bed.witness.evicted == 8
        await bed.peace()
        assert bed.wrong() == []


@pytest.mark.parametrize("number", range(1, 5))
@virtual
async def test_a_write_to_a_node_whose_answer_is_lost_is_looked_up(number: int) -> None:
    async with Bed() as bed:
        crowded(bed)
        drainer = await bed.begin()
        bed.wire.hold("nodes")
        rules = [bed.wire.faults.set(faults.delay(0.0), "patch", "nodes", times=number - 1)] if number > 1 else []
        bed.wire.faults.set(faults.lose_answer, "patch", "nodes", times=1)
        drained = await bed.drain(drainer, *NODES)
        assert all(rule.met == number - 1 for rule in rules)
        assert {each.outcome for each in drained.nodes.values()} == {Outcome.EMPTIED}
        await bed.peace()
        assert bed.wrong() == []


@virtual
async def test_a_new_leader_finishes_what_is_empty_and_rolls_back_the_rest() -> None:
    async with Bed() as bed:
        shop(bed)
        task = asyncio.create_task(bed.drain(await bed.begin(), "n0", "n1"))
        await bed.until(lambda: bed.witness.evicted >= 4)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        ended = await bed.lead().clean_up()
        assert ended["n0"].outcome is Outcome.EMPTIED
        assert ended["n1"].outcome is Outcome.ROLLED_BACK
        why = ended["n1"].why
        assert why is not None
        assert why.reason is Reason.INTERRUPTED
        await bed.peace()
        assert bed.wrong() == []


@virtual
async def test_who_leads_no_more_writes_no_more() -> None:
    async with Bed() as bed:
        shop(bed)
        task = asyncio.create_task(bed.drain(await bed.begin(), "n0", "n1"))
        await bed.until(lambda: bed.witness.evicted)
        bed.leads = False
        before = len(bed.writes())
        with pytest.raises(NotLeading):
            await task
        assert len(bed.writes()) <= before + 1  # what was under way
        bed.leads = True
        await bed.peace()
        assert bed.wrong() == []


@virtual
async def test_an_emptied_node_that_nobody_deletes_is_handed_back() -> None:
    async with Bed(hand_back_after=timedelta(minutes=2)) as bed:
        shop(bed)
        drainer = await bed.begin()
        await bed.drain(drainer, "n0")
        assert (await drainer.clean_up())["n0"].outcome is Outcome.EMPTIED
        await asyncio.sleep(121)
        ended = await drainer.clean_up()
        why = ended["n0"].why
        assert why is not None
        assert (ended["n0"].outcome, why.reason) == (Outcome.HANDED_BACK, Reason.NOT_DELETED)
        assert not bed.node("n0")["spec"].get("taints")
        assert "the node has not been deleted" in bed.node("n0")["metadata"]["annotations"]["moorage.dev/drain"]
        assert bed.wrong() == []


@virtual
async def test_rights_that_are_gone_leave_a_mark_and_the_next_leader_takes_it_off() -> None:
    async with Bed() as bed:
        shop(bed)
        drainer = await bed.begin()
        task = asyncio.create_task(bed.drain(drainer, "n0", "n1"))
        await bed.until(lambda: bed.witness.evicted)
        bed.wire.faults.set(faults.lack_right, "patch", "nodes")
        bed.wire.faults.set(faults.lack_right, "create", "pods/eviction")
        drained = await task
        assert drained.stopped is not None
        assert drained.stopped.reason is Reason.RIGHTS
        assert {each.outcome for each in drained.nodes.values()} == {Outcome.STUCK}
        await bed.peace()
        assert bed.wrong() == []


@virtual
async def test_evictions_of_whoever_led_before_are_waited_for_although_no_watch_shows_them() -> None:
    async with Bed() as bed:
        crowded(bed)
        drainer = await bed.begin()
        bed.wire.lag["pods"] = 9.0
        task = asyncio.create_task(bed.drain(drainer, "n0"))
        await bed.until(lambda: bed.witness.evicted)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        drainer = bed.lead()
        await drainer.clean_up()
        began = bed.now()
        drained = await bed.drain(drainer, "n1")
        assert drained.nodes["n1"].outcome is Outcome.EMPTIED
        evictions = [at for at, resource, _, _ in bed.writes() if resource == "pods/eviction" and at > began]
        assert evictions[0] > began + 15
        await bed.peace()
        assert bed.wrong() == []


@virtual
async def test_a_taint_that_is_being_set_is_taken_off_when_the_cycle_stops_meanwhile() -> None:
    async with Bed() as bed:
        shop(bed)
        drainer = await bed.begin()
        bed.wire.faults.set(faults.delay(5.0), "patch", "nodes", times=1)
        task = asyncio.create_task(bed.drain(drainer, "n0"))
        await asyncio.sleep(1.0)
        drainer.stop()
        drained = await task
        assert drained.nodes["n0"].outcome is Outcome.ROLLED_BACK
        assert bed.wrong() == []


@virtual
async def test_a_taint_that_may_have_been_set_is_not_forgotten_when_the_cycle_stops() -> None:
    async with Bed() as bed:
        shop(bed)
        drainer = await bed.begin()
        bed.wire.hold("nodes")
        bed.wire.faults.set(faults.lose_answer, "patch", "nodes", times=1)
        task = asyncio.create_task(bed.drain(drainer, "n0"))
        await bed.until(bed.writes, step=0.001)
        drainer.stop("somebody says so")
        drained = await task
        assert drained.nodes["n0"].outcome is Outcome.ROLLED_BACK
        assert str(drained.stopped) == "it was stopped (somebody says so)"
        assert bed.wrong() == []
