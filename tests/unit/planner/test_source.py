"""Decisions that come one by one: each reaches the pinner separately, and accepted work stays unchanged."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace as replace_struct

from moorage.files.mistakes import FileMistakes, Mistake
from moorage.objects import ObjectMeta, OwnerReference, Pod, PodSpec, PodStatus
from moorage.ops.configuration import load
from moorage.pinner.stream.client import InstructionStream
from moorage.planner import file_source, planfile
from moorage.planner.assign import Assigner
from moorage.planner.cluster import assigned_by
from moorage.planner.file_source import PlanFile
from moorage.planner.instruction_store import InstructionStore
from moorage.planner.plan import Plan, PlannedNode, Wanted
from moorage.planner.plan_issuer import PlanIssuer
from moorage.planner.rebalancing.targets import Targets
from moorage.planner.service import Planner
from moorage.planner.settings import PlannerSettings
from moorage.planner.source import Change, Planned, Released, Served, Source, Unusable, Withdrawn
from moorage.protocol import (
    Action,
    CreatePlaceholder,
    DeletePlaceholder,
    ExpectPods,
    Instruction,
    Owner,
    PinPods,
    PodRef,
    Release,
    Slot,
)
from tests.unit.planner.increments import EMPTY, Increments
from tests.unit.protocol.support import HANG, Pinner, eventually, promise, settings

WEB = Owner("ReplicaSet", "ns", "web")


def slots(count: int) -> tuple[Slot, ...]:
    return (Slot(WEB, {"cpu": "1"}, count),)


def exact(number: int) -> Wanted:
    return Wanted("ns", f"web-{number}", f"uid-{number}")


def node(name: str, *pods: Wanted, room: int = 0) -> PlannedNode:
    return PlannedNode(name, promise(name), pods, slots(room) if room else ())


def planner_of(source: Source, tmp_path: Path) -> Planner:
    """A planner that follows a source, and not the plan file that its settings name."""
    path = tmp_path / "unread.yaml"
    path.write_text("neither read nor a plan")
    flags = {"plan": str(path), "listen": "127.0.0.1:0", "output": "json"}
    return Planner(load(PlannerSettings, {}, flags), source=source)


@asynccontextmanager
async def planning(source: Source, tmp_path: Path) -> AsyncIterator[Planner]:
    """The same while it runs."""
    planner = planner_of(source, tmp_path)
    task = asyncio.create_task(planner.run())
    try:
        await eventually(lambda: planner.server.port != 0 or task.done())
        yield planner
    finally:
        task.cancel()
        await asyncio.wait({task})


def pins(name: str, *numbers: int) -> PinPods:
    return PinPods(name, tuple(PodRef("ns", f"web-{number}", f"uid-{number}") for number in numbers))


def actions(pinner: Pinner) -> list[Action]:
    return [each.action for each in pinner.received if isinstance(each, Instruction)]


def has(number: int) -> Callable[[Pinner], bool]:
    return lambda pinner: len(actions(pinner)) == number


async def test_each_change_reaches_the_pinner_on_the_stream_that_stands(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="moorage")
    source = Increments()
    steps: list[tuple[Change, list[Action]]] = [
        (Planned(node("a", exact(1))), [CreatePlaceholder(promise("a")), pins("a", 1)]),
        (Planned(node("b", room=2)), [CreatePlaceholder(promise("b")), ExpectPods("b", slots(2))]),
        (Planned(node("a", exact(1), exact(2))), [pins("a", 2)]),
        (Planned(node("b", room=3)), [ExpectPods("b", slots(3))]),
        (Planned(node("b", room=3)), []),
        (Withdrawn("a"), [DeletePlaceholder("a")]),
        (Planned(node("a", exact(2))), [CreatePlaceholder(promise("a")), pins("a", 2)]),
        (Released("b"), [Release("b")]),
    ]
    wanted: list[Action] = []
    async with (
        planning(source, tmp_path) as planner,
        Pinner(InstructionStream(settings(planner.server.port))) as pinner,
    ):
        for change, new in steps:
            source.say(change)
            wanted += new
            await pinner.until(has(len(wanted)))
            assert actions(pinner) == wanted
        said = [each for each in pinner.received if isinstance(each, Instruction)]
    assert {each.position.epoch for each in said} == {said[0].position.epoch}, "nothing was replaced as a whole"
    assert [each.position.sequence for each in said] == list(range(1, len(wanted) + 1))
    assert len({each.id for each in said}) == len(said), "what is wanted again is another wish"
    assert [each.getMessage() for each in caplog.records].count("planner has welcomed us") == 1


async def test_who_connects_later_hears_what_is_not_done_yet_and_then_what_changes(tmp_path: Path) -> None:
    source = Increments()
    source.say(Planned(node("a")), Planned(node("b")))
    async with planning(source, tmp_path) as planner:
        silent = InstructionStream(settings(planner.server.port))
        async with Pinner(silent, lambda _: None) as first:
            await first.until(lambda p: len(p.ids) == 2)
        async with Pinner(InstructionStream(settings(planner.server.port))) as second:
            await second.until(lambda p: len(p.ids) == 2)
            source.say(Planned(node("c")))
            await second.until(lambda p: len(p.ids) == 3)
            assert second.ids[:2] == first.ids


def owned(number: int) -> Pod:
    by = OwnerReference(api_version="apps/v1", kind="ReplicaSet", name="web", uid="rs", controller=True)
    meta = ObjectMeta(name=f"web-{number}", namespace="ns", uid=f"uid-{number}", owner_references=(by,))
    return Pod(metadata=meta)


def test_pods_by_owner_go_to_nodes_that_join_the_plan_and_are_free_again_when_one_leaves() -> None:
    board = InstructionStore()
    engine, pods = PlanIssuer(board), [owned(number) for number in range(4)]
    two = Wanted("ns", owner=WEB, count=2)

    def pinned() -> list[tuple[str, list[str]]]:
        return [
            (each.node, [pod.name for pod in each.action.pods]) for each in board if isinstance(each.action, PinPods)
        ]

    engine.begin(EMPTY)
    engine.look(pods)
    engine.change(Planned(node("a", two)))
    engine.look(pods)
    engine.change(Planned(node("b", two)))
    engine.look(pods)
    first = [("a", ["web-0", "web-1"]), ("b", ["web-2", "web-3"])]
    assert pinned() == first
    engine.change(Withdrawn("a"))
    engine.change(Planned(node("c", two)))
    engine.look(pods)
    assert pinned() == [*first, ("c", ["web-0", "web-1"])]
    assert engine.complete


def test_a_rebalancing_waits_for_a_node_that_joins_its_plan() -> None:
    board = InstructionStore()
    engine = PlanIssuer(board)
    engine.begin(replace(EMPTY, nodes=(node("a", room=1),)))
    assert engine.plan is not None
    targets = Targets(engine.plan, board, "cluster")
    targets.follow(engine.change(Planned(node("b", room=1))))
    assert list(targets.waiting) == [f"node {name}: there is no report yet" for name in "ab"]
    targets.follow(engine.change(Withdrawn("a")))
    assert list(targets.waiting) == ["node b: there is no report yet"]
    assert list(targets.release()) == [Release("b")]


async def test_the_plan_file_is_a_source_of_whole_plans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_source, "POLL_SECONDS", 0.01)
    path = tmp_path / "plan.yaml"
    source: Source = PlanFile(path)
    said: list[Change] = []
    async with asyncio.timeout(HANG), aclosing(source.changes()) as changes:
        for text in ("nodes: []\n", "nodez: []\n", "nodes: []\nrelease: [a]\n"):
            path.write_text(text)
            said.append(await anext(changes))
    kinds = [type(each) for each in said]
    assert kinds == [Served, Unusable, Served]
    assert isinstance(said[2], Served)
    assert said[2].plan.release == ("a",)


async def test_a_source_that_cannot_be_read_ends_a_planner_that_serves_nothing_yet(tmp_path: Path) -> None:
    error = FileMistakes("plan", [Mistake(1, "wrong")])
    planner = planner_of(Increments(Unusable(error)), tmp_path)
    with pytest.raises(FileMistakes, match="wrong"):
        async with asyncio.timeout(HANG):
            await planner.run()
    assert planner.server.port == 0


async def test_a_large_plan_is_read_in_a_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, threads = planfile.read, list[threading.Thread]()

    def noted(name: str, data: bytes) -> Plan:
        threads.append(threading.current_thread())
        assert not gc.isenabled() or threads[-1] is threading.main_thread()
        return read(name, data)

    monkeypatch.setattr(planfile, "read", noted)
    path = tmp_path / "plan.yaml"
    for count, aside in ((1, False), (2000, True)):
        path.write_text(f"nodes: []\nrelease: [{', '.join(f'node-{number}' for number in range(count))}]\n")
        async with asyncio.timeout(HANG), aclosing(PlanFile(path).changes()) as changes:
            said = await anext(changes)
        assert isinstance(said, Served)
        assert len(said.plan.release) == count
        assert (threads.pop() is not threading.main_thread()) is aside
        assert gc.isenabled()


async def test_nothing_is_complete_before_what_was_found_aside_is_issued(monkeypatch: pytest.MonkeyPatch) -> None:
    board, found, go_on = InstructionStore(), threading.Event(), threading.Event()
    engine, update = PlanIssuer(board), Assigner.update

    def slow(self: Assigner, pods: Iterable[Pod]) -> Any:
        result = update(self, pods)
        found.set()
        go_on.wait(HANG)
        return result

    monkeypatch.setattr(Assigner, "update", slow)
    engine.begin(replace(EMPTY, nodes=(node("a", Wanted("ns", owner=WEB, count=2)),)))
    looking = asyncio.create_task(engine.look_aside([owned(number) for number in range(2)]))
    await asyncio.to_thread(found.wait, HANG)
    assert not engine.lacking
    assert not engine.complete
    go_on.set()
    await looking
    assert engine.complete
    assert [each.action for each in board if isinstance(each.action, PinPods)]


def test_only_changes_that_an_assignment_depends_on_are_looked_at() -> None:
    before = owned(1)
    running = replace_struct(before, status=PodStatus(phase="Running", start_time="now"))
    labelled = replace_struct(before, metadata=replace_struct(before.metadata, labels={"a": "b"}))
    bound = replace_struct(before, spec=PodSpec(node_name="n"))
    failed = replace_struct(before, status=PodStatus(phase="Failed"))
    going = replace_struct(before, metadata=replace_struct(before.metadata, deletion_timestamp="now"))
    assert assigned_by(before) == assigned_by(running)
    assert len({str(assigned_by(each)) for each in (before, labelled, bound, failed, going)}) == 5
