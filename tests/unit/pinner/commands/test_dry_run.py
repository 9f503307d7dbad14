"""A dry run: every instruction is judged with the results of earlier ones, and nothing is written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any, cast

import msgspec
import pytest

from moorage.kube import errors
from moorage.kube.unreadable import Unreadable
from moorage.objects import Node, ObjectMeta, Pod
from moorage.pinner.commands.dry_run import DryRun
from moorage.pinner.decisions.ends import Ends
from moorage.pinner.instructions import judge
from moorage.pinner.names import PIN_ANNOTATION
from moorage.pinner.options import Options
from moorage.pinner.state.caches import Caches
from moorage.protocol import (
    Ack,
    Action,
    CreatePlaceholder,
    DeletePlaceholder,
    ExpectPods,
    Instruction,
    Outcome,
    Owner,
    PinPods,
    PodRef,
    Position,
    Promise,
    ReasonCode,
    Release,
    Slot,
)
from tests.unit.cluster.told import told
from tests.unit.pinner import model
from tests.unit.pinner.model import NOW, PROMISE, joined, placeholder, reservation_of, spec_of, wanting_device
from tests.unit.pinner.state.test_cluster import pod
from tests.unit.protocol.support import HANG

NAME = "node-1"
ROOM = {"cpu": "4", "memory": "8Gi", "pods": "10"}
CREATE = CreatePlaceholder(Promise(NAME, ROOM))


class Reader:
    """The API server for reads. Any other request fails the test."""

    def __init__(self) -> None:
        self.pods: dict[str, Pod] = {}
        self.failures = 0

    async def get(self, _resource: Any, name: str, namespace: str = "") -> Pod:
        if self.failures:
            self.failures -= 1
            raise errors.ConnectionLost("cut")
        if f"{namespace}/{name}" in self.pods:
            return self.pods[f"{namespace}/{name}"]
        raise errors.NotFound(404, errors.Status(), request="GET")


class Clock:
    moment = NOW

    def now(self) -> datetime:
        return self.moment


class Setting:
    """A dry run over caches with content from the test. Pods 1 to 5 request a core each."""

    def __init__(self) -> None:
        self.caches = told(Caches.over(cast("Any", None)))
        for cache in self.caches.values():
            cache._synced = asyncio.Event()
            cache._synced.set()
        self.reader, self.clock, self.acks = Reader(), Clock(), list[Ack]()
        self.answered = asyncio.Event()
        client: Any = self.reader
        clock: Any = self.clock
        self.ends = Ends(1, clock.now)
        self.caches["pods"].subscribe(self.ends.follow)
        self.run = DryRun(client, Caches(**self.caches), clock, Options(), acks=self._take, ends=self.ends)
        for number in range(1, 6):
            self.caches["pods"].put(pod(number), number)
        self._sequence = 0

    def _take(self, ack: Ack) -> None:
        self.acks.append(ack)
        self.answered.set()

    async def do(self, action: Action, *, epoch: int = 1, minutes: int = 5) -> Ack:
        self._sequence += 1
        until = self.clock.now() + timedelta(minutes=minutes)
        self.answered.clear()
        key = f"i-{self._sequence}"
        self.run.submit(Instruction(key, Position(epoch, self._sequence), NOW, until, action, "plan"))
        async with asyncio.timeout(HANG):
            await self.answered.wait()
        assert self.acks[-1].instruction_id == key
        return self.acks[-1]

    async def said(self, action: Action, **how: Any) -> tuple[str, str]:
        ack = await self.do(action, **how)
        return ack.outcome.value, ack.reason.name


@pytest.fixture
async def dry(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Setting]:
    monkeypatch.setattr("moorage.pinner.commands.dry_run.RETRY", 0.001)
    setting = Setting()
    task = asyncio.create_task(setting.run.run())
    yield setting
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.result()


def pins(*numbers: int) -> PinPods:
    return PinPods(NAME, tuple(PodRef("ns", f"p{n}", f"u{n}") for n in numbers))


DRY = ("rejected", "DRY_RUN")


async def test_pods_are_judged_against_a_placeholder_that_was_only_imagined(dry: Setting) -> None:
    assert await dry.said(pins(1)) == ("rejected", "PLACEHOLDER_MISSING")
    created = await dry.do(CREATE)
    assert (created.outcome, created.reason) == (Outcome.REJECTED, ReasonCode.DRY_RUN)
    assert created.text == "placeholder node-1 would be created and held (cpu 4, memory 8Gi, pods 10)"
    assert await dry.said(CREATE) == DRY
    assert await dry.said(CreatePlaceholder(Promise(NAME, {**ROOM, "cpu": "5"}))) == ("rejected", "DUPLICATE_NODE")

    ack = await dry.do(pins(1, 2, 3))
    assert {each.reason for each in ack.pods} == {ReasonCode.DRY_RUN}
    assert ack.pods[0].sentence == "it fits, and would be bound to node node-1"
    ack = await dry.do(pins(3, 4, 5))  # three are counted already, one of them is asked for again
    assert [each.reason.name for each in ack.pods] == ["DRY_RUN", "DRY_RUN", "NODE_FULL"]
    assert ack.reason is ReasonCode.DRY_RUN
    assert ack.text.startswith("2 of 3 pods would be on node node-1; pod ns/p5: ")
    assert "1000" in ack.pods[2].sentence  # what it needs: the sentence of a real run


async def test_an_owner_whose_pins_came_to_nothing_is_left_to_the_scheduler_as_in_a_real_run(dry: Setting) -> None:
    await dry.do(CREATE)
    old = pod(9, node="node-9")
    meta = msgspec.structs.replace(old.metadata, annotations={PIN_ANNOTATION: "earlier"})
    dry.caches["pods"].put(msgspec.structs.replace(old, metadata=meta), 70)
    dry.caches["pods"].drop("ns/p9", 71)
    dry.caches["pods"].put(pod(10), 72)
    ack = await dry.do(pins(1))
    assert [each.reason.name for each in ack.pods] == ["OWNER_CAPPED"]


async def test_a_pod_that_only_the_scheduler_can_place_would_be_nominated(dry: Setting) -> None:
    await dry.do(CREATE)
    dry.caches["pods"].put(wanting_device(pod(1)), 60)
    ack = await dry.do(pins(1, 2))
    assert [each.reason.name for each in ack.pods] == ["DRY_RUN", "DRY_RUN"]
    assert ack.pods[0].sentence.startswith("it would be nominated to node node-1 once the node has joined: ")
    assert ack.text == "2 of 2 pods would be on node node-1"


@pytest.mark.parametrize(
    ("more", "expected"), [({}, "DOES_NOT_FIT"), ({"profile": "late", "provider_id": "p"}, "DRY_RUN")]
)
async def test_who_selects_by_host_would_wait_for_the_machine(
    dry: Setting, more: dict[str, str], expected: str
) -> None:
    spec = msgspec.structs.replace(pod(1).spec, node_selector={"kubernetes.io/hostname": NAME})
    dry.caches["pods"].put(msgspec.structs.replace(pod(1), spec=spec), 60)
    await dry.do(CreatePlaceholder(Promise(NAME, ROOM, **more)))  # type: ignore[arg-type]
    assert [each.reason.name for each in (await dry.do(pins(1, 2))).pods] == [expected, "DRY_RUN"]


async def test_a_placeholder_in_a_zone_of_its_own_would_be_refused(dry: Setting) -> None:
    labels = {"topology.kubernetes.io/zone": "a"}
    machine = joined(placeholder(), ready=True)
    meta = msgspec.structs.replace(machine.metadata, name="worker", labels=labels)
    dry.caches["nodes"].put(msgspec.structs.replace(machine, metadata=meta), 60)
    new = {"topology.kubernetes.io/zone": "b"}
    assert await dry.said(CreatePlaceholder(Promise(NAME, ROOM, new))) == ("rejected", "NEW_ZONE")
    assert await dry.said(CreatePlaceholder(Promise(NAME, ROOM, new, allow_new_zone=True))) == DRY


async def test_a_pod_that_nobody_can_judge_would_wait(dry: Setting) -> None:
    await dry.do(CREATE)
    odd = Unreadable("ns/odd", "odd", "50", "it is odd", pod(9, node=NAME), ("spec.containers",))
    for subscriber in dry.caches["pods"]._subscribers:
        subscriber.tell_unread("ns/odd", odd)
    ack = await dry.do(pins(1))
    (result,) = ack.pods
    assert result.reason.name == "DEADLINE_PASSED"
    assert result.sentence.startswith("it would wait: node ")
    assert ack.text.startswith("0 of 1 pod would be on node")


async def test_what_is_wrong_has_the_answer_of_a_real_run(dry: Setting) -> None:
    assert await dry.said(CreatePlaceholder(Promise("Bad", ROOM))) == ("rejected", "INVALID_NODE_NAME")
    assert await dry.said(CreatePlaceholder(Promise(NAME, ROOM, profile="aws"))) == ("rejected", "PROVIDER_ID_NEEDED")
    assert await dry.said(CREATE, minutes=-1) == ("failed", "DEADLINE_PASSED")
    dry.caches["nodes"].put(joined(placeholder(), ready=True), 9)
    assert await dry.said(CREATE) == ("rejected", "NODE_IS_REAL")
    ack = await dry.do(pins(1, 9), epoch=2)
    assert ack.outcome is Outcome.REJECTED
    assert {each.reason.name for each in ack.pods} == {"SOFT_PIN_UNSUPPORTED", "POD_NOT_FOUND"}
    assert await dry.said(CREATE) == ("rejected", "STALE_EPOCH")


async def test_what_is_as_it_should_be_is_said_to_be_so(dry: Setting) -> None:
    assert await dry.said(DeletePlaceholder("nobody")) == ("applied", "OK")
    dry.caches["nodes"].put(joined(placeholder(), ready=True), 9)
    dry.caches["pods"].put(pod(1, node=NAME), 10)
    ack = await dry.do(pins(1))
    assert (ack.outcome, ack.pods[0].node) == (Outcome.APPLIED, NAME)


async def test_the_room_is_free_again_when_the_placeholder_is_given_up_or_a_new_plan_begins(dry: Setting) -> None:
    for end in (DeletePlaceholder(NAME), None):
        epoch = 1 if end is not None else 2
        assert await dry.said(CREATE, epoch=epoch) == DRY
        assert {r.reason.name for r in (await dry.do(pins(1, 2, 3, 4), epoch=epoch)).pods} == {"DRY_RUN"}
        if end is not None:
            assert await dry.said(end) == DRY
            assert await dry.said(pins(5)) == ("rejected", "PLACEHOLDER_MISSING")
    assert await dry.said(pins(5), epoch=3) == ("rejected", "PLACEHOLDER_MISSING")
    assert await dry.said(CREATE, epoch=3) == DRY
    assert [each.reason.name for each in (await dry.do(pins(5), epoch=3)).pods] == ["DRY_RUN"]


async def test_a_placeholder_that_is_late_is_imagined_no_more(dry: Setting) -> None:
    assert await dry.said(CREATE) == DRY
    dry.clock.moment = NOW + timedelta(minutes=6)
    assert await dry.said(pins(1)) == ("rejected", "PLACEHOLDER_MISSING")


async def test_slots_are_held_and_released(dry: Setting) -> None:
    slots = (Slot(Owner("Deployment", "ns", "web"), {"cpu": "1"}, 3),)
    assert await dry.said(ExpectPods(NAME, slots)) == ("rejected", "PLACEHOLDER_MISSING")
    await dry.do(CREATE)
    assert (await dry.do(ExpectPods(NAME, slots))).text == "node node-1 would be held for 3 pods to come"
    await dry.do(pins(1))
    assert await dry.said(Release(NAME)) == DRY
    assert await dry.said(pins(2)) == DRY  # a pod is there, so the placeholder stays
    await dry.do(CREATE, epoch=2)
    assert await dry.said(Release(NAME), epoch=2) == DRY
    assert await dry.said(pins(2), epoch=2) == ("rejected", "PLACEHOLDER_MISSING")


async def test_a_machine_takes_the_place_of_the_imagined_one(dry: Setting) -> None:
    await dry.do(CREATE)
    small = joined(placeholder(ours=False), ready=True)
    status = msgspec.structs.replace(small.status, allocatable={**PROMISE.allocatable, "cpu": "1"})
    dry.caches["nodes"].put(msgspec.structs.replace(small, status=status), 20)
    ack = await dry.do(pins(1, 2))
    assert [each.reason.name for each in ack.pods] == ["DRY_RUN", "NODE_FULL"]


async def test_reservations_of_an_earlier_run_are_judged_and_left_as_they_are(dry: Setting) -> None:
    dry.caches["reservations"].put(reservation_of(spec_of(1)), 20)
    dry.caches["nodes"].put(placeholder(), 21)
    assert [each.reason.name for each in (await dry.do(pins(2))).pods] == ["DRY_RUN"]
    assert await dry.said(DeletePlaceholder(NAME)) == DRY
    assert await dry.said(pins(3)) == ("rejected", "SUPERSEDED")
    assert [each.reason.name for each in (await dry.do(pins(3), epoch=2)).pods] == ["DRY_RUN"]


async def test_a_pod_the_cache_does_not_know_yet_is_read_however_long_it_takes(dry: Setting) -> None:
    late = pod(7)
    dry.reader.pods["ns/p7"] = msgspec.structs.replace(
        late, metadata=msgspec.structs.replace(late.metadata, resource_version="99")
    )
    dry.reader.failures = 3
    await dry.do(CREATE)
    assert [each.reason.name for each in (await dry.do(pins(7))).pods] == ["DRY_RUN"]


async def test_pods_that_the_scheduler_has_bound_elsewhere_leave_the_imagined_node(dry: Setting) -> None:
    other = Node(metadata=ObjectMeta(name="other"), status=model.placeholder().status)
    dry.caches["nodes"].put(other, 20)
    await dry.do(CREATE)
    assert {r.reason.name for r in (await dry.do(pins(1, 2, 3, 4))).pods} == {"DRY_RUN"}
    dry.caches["pods"].put(pod(1, node="other"), 30)
    ack = await dry.do(pins(1, 5))
    assert [each.reason.name for each in ack.pods] == ["POD_BOUND_ELSEWHERE", "DRY_RUN"]


async def test_an_instruction_that_meets_a_defect_is_answered_and_holds_nobody_up(
    dry: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = judge.judge

    def take(instruction: Instruction, *args: Any) -> judge.Judgement:
        if isinstance(instruction.action, Release):
            raise ZeroDivisionError
        return whole(instruction, *args)

    monkeypatch.setattr(judge, "judge", take)
    assert await dry.said(Release(NAME)) == ("failed", "INTERNAL")
    assert await dry.said(CREATE) == ("rejected", "DRY_RUN")


async def test_pods_that_cannot_be_read_hold_up_nobody_else_and_the_answer_comes_at_the_deadline(dry: Setting) -> None:
    dry.reader.failures = 10**9
    unknown = Instruction("late", Position(1, 90), NOW, NOW + timedelta(minutes=1), pins(9), "plan")
    dry.run.submit(unknown)
    assert await dry.said(CREATE) == ("rejected", "DRY_RUN")
    assert len(dry.acks) == 1
    dry.answered.clear()
    dry.clock.moment = NOW + timedelta(minutes=2)
    async with asyncio.timeout(HANG):
        await dry.answered.wait()
    ack = dry.acks[-1]
    assert (ack.instruction_id, ack.outcome, ack.reason) == ("late", Outcome.FAILED, ReasonCode.API_UNAVAILABLE)
    assert [result.reason for result in ack.pods] == [ReasonCode.API_UNAVAILABLE]


async def test_of_a_late_node_is_said_what_would_be_waited_for_and_pods_are_judged_as_on_any(dry: Setting) -> None:
    late = CreatePlaceholder(Promise(NAME, ROOM, profile="late", match_labels={"batch": "b"}))
    created = await dry.do(late)
    assert created.text == (
        "a Node with the labels batch=b would be waited for, and be node-1 (cpu 4, memory 8Gi, pods 10)"
    )
    ack = await dry.do(pins(1, 2, 3, 4, 5))
    assert [each.reason.name for each in ack.pods] == ["DRY_RUN"] * 4 + ["NODE_FULL"]
    assert await dry.said(DeletePlaceholder(NAME)) == DRY
    assert await dry.said(pins(1)) == ("rejected", "PLACEHOLDER_MISSING")
