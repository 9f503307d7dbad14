"""Instances that register under another name than was promised, and instances that are promised twice."""

from __future__ import annotations

from typing import Any

import pytest

from moorage.protocol import NodeState
from tests.unit.pinner.bed import Bed, Json, virtual

from .test_bed_answers import DONE, assert_answered_once

ID = "aws:///eu-west-1a/i-0123456789abcdef0"
REAL = "ip-10-0-0-7"
SENTENCE = f"the machine of node n1 (providerID {ID}) has registered as node {REAL}: it will not join under the name n1"


def machine(bed: Bed, name: str = REAL, *, provider_id: str = ID, ready: bool = True) -> None:
    """A machine that nobody has told of a pod pinner registers."""
    spec: Json = {"providerID": provider_id} if provider_id else {}
    bed.people.register(name, taints=(), ready=ready, **spec)


async def pinned(bed: Bed, *, within: float = 300.0, provider_id: str = ID, **promise: Any) -> list[Json]:
    """Two pods on the placeholder n1 of an instance."""
    pods = bed.people.pods(2)
    ids = [bed.planner.create("n1", within=within, provider_id=provider_id, **promise), bed.planner.pin("n1", *pods)]
    await bed.answered(*ids)
    assert [bed.planner.final(each) for each in ids] == [DONE, DONE]
    return pods


def failing(bed: Bed, name: str = "n1") -> list[str]:
    return [each.sentence for each in bed.reports if each.node == name and each.state is NodeState.FAILING]


@pytest.mark.parametrize("ready", [True, False])
@virtual
async def test_a_placeholder_ends_at_once_when_its_machine_registers_under_another_name(ready: bool) -> None:
    async with Bed() as bed:
        await pinned(bed)
        machine(bed, ready=ready)
        await bed.until(lambda: bed.node("n1") is None and bed.reservation("n1") is None, within=10)
        assert bed.bound("n1") == set()
        assert SENTENCE in failing(bed)
        assert [event.note for event in bed.told("PlaceholderDeleted", "n1")]
        assert all(SENTENCE in event.note for event in bed.told("PlaceholderDeleted", "n1"))
        assert bed.node(REAL) is not None
        await bed.run(60)
        assert_answered_once(bed)
        assert bed.repeated() == {}


@virtual
async def test_whatever_ends_a_promise_is_reported_before_it_is_gone() -> None:
    async with Bed() as bed:
        await pinned(bed, within=60)
        await bed.until(lambda: bed.reservation("n1") is None, within=90)
        states = [each.state for each in bed.reports if each.node == "n1"]
        assert states[-2:] == [NodeState.FAILING, NodeState.GONE]
        assert failing(bed)[-1] == "node n1 did not join before its deadline"


@virtual
async def test_a_cloud_controller_says_only_later_which_instance_a_node_is() -> None:
    async with Bed() as bed:
        await pinned(bed)
        machine(bed, provider_id="")
        await bed.run(20)
        assert len(bed.bound("n1")) == 2
        bed.api.edit("nodes", REAL, lambda found: found["spec"].update(providerID=ID))
        await bed.until(lambda: bed.node("n1") is None, within=10)
        assert SENTENCE in failing(bed)


OTHERS: dict[str, tuple[Json, Json]] = {
    "another instance": ({}, {"provider_id": "aws:///eu-west-1a/i-0"}),
    "none is promised": ({"provider_id": ""}, {}),
    "none is promised, none registers": ({"provider_id": ""}, {"provider_id": ""}),
    "its own name": ({}, {"name": "n1"}),
}


@pytest.mark.parametrize("which", OTHERS)
@virtual
async def test_other_machines_are_no_reason(which: str) -> None:
    promise, registers = OTHERS[which]
    async with Bed() as bed:
        await pinned(bed, **promise)
        if registers.get("name") == "n1":
            bed.people.join("n1")
        else:
            machine(bed, **registers)
        await bed.run(60)
        assert len(bed.bound("n1")) == 2
        assert failing(bed) == []


@virtual
async def test_a_node_of_an_earlier_day_counts_only_while_it_is_ready() -> None:
    async with Bed() as bed:
        machine(bed, "old", ready=False)
        await bed.run(5)
        await pinned(bed)
        bed.people.join("old", ready=True)
        await bed.until(lambda: bed.node("n1") is None, within=10)
        again = bed.planner.create("n1", provider_id=ID)
        await bed.answered(again)
        assert bed.planner.final(again) == "REJECTED NODE_RENAMED"


@virtual
async def test_a_late_node_has_the_name_that_its_machine_likes() -> None:
    async with Bed() as bed:
        created = bed.planner.create_late("n1", within=120, provider_id=ID)
        await bed.run(2)
        bed.people.register(REAL, providerID=ID)
        await bed.answered(created, within=60)
        assert bed.planner.final(created) == DONE
        assert failing(bed) == []


@pytest.mark.parametrize("late", [False, True])
@virtual
async def test_an_instance_is_promised_once(late: bool) -> None:
    async with Bed() as bed:
        await pinned(bed)
        second = (bed.planner.create_late if late else bed.planner.create)("n2", provider_id=ID)
        await bed.answered(second)
        assert bed.planner.final(second) == "REJECTED DUPLICATE_NODE"
        ((_, ack),) = bed.planner.finals(second)
        assert ack.sentence == f"providerID {ID} of node n2 is promised as node n1 already: an instance is one node"
        same = bed.planner.create("n1", provider_id=ID, within=500)
        await bed.answered(same)
        assert bed.planner.final(same) == DONE
        gone = bed.planner.delete("n1")
        await bed.answered(gone)
        moved = bed.planner.create("n3", provider_id=ID)  # the planner corrects the name
        await bed.answered(moved)
        assert bed.planner.final(moved) == DONE


@virtual
async def test_of_two_promises_of_one_moment_one_is_kept_also_by_the_next_leader() -> None:
    async with Bed() as bed:
        both = [bed.planner.create(name, provider_id=ID, within=300) for name in ("n1", "n2")]
        await bed.answered(*both)
        await bed.run(30)
        assert sum(bed.node(name) is not None for name in ("n1", "n2")) == 1
        (kept,) = [name for name in ("n1", "n2") if bed.node(name) is not None]
        await bed.crash()
        await bed.run(30)
        assert bed.node(kept) is not None
        assert bed.repeated() == {}
