"""Users' and tenants' writes where only we should write: reported once, without harm, and the rest continues."""

from __future__ import annotations

from typing import Any

import pytest

from moorage.pinner.names import (
    MANAGED_LABEL,
    MANAGED_VALUE,
    PIN_ANNOTATION,
    PLACEHOLDER_LABEL,
    PREPARING,
    RESERVATION_ANNOTATION,
)
from tests.unit.pinner.bed import Bed, Json, schema, virtual

from .test_bed_answers import DONE, placeholder

SLOT = {"owner": {"kind": "ReplicaSet", "namespace": "ns", "name": "web"}, "requests": {"cpu": "1"}}
POD = {"namespace": "ns", "name": "p", "uid": "u"}
EDITS: dict[str, tuple[Json, str]] = {
    "a negative count": ({"slots": [{**SLOT, "count": -3}]}, "spec.slots.count: -3 is negative"),
    "a negative quantity": ({"slots": [{**SLOT, "requests": {"cpu": "-1"}}]}, "spec.slots.requests[cpu]: -1 is"),
    "an intent of a later version": ({"intent": "Suspend"}, "spec.intent: 'Suspend' is none of Hold, Delete"),
    "more pins than there may be": ({"pins": [POD] * 1001}, "spec.pins: has 1001 entries, more than 1000"),
    "more slots than there may be": ({"slots": [SLOT] * 1001}, "spec.slots: has 1001 entries, more than 1000"),
    "no number of tries": ({"nominations": [{"uid": "u", "tries": 0}]}, "spec.nominations: u: a nomination has"),
    "a promise that is a text": ({"promise": "a large node"}, "spec.promise"),
    "a deletion that cannot be read": ({"intent": "Delete", "deadline": "soon"}, "spec.deadline: 'soon' is not a time"),
}
"""The merged parts of the spec, and the messages about them."""


@pytest.fixture
def loose(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody has replaced the definition by one that takes everything; the real one refuses most of this."""
    monkeypatch.setattr(schema, "conform", lambda _part, _value: [])


def edited(bed: Bed, change: Json) -> None:
    bed.api.edit("nodereservations", "n1", lambda found: found["spec"].update(change))


@pytest.mark.usefixtures("loose")
@pytest.mark.parametrize("edit", list(EDITS))
@virtual
async def test_what_somebody_made_of_a_reservation_is_said_once_destroys_nothing_and_can_be_repaired(edit: str) -> None:
    change, said = EDITS[edit]
    async with Bed() as bed:
        (pod,) = await placeholder(bed, pods=1)
        await bed.run(10)
        good, uid, before = (bed.reservation("n1") or {})["spec"], (bed.node("n1") or {})["metadata"]["uid"], bed.now()
        edited(bed, change)
        await bed.until(lambda: (bed.reservation("n1") or {})["status"]["state"] == "Stopped")
        pods = bed.people.pods(2, "api")
        other = bed.planner.create("n2", within=600), bed.planner.pin("n2", *pods, within=600)
        await bed.answered(*other)
        assert [bed.planner.final(each) for each in other] == [DONE] * 2, "nothing else is disturbed"
        await bed.run(120)
        (event,) = bed.told("Unreadable")
        assert (event.about, said in event.note) == ("n1", True), event
        (line,) = [each for each in bed.logs if each.getMessage() == "reservation cannot be read"]
        assert said in vars(line)["why"]
        assert said in str((bed.reservation("n1") or {})["status"]["problems"])
        assert (bed.node("n1") or {})["metadata"]["uid"] == uid
        assert pod["metadata"]["uid"] in bed.bound("n1")
        assert not [each for each in bed.writes(since=before) if each.verb == "delete"]
        edited(bed, {**dict.fromkeys(change), **good})
        await bed.until(lambda: (bed.reservation("n1") or {})["status"]["state"] == "Placeholder")
        assert bed.repeated() == {}


def of_a_stranger(bed: Bed, **spec: Any) -> Json:
    """A user's reservation for a running machine that is not ours. Returns a pod there."""
    bed.people.join("worker")
    pod = bed.people.bound_by_tenant("worker", {PIN_ANNOTATION: "i1"})
    meta = pod["metadata"]
    pin = {"namespace": "ns", "name": meta["name"], "uid": meta["uid"]}
    whole = {"promise": {"allocatable": {"cpu": "1"}}, "pins": [pin], "deadline": "2029-01-31T12:00:00Z", **spec}
    bed.api.create("nodereservations", {"metadata": {"name": "worker"}, "spec": whole})
    return pod


@pytest.mark.parametrize("intent", ["Hold", "Delete"])
@virtual
async def test_a_reservation_for_a_node_that_is_not_ours_changes_neither_the_node_nor_its_pods(intent: str) -> None:
    async with Bed() as bed:
        pod = of_a_stranger(bed, intent=intent)
        await bed.until(lambda: bed.reservation("worker") is None)
        await bed.run(60)
        assert {(each.verb, each.resource) for each in bed.writes()} == {("delete", "nodereservations")}
        assert pod["metadata"]["uid"] in bed.bound("worker")
        told = [("NodeNotOurs", "worker")] if intent == "Hold" else []
        assert [(each.reason, each.about) for each in bed.events] == told, "who wants it deleted need not be told"
        assert len(bed.said("reservation is for a node that is not ours, deleted")) == len(told)


@virtual
async def test_a_reservation_that_names_the_uid_of_a_node_that_is_not_ours_says_so_and_changes_nothing() -> None:
    async with Bed() as bed:
        bed.people.join("worker")
        uid = (bed.node("worker") or {})["metadata"]["uid"]
        pod = of_a_stranger(bed, nodeUID=uid)
        await bed.until(lambda: (bed.reservation("worker") or {}).get("status", {}).get("state") == "Foreign")
        await bed.run(60)
        assert {each.resource for each in bed.writes()} == {"nodereservations/status"}
        assert pod["metadata"]["uid"] in bed.bound("worker")
        bed.api.delete("nodereservations", "worker")
        await bed.run(60)
        assert pod["metadata"]["uid"] in bed.bound("worker")
        assert bed.node("worker") is not None


def pretending(node: Json) -> None:
    """All marks of our placeholders, and more, on a Node that a tenant may write."""
    node["metadata"].setdefault("annotations", {}).update(
        {RESERVATION_ANNOTATION: "00000000-0000-4000-8000-000000000999", "moorage.dev/spec": '{"pins": []}'}
    )
    node["metadata"].setdefault("labels", {}).update({MANAGED_LABEL: MANAGED_VALUE, PLACEHOLDER_LABEL: "true"})
    node["spec"]["taints"] = [{"key": PREPARING, "value": "true", "effect": "NoSchedule"}]


@pytest.mark.parametrize("machine", [True, False])
@virtual
async def test_a_node_that_pretends_to_have_a_reservation_is_nobodys_business(machine: bool) -> None:
    async with Bed() as bed:
        if machine:
            bed.people.join("worker")
        else:
            bed.api.create("nodes", {"metadata": {"name": "worker"}, "spec": {}, "status": {}})
        bed.api.edit("nodes", "worker", pretending)
        pod = bed.people.bound_by_tenant("worker", {PIN_ANNOTATION: "i1"})
        bed.people.pods(2)
        await bed.run(700)
        assert (bed.writes(), bed.events) == ([], [])
        created = bed.planner.create("worker")
        await bed.answered(created)
        assert bed.planner.final(created) == f"REJECTED {'NODE_IS_REAL' if machine else 'NODE_FOREIGN'}"
        await bed.run(120)
        assert {each.resource for each in bed.writes()} <= {"nodereservations"}
        assert pod["metadata"]["uid"] in bed.bound("worker")
        assert PREPARING in str(bed.node("worker")), "what is not ours is not opened either"


@virtual
async def test_two_plans_that_expect_pods_of_one_owner_each_get_theirs_and_none_twice() -> None:
    async with Bed() as bed:
        await placeholder(bed)
        first = bed.planner.expect("n1", 2, within=300)
        await bed.answered(first)
        bed.planner.again(within=300)  # another epoch: another plan is served, or the same by another planner
        await placeholder(bed, "n2")
        second = bed.planner.expect("n2", 2, within=300)
        await bed.answered(second)
        assert [bed.planner.final(each) for each in (first, second)] == [DONE] * 2
        pods = {pod["metadata"]["uid"] for pod in bed.people.pods(5)}
        await bed.until(lambda: len(bed.bound("n1")) == len(bed.bound("n2")) == 2)
        await bed.run(60)
        assert len(pods - bed.bound("n1") - bed.bound("n2")) == 1
        assert bed.repeated() == {}
