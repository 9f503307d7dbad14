"""Pods that only the scheduler can place, with planner, server and scheduler: nominated, and released again."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from moorage.pinner.names import FINALIZER, PREPARING
from tests.unit.pinner.bed import Bed, Json, faults, prune, virtual
from tests.unit.pinner.bed.people import DEVICE
from tests.unit.pinner.bed.store import Change, key_of

from .test_bed_answers import assert_answered_once, placeholder


class Scheduler:
    """Places nominated pods once the node is open, or fails with each and clears its nomination.

    Args:
        bed: where.
        fails: how often each pod's attempt fails.
    """

    def __init__(self, bed: Bed, *, fails: int = 0) -> None:
        self._api, self.fails = bed.api, fails
        self.nominated: dict[str, list[float]] = {}  # when each pod was nominated
        self._now = bed.now
        bed.api.store.listeners.append(self._on_change)

    def _on_change(self, plural: str, change: Change) -> None:
        if plural == "pods" and change.object.get("status", {}).get("nominatedNodeName"):
            times = self.nominated.setdefault(key_of(change.object), [])
            if not times or self._now() > times[-1]:
                times.append(self._now())
            if len(times) <= self.fails:
                self._api.edit("pods", key_of(change.object), _fail)
        elif plural == "nodes" and not guarded(change.object):
            for pod in tuple(self._api.store.objects["pods"].values()):
                if pod["status"].get("nominatedNodeName") == change.object["metadata"]["name"]:
                    self._api.edit("pods", key_of(pod), _place)


def _fail(pod: Json) -> None:
    pod["status"].pop("nominatedNodeName")


def _place(pod: Json) -> None:
    pod["spec"]["nodeName"] = pod["status"].pop("nominatedNodeName")


def guarded(node: Json | None) -> bool:
    taints = (node or {}).get("spec", {}).get("taints", ())
    return any((taint["key"], taint["effect"]) == (PREPARING, "NoSchedule") for taint in taints)


def nomination(bed: Bed, pod: Json) -> str:
    return str((bed.api.read("pods", key_of(pod)) or {}).get("status", {}).get("nominatedNodeName", ""))


def is_open(bed: Bed) -> bool:
    return FINALIZER in (bed.reservation("n1") or {"metadata": {}})["metadata"].get("finalizers", ())


def results(bed: Bed, instruction: str) -> set[tuple[str, str]]:
    return {(each.outcome.name, each.reason.name) for each in bed.planner.finals(instruction)[0][1].pods}


async def nominate(
    bed: Bed, count: int, *, within: float = 120.0, devices: int | None = None
) -> tuple[str, list[Json]]:
    """Pods with a device each are pinned to a placeholder. A machine joins and reports its devices later."""
    await placeholder(bed, pods=1)
    pods = bed.people.pods_with_devices(count)
    pinned = bed.planner.pin("n1", *pods, within=within)
    await bed.run(2)
    bed.people.join("n1")
    await bed.run(5)
    assert guarded(bed.node("n1")), "the devices are not there yet"
    assert not any(nomination(bed, pod) for pod in pods)
    bed.people.publish("n1", count if devices is None else devices)
    return pinned, pods


@virtual
async def test_every_pod_comes_to_its_node_and_is_told_from_a_pin() -> None:
    async with Bed() as bed:
        scheduler = Scheduler(bed)
        pinned, pods = await nominate(bed, 4)
        await bed.answered(pinned)
        assert results(bed, pinned) == {("APPLIED", "POD_NOMINATED")}
        assert {pod["metadata"]["uid"] for pod in pods} <= bed.bound("n1")
        assert {len(times) for times in scheduler.nominated.values()} == {1}
        await bed.until(lambda: not is_open(bed))
        assert len(bed.said("pod nominated")) == len(bed.told("Nominated")) == 4
        assert len(bed.asked("patch", "nodes")) == 1, "the taint goes in one patch"
        assert bed.repeated() == {}


@virtual
async def test_the_taint_stays_until_the_watch_has_shown_every_nomination() -> None:
    async with Bed() as bed:
        pinned, pods = await nominate(bed, 2)
        bed.wire.hold("pods")
        await bed.until(lambda: all(nomination(bed, pod) for pod in pods))
        await bed.run(5)
        assert guarded(bed.node("n1"))
        bed.wire.let_go()
        await bed.until(lambda: not guarded(bed.node("n1")))
        assert bed.planner.final(pinned) == ""


@pytest.mark.parametrize("fails", [1, 2, 3])
@virtual
async def test_a_scheduler_that_fails_is_asked_three_times_at_most_and_not_too_soon(fails: int) -> None:
    async with Bed() as bed:
        scheduler = Scheduler(bed, fails=fails)
        pinned, pods = await nominate(bed, 2)
        await bed.answered(pinned, within=60)
        for times in scheduler.nominated.values():
            assert len(times) == min(fails + 1, 3)
            assert all(later - earlier >= 10 for earlier, later in pairwise(times))
        expected = ("APPLIED", "POD_NOMINATED") if fails < 3 else ("REJECTED", "NOMINATION_LOST")
        assert results(bed, pinned) == {expected}
        await bed.until(lambda: not is_open(bed))
        assert not guarded(bed.node("n1"))
        assert not any(nomination(bed, pod) for pod in pods)


@virtual
async def test_at_the_deadline_a_nomination_is_taken_back() -> None:
    async with Bed() as bed:
        pinned, pods = await nominate(bed, 2, within=40)
        await bed.until(lambda: not guarded(bed.node("n1")))
        assert all(nomination(bed, pod) for pod in pods)
        await bed.answered(pinned, within=40)
        assert results(bed, pinned) == {("FAILED", "DEADLINE_PASSED")}
        await bed.until(lambda: not is_open(bed))
        assert not any(nomination(bed, pod) for pod in pods)
        assert len(bed.said("nomination taken back")) == 2
        assert (bed.reservation("n1") or {})["spec"].get("nominations", []) == []


@virtual
async def test_devices_that_never_come_hold_the_node_until_the_deadline_and_no_longer() -> None:
    async with Bed() as bed:
        await placeholder(bed)
        pods = bed.people.pods_with_devices(1)
        pinned = bed.planner.pin("n1", *pods, within=30)
        bed.people.join("n1")
        await bed.answered(pinned, within=35)
        assert results(bed, pinned) == {("FAILED", "DEADLINE_PASSED")}
        (result,) = bed.planner.finals(pinned)[0][1].pods
        assert DEVICE in result.sentence
        await bed.until(lambda: not guarded(bed.node("n1")))
        assert bed.asked("patch", "pods/status") == []


@virtual
async def test_more_pods_than_devices_leave_the_rest_to_the_scheduler() -> None:
    async with Bed() as bed:
        Scheduler(bed)
        pinned, _ = await nominate(bed, 3, devices=2)
        await bed.answered(pinned)
        assert results(bed, pinned) == {("APPLIED", "POD_NOMINATED"), ("REJECTED", "NODE_FULL")}


@pytest.mark.parametrize("foreign", ["before", "after"])
@virtual
async def test_what_somebody_else_has_nominated_is_never_written_to(foreign: str) -> None:
    async with Bed() as bed:
        await placeholder(bed)
        pods = bed.people.pods_with_devices(2)
        pinned = bed.planner.pin("n1", *pods, within=60)
        await bed.run(2)

        def overwrite() -> None:
            bed.api.edit("pods", key_of(pods[0]), lambda pod: pod["status"].update(nominatedNodeName="theirs"))

        if foreign == "before":
            overwrite()
        bed.people.join("n1")
        bed.people.publish("n1", 2)
        await bed.until(lambda: not guarded(bed.node("n1")))
        if foreign == "after":
            overwrite()
        await bed.answered(pinned, within=70)
        await bed.until(lambda: not is_open(bed))
        assert nomination(bed, pods[0]) == "theirs"
        assert len(bed.asked("patch", "pods/status", key_of(pods[0]))) == (0 if foreign == "before" else 1)
        assert ("REJECTED", "POD_NOMINATED") in results(bed, pinned)


@virtual
async def test_a_pod_that_the_scheduler_writes_to_at_that_moment_is_nominated_as_it_is_then() -> None:
    async with Bed() as bed:
        await placeholder(bed)
        (pod,) = bed.people.pods_with_devices(1)
        bed.planner.pin("n1", pod)
        await bed.run(2)
        rule = bed.wire.faults.set(faults.meanwhile(_condition(bed, pod)), "patch", "pods/status", times=2)
        bed.people.join("n1")
        bed.people.publish("n1", 1)
        await bed.until(lambda: not guarded(bed.node("n1")), within=5)
        assert rule.met == 2
        assert nomination(bed, pod) == "n1"
        assert (bed.reservation("n1") or {})["spec"]["nominations"][0]["tries"] == 1


def _condition(bed: Bed, pod: Json) -> Callable[[], Any]:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
    return lambda: bed.api.edit("pods", key_of(pod), lambda found: found["status"].update(conditions=[condition]))


REFUSED = {"a policy": faults.deny(), "no right": faults.lack_right}


@pytest.mark.parametrize("refused", list(REFUSED))
@virtual
async def test_where_nominating_is_refused_the_node_is_not_held_for_it(refused: str) -> None:
    async with Bed() as bed:
        bed.wire.faults.set(REFUSED[refused], "patch", "pods/status")
        pinned, _ = await nominate(bed, 2)
        await bed.answered(pinned, within=10)
        assert results(bed, pinned) == {("FAILED", "API_REFUSED")}
        await bed.until(lambda: not guarded(bed.node("n1")), within=5)
        assert bed.repeated() == {}


@virtual
async def test_where_it_cannot_be_written_down_nobody_is_nominated() -> None:
    async with Bed() as bed:
        bed.api.policies.append(prune("spec", "nominations", resource="nodereservations"))
        pinned, _ = await nominate(bed, 2)
        await bed.answered(pinned, within=10)
        assert results(bed, pinned) == {("FAILED", "API_REFUSED")}
        assert bed.asked("patch", "pods/status") == []
        await bed.until(lambda: not guarded(bed.node("n1")), within=5)


@pytest.mark.parametrize(
    "fault", [faults.fail(503), faults.refuse_connection, faults.lose_answer, faults.answer_too_late]
)
@pytest.mark.parametrize("resource", ["pods/status", "nodereservations"])
@virtual
async def test_a_request_that_fails_costs_a_try_and_nothing_else(resource: str, fault: Any) -> None:
    async with Bed() as bed:
        scheduler = Scheduler(bed)
        pinned, _ = await nominate(bed, 2)
        bed.wire.faults.set(fault, "patch" if resource == "pods/status" else "update", resource, times=1)
        await bed.answered(pinned, within=110)
        assert results(bed, pinned) == {("APPLIED", "POD_NOMINATED")}
        assert all(len(times) <= 2 for times in scheduler.nominated.values())
        assert bed.repeated() == {}
        assert_answered_once(bed)


@pytest.mark.parametrize("moment", [0.0, 0.05, 0.1, 0.2, 1.0, 5.0])
@virtual
async def test_a_leader_that_dies_leaves_nothing_that_the_next_does_not_know(moment: float) -> None:
    async with Bed() as bed:
        scheduler = Scheduler(bed)
        pinned, pods = await nominate(bed, 3)
        await bed.run(moment)
        await bed.crash()
        await bed.answered(pinned, within=60)
        assert results(bed, pinned) <= {("APPLIED", "POD_NOMINATED"), ("APPLIED", "OK")}
        assert {pod["metadata"]["uid"] for pod in pods} <= bed.bound("n1")
        assert all(len(times) <= 2 for times in scheduler.nominated.values())


@pytest.mark.parametrize("end", ["deleted by hand", "the node goes"])
@virtual
async def test_whoever_ends_it_no_nomination_of_ours_is_left(end: str) -> None:
    async with Bed() as bed:
        _, pods = await nominate(bed, 2)
        await bed.until(lambda: not guarded(bed.node("n1")))
        assert all(nomination(bed, pod) for pod in pods)
        if end == "deleted by hand":
            bed.api.delete("nodereservations", "n1")
        else:
            bed.api.delete("nodes", "n1")
        await bed.until(lambda: not any(nomination(bed, pod) for pod in pods))
        await bed.until(lambda: bed.reservation("n1") is None)


@virtual
async def test_a_release_says_nothing_of_pods_that_are_nominated() -> None:
    async with Bed() as bed:
        _, pods = await nominate(bed, 2)
        await bed.until(lambda: not guarded(bed.node("n1")))
        await bed.answered(bed.planner.release("n1"))
        await bed.run(5)
        assert all(nomination(bed, pod) for pod in pods)
