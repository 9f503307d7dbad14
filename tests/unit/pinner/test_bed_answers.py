"""Every instruction gets its final answer, once and in time, whatever fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from moorage.pinner.instructions import judge
from moorage.protocol import Instruction
from tests.unit.pinner.bed import Bed, Json, faults, virtual
from tests.unit.pinner.bed.faults import Effect

DONE = "APPLIED OK"
SLACK = 5.0
"""Seconds after its deadline within which an instruction must have its answer."""


async def placeholder(bed: Bed, name: str = "n1", *, pods: int = 0, within: float = 300.0) -> list[Json]:
    """A placeholder with pinned pods."""
    made = bed.people.pods(pods)
    ids = [bed.planner.create(name, within=within), *([bed.planner.pin(name, *made)] if made else [])]
    await bed.answered(*ids)
    assert [bed.planner.final(each) for each in ids] == [DONE] * len(ids)
    return made


def assert_answered_once(bed: Bed) -> None:
    """No instruction is open, and none has more than one final answer."""
    assert bed.planner.open == []
    finals = {each: len(bed.planner.finals(each)) for each in bed.planner.issued}
    assert all(1 <= count <= bed.planner.times[each] for each, count in finals.items()), finals


# --- what fails beside an instruction ---


REFUSALS = {"403": faults.deny(), "500": faults.fail(500), "429": faults.fail(429), "refused": faults.refuse_connection}


@pytest.mark.parametrize("refused", list(REFUSALS))
@virtual
async def test_pins_are_answered_though_another_pod_of_their_node_cannot_be_deleted(refused: str) -> None:
    async with Bed() as bed:
        (failed,) = await placeholder(bed, pods=1)
        rule = bed.wire.faults.set(REFUSALS[refused], "delete", "pods", f"ns/{failed['metadata']['name']}")
        bed.people.fail(failed)
        await bed.run(3)
        pinned = [bed.planner.pin("n1", pod) for pod in bed.people.pods(3)]
        await bed.answered(*pinned, within=10)
        assert [bed.planner.final(each) for each in pinned] == [DONE] * 3
        assert rule.met, "it was tried"
        await bed.run(60)
        assert bed.repeated() == {}


@virtual
async def test_an_instruction_that_meets_a_defect_is_answered_and_holds_nobody_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole: Callable[..., judge.Judgement] = judge.judge

    def take(instruction: Instruction, *args: Any, **more: Any) -> judge.Judgement:
        if instruction.id == bad:
            raise ZeroDivisionError
        return whole(instruction, *args, **more)

    monkeypatch.setattr(judge, "judge", take)
    async with Bed() as bed:
        bad = ""
        await placeholder(bed)
        first, second = bed.people.pods(2)
        bad = f"i{len(bed.planner.issued) + 1}"
        assert bed.planner.pin("n1", first, within=120) == bad
        good = bed.planner.pin("n1", second, within=120)
        await bed.answered(good, within=10)
        assert bed.planner.final(good) == DONE
        await bed.answered(bad, within=120 + SLACK)
        assert bed.planner.final(bad) == "FAILED INTERNAL"
        later = bed.planner.pin("n1", *bed.people.pods(1))
        await bed.answered(later, within=10)
        assert bed.planner.final(later) == DONE
        assert_answered_once(bed)


@pytest.mark.parametrize("refused", list(REFUSALS))
@virtual
async def test_a_pod_that_cannot_be_read_holds_up_no_other_instruction(refused: str) -> None:
    async with Bed() as bed:
        await placeholder(bed)
        known, unknown = bed.people.pods(2)
        await bed.run(1)
        bed.wire.faults.set(REFUSALS[refused], "get", "pods", "ns/web-9")
        unknown["metadata"] |= {"name": "web-9", "uid": "of-web-9"}
        bad, good = bed.planner.pin("n1", unknown, within=30), bed.planner.pin("n1", known, within=30)
        await bed.answered(good, within=10)
        assert bed.planner.final(good) == DONE
        await bed.answered(bad, within=30 + SLACK)
        assert bed.planner.outcome(bad) == "FAILED"
        assert bed.repeated() == {}


# --- the API server is away ---

AWAY = {
    "503": faults.fail(503),
    "500": faults.fail(500),
    "429": faults.fail(429),
    "refused": faults.refuse_connection,
    "silent": faults.swallow,
}


@pytest.mark.parametrize("away", list(AWAY))
@virtual
async def test_what_a_server_that_is_away_keeps_from_being_done_fails_at_its_deadline(away: str) -> None:
    slack = faults.TIMEOUT + SLACK if away == "silent" else SLACK
    async with Bed() as bed:
        await placeholder(bed, "n2")
        pods = bed.people.pods(2)
        await bed.run(1)
        bed.wire.faults.set(AWAY[away])
        began = bed.now()
        ids = [
            bed.planner.create("n1", within=30),
            bed.planner.pin("n1", pods[0], within=30),
            bed.planner.pin("n2", pods[1], within=30),
            bed.planner.delete("n2", within=30),
        ]
        await bed.answered(*ids, within=30 + slack)
        assert [bed.planner.final(each) for each in ids] == ["FAILED API_UNAVAILABLE"] * 4
        assert min(map(bed.planner.answered_at, ids)) >= began + 29
        bed.wire.faults.lift()
        await bed.run(60)
        assert_answered_once(bed)


@pytest.mark.parametrize("away", ["503", "refused"])
@virtual
async def test_each_deadline_counts_whoever_else_still_waits_for_the_server(away: str) -> None:
    async with Bed() as bed:
        bed.wire.faults.set(AWAY[away])
        began = bed.now()
        ids = {
            within: (bed.planner.create("n1", within=within), bed.planner.release("n1", within=within))
            for within in (15.0, 30.0, 60.0)
        }
        for within, both in ids.items():
            await bed.answered(*both, within=began + within + SLACK - bed.now())
        assert bed.repeated() == {}


@pytest.mark.parametrize("away", list(AWAY))
@virtual
async def test_what_was_accepted_before_the_server_went_away_fails_at_its_deadline(away: str) -> None:
    slack = faults.TIMEOUT + SLACK if away == "silent" else SLACK
    async with Bed() as bed:
        bed.wire.faults.set(AWAY[away], "create", "nodes")
        created, pinned = bed.planner.create("n1", within=30), bed.planner.pin("n1", *bed.people.pods(2), within=30)
        await bed.until(lambda: bed.reservation("n1"))
        bed.wire.faults.set(AWAY[away])
        await bed.answered(created, pinned, within=30 + slack)
        answers = [bed.planner.final(each) for each in (created, pinned)]
        assert answers == ["FAILED API_UNAVAILABLE"] * 2
        bed.wire.faults.lift()
        await bed.run(120)
        assert_answered_once(bed)
        assert bed.reservation("n1") is None
        assert bed.node("n1") is None


@virtual
async def test_a_server_that_comes_back_in_time_is_all_that_was_missing() -> None:
    async with Bed() as bed:
        pods = bed.people.pods(2)
        await bed.run(1)
        bed.wire.faults.set(faults.fail(503))
        created, pinned = bed.planner.create("n1", within=90), bed.planner.pin("n1", *pods, within=90)
        await bed.run(20)
        bed.wire.faults.lift()
        await bed.answered(created, pinned, within=60)
        assert bed.planner.final(created) == bed.planner.final(pinned) == DONE


# --- one after the other ---


@pytest.mark.parametrize("obstacle", ["none", "slow", "denied for a while", "lagging watches"])
@virtual
async def test_a_node_that_is_deleted_and_promised_again_gets_its_new_pins(obstacle: str) -> None:
    async with Bed() as bed:
        old = await placeholder(bed, pods=2)
        if obstacle == "slow":
            bed.wire.faults.set(faults.delay(2.0), "delete")
        elif obstacle == "denied for a while":
            bed.wire.faults.set(faults.deny(), "delete", "nodes", times=3)
        elif obstacle == "lagging watches":
            bed.wire.lag |= {"nodes": 3.0, "nodereservations": 5.0, "pods": 2.0}
        deleted = bed.planner.delete("n1")
        bed.planner.again()
        pods = bed.people.pods(2)
        created, pinned = bed.planner.create("n1"), bed.planner.pin("n1", *pods)
        await bed.answered(deleted, created, pinned, within=60 + SLACK)
        assert [bed.planner.final(each) for each in (deleted, created, pinned)] == [DONE] * 3
        assert bed.bound("n1") == {pod["metadata"]["uid"] for pod in pods}
        assert not bed.bound("n1") & {pod["metadata"]["uid"] for pod in old}
        assert_answered_once(bed)


@virtual
async def test_a_later_deadline_counts_from_when_it_is_said() -> None:
    async with Bed() as bed:
        rule = bed.wire.faults.set(faults.fail(503), "create", "nodes")
        created, pinned = bed.planner.create("n1", within=20), bed.planner.pin("n1", *bed.people.pods(2), within=20)
        await bed.run(10)
        bed.planner.again(within=90)
        await bed.run(30)
        assert {each.id for each in bed.planner.open} == {created, pinned}
        bed.wire.faults.lift(rule)
        await bed.answered(created, pinned, within=60)
        assert bed.planner.final(created) == bed.planner.final(pinned) == DONE


@virtual
async def test_a_later_deadline_is_a_deadline_too() -> None:
    async with Bed() as bed:
        bed.wire.faults.set(faults.fail(503), "create", "nodes")
        created, pinned = bed.planner.create("n1", within=20), bed.planner.pin("n1", *bed.people.pods(2), within=20)
        await bed.run(10)
        bed.planner.again(within=40)
        await bed.run(35)
        assert {each.id for each in bed.planner.open} == {created, pinned}
        await bed.answered(created, pinned, within=5 + SLACK)
        assert bed.planner.outcome(created) == bed.planner.outcome(pinned) == "FAILED"


@pytest.mark.parametrize("lost", [faults.lose_answer, faults.answer_too_late], ids=["lost", "too late"])
@pytest.mark.parametrize("resource", ["pods", "nodes", "nodereservations"], ids=["pod", "node", "reservation"])
@virtual
async def test_a_create_is_answered_after_a_delete_whose_answer_was_lost(resource: str, lost: Effect) -> None:
    async with Bed() as bed:
        await placeholder(bed, pods=1)
        bed.wire.faults.set(lost, "delete", resource, times=1)
        bed.wire.faults.set(lost, "update", resource, times=1)
        deleted = bed.planner.delete("n1", within=100)
        bed.planner.again()
        created = bed.planner.create("n1", within=100)
        await bed.answered(deleted, created, within=100)
        assert [bed.planner.final(each) for each in (deleted, created)] == [DONE] * 2
        pinned = bed.planner.pin("n1", *bed.people.pods(1))
        await bed.answered(pinned)
        assert bed.planner.final(pinned) == DONE
        assert_answered_once(bed)


# --- rights ---

WRITES = [("create", "nodereservations"), ("create", "nodes"), ("create", "pods/binding")]


@pytest.mark.parametrize(("verb", "resource"), WRITES)
@virtual
async def test_a_right_that_is_missing_for_a_while_costs_nothing_but_time(verb: str, resource: str) -> None:
    async with Bed() as bed:
        bed.wire.faults.set(faults.lack_right, verb, resource)
        created, pinned = bed.planner.create("n1", within=90), bed.planner.pin("n1", *bed.people.pods(2), within=90)
        await bed.run(20)
        bed.wire.faults.lift()
        await bed.answered(created, pinned, within=60)
        assert [bed.planner.final(each) for each in (created, pinned)] == [DONE] * 2
        assert_answered_once(bed)


@pytest.mark.parametrize(("verb", "resource"), WRITES)
@virtual
async def test_a_right_that_stays_missing_is_named_at_the_deadline(verb: str, resource: str) -> None:
    async with Bed() as bed:
        bed.wire.faults.set(faults.lack_right, verb, resource)
        bed.planner.create("n1", within=30)
        pinned = bed.planner.pin("n1", *bed.people.pods(2), within=30)
        await bed.answered(pinned, within=30 + SLACK)
        assert bed.planner.final(pinned) == "FAILED API_REFUSED"
        assert bed.repeated() == {}


# --- notes ---


@pytest.mark.parametrize("resource", ["nodereservations", "nodereservations/status"])
@pytest.mark.parametrize("refuse", [faults.fail(503), faults.lack_right, faults.refuse_connection])
@virtual
async def test_what_is_written_down_afterwards_is_written_when_it_can_be(resource: str, refuse: Effect) -> None:
    async with Bed() as bed:
        await placeholder(bed)
        await bed.run(5)
        bed.wire.faults.set(refuse, "update", resource)
        pod = bed.people.pods(1)[0]
        pinned = bed.planner.pin("n1", pod)
        await bed.answered(pinned)
        await bed.run(20)
        bed.wire.faults.lift()
        await bed.run(90)
        noted = bed.reservation("n1")
        assert noted is not None
        assert [pin["uid"] for pin in noted["spec"]["pins"]] == [pod["metadata"]["uid"]]
        assert noted["status"]["pinned"] == "1/1"


# --- what cannot be deleted ---


@virtual
async def test_deleting_what_cannot_be_read_is_answered_at_its_deadline() -> None:
    async with Bed() as bed:
        await placeholder(bed)
        bed.api.edit("nodereservations", "n1", lambda found: found["spec"].update(deadline="tomorrow"))
        await bed.run(2)
        deleted, began = bed.planner.delete("n1", within=30), bed.now()
        await bed.answered(deleted, within=30 + SLACK)
        assert bed.planner.outcome(deleted) == "FAILED"
        assert bed.planner.answered_at(deleted) >= began + 29
        assert bed.node("n1") is not None, "who cannot read an intent does nothing"


@virtual
async def test_deleting_what_could_not_be_read_goes_on_once_somebody_has_repaired_it() -> None:
    async with Bed() as bed:
        await placeholder(bed)
        deadline = (bed.reservation("n1") or {})["spec"]["deadline"]
        bed.api.edit("nodereservations", "n1", lambda found: found["spec"].update(deadline="tomorrow"))
        await bed.run(2)
        deleted = bed.planner.delete("n1", within=30)
        await bed.run(5)
        bed.api.edit("nodereservations", "n1", lambda found: found["spec"].update(deadline=deadline))
        await bed.answered(deleted, within=20)
        assert bed.planner.final(deleted) == DONE
        assert bed.node("n1") is None


@pytest.mark.parametrize("resource", ["nodes", "pods", "nodereservations"])
@virtual
async def test_deleting_what_a_policy_keeps_is_answered_at_its_deadline(resource: str) -> None:
    async with Bed() as bed:
        await placeholder(bed, pods=1)
        bed.wire.faults.set(faults.deny(), "delete", resource)
        deleted, began = bed.planner.delete("n1", within=30), bed.now()
        await bed.answered(deleted, within=30 + SLACK)
        assert bed.planner.outcome(deleted) == "FAILED"
        assert bed.planner.answered_at(deleted) >= began + 29
        assert bed.repeated() == {}
        bed.wire.faults.lift()
        await bed.until(lambda: bed.reservation("n1") is None, within=120)
        assert bed.node("n1") is None
