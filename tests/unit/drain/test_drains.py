"""Whole drains in a cluster in memory: successful ones, and the rules for failed ones."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from datetime import timedelta

import pytest

from moorage.drain import Outcome, Reason
from moorage.drain.drainer import Drained, Drainer
from tests.unit.pinner.bed import Json, faults, refusals
from tests.unit.pinner.bed.faults import Effect
from tests.unit.pinner.bed.virtual import virtual

from .bed.api import spent
from .bed.bed import Bed, shop

EVICT = ("create", "pods/eviction")


def _of(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


def outcomes(drained: Drained) -> dict[str, str]:
    return {name: each.outcome.value for name, each in drained.nodes.items()}


def why(drained: Drained, name: str) -> Reason | None:
    found = drained.nodes[name].why
    return found.reason if found is not None else None


def leaving(pod: Json) -> bool:
    return "deletionTimestamp" in pod["metadata"]


async def started(bed: Bed, drainer: Drainer, *nodes: str) -> asyncio.Task[Drained]:
    """A drain that has just evicted its first pod."""
    task = asyncio.create_task(bed.drain(drainer, *nodes))
    await bed.until(lambda: bed.witness.evicted or task.done())
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
async def test_a_node_that_is_deleted_while_its_last_pods_are_leaving_is_a_success() -> None:
    async with Bed() as bed:
        shop(bed, 6)
        task = asyncio.create_task(bed.drain(await bed.begin(), "n0", "n1", "n2"))
        await bed.until(lambda: all(map(leaving, bed.cluster.on("n0"))))
        going = {"deletionTimestamp": "2030-01-01T12:00:00Z", "finalizers": ["karpenter.sh/termination"]}
        bed.api.edit("nodes", "n0", lambda node: node["metadata"].update(going))
        await bed.until(lambda: not bed.pods_on("n0"))
        bed.api.edit("nodes", "n0", lambda node: node["metadata"].update(finalizers=[]))
        assert "n0" not in bed.cluster.nodes
        assert set(outcomes(await task).values()) == {"emptied"}
        assert bed.asked == [("n0", "n1", "n2"), ("n1", "n2")], "it was begun with two nodes after the first"


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
        at_once = bed.witness.at_once()
        begun = itertools.dropwhile(lambda count: not count, at_once)
        assert set(itertools.takewhile(bool, begun)) == {1}  # the first alone
        assert max(at_once) == 4
        assert bed.wrong() == []


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
    async with Bed(drain_timeout=_of(60)) as bed:
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
        shop(bed, 3)
        bed.cluster.budget("one", "web", minAvailable=3)
        drainer = await bed.begin()
        task = await started(bed, drainer, "n0")
        bed.cluster.budget("two", "web", minAvailable=0)
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
    async with Bed(drain_timeout=_of(120)) as bed:
        shop(bed)
        drainer = await bed.begin()
        bed.wire.faults.set(effect(), *EVICT)
        drained = await bed.drain(drainer, "n0", "n1")
        assert outcomes(drained)["n0"] == "rolled back"
        assert why(drained, "n0") is reason
        assert bed.witness.evicted == 0
        await bed.peace()
        assert bed.wrong() == []


# --- what happens in the middle ---


@virtual
async def test_a_replacement_that_finds_no_place_stops_the_cycle() -> None:
    async with Bed() as bed:
        shop(bed, 3)
        bed.cluster.room = 3
        bed.cluster.stop = (90.0, 100.0)
        drained = await bed.drain(await bed.begin(), "n0", "n1")
        assert drained.stopped is not None
        assert drained.stopped.reason is Reason.REPLACEMENT_PENDING
        assert bed.witness.evicted == 3  # and not the fourth pod of the node, although its workload could lose it
        assert outcomes(drained) == {"n0": "rolled back", "n1": "rolled back"}
        await bed.peace()
        assert bed.wrong() == []


@virtual
async def test_what_comes_back_to_its_node_stops_the_cycle_and_the_node_is_handed_back() -> None:
    async with Bed() as bed:
        shop(bed)
        bed.cluster.room = 2
        drained = await bed.drain(await bed.begin(), "n0", "n1")
        assert outcomes(drained) == {"n0": "handed back", "n1": "rolled back"}
        assert drained.stopped is not None
        assert drained.stopped.reason is Reason.USED_AGAIN
        assert bed.witness.evicted == 3
        await bed.peace()
        assert bed.wrong() == []


@virtual
async def test_a_replacement_that_is_never_created_stops_the_cycle() -> None:
    async with Bed() as bed:
        shop(bed)
        drainer = await bed.begin()
        bed.cluster.quota.add("web")
        drained = await bed.drain(drainer, "n0", "n1")
        assert drained.stopped is not None
        assert str(drained.stopped) == (
            "no replacement of an evicted pod was created (Deployment shop/web has 3 of 4 pods)"
        )
        assert outcomes(drained)["n1"] == "rolled back"
        assert len([key for _, resource, key, _ in bed.writes() if "web" in key]) == 1
        await bed.peace()
        assert bed.wrong() == []


@virtual
async def test_a_replacement_that_does_not_become_available_stops_the_cycle() -> None:
    async with Bed(starting_patience=_of(60)) as bed:
        shop(bed)
        drainer = await bed.begin()
        bed.cluster.broken.add("web")
        drained = await bed.drain(drainer, "n0", "n1")
        assert drained.stopped is not None
        assert drained.stopped.reason is Reason.REPLACEMENT_NOT_READY
        assert outcomes(drained) == {"n0": "emptied", "n1": "rolled back"}
        await bed.peace()
        assert bed.wrong() == []


def _create_node(bed: Bed) -> None:
    bed.cluster.node("n9")


def _break_nodes(bed: Bed) -> None:
    for name in ("m0", "m1", "m2", "m3"):
        bed.cluster.ready(name, value=False)


def _many_pods(bed: Bed) -> None:
    bed.cluster.deployment("batch", 60)


@pytest.mark.parametrize(
    ("deed", "reason"),
    [
        (_create_node, Reason.NODE_CREATED),
        (_break_nodes, Reason.NODES_NOT_READY),
        (_many_pods, Reason.PENDING_RISES),
    ],
)
@virtual
async def test_what_happens_in_the_cluster_stops_the_cycle(deed: Callable[[Bed], None], reason: Reason) -> None:
    async with Bed() as bed:
        shop(bed)
        for number in range(4):
            bed.cluster.node(f"m{number}")
        bed.cluster.stop = (30.0, 40.0)
        task = await started(bed, await bed.begin(), "n0", "n1")
        deed(bed)
        drained = await task
        assert drained.stopped is not None
        assert drained.stopped.reason is reason
        assert outcomes(drained) == {"n0": "rolled back", "n1": "rolled back"}
        await bed.peace()
        assert bed.wrong() == []


def _cordon(bed: Bed) -> None:
    bed.witness.foreign.add("n1")
    bed.cluster.cordon("n1")


def _uncordon(bed: Bed) -> None:
    bed.cluster.cordon("n0", value=False)


def _claim(bed: Bed) -> None:
    bed.claimed.add("n0")


def _hold(bed: Bed) -> None:
    bed.holders.add("web")


def _fail(bed: Bed) -> None:
    bed.cluster.ready("n0", value=False)


@pytest.mark.parametrize(
    ("deed", "name", "reason"),
    [
        (_cordon, "n1", Reason.FOREIGN_CORDON),
        (_uncordon, "n0", Reason.UNCORDONED),
        (_claim, "n0", Reason.MARKED_BY_OTHERS),
        (_hold, "n0", Reason.POD_HOLDS),
        (_fail, "n0", Reason.NODE_NOT_READY),
    ],
)
@virtual
async def test_what_others_do_to_a_node_rolls_it_back(deed: Callable[[Bed], None], name: str, reason: Reason) -> None:
    async with Bed() as bed:
        shop(bed, 3)  # two pods of one workload on the first node: one waits for the other
        task = await started(bed, await bed.begin(), "n0", "n1")
        deed(bed)
        drained = await task
        assert outcomes(drained)[name] == "rolled back"
        assert why(drained, name) is reason
        await bed.peace()
        assert bed.wrong() == []


@virtual
async def test_pods_that_do_not_end_are_waited_for_until_the_node_is_too_late() -> None:
    async with Bed(drain_timeout=_of(90)) as bed:
        shop(bed)
        bed.cluster.stop = (1000.0, 2000.0)
        drained = await bed.drain(await bed.begin(), "n0")
        found = drained.nodes["n0"].why
        assert found is not None
        assert "the pod is being deleted" in found.detail
        await bed.peace()
        assert bed.wrong() == []


@virtual
async def test_a_node_that_is_only_tainted_is_never_cordoned() -> None:
    async with Bed(soft_only=True) as bed:
        shop(bed)
        drained = await bed.drain(await bed.begin(), "n0", "n1")
        assert outcomes(drained) == {"n0": "emptied", "n1": "emptied"}
        nodes = [change.object for change in bed.api.store.history["nodes"]]
        assert not any(node["spec"].get("unschedulable") for node in nodes)
        await bed.peace()
        assert bed.wrong() == []


@virtual
async def test_a_node_that_the_scheduler_fills_again_is_given_up() -> None:
    """Only tainted, and no room elsewhere: replacements return to the node."""
    async with Bed(soft_only=True) as bed:
        shop(bed, 3)
        bed.cluster.room = 3
        drained = await bed.drain(await bed.begin(), "n0")
        assert why(drained, "n0") is Reason.REFILLED
        assert bed.witness.evicted <= 3
        await bed.peace()
        assert bed.wrong() == []


@virtual
async def test_a_single_replica_goes_only_when_somebody_has_said_so() -> None:
    for exempt, expected in ((set[str](), "rolled back"), ({"one"}, "emptied")):
        async with Bed(drain_timeout=_of(60)) as bed:
            bed.cluster.node("n0")
            bed.cluster.node("n1")
            bed.cluster.deployment("one", 1)
            bed.cluster.place("one", "n0")
            bed.exempt = exempt
            drained = await bed.drain(await bed.begin(), "n0")
            assert outcomes(drained) == {"n0": expected}
            assert bed.witness.evicted == len(exempt)
            assert list(bed.witness.left()) == []


@virtual
async def test_an_emptied_node_takes_pods_again_when_there_is_no_other_room_and_is_handed_back() -> None:
    async with Bed() as bed:
        shop(bed, 4)
        bed.cluster.room = 4
        drainer = await bed.begin()
        assert outcomes(await bed.drain(drainer, "n0")) == {"n0": "emptied"}
        bed.witness.scaled["web"] = bed.now()
        bed.cluster.scale("web", 8)
        await asyncio.sleep(10)
        assert bed.pods_on("n0")
        ended = await drainer.clean_up()
        found = ended["n0"].why
        assert found is not None
        assert (ended["n0"].outcome, found.reason) == (Outcome.HANDED_BACK, Reason.USED_AGAIN)
        await bed.peace()
        assert bed.wrong() == []


@virtual
async def test_fewer_replicas_in_the_middle_are_no_reason_to_stop() -> None:
    async with Bed() as bed:
        shop(bed)
        task = await started(bed, await bed.begin(), "n0", "n1")
        bed.witness.scaled["web"] = bed.now()
        bed.cluster.scale("web", 2)
        drained = await task
        assert outcomes(drained) == {"n0": "emptied", "n1": "emptied"}
        await bed.peace()
        assert bed.wrong() == []


@virtual
async def test_two_cycles_never_run_at_a_time() -> None:
    async with Bed() as bed:
        shop(bed)
        drainer = await bed.begin()
        task = await started(bed, drainer, "n0")
        with pytest.raises(RuntimeError, match="runs already"):
            await drainer.clean_up()
        await task


@virtual
async def test_a_simulation_that_fails_stops_the_cycle() -> None:
    def fails(_: object) -> tuple[str, ...]:
        raise ValueError("no")

    async with Bed() as bed:
        shop(bed)
        drainer = await bed.begin()
        bed.wanted = fails
        drained = await bed.drain(drainer, "n0")
        assert str(drained.stopped) == "there was an internal error (the simulation failed: no)"
        assert outcomes(drained) == {"n0": "rolled back"}
        assert bed.witness.evicted == 0
        assert bed.wrong() == []


@virtual
async def test_a_policy_that_takes_the_cordon_off_is_noticed() -> None:
    async with Bed() as bed:
        shop(bed)
        drainer = await bed.begin()
        bed.api.policies.append(faults.prune("spec", "unschedulable", resource="nodes"))
        drained = await bed.drain(drainer, "n0")
        assert why(drained, "n0") is Reason.UNCORDONED
        assert bed.witness.evicted == 0
        assert bed.wrong() == []


@virtual
async def test_a_policy_that_takes_the_mark_off_ends_in_no_cordon_and_few_tries() -> None:
    async with Bed() as bed:
        shop(bed)
        drainer = await bed.begin()
        bed.api.policies.append(faults.prune("metadata", "annotations", resource="nodes"))
        drained = await bed.drain(drainer, "n0")
        assert why(drained, "n0") is Reason.NOT_KEPT
        assert bed.witness.evicted == 0
        assert len(bed.writes()) == 3
        assert not bed.node("n0")["spec"].get("unschedulable")


@virtual
async def test_what_was_done_is_told() -> None:
    async with Bed() as bed:
        shop(bed)
        drainer = await bed.begin()
        bed.wire.faults.set(faults.deny(), *EVICT, times=1)
        await bed.drain(drainer, "n0")
        told = [(type(each.step).__name__, each.refused.reason if each.refused else None) for each in bed.news]
        assert told.count(("Evict", None)) == 3
        assert told.count(("Evict", Reason.EVICTION_REFUSED)) == 1
        assert [name for name, _ in told if name != "Evict"] == ["SoftTaint", "Begin", "MarkEmptied"]
