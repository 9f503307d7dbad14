"""Pins that wait until a machine has started (bindWhen: StartupTaintsGone): stored, held, then bound or given back."""

from __future__ import annotations

from typing import Any

import pytest

from moorage.objects import Taint
from moorage.pinner.names import PLACEHOLDER_LABEL, PREPARING, PREPARING_TAINT
from moorage.protocol import BindWhen, NodeState
from tests.unit.pinner.bed import Bed, Json, prune, virtual
from tests.unit.pinner.bed.store import key_of

from .test_bed_answers import DONE, assert_answered_once
from .test_bed_late import is_open, taints
from .test_bed_nominations import Scheduler

CNI = "node.cilium.io/agent-not-ready"
STARTS: dict[str, Any] = {
    "startup_taints": (Taint(key=CNI, effect="NoExecute"),),
    "bind_when": BindWhen.STARTUP_TAINTS_GONE,
}


def agent_comes(bed: Bed, name: str = "n1") -> None:
    """The network's agent runs, and its operator takes the startup taint off."""

    def change(found: Json) -> None:
        found["spec"]["taints"] = [taint for taint in found["spec"]["taints"] if taint["key"] != CNI]

    bed.api.edit("nodes", name, change)


async def held(bed: Bed, count: int = 3, *, within: float = 300.0, **promise: Any) -> tuple[str, list[Json]]:
    """A placeholder with pins that wait."""
    pods = bed.people.pods(count)
    created = bed.planner.create("n1", within=within, **{**STARTS, **promise})
    pinned = bed.planner.pin("n1", *pods, within=within)
    await bed.answered(created)
    await bed.run(20)
    return pinned, pods


def stored(bed: Bed) -> int:
    return len((bed.reservation("n1") or {"spec": {}})["spec"].get("pins", ()))


def message(bed: Bed) -> str:
    return str((bed.reservation("n1") or {}).get("status", {}).get("message", ""))


@pytest.mark.parametrize("killed", [False, True])
@virtual
async def test_pins_are_stored_and_held_until_the_startup_taint_is_gone(killed: bool) -> None:
    async with Bed() as bed:
        pinned, pods = await held(bed)
        assert (stored(bed), bed.bound("n1")) == (3, set())
        assert [ack.outcome.name for _, ack in bed.planner.acks if ack.instruction_id == pinned] == ["ACCEPTED"]
        assert "has not joined" in message(bed)
        if killed:
            await bed.crash()
        bed.people.join("n1", ready=False)
        await bed.run(20)
        assert (bed.bound("n1"), "is not Ready" in message(bed)) == (set(), True)
        bed.people.join("n1")
        await bed.run(20)
        assert bed.bound("n1") == set()
        assert f"still has the taint {CNI}" in message(bed)
        assert PREPARING in taints(bed, "n1"), "the scheduler is kept away while pods wait"
        if killed:
            await bed.crash()
        agent_comes(bed)
        await bed.answered(pinned, within=10)
        assert bed.planner.final(pinned) == DONE
        assert bed.bound("n1") == {pod["metadata"]["uid"] for pod in pods}
        await bed.until(lambda: PREPARING not in taints(bed, "n1") and not is_open(bed))
        await bed.run(60)
        assert_answered_once(bed)
        assert bed.repeated() == {}


@virtual
async def test_who_takes_the_taint_off_finds_the_node_as_it_will_be_and_others_find_it_closed() -> None:
    async with Bed() as bed:
        await held(bed)
        bed.people.join("n1", ready=False)
        await bed.run(10)
        assert PLACEHOLDER_LABEL in bed.node("n1")["metadata"]["labels"]  # type: ignore[index]
        bed.people.join("n1")
        await bed.until(lambda: PLACEHOLDER_LABEL not in bed.node("n1")["metadata"]["labels"])  # type: ignore[index]
        await bed.run(30)
        assert {PREPARING, CNI} <= set(taints(bed, "n1"))
        assert (stored(bed), bed.bound("n1")) == (3, set())
        assert len(bed.asked("patch", "nodes")) == 1


@virtual
async def test_pods_are_bound_at_once_where_nothing_is_said_of_when() -> None:
    async with Bed() as bed:
        pinned, pods = await held(bed, bind_when=BindWhen.IMMEDIATELY)
        assert bed.planner.final(pinned) == DONE
        assert len(bed.bound("n1")) == len(pods)


@virtual
async def test_room_is_counted_while_pins_wait_and_what_is_too_much_is_refused_at_once() -> None:
    async with Bed() as bed:
        large: Json = {"containers": [{"name": "main", "resources": {"requests": {"cpu": "1500m"}}}]}
        first, second, third = bed.people.pods(3, **large)
        created = bed.planner.create("n1", within=300, **STARTS)
        pinned = bed.planner.pin("n1", first, second, within=300)
        await bed.answered(created)
        await bed.run(5)
        late = bed.planner.pin("n1", third, within=300)
        await bed.answered(late, within=5)
        ((_, ack),) = bed.planner.finals(late)
        assert [each.reason.name for each in ack.pods] == ["NODE_FULL"]
        bed.people.join("n1")
        agent_comes(bed)
        await bed.answered(pinned)
        assert bed.planner.final(pinned) == DONE


@virtual
async def test_at_the_deadline_pods_are_given_back_with_what_was_waited_for() -> None:
    async with Bed() as bed:
        pinned, pods = await held(bed, within=90)
        bed.people.join("n1")
        await bed.answered(pinned, within=100)
        ((at, ack),) = bed.planner.finals(pinned)
        assert at >= 90
        assert {each.outcome.name for each in ack.pods} == {"FAILED"}
        assert all(f"still has the taint {CNI}" in each.sentence for each in ack.pods)
        assert bed.bound("n1") == set()
        assert all("nodeName" not in (bed.api.read("pods", key_of(pod)) or pod)["spec"] for pod in pods)
        await bed.until(lambda: PREPARING not in taints(bed, "n1"))
        assert stored(bed) == 0
        assert bed.repeated() == {}


@virtual
async def test_a_machine_that_never_comes_ends_like_any_other() -> None:
    async with Bed() as bed:
        pinned, _ = await held(bed, within=60)
        await bed.answered(pinned, within=80)
        await bed.until(lambda: bed.node("n1") is None and bed.reservation("n1") is None)
        assert bed.asked("delete", "pods") == [], "nothing was bound, so nothing is deleted"
        assert_answered_once(bed)


@virtual
async def test_expected_pods_wait_and_fill_their_slots_then() -> None:
    async with Bed() as bed:
        created = bed.planner.create("n1", within=300, **STARTS)
        await bed.answered(created)
        bed.planner.expect("n1", 2, within=300)
        await bed.run(2)
        bed.people.pods(3)
        bed.people.join("n1")
        await bed.run(30)
        assert bed.bound("n1") == set()
        assert PREPARING in taints(bed, "n1")
        assert bed.reports[-1].state is NodeState.JOINING
        agent_comes(bed)
        await bed.until(lambda: len(bed.bound("n1")) == 2)
        await bed.until(lambda: PREPARING not in taints(bed, "n1"))
        assert len(bed.bound("n1")) == 2
        assert bed.repeated() == {}


@pytest.mark.parametrize("ours", [False, True], ids=["", "our own taint is promised as one, too"])
@virtual
async def test_a_late_machine_is_waited_for_in_the_same_way(ours: bool) -> None:
    async with Bed() as bed:
        pods = bed.people.pods(2)
        promised = (*STARTS["startup_taints"], *([PREPARING_TAINT] if ours else []))
        starts = {**STARTS, "startup_taints": promised}
        created = bed.planner.create_late("n1", within=300, match_labels={"batch": "b"}, **starts)
        pinned = bed.planner.pin("n1", *pods, within=300)
        await bed.run(2)
        bed.people.register("own", labels={"batch": "b"}, taints=(PREPARING, CNI))
        bed.api.edit("nodes", "own", lambda found: found["spec"]["taints"][0].update(value="true"))
        await bed.run(30)
        assert bed.bound("own") == set()
        agent_comes(bed, "own")
        await bed.answered(created, pinned)
        assert (bed.planner.final(created), bed.planner.final(pinned)) == (DONE, DONE)
        assert bed.bound("own") == {pod["metadata"]["uid"] for pod in pods}


@virtual
async def test_pods_with_devices_are_nominated_and_plain_ones_bound_after_the_same_taint() -> None:
    async with Bed() as bed:
        Scheduler(bed)
        plain, devices = bed.people.pods(1), bed.people.pods_with_devices(2)
        created = bed.planner.create("n1", within=300, **STARTS)
        pinned = bed.planner.pin("n1", *plain, *devices, within=300)
        await bed.answered(created)
        bed.people.join("n1")
        bed.people.publish("n1", 2)
        await bed.run(30)
        assert bed.bound("n1") == set()
        agent_comes(bed)
        await bed.answered(pinned)
        ((_, ack),) = bed.planner.finals(pinned)
        assert {each.outcome.name for each in ack.pods} == {"APPLIED"}
        assert len(bed.bound("n1")) == 3


@virtual
async def test_where_an_older_definition_does_not_keep_when_to_bind_the_promise_is_refused() -> None:
    async with Bed() as bed:
        bed.api.policies.append(prune("spec", "promise", "bindWhen", resource="nodereservations"))
        created = bed.planner.create("n1", **STARTS)
        await bed.answered(created)
        assert bed.planner.final(created) == "FAILED API_REFUSED"
        assert bed.bound("n1") == set()


@virtual
async def test_the_same_promise_with_another_time_to_bind_is_another_promise() -> None:
    async with Bed() as bed:
        await held(bed)
        other = bed.planner.create("n1", **{**STARTS, "bind_when": BindWhen.IMMEDIATELY})
        await bed.answered(other)
        assert bed.planner.final(other) == "REJECTED DUPLICATE_NODE"


REMOVES: dict[str, Any] = {"startup_taints": (Taint(key=CNI, effect="NoExecute"),), "match_labels": {"batch": "b"}}
TOLERANT: Json = {"tolerations": [{"operator": "Exists"}]}


def registers(bed: Bed, *, ready: bool = True) -> None:
    """A machine brings its Node along, with our taint and its startup taint as it is."""
    bed.people.register("own", labels={"batch": "b"}, removing=(CNI,), ready=ready)


@pytest.mark.parametrize("ready", [True, False])
@virtual
async def test_a_startup_taint_that_removes_pods_is_waited_for_whatever_the_promise_says(ready: bool) -> None:
    """They were bound, removed at once (tainteviction), and made anew until their owner was left to the scheduler."""
    async with Bed() as bed:
        patient, tolerant = bed.people.pods(2), bed.people.pods(1, "agent", **TOLERANT)
        bed.planner.create_late("n1", within=300, **REMOVES)
        waits, goes = (bed.planner.pin("n1", *pods, within=300) for pods in (patient, tolerant))
        await bed.run(2)
        registers(bed, ready=ready)
        await bed.answered(goes, within=5)
        await bed.run(30)
        assert bed.bound("own") == {pod["metadata"]["uid"] for pod in tolerant}
        assert PREPARING in taints(bed, "own")
        bed.people.join("own")
        await bed.run(10)
        assert PREPARING in taints(bed, "own")
        agent_comes(bed, "own")
        await bed.answered(waits)
        assert (bed.planner.final(waits), len(bed.bound("own"))) == (DONE, 3)
        await bed.until(lambda: not is_open(bed))
        assert taints(bed, "own") == []
        assert bed.repeated() == {}


@pytest.mark.parametrize("expected", [False, True])
@virtual
async def test_one_that_never_goes_is_named_at_the_deadline_and_then_the_node_is_opened(expected: bool) -> None:
    async with Bed() as bed:
        pods = bed.people.pods(2)
        bed.planner.create_late("n1", within=300, **REMOVES)
        pinned = bed.planner.expect("n1", 2, within=60) if expected else bed.planner.pin("n1", *pods, within=60)
        await bed.run(2)
        registers(bed)
        await bed.run(50)
        assert PREPARING in taints(bed, "own")
        await bed.run(20)
        assert bed.planner.final(pinned) == (DONE if expected else "FAILED TAINT_WOULD_EVICT")
        assert bed.bound("own") == set()
        assert (taints(bed, "own"), is_open(bed)) == ([CNI], False)
        assert bed.repeated() == {}
