"""The limits of all requests: a number at a time, in order, and none from a replica that no longer leads."""

from __future__ import annotations

import asyncio

import pytest

from moorage.controller.fence import Fence, NotLeading


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


class Requests:
    """Requests that are answered when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[asyncio.Future[None]] = []

    async def __call__(self) -> None:
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.append(answer)
        await answer

    async def answer(self) -> None:
        self.waiting.pop(0).set_result(None)
        await settle()


async def test_a_turn_comes_when_a_request_could_be_made_at_once() -> None:
    fence, requests = Fence(lambda: True, 2), Requests()
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(fence.write(requests))
        await settle()
        assert len(requests.waiting) == 2, "the third waits"
        turns = [group.create_task(fence.turn()) for _ in range(2)]
        await settle()
        await requests.answer()
        assert len(requests.waiting) == 2, "the third goes first"
        assert not any(turn.done() for turn in turns)
        await requests.answer()
        assert all(turn.done() for turn in turns)
        await requests.answer()
    await fence.turn()


async def test_whoever_gives_up_waiting_for_a_turn_holds_nobody_up() -> None:
    fence, requests = Fence(lambda: True, 1), Requests()
    async with asyncio.TaskGroup() as group:
        group.create_task(fence.write(requests))
        await settle()
        first, second = (group.create_task(fence.turn()) for _ in range(2))
        await settle()
        first.cancel()
        await settle()
        assert not second.done()
        await requests.answer()
        assert second.done()


async def test_nothing_is_asked_for_by_a_replica_that_stops_leading_while_it_waits() -> None:
    leading, requests = [True], Requests()
    fence = Fence(lambda: leading[0], 1)
    first = asyncio.create_task(fence.write(requests))
    second = asyncio.create_task(fence.write(requests))
    await settle()
    leading[0] = False
    await requests.answer()
    await first
    with pytest.raises(NotLeading):
        await second
    assert requests.waiting == []
