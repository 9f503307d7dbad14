"""Whole drains in a cluster in memory: what goes well, and what must not happen when something does not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from moorage.drain import Outcome, Reason
from moorage.drain.drainer import Drained, Drainer
from tests.unit.pinner.bed import faults, refusals
from tests.unit.pinner.bed.faults import Effect
from tests.unit.pinner.bed.virtual import virtual

from .bed.api import spent
from .bed.bed import Bed, shop
from .bed.cluster import NAMESPACE

EVICT = ("create", "pods/eviction")


def outcomes(drained: Drained) -> dict[str, str]:
    return {name: each.outcome.value for name, each in drained.nodes.items()}


def why(drained: Drained, name: str) -> Reason | None:
    found = drained.nodes[name].why
    return found.reason if found is not None else None


async def started(bed: Bed, drainer: Drainer, *nodes: str) -> asyncio.Task[Drained]:
    """A drain that has just evicted its first pod."""
    task = asyncio.create_task(bed.drain(drainer, *nodes))
    while not bed.witness.evicted and not task.done():
        await asyncio.sleep(0.05)
    return task


@virtual
async def test_nodes_are_emptied_and_no_workload_notices() -> None:
    async with Bed() as bed:
        shop(bed)
        drained = await bed.drain(await bed.begin(), "n0", "n1")
        assert outcomes(drained) == {"n0": "emptied", "n1": "emptied"}
        assert drained.stopped is None
        assert bed.pods_on("n0") == bed.pods_on("n1") == []
        assert bed.witness.evicted == 6
        assert bed.asked == [("n0", "n1"), ("n1",)]
        await bed.peace()
        assert bed.wrong() == []


@virtual
async def test_all_chosen_nodes_have_their_taint_before_the_first_eviction() -> None:
    async with Bed() as bed:
        shop(bed, 6)
        drainer = await bed.begin()
        bed.wire.faults.set(faults.delay(4.0), "patch", "nodes", "n2", times=1)
        await bed.drain(drainer, "n0", "n1", "n2")
        taints = [at for at, resource, _, _ in bed.writes() if resource == "nodes"][:3]
        evictions = [at for at, resource, _, _ in bed.writes() if resource == "pods/eviction"]
        assert max(taints) < min(evictions)
        assert len({key for _, resource, key, _ in bed.writes()[:3] if resource == "nodes"}) == 3


@virtual
async def test_trust_is_earned_node_by_node() -> None:
    async with Bed(parallel=4) as bed:
        for number in range(12):
            bed.cluster.node(f"n{number:02d}")
        bed.cluster.deployment("web", 40, "50%")
        for number in range(8):
            bed.cluster.place("web", f"n{number:02d}", 1)
        bed.cluster.place("web", "n08", 6)
        for number in (9, 10, 11):
            bed.cluster.place("web", f"n{number:02d}", 6)
        bed.cluster.room = 12
        await bed.drain(await bed.begin(), *(f"n{number:02d}" for number in range(7)))
        begun = [at for at, resource, _, _ in bed.writes() if resource == "nodes"][7:]
        assert bed.asked[0] == tuple(f"n{number:02d}" for number in range(7))
        cordons = [sum(1 for at in begun if at == moment) for moment in dict.fromkeys(begun)]
        assert cordons[0] == 1  # the first alone, then more
        assert max(cordons) >= 2


@virtual
async def test_after_each_node_the_simulation_may_take_others_back() -> None:
    async with Bed() as bed:
        shop(bed)
        drainer = await bed.begin()
        bed.wanted = lambda remaining: remaining if len(bed.asked) == 1 else ()
        drained = await bed.drain(drainer, "n0", "n1")
        assert outcomes(drained) == {"n0": "emptied", "n1": "rolled back"}
        assert why(drained, "n1") is Reason.NOT_WANTED
        assert bed.pods_on("n1")
        await bed.peace()
        assert bed.wrong() == []


@virtual
async def test_a_budget_that_allows_nothing_ends_in_a_rollback_with_its_name() -> None:
    async with Bed(drain_timeout=_seconds(60)) as bed:
        shop(bed)
        bed.cluster.budget("never", "web", minAvailable=4)
        drained = await bed.drain(await bed.begin(), "n0")
        assert outcomes(drained) == {"n0": "rolled back"}
        found = drained.nodes["n0"].why
        assert found is not None
        assert found.reason is Reason.TIMEOUT
        assert "shop/never" in found.detail
        assert not [key for _, resource, key, _ in bed.writes() if resource == "pods/eviction" and "web" in key]
        await bed.peace()
        assert bed.wrong() == []


@virtual
async def test_two_budgets_for_one_pod_are_known_to_be_for_good() -> None:
    async with Bed() as bed:
        shop(bed)
        bed.cluster.budget("one", "web", minAvailable=1)
        drainer = await bed.begin()
        task = await started(bed, drainer, "n0")
        bed.cluster.budget("two", "pay", minAvailable=0)
        bed.cluster.budget("three", "web", minAvailable=0)
        bed.cluster.budget("four", "api", minAvailable=0)
        bed.cluster.budget("five", "api", minAvailable=0)
        drained = await task
        assert why(drained, "n0") is Reason.SEVERAL_BUDGETS
        await bed.peace()
        assert bed.wrong() == []


REFUSALS: dict[str, tuple[Callable[[], Effect], Reason]] = {
    "webhook": (
        lambda: faults.deny(lambda: refusals.refusal(403, "", 'admission webhook "w" denied the request: not now')),
        Reason.TIMEOUT,
    ),
    "webhook with 429": (
        lambda: faults.deny(lambda: refusals.refusal(429, "", 'admission webhook "w" denied the request: later')),
        Reason.TIMEOUT,
    ),
    "webhook that is down": (
        lambda: faults.deny(
            lambda: refusals.refusal(500, "InternalError", 'Internal error occurred: failed calling webhook "w": EOF')
        ),
        Reason.TIMEOUT,
    ),
    "policy": (faults.deny, Reason.TIMEOUT),
    "budget": (lambda: faults.deny(lambda: spent("The disruption budget x needs 1 healthy pods")), Reason.TIMEOUT),
    "rights": (lambda: faults.lack_right, Reason.RIGHTS),
    "flow control": (lambda: faults.fail(429), Reason.API_ERRORS),
    "errors": (lambda: faults.fail(503), Reason.API_ERRORS),
    "silence": (lambda: faults.swallow, Reason.API_ERRORS),
}


@pytest.mark.parametrize("what", REFUSALS)
@virtual
async def test_evictions_that_are_refused_for_ever_end_in_a_rollback(what: str) -> None:
    effect, reason = REFUSALS[what]
    async with Bed(drain_timeout=_seconds(120)) as bed:
        shop(bed)
        drainer = await bed.begin()
        bed.wire.faults.set(effect(), *EVICT)
        drained = await bed.drain(drainer, "n0", "n1")
        assert outcomes(drained) == {"n0": "rolled back", "n1": "rolled back" if reason is not Reason.TIMEOUT else ANY}
        assert why(drained, "n0") is reason
        assert bed.witness.evicted == 0
        await bed.peace()
        assert bed.wrong() == []


class _Any:
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


ANY = _Any()


def _seconds(seconds: float):  # type: ignore[no-untyped-def]
    from datetime import timedelta

    return timedelta(seconds=seconds)
