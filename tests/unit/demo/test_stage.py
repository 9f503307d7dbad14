"""The way of events: to the state, to the display, and to waiting code."""

from __future__ import annotations

import asyncio

import pytest

from tools.demo.common.events import Event, Said
from tools.demo.errors import DemoError
from tools.demo.events import NodeSeen, NodeState, PodSeen, PodState
from tools.demo.stage import Stage


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def seen(state: PodState, node: str = "") -> PodSeen:
    return PodSeen(at=1, pod="demo/web-1", app="web", cpu=100, state=state, node=node)


async def test_every_sink_gets_every_event_with_its_time() -> None:
    first: list[Event] = []
    second: list[Event] = []
    clock = Clock()
    stage = Stage(first.append, second.append, clock=clock)
    clock.now += 1.5
    stage.say("hello")
    assert first == second == [Said(at=1.5, sentence="hello")]


async def test_only_changes_are_events() -> None:
    events: list[Event] = []
    stage = Stage(events.append)
    for _ in range(3):
        stage.node("n1", NodeState.PLACEHOLDER)
        stage.pod(seen(PodState.PENDING))
    stage.node("n1", NodeState.JOINING)
    stage.pod(seen(PodState.PINNED, "n1"))
    assert [type(event) for event in events] == [NodeSeen, PodSeen, NodeSeen, PodSeen]


async def test_who_waits_wakes_when_it_is_so() -> None:
    stage = Stage()
    waiting = asyncio.create_task(stage.until(lambda s: s.pods_in(PodState.PINNED) == 1, "a pinned pod", 30))
    other = asyncio.create_task(stage.until(lambda s: s.nodes_in(NodeState.READY) == 1, "a ready node", 30))
    stage.pod(seen(PodState.PENDING))
    await asyncio.sleep(0)
    assert not waiting.done()
    stage.pod(seen(PodState.PINNED, "n1"))
    await waiting
    assert not other.done()
    stage.node("n1", NodeState.READY)
    await other


async def test_what_does_not_come_is_named() -> None:
    with pytest.raises(DemoError, match=r"waited 0\.01 s for 12 placeholders"):
        await Stage().until(lambda _: False, "12 placeholders", 0.01)
