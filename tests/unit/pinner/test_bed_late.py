"""Nodes that machines register themselves (profile late): none is created, and nothing happens before they match."""

from __future__ import annotations

from typing import Any

import pytest

from moorage.pinner.names import FINALIZER, PREPARING, RESERVATION_ANNOTATION, UNREGISTERED
from moorage.protocol import NodeState
from tests.unit.pinner.bed import BATCH, Bed, Json, faults, prune, virtual
from tests.unit.pinner.bed.store import Change

from .test_bed_answers import DONE, assert_answered_once
from .test_bed_nominations import Scheduler, guarded, results

KNOWN: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "providerID": ({"provider_id": "gce://project/zone/vm-1"}, {"providerID": "gce://project/zone/vm-1"}),
    "NodeClaim": ({"node_claim": "default-x7k2p"}, {"owner": "default-x7k2p"}),
    "labels": ({"match_labels": BATCH}, {"labels": BATCH}),
    "all of them": (
        {"provider_id": "p", "node_claim": "c", "match_labels": BATCH},
        {"providerID": "p", "owner": "c", "labels": BATCH},
    ),
}
OTHERS: dict[str, dict[str, Any]] = {
    "providerID": {"providerID": "gce://project/zone/vm-2"},
    "NodeClaim": {"owner": "default-other"},
    "labels": {"labels": {"batch": "c"}},
    "all of them": {"providerID": "p", "owner": "c"},
}


def taints(bed: Bed, name: str) -> list[str]:
    return [taint["key"] for taint in (bed.node(name) or {"spec": {}})["spec"].get("taints", ())]


def learned(bed: Bed, name: str = "n1") -> str:
    return str((bed.reservation(name) or {"spec": {}})["spec"].get("nodeName", ""))


def is_open(bed: Bed, name: str = "n1") -> bool:
    return FINALIZER in (bed.reservation(name) or {"metadata": {}})["metadata"].get("finalizers", ())


def assert_nothing_was_made(bed: Bed) -> None:
    """No Node or Lease is ours, and none was deleted."""
    for verb in ("create", "delete"):
        assert bed.asked(verb, "nodes") == bed.asked(verb, "leases") == []
    assert bed.asked("update", "leases") == []


async def promised(bed: Bed, count: int = 2, *, within: float = 60.0, **known: Any) -> tuple[str, str, list[Json]]:
    """A late node with plain pods that are pinned to it, and that wait."""
    pods = bed.people.pods(count)
    created, pinned = bed.planner.create_late("n1", within=within, **known), bed.planner.pin("n1", *pods, within=within)
    await bed.run(5)
    assert bed.planner.final(created) == bed.planner.final(pinned) == ""
    return created, pinned, pods


@pytest.mark.parametrize("how", list(KNOWN))
@virtual
async def test_plain_pods_are_bound_to_the_node_that_registers_and_then_it_is_opened(how: str) -> None:
    wanted, machine = KNOWN[how]
    async with Bed() as bed:
        created, pinned, pods = await promised(bed, **wanted)
        bed.people.register("other", **OTHERS[how])
        await bed.run(5)
        assert bed.planner.final(pinned) == learned(bed) == ""
        bed.people.register("machine", **machine)
        await bed.answered(created, pinned)
        assert bed.planner.final(created) == bed.planner.final(pinned) == DONE
        assert bed.bound("machine") == {pod["metadata"]["uid"] for pod in pods}
        await bed.until(lambda: not is_open(bed))
        assert taints(bed, "machine") == []
        assert taints(bed, "other") == [PREPARING]
        ((_, ack),) = bed.planner.finals(pinned)
        assert {each.node for each in ack.pods} == {"machine"}
        await bed.run(20)
        assert_nothing_was_made(bed)
        assert [each.state for each in bed.reports if each.node == "n1"][-1] is NodeState.READY
        assert bed.reports[-1].node_uid == (bed.node("machine") or {})["metadata"]["uid"]
        assert bed.repeated() == {}


@virtual
async def test_which_node_it_is_is_written_down_before_anything_is_done_there() -> None:
    async with Bed() as bed:
        await promised(bed)
        known: list[str] = []

        def see(plural: str, change: Change) -> None:
            if plural == "pods" and change.object["spec"].get("nodeName") == "machine":
                known.append(learned(bed))

        bed.api.store.listeners.append(see)
        rule = bed.wire.faults.set(faults.fail(503), "update", "nodereservations", times=3)
        bed.people.register("machine", labels=BATCH)
        await bed.until(lambda: not is_open(bed))
        assert rule.met == 3
        assert known
        assert set(known) == {"machine"}


@virtual
async def test_an_older_definition_keeps_no_name_and_nothing_is_done_to_the_node() -> None:
    async with Bed() as bed:
        bed.api.policies.append(prune("spec", "nodeName", resource="nodereservations"))
        created, pinned, _ = await promised(bed, within=30)
        bed.people.register("machine", labels=BATCH)
        await bed.answered(created, pinned, within=35)
        assert bed.planner.outcome(created) == bed.planner.outcome(pinned) == "FAILED"
        assert bed.bound("machine") == set()
        assert bed.asked("patch", "nodes") == []
        assert bed.repeated() == {}


@virtual
async def test_pods_with_devices_are_nominated_once_these_are_published() -> None:
    async with Bed() as bed:
        Scheduler(bed)
        (plain,), devices = bed.people.pods(1), bed.people.pods_with_devices(2)
        bed.planner.create_late("n1")
        pinned = bed.planner.pin("n1", *devices, plain)
        await bed.run(2)
        bed.people.register("machine", labels=BATCH)
        await bed.run(5)
        assert bed.bound("machine") == {plain["metadata"]["uid"]}
        assert guarded(bed.node("machine"))
        bed.people.publish("machine", 2)
        await bed.answered(pinned)
        assert results(bed, pinned) == {("APPLIED", "POD_NOMINATED"), ("APPLIED", "OK")}
        assert {pod["metadata"]["uid"] for pod in devices} < bed.bound("machine")
        assert len(bed.asked("patch", "nodes")) == 1, "the taint goes in one patch"


@virtual
async def test_pods_that_were_expected_and_wait_are_bound_at_the_join() -> None:
    async with Bed() as bed:
        created, expected = bed.planner.create_late("n1"), bed.planner.expect("n1", 2)
        pods = bed.people.pods(3)
        await bed.run(5)
        bed.people.register("machine", labels=BATCH)
        await bed.answered(created, expected)
        await bed.until(lambda: not is_open(bed))
        assert len(bed.bound("machine") & {pod["metadata"]["uid"] for pod in pods}) == 2
        await bed.until(lambda: bed.reports[-1].state is NodeState.READY)
        assert [(slot.count, slot.left) for slot in bed.reports[-1].slots] == [(2, 0)]


@virtual
async def test_a_node_may_be_there_before_it_is_promised() -> None:
    async with Bed() as bed:
        bed.people.register("machine", labels=BATCH)
        await bed.run(100)
        assert bed.writes() == []
        pods = bed.people.pods(2)
        ids = bed.planner.create_late("n1"), bed.planner.pin("n1", *pods)
        await bed.answered(*ids)
        assert bed.bound("machine") == {pod["metadata"]["uid"] for pod in pods}


@pytest.mark.parametrize("first", [False, True])
@virtual
async def test_a_machine_may_be_called_as_the_plan_calls_it(first: bool) -> None:
    async with Bed() as bed:
        if first:
            bed.people.register("n1", labels=BATCH)
            await bed.run(2)
        pods = bed.people.pods(2)
        created, pinned = bed.planner.create_late("n1"), bed.planner.pin("n1", *pods)
        await bed.run(2)
        if not first:
            bed.people.register("n1", labels=BATCH)
        await bed.answered(created, pinned)
        assert bed.planner.final(created) == bed.planner.final(pinned) == DONE
        assert bed.bound("n1") == {pod["metadata"]["uid"] for pod in pods}
        await bed.until(lambda: not is_open(bed))
        await bed.run(150)
        assert_nothing_was_made(bed)
        assert len(bed.told("NodeUnclaimed")) == int(first), "nobody meant it before the plan came"


@virtual
async def test_another_machine_of_the_name_that_the_plan_gives_is_not_meant() -> None:
    async with Bed() as bed:
        _, pinned, _ = await promised(bed)
        bed.people.register("n1", labels={"batch": "c"}, taints=[])
        await bed.run(10)
        assert bed.planner.final(pinned) == learned(bed) == ""
        bed.people.register("machine", labels=BATCH)
        await bed.answered(pinned)
        assert learned(bed) == "machine"
        assert bed.asked("patch", "nodes", "n1") == []


@virtual
async def test_what_karpenter_has_not_completed_is_waited_for() -> None:
    async with Bed() as bed:
        _, pinned, _ = await promised(bed)
        bed.people.register("machine", labels=BATCH, taints=[UNREGISTERED])
        await bed.run(10)
        assert learned(bed) == ""

        def complete(node: Json) -> None:
            node["spec"]["taints"] = [{"key": PREPARING, "effect": "NoSchedule"}]

        bed.api.edit("nodes", "machine", complete)
        await bed.answered(pinned)
        assert bed.planner.final(pinned) == DONE


@virtual
async def test_a_machine_that_came_without_the_taint_is_left_to_the_scheduler() -> None:
    async with Bed() as bed:
        created, pinned, _ = await promised(bed)
        bed.people.register("machine", labels=BATCH, taints=[])
        await bed.answered(created, pinned, within=10)
        assert bed.planner.final(created) == bed.planner.final(pinned) == "REJECTED NODE_IS_REAL"
        ((_, ack),) = bed.planner.finals(created)
        assert PREPARING in ack.sentence
        await bed.until(lambda: not is_open(bed))
        await bed.run(60)
        assert bed.asked("patch", "nodes") == []
        assert bed.bound("machine") == set()
        assert [event.about for event in bed.told("NodeLeftAlone")] == ["machine"]
        assert bed.reports[-1].state is NodeState.FOREIGN
        assert_answered_once(bed)


@virtual
async def test_machines_of_an_earlier_day_with_the_same_labels_are_none_of_its_business() -> None:
    async with Bed() as bed:
        bed.people.register("yesterday", labels=BATCH, taints=[])
        await bed.run(10)
        _, pinned, pods = await promised(bed)
        assert learned(bed) == ""
        bed.people.register("today", labels=BATCH)
        await bed.answered(pinned)
        assert bed.bound("today") == {pod["metadata"]["uid"] for pod in pods}


@virtual
async def test_of_two_that_match_the_first_stays_and_the_second_is_left_alone() -> None:
    async with Bed() as bed:
        _, pinned, pods = await promised(bed)
        bed.people.register("first", labels=BATCH)
        bed.people.register("second", labels=BATCH)
        await bed.answered(pinned)
        await bed.run(30)
        assert bed.bound("first") == {pod["metadata"]["uid"] for pod in pods}
        assert [each.key for each in bed.asked("patch", "nodes")] == ["first"]
        assert taints(bed, "second") == [PREPARING]
        (waits,) = bed.told("NodeUnclaimed")
        assert waits.about == "second"
        assert "n1" in waits.note
        await bed.run(120)
        assert taints(bed, "second") == []
        assert [each.key for each in bed.asked("patch", "nodes")] == ["first", "second"]
        assert bed.said("no reservation has is open") == ["node that no reservation has is open to the scheduler"]
        assert bed.bound("second") == set()


@virtual
async def test_of_several_promises_with_the_same_labels_each_takes_one_node() -> None:
    async with Bed() as bed:
        names = ["n1", "n2", "n3"]
        pods = {name: bed.people.pods(1) for name in names}
        pinned = []
        for name in names:
            bed.planner.create_late(name)
            pinned.append(bed.planner.pin(name, *pods[name]))
        await bed.run(2)
        for number in range(3):
            bed.people.register(f"machine-{number}", labels=BATCH)
        await bed.answered(*pinned)
        assert {bed.planner.final(each) for each in pinned} == {DONE}
        machines = {learned(bed, name): name for name in names}
        assert sorted(machines) == ["machine-0", "machine-1", "machine-2"]
        for machine, name in machines.items():
            assert bed.bound(machine) == {pods[name][0]["metadata"]["uid"]}


@pytest.mark.parametrize("spoilt", ["torn", "given up"])
@virtual
async def test_a_promise_that_is_not_kept_takes_no_node_from_another(spoilt: str) -> None:
    async with Bed() as bed:
        bed.planner.create_late("n0")
        pods = bed.people.pods(1)
        bed.planner.create_late("n1")
        pinned = bed.planner.pin("n1", *pods)
        await bed.run(5)
        changes: Json = {"deadline": "whenever"} if spoilt == "torn" else {"intent": "Delete"}
        bed.people.hold("nodereservations", "n0")
        bed.api.edit("nodereservations", "n0", lambda found: found["spec"].update(changes))
        await bed.run(1)
        bed.people.register("machine", labels=BATCH)
        await bed.answered(pinned)
        assert bed.planner.final(pinned) == DONE
        assert bed.bound("machine") == {pods[0]["metadata"]["uid"]}


@virtual
async def test_when_nothing_comes_the_pods_are_left_to_the_scheduler_at_the_deadline() -> None:
    async with Bed() as bed:
        created, pinned, _ = await promised(bed, within=30)
        await bed.answered(created, pinned, within=35)
        assert bed.planner.final(created) == bed.planner.final(pinned) == "FAILED NODE_FAILED"
        ((_, ack),) = bed.planner.finals(pinned)
        assert {each.outcome.name for each in ack.pods} == {"FAILED"}
        assert all("labels batch=b" in each.sentence for each in ack.pods)
        await bed.until(lambda: bed.reservation("n1") is None)
        bed.people.register("machine", labels=BATCH)
        await bed.run(30)
        assert_nothing_was_made(bed)
        assert bed.bound("machine") == set()


@virtual
async def test_a_machine_that_is_never_ready_is_opened_at_the_deadline_and_its_pods_go_elsewhere() -> None:
    async with Bed() as bed:
        created, pinned, pods = await promised(bed, within=30)
        bed.people.register("machine", labels=BATCH, ready=False)
        bed.people.kubelets.clear()
        await bed.answered(pinned)
        assert bed.planner.final(pinned) == DONE
        await bed.until(lambda: not is_open(bed), within=60)
        assert bed.planner.final(created) == DONE
        assert PREPARING not in taints(bed, "machine")
        assert {each.key for each in bed.asked("delete", "pods")} == {f"ns/{pod['metadata']['name']}" for pod in pods}
        assert_nothing_was_made(bed)


@pytest.mark.parametrize("end", ["deleted", "released", "deleted by hand"])
@virtual
async def test_given_up_before_the_machine_comes_nothing_is_left(end: str) -> None:
    async with Bed() as bed:
        created, pinned, _ = await promised(bed)
        if end == "deleted":
            await bed.answered(bed.planner.delete("n1"))
        elif end == "released":
            bed.people.replaces_pods = False
            for pod in list(bed.api.store.objects["pods"].values()):
                bed.api.delete("pods", f"ns/{pod['metadata']['name']}", gracePeriodSeconds=0)
            bed.planner.release("n1")
        else:
            bed.api.delete("nodereservations", "n1")
        await bed.until(lambda: bed.reservation("n1") is None)
        await bed.answered(created, pinned)
        assert bed.planner.outcome(created) in ("REJECTED", "FAILED")
        assert_nothing_was_made(bed)


@virtual
async def test_given_up_after_the_machine_has_come_our_taint_goes_and_the_rest_stays() -> None:
    async with Bed() as bed:
        (plain,), devices = bed.people.pods(1), bed.people.pods_with_devices(1)
        bed.planner.create_late("n1")
        bed.planner.pin("n1", *devices, plain)
        await bed.run(2)
        label = {"node.kubernetes.io/exclude-disruption": "true"}
        bed.people.register("machine", labels={**BATCH, **label})
        await bed.until(lambda: bed.bound("machine"))
        deleted = bed.planner.delete("n1")
        await bed.answered(deleted)
        assert bed.planner.final(deleted) == "REJECTED NODE_IS_REAL"
        bed.api.delete("nodereservations", "n1")
        await bed.until(lambda: bed.reservation("n1") is None)
        assert taints(bed, "machine") == []
        assert label.items() <= (bed.node("machine") or {})["metadata"]["labels"].items()
        assert bed.bound("machine") == {plain["metadata"]["uid"]}
        assert_nothing_was_made(bed)


@virtual
async def test_nothing_is_completed_on_a_node_that_others_have_made_only_said() -> None:
    async with Bed() as bed:
        pinned = bed.planner.pin("n1", *bed.people.pods(1))
        await bed.answered(pinned)
        created = bed.planner.create_late("n1", match_labels=BATCH)
        asked = bed.planner.create("n2", labels={"pool": "b"}, profile="late", match_labels={"batch": "c"})
        await bed.run(2)
        bed.people.register("machine", labels={"batch": "c"})
        await bed.answered(asked)
        await bed.until(lambda: not is_open(bed, "n2"))
        labels = (bed.node("machine") or {})["metadata"]["labels"]
        assert labels == {"pool": "a", "batch": "c", "kubernetes.io/hostname": "machine"}
        (differs,) = bed.told("NodeDiffers", "machine")
        assert "pool" in differs.note
        assert bed.planner.final(created) == ""


@virtual
async def test_pods_are_judged_by_what_the_node_really_is() -> None:
    async with Bed() as bed:
        (pod,) = bed.people.pods(1, nodeSelector={"disk": "fast"})
        promise = {"labels": {"disk": "fast"}, "profile": "late", "match_labels": BATCH}
        bed.planner.create("n1", **promise)  # type: ignore[arg-type]
        pinned = bed.planner.pin("n1", pod)
        await bed.run(2)
        bed.people.register("machine", labels=BATCH)
        await bed.answered(pinned)
        assert results(bed, pinned) == {("REJECTED", "DOES_NOT_FIT")}


@pytest.mark.parametrize("moment", [0.0, 0.02, 0.05, 0.1, 0.3, 1.0, 5.0])
@virtual
async def test_a_leader_that_dies_leaves_nothing_that_the_next_does_not_know(moment: float) -> None:
    async with Bed() as bed:
        created, pinned, pods = await promised(bed)
        bed.people.register("machine", labels=BATCH)
        bed.people.register("other", labels=BATCH)
        await bed.run(moment)
        await bed.crash()
        await bed.answered(created, pinned)
        assert bed.planner.final(created) == bed.planner.final(pinned) == DONE
        await bed.until(lambda: not is_open(bed))
        machine = learned(bed)
        assert {pod["metadata"]["uid"] for pod in pods} == bed.bound(machine)
        assert taints(bed, machine) == []
        await bed.crash()
        await bed.run(30)
        assert bed.reports[-1].state is NodeState.READY
        annotations = (bed.node(machine) or {})["metadata"]["annotations"]
        assert annotations == {RESERVATION_ANNOTATION: (bed.reservation("n1") or {})["metadata"]["uid"]}


@pytest.mark.parametrize("again", [False, True])
@virtual
async def test_a_node_that_goes_before_it_is_ready_is_no_promise_kept(again: bool) -> None:
    async with Bed() as bed:
        created, pinned, pods = await promised(bed)
        bed.people.register("machine", labels=BATCH, ready=False)
        await bed.until(lambda: len(bed.bound("machine")) == len(pods))
        bed.api.delete("nodes", "machine")
        if again:
            bed.people.register("machine", labels=BATCH, ready=False)
        await bed.until(lambda: bed.reservation("n1") is None, within=60)
        await bed.answered(created, pinned)
        assert bed.reports[-1].state is NodeState.GONE
        assert_nothing_was_made(bed)


@virtual
async def test_a_reservation_by_hand_for_the_node_of_another_does_nothing() -> None:
    async with Bed() as bed:
        bed.planner.create_late("n1")
        bed.people.register("machine", labels=BATCH, ready=False)
        await bed.until(lambda: learned(bed) == "machine")
        stored = (bed.reservation("n1") or {})["spec"]
        bed.api.create("nodereservations", {"metadata": {"name": "by-hand"}, "spec": stored})
        await bed.run(10)
        status = (bed.reservation("by-hand") or {})["status"]
        assert status["state"] == "Stopped"
        assert "is that of reservation n1" in status["message"]
