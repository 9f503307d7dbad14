"""Pins that others end again and again: a few times, and then the owner is left to the scheduler, with the reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moorage.pinner.names import NOT_READY, PIN_ANNOTATION, UNREACHABLE
from moorage.protocol import NodeReport
from tests.examples import examples
from tests.unit.pinner.bed import Bed, Json, run, virtual
from tests.unit.pinner.bed.store import Change, key_of

from .test_bed_answers import placeholder

LIMIT = 3
CAPPED = "OWNER_CAPPED"


class Ender:
    """Ends every pod that is pinned, and counts them; a planner pins all that waits."""

    def __init__(self, bed: Bed, node: str = "n1", owner: str = "web") -> None:
        self.bed, self.node, self.owner = bed, node, owner
        self.pins: list[tuple[float, str]] = []
        self.plans = True
        self._seen: set[str] = set()
        self._asked: set[str] = set()
        bed.api.store.listeners.append(self._on_change)

    def _on_change(self, plural: str, change: Change) -> None:
        meta = change.object["metadata"]
        if plural == "pods" and change.object["spec"].get("nodeName") and meta["uid"] not in self._seen:
            self._seen.add(meta["uid"])
            if PIN_ANNOTATION in meta.get("annotations", {}):
                self.pins.append((self.bed.now(), meta["uid"]))

    def plan(self) -> None:
        """Pin what waits, each pod once."""
        for pod in tuple(self.bed.api.store.objects["pods"].values()):
            uid = pod["metadata"]["uid"]
            if self.plans and not pod["spec"].get("nodeName") and uid not in self._asked and self.bed.node(self.node):
                self._asked.add(uid)
                self.bed.planner.pin(self.node, pod, within=60)

    def alive(self) -> list[Json]:
        """The pinned pods that nobody has ended."""
        pods = tuple(self.bed.api.store.objects["pods"].values())
        bound = [pod for pod in pods if pod["spec"].get("nodeName") == self.node]
        return [
            pod for pod in bound if "deletionTimestamp" not in pod["metadata"] and pod["status"]["phase"] == "Pending"
        ]

    async def days(self, seconds: float, how: Callable[[Bed, Json], None], every: float = 1.0) -> None:
        """For so long everything is pinned and ended again."""
        end = self.bed.now() + seconds
        while self.bed.now() < end:
            self.plan()
            await self.bed.run(every)
            for pod in self.alive():
                how(self.bed, pod)


def refused_by_kubelet(bed: Bed, pod: Json) -> None:
    bed.people.fail(pod, "OutOfcpu")


def evicted(bed: Bed, pod: Json) -> None:
    target = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
    bed.api.edit("pods", key_of(pod), lambda found: found["status"].setdefault("conditions", []).append(target))
    bed.api.delete("pods", key_of(pod))


def deleted_at_once(bed: Bed, pod: Json) -> None:
    bed.api.delete("pods", key_of(pod), gracePeriodSeconds=0)


def does_not_fit_any_more(bed: Bed, pod: Json) -> None:
    """Another webhook has changed it, so that the pinner sweeps it."""
    bed.api.edit("pods", key_of(pod), lambda found: found["spec"].update(nodeSelector={"pool": "other"}))


HOW = {each.__name__: each for each in (refused_by_kubelet, evicted, deleted_at_once, does_not_fit_any_more)}


@pytest.mark.parametrize("replicas", [1, 2, 5])
@pytest.mark.parametrize("how", HOW)
@virtual
async def test_whoever_ends_them_it_ends_soon(how: str, replicas: int) -> None:
    async with Bed() as bed:
        await placeholder(bed, within=3000)
        ender = Ender(bed)
        bed.people.pods(replicas)
        await ender.days(120, HOW[how], every=2.0)
        assert LIMIT * replicas <= len(ender.pins) + replicas, "it was tried"
        assert len(ender.pins) <= LIMIT * replicas
        reasons = {bed.planner.final(each) for each in bed.planner.issued}
        assert f"REJECTED {CAPPED}" in reasons
        notes = [
            each.note for each in bed.told("NotPinned") if "pinned pods of ReplicaSet ns/web ended 3 times" in each.note
        ]
        assert len(notes) == replicas, "each pod that is left to the scheduler says why"
        (told,) = bed.told("PinsSuspended", "web")
        assert "left to the scheduler until" in told.note
        assert len(bed.said("pins of an owner come to nothing, its pods are left to the scheduler")) == 1
        assert bed.repeated() == {}


@virtual
async def test_the_pods_that_are_expected_on_a_node_are_not_taken_on_either_and_the_report_says_why() -> None:
    async with Bed() as bed:
        await placeholder(bed, within=3000)
        bed.planner.expect("n1", 2, within=3000)
        await bed.run(2)
        ender = Ender(bed)
        ender.plans = False  # the slots do
        bed.people.pods(2)
        await ender.days(120, evicted, every=2.0)
        assert 3 <= len(ender.pins) <= LIMIT * 2
        (slot,) = last(bed.reports, "n1").slots
        assert "pinned pods of ReplicaSet ns/web ended 3 times" in slot.reason
        assert bed.repeated() == {}


def last(reports: list[NodeReport], node: str) -> NodeReport:
    return [report for report in reports if report.node == node][-1]


@virtual
async def test_nominations_of_an_owner_that_is_left_alone_are_taken_back() -> None:
    async with Bed() as bed:
        await placeholder(bed, within=3000)
        await placeholder(bed, "n2", within=3000)
        ender = Ender(bed, owner="gpu")
        bed.people.pods(1, "gpu")
        waiting = bed.people.pods_with_devices(1)
        id = bed.planner.pin("n2", *waiting, within=2000)
        ender._asked.add(waiting[0]["metadata"]["uid"])
        bed.people.join("n2")
        bed.people.publish("n2", 1)
        await bed.until(lambda: nominated(bed, waiting[0]) == "n2")
        await ender.days(60, evicted, every=2.0)
        await bed.answered(id)
        assert bed.planner.final(id) == f"REJECTED {CAPPED}"
        assert nominated(bed, waiting[0]) == ""
        assert bed.repeated() == {}


def nominated(bed: Bed, pod: Json) -> str:
    found = bed.api.read("pods", key_of(pod)) or {"status": {}}
    return str(found["status"].get("nominatedNodeName", ""))


@virtual
async def test_machines_that_do_not_come_are_one_time_each_and_their_pods_are_planned_anew() -> None:
    async with Bed() as bed:
        bed.people.pods(4)
        ender = Ender(bed)
        for number in range(2):
            ender.node = f"n{number}"
            bed.planner.create(ender.node, within=30)
            await bed.run(2)
            ender.plan()
            await bed.run(40)
        ender.node = "n9"
        await placeholder(bed, "n9", within=3000)
        ender.plan()
        await bed.run(5)
        assert len(bed.bound("n9")) == 4
        assert bed.told("PinsSuspended") == []


@virtual
async def test_after_an_hour_its_pods_are_pinned_again() -> None:
    async with Bed() as bed:
        await placeholder(bed, within=8000)
        ender = Ender(bed)
        bed.people.pods(1)
        await ender.days(60, evicted, every=2.0)
        assert len(ender.pins) == LIMIT
        await bed.run(3600)
        ender._asked.clear()
        ender.plan()
        await bed.run(5)
        assert len(ender.pins) == LIMIT + 1


@pytest.mark.parametrize("crashes", [False, True])
@virtual
async def test_after_an_hour_its_pods_fill_the_slots_again_although_nothing_else_happens(crashes: bool) -> None:
    async with Bed() as bed:
        bed.follow_ends()
        await bed.crash()
        await placeholder(bed, within=9000)
        bed.planner.expect("n1", 2, within=9000)
        await bed.run(2)
        ender = Ender(bed)
        ender.plans = False  # the slots do
        bed.people.pods(2)
        await bed.run(2)
        await ender.days(60, evicted, every=2.0)
        assert len(bed.told("PinsSuspended")) == 1
        before = len(ender.pins)
        if crashes:
            await bed.crash()
        await bed.run(3500)
        assert len(ender.pins) == before
        await bed.run(90)
        assert len(ender.pins) == before + 2
        assert last(bed.reports, "n1").slots[0].reason == ""
        assert bed.repeated() == {}


@virtual
async def test_another_owner_is_pinned_as_ever() -> None:
    async with Bed() as bed:
        await placeholder(bed, within=3000)
        ender = Ender(bed)
        bed.people.pods(1)
        await ender.days(60, evicted, every=2.0)
        bed.people.pods(2, "api")
        ender.plan()
        await bed.run(5)
        assert len(ender.alive()) == 2


# --- a machine that joins, and is not Ready for a while ---

HASTY: Json = {
    "tolerations": [
        {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}
        for key in (NOT_READY, UNREACHABLE)
    ]
}


def taint_manager(bed: Bed) -> None:
    """Remove the pods of a node that is not Ready, of those that tolerate that for a short time only."""
    ready = [each for each in (bed.node("n1") or {})["status"]["conditions"] if each["type"] == "Ready"]
    for pod in tuple(bed.api.store.objects["pods"].values()):
        hasty = any(each.get("tolerationSeconds", 300) < 10 for each in pod["spec"]["tolerations"])
        if ready[0]["status"] == "False" and hasty and pod["spec"].get("nodeName") == "n1":
            bed.api.delete("pods", key_of(pod), gracePeriodSeconds=1)


@pytest.mark.parametrize("expected", [False, True])
@virtual
async def test_pods_that_would_be_removed_at_once_are_pinned_when_their_machine_is_ready(expected: bool) -> None:
    """They were made and pinned every few seconds, for as long as the machine took."""
    async with Bed() as bed:
        await placeholder(bed, within=3000)
        ender = Ender(bed)
        if expected:
            bed.planner.expect("n1", 2, within=3000)
            ender.plans = False  # the slots do
        bed.people.pods(2, **HASTY)
        ender.plan()
        await bed.run(3)
        assert len(ender.pins) == 2
        bed.people.join("n1", ready=False)
        for _ in range(8):
            await bed.run(5)
            taint_manager(bed)
            ender.plan()
        assert len(ender.pins) == 2, "those that came in their place wait"
        bed.people.join("n1", ready=True)
        await bed.run(5)
        assert len(ender.pins) == 4
        assert bed.told("PinsSuspended") == []
        assert bed.repeated() == {}


@virtual
async def test_a_pod_that_waits_for_ready_says_so_at_its_deadline_and_the_patient_are_pinned_meanwhile() -> None:
    async with Bed() as bed:
        await placeholder(bed, within=3000)
        bed.people.join("n1", ready=False)
        await bed.run(2)
        hasty, patient = bed.people.pods(1, **HASTY), bed.people.pods(1)
        late, soon = bed.planner.pin("n1", *hasty, within=30), bed.planner.pin("n1", *patient, within=30)
        await bed.answered(soon, within=5)
        assert bed.planner.final(soon) == "APPLIED OK"
        await bed.answered(late, within=60)
        assert bed.planner.final(late) == "FAILED TAINT_WOULD_EVICT"
        assert bed.repeated() == {}


@virtual
async def test_a_placeholder_that_was_without_a_leader_for_long_gets_no_pods_that_it_would_lose_at_once() -> None:
    """Nobody renewed its Lease, so that it counts as unreachable: what hardly tolerates that is removed again."""
    async with Bed() as bed:
        await placeholder(bed, within=3000)
        taint = {"key": UNREACHABLE, "effect": "NoExecute"}
        bed.api.edit("nodes", "n1", lambda found: found["spec"]["taints"].append(taint))
        await bed.run(2)
        hasty, patient = bed.people.pods(1, **HASTY), bed.people.pods(1)
        late, soon = bed.planner.pin("n1", *hasty, within=90), bed.planner.pin("n1", *patient, within=90)
        await bed.answered(soon, within=5)
        await bed.run(30)
        assert bed.bound("n1") == {pod["metadata"]["uid"] for pod in patient}
        bed.people.join("n1")
        kept = [each for each in (bed.node("n1") or {})["spec"]["taints"] if each["key"] != UNREACHABLE]
        bed.api.edit("nodes", "n1", lambda found: found["spec"].update(taints=kept))
        await bed.answered(late)
        assert (bed.planner.final(late), bed.planner.final(soon)) == ("APPLIED OK", "APPLIED OK")
        assert bed.repeated() == {}


# --- any sequence of ends, and of leaders ---

DEEDS = st.lists(
    st.tuples(
        st.sampled_from((0.2, 1.0, 3.0, 20.0)),
        st.sampled_from((*sorted(HOW), *sorted(HOW), "crash")),
        st.integers(0, 9),
    ),
    min_size=8,
    max_size=40,
)


async def ended(deeds: list[tuple[float, str, int]], replicas: int, *, followed: bool) -> None:
    async with Bed() as bed:
        if followed:
            bed.follow_ends()
            await bed.crash()
        await placeholder(bed, within=3000)
        ender = Ender(bed)
        bed.people.pods(replicas)
        terms = 1
        for wait, how, which in deeds:
            ender.plan()
            await bed.run(wait)
            if how == "crash":
                terms += 1
                await bed.crash()
            elif pods := ender.alive():
                HOW[how](bed, pods[which % len(pods)])
        await bed.run(40)
        window = [uid for at, uid in ender.pins if at > bed.now() - 600]
        assert len(window) <= LIMIT * replicas * (1 if followed else terms), bed.story()
        assert bed.repeated() == {}


@settings(max_examples=examples(40))
@given(deeds=DEEDS, replicas=st.integers(1, 4), followed=st.booleans())
def test_never_more_than_so_many_pins_however_they_are_ended(deeds: list[Any], replicas: int, followed: bool) -> None:
    """Each beginning of a leader that knows nothing costs them once more; one that has followed the pods costs none."""
    run(ended(deeds, replicas, followed=followed))
