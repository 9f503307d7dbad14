"""No write is repeated for nothing: an accepted but invisible write is waited for, reported once, and answered."""

from __future__ import annotations

import pytest

from moorage.objects import Taint
from moorage.pinner.names import FINALIZER, PIN_ANNOTATION
from moorage.protocol import CreatePlaceholder, Promise
from tests.unit.pinner.bed import Bed, Json, Request, faults, prune, refusals, virtual
from tests.unit.pinner.bed.planner import OFFER
from tests.unit.pinner.bed.policies import POLICIES
from tests.unit.pinner.bed.witness import Witness

from .test_bed_answers import DONE, SLACK, assert_answered_once, placeholder


async def assert_rests(bed: Bed, *, after: float = 60.0, minutes: float = 2) -> None:
    """Soon nothing is written any more."""
    await bed.run(after)
    since = bed.now()
    await bed.run(minutes * 60)
    assert [(each.verb, each.resource, each.key, each.code) for each in bed.writes(since)] == []


# --- what is held ---


@virtual
async def test_a_placeholder_with_somebody_elses_finalizer_is_waited_for() -> None:
    async with Bed() as bed:
        await placeholder(bed, pods=1)
        bed.people.hold("nodes", "n1")
        deleted, began = bed.planner.delete("n1", within=40), bed.now()
        await bed.answered(deleted, within=40 + SLACK)
        assert bed.planner.outcome(deleted) == "FAILED"
        assert bed.planner.answered_at(deleted) >= began + 39
        assert len(bed.asked("delete", "nodes")) <= 10
        assert bed.repeated() == {}
        assert bed.said("node placeholder deleted") == []
        assert bed.told("PlaceholderDeleted") == []
        bed.people.let_go("nodes", "n1")
        await bed.until(lambda: bed.reservation("n1") is None)
        assert bed.said("node placeholder deleted") == ["node placeholder deleted"]
        assert len(bed.told("PlaceholderDeleted")) == 1
        await assert_rests(bed)


@virtual
async def test_a_placeholder_that_is_let_go_in_time_is_deleted_in_time() -> None:
    async with Bed() as bed:
        await placeholder(bed)
        bed.people.hold("nodes", "n1")
        deleted = bed.planner.delete("n1", within=60)
        bed.planner.again()
        created = bed.planner.create("n1", within=60)
        await bed.run(10)
        bed.people.let_go("nodes", "n1")
        await bed.answered(deleted, created, within=50 + SLACK)
        assert bed.planner.final(deleted) == bed.planner.final(created) == DONE
        assert len(bed.said("node placeholder deleted")) == 1
        assert bed.repeated() == {}


@pytest.mark.parametrize("end", ["planner", "deadline", "person"])
@pytest.mark.parametrize("plural", ["nodes", "pods", "nodereservations"])
@virtual
async def test_whoever_ends_a_reservation_what_is_held_is_waited_for(plural: str, end: str) -> None:
    async with Bed() as bed:
        pods = await placeholder(bed, pods=2, within=40 if end == "deadline" else 300)
        keys = {"pods": f"ns/{pods[0]['metadata']['name']}"}
        bed.people.hold(plural, keys.get(plural, "n1"))
        if end == "planner":
            bed.planner.delete("n1", within=60)
        elif end == "person":
            bed.api.delete("nodereservations", "n1")
        await bed.run(120)
        assert bed.repeated() == {}
        deletes = [each for each in bed.writes() if each.verb == "delete"]
        assert max(deletes.count(each._replace(at=0.0)) for each in [e._replace(at=0.0) for e in deletes]) <= 10
        assert_answered_once(bed)
        bed.people.let_go(plural, keys.get(plural, "n1"))
        await bed.until(lambda: bed.node("n1") is None and bed.reservation("n1") is None, within=120)
        await assert_rests(bed)


@virtual
async def test_a_node_can_be_promised_again_once_its_old_reservation_is_let_go() -> None:
    async with Bed() as bed:
        await placeholder(bed)
        bed.people.hold("nodereservations", "n1")
        deleted = bed.planner.delete("n1", within=40)
        created = bed.planner.create("n1", within=100)
        await bed.run(40 + SLACK)
        assert bed.repeated() == {}
        assert bed.planner.final(deleted)
        bed.people.let_go("nodereservations", "n1")
        await bed.answered(created, within=60 + SLACK)
        assert bed.planner.final(created) == DONE


# --- what is taken out of what is written ---


@pytest.mark.parametrize("part", ["label", "taint", "all labels", "the managed label"])
@virtual
async def test_a_node_is_adopted_once_though_a_policy_takes_off_what_was_promised(part: str) -> None:
    policies = {
        "label": prune("metadata", "labels", "pool", resource="nodes"),
        "all labels": prune("metadata", "labels", resource="nodes"),
        "the managed label": prune("metadata", "labels", "provisioner.cast.ai/managed-by", resource="nodes"),
        "taint": prune("spec", "taints", resource="nodes", of=lambda taint: taint.get("key") == "dedicated"),  # type: ignore[attr-defined]
    }
    async with Bed() as bed:
        bed.api.policies.append(policies[part])
        promise = Promise("n1", OFFER, {"pool": "a"}, (Taint("dedicated", "web", "NoSchedule"),))
        tolerations = [{"key": "dedicated", "operator": "Exists"}]
        created = bed.planner.say(CreatePlaceholder(promise), 300)
        pinned = bed.planner.pin("n1", *bed.people.pods(2, tolerations=tolerations))
        await bed.answered(created, pinned)
        assert bed.planner.final(created) == DONE
        bed.people.join("n1")
        await bed.run(120)
        assert bed.repeated() == {}
        assert len(bed.asked("patch", "nodes")) <= 10
        assert len(bed.told("PlaceholderAdopted")) == 1
        assert bed.said("node adopted") == ["node adopted"]
        assert bed.told("NodeDiffers"), "the shortfall is reported"
        assert FINALIZER not in (bed.reservation("n1") or {})["metadata"].get("finalizers", ())
        await assert_rests(bed)


@pytest.mark.parametrize("policy", list(POLICIES))
@pytest.mark.parametrize("end", ["joins", "is deleted", "is released", "never comes"])
@virtual
async def test_what_a_policy_takes_out_is_not_written_again_and_again(policy: str, end: str) -> None:
    async with Bed() as bed:
        bed.api.policies.append(POLICIES[policy])
        rule = bed.wire.faults.set(faults.fail(503), "create", "nodes")
        bed.planner.create("n1", within=40)
        await bed.run(2)
        bed.planner.pin("n1", *bed.people.pods(2), within=40)  # stored before the Node is there
        bed.planner.expect("n1", 1, within=40)
        await bed.run(5)
        bed.wire.faults.lift(rule)
        await bed.run(5)
        bed.planner.pin("n1", *bed.people.pods(1), within=30)
        await bed.run(5)
        if end == "joins":
            bed.people.join("n1")
        elif end == "is deleted":
            bed.planner.delete("n1", within=30)
        elif end == "is released":
            bed.planner.release("n1", within=30)
        await bed.run(40)
        assert bed.repeated() == {}
        assert_answered_once(bed)
        await assert_rests(bed)


@virtual
async def test_our_finalizer_that_comes_back_is_not_taken_off_without_end() -> None:
    def keep(request: Request, found: Json) -> None:
        if request.resource == "nodereservations":
            found["metadata"]["finalizers"] = [FINALIZER]

    async with Bed() as bed:
        await placeholder(bed)
        bed.api.policies.append(keep)
        deleted = bed.planner.delete("n1", within=40)
        await bed.run(40 + SLACK)
        assert bed.repeated() == {}
        assert bed.planner.outcome(deleted) == "FAILED"
        bed.api.policies.clear()
        await bed.until(lambda: bed.reservation("n1") is None, within=120)
        await assert_rests(bed)


# --- machines that come at the last moment ---


@pytest.mark.parametrize("watches", ["quick", "held"])
@pytest.mark.parametrize("moment", ["get nodes", "delete pods", "delete nodes"])
@pytest.mark.parametrize("end", ["planner", "deadline", "person"])
@virtual
async def test_a_machine_that_joins_while_its_placeholder_is_deleted_keeps_its_node(
    end: str, moment: str, watches: str
) -> None:
    async with Bed() as bed:
        await placeholder(bed, pods=2, within=20 if end == "deadline" else 300)
        await bed.run(3)
        if watches == "held":
            bed.wire.hold("nodes")
        uid = (bed.node("n1") or {})["metadata"]["uid"]
        verb, resource = moment.split()
        join = faults.meanwhile(lambda: bed.people.join("n1", ready=False))
        rule = bed.wire.faults.set(join, verb, resource, times=1)
        deleted = bed.planner.delete("n1") if end == "planner" else ""
        if end == "person":
            bed.api.delete("nodereservations", "n1")
        await bed.run(40)
        assert rule.met
        assert (bed.node("n1") or {})["metadata"]["uid"] == uid
        if deleted:
            assert bed.planner.final(deleted) == "REJECTED NODE_IS_REAL"
        bed.wire.let_go()
        await bed.run(60)
        assert (bed.node("n1") or {})["metadata"]["uid"] == uid
        assert Witness.deletions(bed) == []
        assert bed.repeated() == {}
        assert_answered_once(bed)


# --- what tenants write ---

MARKS = {
    "too long": "x" * 129,
    "far too long": "x" * 10_000,
    "control characters": "\x00\x07\n",
    "another alphabet": "ÿ\u202e💥" * 60,
    "empty": "",
    "short": "somebody",
}


@pytest.mark.parametrize("mark", list(MARKS))
@virtual
async def test_a_tenants_mark_on_a_pod_keeps_no_reservation_from_being_written(mark: str) -> None:
    async with Bed() as bed:
        await placeholder(bed)
        bed.people.bound_by_tenant("n1", {PIN_ANNOTATION: MARKS[mark]})
        pods = bed.people.pods(2)
        pinned = bed.planner.pin("n1", *pods)
        await bed.answered(pinned)
        assert bed.planner.final(pinned) == DONE
        await bed.run(30)
        stored = (bed.reservation("n1") or {})["spec"]
        assert {pod["metadata"]["uid"] for pod in pods} <= {pin["uid"] for pin in stored["pins"]}
        assert bed.repeated() == {}
        assert [each for each in bed.writes() if each.code == 422] == []
        await assert_rests(bed)


@virtual
async def test_a_tenants_many_pods_keep_no_reservation_from_being_written() -> None:
    async with Bed() as bed:
        await placeholder(bed)
        for _ in range(1100):
            bed.people.bound_by_tenant("n1", {PIN_ANNOTATION: "somebody"})
        await bed.run(5)
        deleted = bed.planner.release("n1")
        await bed.answered(deleted)
        await bed.run(30)
        assert (bed.reservation("n1") or {})["spec"].get("released")
        assert [each for each in bed.writes() if each.code == 422] == []
        assert bed.repeated() == {}


@virtual
async def test_a_pin_that_the_server_finds_invalid_is_refused_for_good_and_holds_nobody_up() -> None:
    async with Bed() as bed:
        pods = bed.people.pods(3)

        def validate(request: Request, found: Json) -> None:
            for number, pin in enumerate(found["spec"].get("pins", ()) if request.plural == "nodereservations" else ()):
                if pin["uid"] == pods[0]["metadata"]["uid"]:
                    cause = refusals.Cause(f"spec.pins[{number}]", "Invalid value: not this one")
                    raise refusals.invalid("NodeReservation.moorage.dev", "n1", [cause])

        bed.api.policies.append(validate)
        rule = bed.wire.faults.set(faults.fail(503), "create", "nodes")
        created, bad = bed.planner.create("n1", within=60), bed.planner.pin("n1", pods[0], within=60)
        await bed.answered(bad, within=60 + SLACK)
        assert bed.planner.outcome(bad) == "FAILED"
        bed.wire.faults.lift(rule)
        good = bed.planner.pin("n1", *pods[1:], within=60)
        await bed.answered(created, good, within=60 + SLACK)
        assert bed.planner.final(created) == bed.planner.final(good) == DONE
        await bed.run(10)
        stored = (bed.reservation("n1") or {})["spec"]
        assert {pin["uid"] for pin in stored["pins"]} == {pod["metadata"]["uid"] for pod in pods[1:]}
        assert bed.repeated() == {}


@pytest.mark.parametrize("pruned", ["deadline", "instructions"])
@virtual
async def test_instructions_that_cannot_be_kept_together_are_not_stored_without_end(pruned: str) -> None:
    async with Bed() as bed:
        bed.api.policies.append(POLICIES[pruned])
        pods = bed.people.pods(2)
        said = [bed.planner.create("n1"), bed.planner.pin("n1", *pods), bed.planner.delete("n1", within=15)]
        await bed.answered(*said, within=20)
        await bed.run(60)
        assert bed.repeated() == {}
        assert bed.reservation("n1") is None


@virtual
async def test_a_pod_that_several_instructions_name_is_read_once() -> None:
    async with Bed() as bed:
        await bed.answered(bed.planner.create("n1"))
        bed.wire.hold("pods")
        (pod,) = bed.people.pods(1)
        said = [bed.planner.pin("n1", pod) for _ in range(3)]
        await bed.answered(*said)
        assert len(bed.asked("get", "pods", "ns/web-1")) == 1
