"""Nodes that somebody has deleted and that finalizers hold: nothing is pinned there any more; the reason is said."""

from __future__ import annotations

import pytest

from moorage.pinner.names import PREPARING
from moorage.protocol import Outcome
from tests.unit.pinner.bed import Bed, Json, virtual
from tests.unit.pinner.bed.days import Day
from tests.unit.pinner.bed.faults import meanwhile

from .test_bed_answers import DONE, placeholder


def go(bed: Bed, node: str = "n1") -> None:
    """Somebody deletes a Node that a finalizer holds."""
    bed.people.hold("nodes", node)
    bed.api.delete("nodes", node)


def pod_reasons(bed: Bed, id: str) -> set[str]:
    (_, ack) = bed.planner.finals(id)[0]
    return {result.reason.name for result in ack.pods if result.outcome is not Outcome.APPLIED}


async def joined(bed: Bed, *, ready: bool) -> None:
    """A placeholder that a machine has just taken, and that waits for a pod with a device: it stays closed."""
    await placeholder(bed)
    (waiting,) = bed.people.pods_with_devices(1)
    bed.planner.pin("n1", waiting, within=240)
    bed.people.join("n1", ready=ready)
    await bed.run(5)
    assert PREPARING in str((bed.node("n1") or {})["spec"]), "it is closed to the scheduler, so that pods may be bound"


@pytest.mark.parametrize("ready", [True, False])
@virtual
async def test_nothing_is_pinned_to_a_machine_that_is_being_deleted(ready: bool) -> None:
    async with Bed() as bed:
        await joined(bed, ready=ready)
        go(bed)
        before = bed.bound("n1")
        late = bed.planner.pin("n1", *bed.people.pods(2))
        expected = bed.planner.expect("n1", 2)
        await bed.answered(late, expected)
        assert bed.planner.final(late) == "REJECTED NODE_TERMINATING"
        assert bed.planner.final(expected) == "REJECTED NODE_TERMINATING"
        assert pod_reasons(bed, late) == {"NODE_TERMINATING"}
        assert all("finalizers hold it: example.com/hold" in each.note for each in bed.told("NotPinned"))
        assert bed.bound("n1") == before
        await bed.run(30)
        assert bed.repeated() == {}


@virtual
async def test_pins_that_were_taken_on_before_it_was_deleted_are_given_back() -> None:
    """They waited for a device; the nomination would keep the pod from all other nodes."""
    async with Bed() as bed:
        await placeholder(bed)
        waiting = bed.people.pods_with_devices(2)
        id = bed.planner.pin("n1", *waiting, within=240)
        bed.people.join("n1")
        bed.people.publish("n1", 2)
        await bed.until(lambda: all(nominated(bed, pod) == "n1" for pod in waiting))
        go(bed)
        await bed.answered(id)
        assert pod_reasons(bed, id) == {"NODE_TERMINATING"}
        await bed.until(lambda: not any(nominated(bed, pod) for pod in waiting))
        await bed.run(30)
        assert bed.repeated() == {}


def nominated(bed: Bed, pod: Json) -> str:
    found = bed.api.read("pods", f"ns/{pod['metadata']['name']}") or {"status": {}}
    return str(found["status"].get("nominatedNodeName", ""))


@virtual
async def test_a_pod_that_is_expected_there_is_left_to_the_scheduler() -> None:
    async with Bed() as bed:
        await joined(bed, ready=False)
        expected = bed.planner.expect("n1", 2, within=240)
        await bed.answered(expected)
        go(bed)
        before = bed.bound("n1")
        bed.people.pods(2)
        await bed.run(20)
        assert bed.bound("n1") == before


@virtual
async def test_a_node_that_is_deleted_as_its_pods_are_being_bound_gets_no_more_of_them() -> None:
    """What is under way is; the others are not sent, as soon as the watch has told."""
    async with Bed(writes_in_flight=1) as bed:
        await joined(bed, ready=False)
        bed.wire.faults.set(meanwhile(lambda: go(bed)), "create", "pods/binding", times=1)
        before = len(bed.bound("n1"))
        pods = bed.people.pods(12)
        id = bed.planner.pin("n1", *pods)
        await bed.answered(id)
        assert len(bed.bound("n1")) - before < len(pods)
        assert "NODE_TERMINATING" in pod_reasons(bed, id)


@pytest.mark.parametrize(("seconds", "outcome"), [(1.0, "REJECTED"), (0.0, "FAILED")])
@pytest.mark.parametrize("machine", [True, False])
@virtual
async def test_a_node_of_that_name_that_somebody_else_deletes_is_waited_for_by_the_planner(
    machine: bool, seconds: float, outcome: str
) -> None:
    """Whether or not the watch has shown the Node."""
    async with Bed() as bed:
        if machine:
            bed.people.join("n1")
        else:
            bed.api.create("nodes", {"metadata": {"name": "n1"}, "spec": {}, "status": {}})
        go(bed)
        await bed.run(seconds)
        created = bed.planner.create("n1")
        await bed.answered(created)
        assert bed.planner.final(created) == f"{outcome} NODE_TERMINATING"
        assert bed.asked("delete", "nodes") == bed.asked("patch", "nodes") == []
        bed.people.let_go("nodes", "n1")
        await bed.run(seconds)
        again = bed.planner.create("n1")
        await bed.answered(again)
        assert bed.planner.final(again) == DONE


@virtual
async def test_a_node_of_ours_that_is_being_deleted_is_made_anew_once_it_is_gone() -> None:
    async with Bed() as bed:
        await placeholder(bed)
        old = (bed.node("n1") or {})["metadata"]["uid"]
        go(bed)
        await bed.run(5)
        again = bed.planner.create("n1", within=200)
        pinned = bed.planner.pin("n1", *bed.people.pods(1), within=200)
        await bed.run(20)
        assert bed.planner.final(again) == ""
        bed.people.let_go("nodes", "n1")
        await bed.answered(again, within=60)
        assert bed.planner.final(again) == DONE
        assert (bed.node("n1") or {})["metadata"]["uid"] != old
        await bed.answered(pinned)
        assert bed.repeated() == {}


@pytest.mark.parametrize("deed", ["delete", "release"])
@virtual
async def test_days_that_end_with_a_node_held_by_others_come_to_an_end(deed: str) -> None:
    async with Bed() as bed:
        day = Day(bed)
        await day.do(0.0, "create", "n1", 60.0)
        await day.do(0.5, "pin", "n1", 2, 60.0)
        await day.do(2.0, "join", "n1", False)
        await day.do(0.5, "is_held", "nodes", "n1")
        await day.do(0.5, "is_deleted", "nodes", "n1")
        await day.do(0.5, "pin", "n1", 2, 60.0)
        await day.do(0.5, deed, "n1", 30.0)
        await day.end()
