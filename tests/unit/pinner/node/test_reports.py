"""Reports of nodes to the planner, from single functions and from a whole pinner."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from moorage.objects import Pod
from moorage.pinner.names import CLAIM_ANNOTATION, NOT_PINNED_ANNOTATION, PIN_ANNOTATION, PREPARING
from moorage.pinner.node.reports import Reports, report_of
from moorage.protocol import NodeReport, NodeState, Position, SlotReport
from moorage.protocol import Owner as Whose
from moorage.reservations import Owner, Slot
from tests.unit.pinner.bed import Bed, virtual
from tests.unit.pinner.model import NAME, Corner, joined, placeholder, pod, reservation_of, spec_of

WEB = Owner(kind="ReplicaSet", name="web", namespace="ns")
THEIRS = Whose("ReplicaSet", "ns", "web")


def made_by(number: int, **annotations: str) -> Pod:
    one = pod(number, node=NAME)
    named = {key.replace("_", "-"): value for key, value in annotations.items()}
    meta = msgspec.structs.replace(
        one.metadata, annotations={f"moorage.dev/{key}": each for key, each in named.items()}
    )
    return msgspec.structs.replace(one, metadata=meta)


def expecting(count: int, *pods: Pod, **how: Any) -> Corner:
    spec = spec_of(slots=(Slot(WEB, {"cpu": "1"}, count),))
    there = {each.metadata.name: each for each in pods}
    return Corner(**{"reservation": reservation_of(spec), "node": placeholder(), "pods": there, **how})


def report(corner: Corner) -> NodeReport | None:
    return report_of(corner.observe(), corner.decide())


def test_slots_say_who_has_filled_them() -> None:
    assert {PIN_ANNOTATION, CLAIM_ANNOTATION, NOT_PINNED_ANNOTATION} == {
        f"moorage.dev/{each}" for each in ("pinned-by", "claim", "not-pinned")
    }
    pods = (
        made_by(1, pinned_by="i", claim="c"),
        made_by(2, pinned_by="i"),
        made_by(3, claim="c"),
        made_by(4, not_pinned="cpu: 2 needed"),
        made_by(5),
    )
    found = report(expecting(9, *pods))
    assert found is not None
    assert found.slots == (SlotReport(THEIRS, 9, 1, 1, 3, "cpu: 2 needed"),)
    assert found.slots[0].left == 4


STATES = {
    "nothing is intended": (Corner(None, node=placeholder()), None),
    "promised": (Corner(reservation_of(spec_of())), NodeState.PENDING),
    "waited for": (Corner(reservation_of(spec_of()), node=placeholder()), NodeState.PLACEHOLDER),
    "joined": (Corner(reservation_of(spec_of()), node=joined(placeholder(), ready=False)), NodeState.JOINING),
    "ready": (Corner(reservation_of(spec_of()), node=joined(placeholder(), ready=True)), NodeState.READY),
    "pods to come": (expecting(1, node=joined(placeholder(), ready=True)), NodeState.PREPARING),
    "all pods came": (expecting(1, made_by(1), node=joined(placeholder(), ready=True)), NodeState.READY),
    "another's node": (Corner(reservation_of(spec_of()), node=placeholder(ours=False)), NodeState.FAILING),
    "unreadable": (Corner(reservation_of(spec_of(), raw={"pins": "x"}), node=placeholder()), NodeState.STOPPED),
}


@pytest.mark.parametrize("which", STATES)
def test_every_state_has_a_word_of_the_protocol(which: str) -> None:
    corner, state = STATES[which]
    found = report(corner)
    assert (found.state if found is not None else None) is state
    assert found is None or found.node_uid == (corner.node.metadata.uid if corner.node is not None else "")


def test_what_a_machine_lacks_is_said_also_long_after_its_adoption() -> None:
    small = joined(placeholder(), ready=True)
    small = msgspec.structs.replace(
        small, status=msgspec.structs.replace(small.status, allocatable={"cpu": "3", "memory": "8Gi", "pods": "10"})
    )
    for is_open in (True, False):
        found = report(Corner(reservation_of(spec_of(node_uid="n"), is_open=is_open), node=small))
        assert found is not None
        assert found.shortfalls == ("cpu: 4000m promised, 3000m there",)


def test_what_has_not_changed_is_not_said_and_an_end_is_said_once() -> None:
    said: list[NodeReport] = []
    reports = Reports(said.append)
    waiting, gone = Corner(reservation_of(spec_of()), node=placeholder()), Corner(None)
    for corner in (gone, waiting, waiting, gone, gone, waiting):
        reports.report(corner.observe(), corner.decide())
    assert [each.state for each in said] == [NodeState.PLACEHOLDER, NodeState.GONE, NodeState.PLACEHOLDER]


@virtual
async def test_a_whole_life_is_told_and_a_new_leader_says_how_it_stands() -> None:
    async with Bed() as bed:
        await bed.answered(bed.planner.create("n1", within=60))
        await bed.run(1)
        bed.people.join("n1")
        await bed.run(3)
        assert [each.state for each in bed.reports][-1] is NodeState.READY
        assert NodeState.PLACEHOLDER in [each.state for each in bed.reports]
        told = len(bed.reports)
        await bed.run(120)
        assert len(bed.reports) == told, "nothing has changed"
        await bed.crash()
        await bed.run(3)
        assert {each.state for each in bed.reports[told:]} == {NodeState.READY}
        bed.api.delete("nodes", "n1")
        await bed.run(30)
        assert bed.reports[-1] == NodeReport("n1", NodeState.GONE, position=Position(1, 1))


def newest(bed: Bed) -> NodeReport:
    return bed.reports[-1]


@virtual
async def test_a_position_accounts_for_what_was_accepted_and_for_nothing_else() -> None:
    async with Bed() as bed:
        await bed.answered(made := bed.planner.create("n1"))
        await bed.until(lambda: bed.reports)
        assert newest(bed).position == bed.planner.issued[made].position
        refused = bed.planner.create("n1", labels={"pool": "b"})
        await bed.answered(refused, bed.planner.pin("n1", *bed.people.pods(1)))
        await bed.run(3)
        assert bed.planner.final(refused) == "REJECTED DUPLICATE_NODE"
        assert newest(bed).position == bed.planner.issued[made].position, "neither a refusal nor a pin moves it"
        expected = bed.planner.expect("n1", 2)
        await bed.until(lambda: newest(bed).position == bed.planner.issued[expected].position)
        assert newest(bed).slots, "what it accounts for is in it"


@virtual
async def test_what_is_issued_again_is_answered_with_what_is_the_case_and_moves_the_position() -> None:
    async with Bed() as bed:
        await bed.answered(made := bed.planner.create("n1"))
        await bed.until(lambda: bed.reports)
        again = replace(bed.planner.issued[made], position=Position(2, 1))
        bed.planner.submit(again)
        await bed.until(lambda: newest(bed).position == again.position)
        await bed.until(lambda: len(bed.planner.finals(made)) == 2)
        assert {ack.outcome.name for _, ack in bed.planner.finals(made)} == {"APPLIED"}


@virtual
async def test_a_machine_that_is_ready_after_its_deadline_is_reported_and_nothing_is_held_on_it() -> None:
    async with Bed() as bed:
        await bed.answered(bed.planner.create("n1", within=20), bed.planner.expect("n1", 2, within=20))
        bed.people.join("n1", ready=False)
        await bed.run(30)
        assert not any(each.state.usable for each in bed.reports)
        node = bed.node("n1")
        assert node is not None
        assert PREPARING not in {taint["key"] for taint in node["spec"]["taints"]}, "nothing is held on it"
        bed.people.join("n1")
        await bed.until(lambda: newest(bed).state is NodeState.READY)
