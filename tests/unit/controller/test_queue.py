"""The work queue: one worker per node at a time, and a worker wakes up for every key."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from moorage.controller import queue as module
from moorage.controller.queue import KeyQueue


@pytest.fixture
def queue() -> KeyQueue:
    return KeyQueue(base=0.1, cap=1)


async def get(queue: KeyQueue) -> tuple[str, bool]:
    async with asyncio.timeout(5):
        return await queue.get()


async def nothing(queue: KeyQueue) -> bool:
    worker = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    idle = not worker.done()
    worker.cancel()
    await asyncio.gather(worker, return_exceptions=True)
    return idle


async def test_a_key_that_is_being_looked_at_comes_again_afterwards_and_once(queue: KeyQueue) -> None:
    queue.add("a")
    assert await get(queue) == ("a", False)
    queue.add("a")
    queue.add("a")
    assert await nothing(queue)
    queue.done("a")
    assert await get(queue) == ("a", False)
    queue.done("a")
    assert await nothing(queue)


async def test_a_quiet_key_comes_when_nobody_works_on_anything_else(queue: KeyQueue) -> None:
    queue.add_low_priority("a", 0)
    queue.add_low_priority("c", 0)
    queue.add("b")
    assert await get(queue) == ("b", False)
    assert await nothing(queue)
    queue.done("b")
    assert await get(queue) == ("a", True)
    assert await nothing(queue)  # one quiet key after the other
    queue.done("a")
    assert await get(queue) == ("c", True)


async def test_quiet_keys_come_one_by_one_and_without_rests_when_there_is_nothing_else(queue: KeyQueue) -> None:
    for key in "abc":
        queue.add_low_priority(key, 0)
    for key in "abc":
        assert await get(queue) == (key, True)
        await asyncio.sleep(0.02)
        assert await nothing(queue)
        queue.done(key)
    assert await nothing(queue)


async def test_after_a_quiet_key_there_is_rest_while_there_is_other_work(
    queue: KeyQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAUSE_FACTOR", 1e6)
    monkeypatch.setattr(module, "LONGEST_PAUSE", 1e6)
    queue.add_low_priority("a", 0)
    queue.add_low_priority("c", 0)
    queue.add("b")
    assert await get(queue) == ("b", False)
    queue.done("b")
    assert await get(queue) == ("a", True)
    await asyncio.sleep(0.02)
    queue.done("a")
    assert await nothing(queue)
    queue.add("d")
    assert await get(queue) == ("d", False)  # which nobody keeps waiting
    queue.done("d")
    assert await nothing(queue)


async def test_a_quiet_key_that_has_waited_too_long_ends_the_rest(
    queue: KeyQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAUSE_FACTOR", 1e6)
    monkeypatch.setattr(module, "LONGEST_PAUSE", 1e6)
    for key in "ac":
        queue.add_low_priority(key, 0)
    queue.add("b")
    queue.done((await get(queue))[0])
    assert await get(queue) == ("a", True)
    await asyncio.sleep(0.02)
    queue.done("a")
    assert await nothing(queue)
    monkeypatch.setattr(module, "LOW_PRIORITY_PATIENCE", 0.0)
    assert await get(queue) == ("c", True)


async def test_a_rest_ends_by_itself(queue: KeyQueue) -> None:
    for key in "ac":
        queue.add_low_priority(key, 0)
    queue.add("b")
    queue.done((await get(queue))[0])
    assert await get(queue) == ("a", True)
    await asyncio.sleep(0.02)
    queue.done("a")
    assert await get(queue) == ("c", True)


async def test_a_quiet_key_that_has_waited_too_long_goes_first(
    queue: KeyQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOW_PRIORITY_PATIENCE", 0.0)
    queue.add_low_priority("a", 0)
    queue.add("b")
    assert await get(queue) == ("a", True)


async def test_a_key_that_came_in_both_ways_is_never_given_to_two_workers(
    queue: KeyQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOW_PRIORITY_PATIENCE", 0.0)  # a low-priority key would go first
    queue.add_low_priority("a", 0)
    queue.add("a")
    assert await get(queue) == ("a", False)
    assert await nothing(queue)
    queue.done("a")
    assert await get(queue) == ("a", True)
    assert await nothing(queue)


async def test_idle_workers_wake_for_keys_that_come_at_once_later_and_quietly(queue: KeyQueue) -> None:
    workers = [asyncio.create_task(queue.get()) for _ in range(3)]
    await asyncio.sleep(0)
    queue.add("at once")
    queue.add_after("later", 0.01)
    queue.add_low_priority("quietly", 0.02)
    found = set()
    async with asyncio.timeout(5):
        for worker in asyncio.as_completed(workers):
            key, quietly = await worker
            found.add((key, quietly))
            queue.done(key)
    assert found == {("at once", False), ("later", False), ("quietly", True)}


async def test_a_key_for_which_a_cancelled_worker_was_woken_goes_to_another(queue: KeyQueue) -> None:
    first, second = (asyncio.create_task(queue.get()) for _ in range(2))
    await asyncio.sleep(0)
    queue.add("a")
    first.cancel()
    async with asyncio.timeout(5):
        assert await second == ("a", False)


async def test_the_queue_is_busy_with_what_did_not_come_quietly(queue: KeyQueue) -> None:
    assert not queue.busy
    queue.add_low_priority("a", 0)
    assert await get(queue) == ("a", True)
    assert not queue.busy
    queue.add("b")
    assert queue.busy
    assert await get(queue) == ("b", False)
    assert queue.busy
    queue.done("b")
    assert not queue.busy
    queue.done("a")
    assert not queue.busy


async def test_others_have_their_turn_while_a_worker_waits_for_nothing() -> None:
    now, seen = 0.0, list[int]()
    queue = KeyQueue(base=0.1, cap=1, monotonic=lambda: now)
    keys = [f"k{number}" for number in range(20)]
    for key in keys:
        queue.add(key)
    done: list[str] = []

    async def work() -> None:
        nonlocal now
        while True:
            key, _ = await queue.get()
            done.append(key)
            now += 0.004
            queue.done(key)

    worker = asyncio.create_task(work())
    async with asyncio.timeout(5):
        while len(done) < len(keys):
            await asyncio.sleep(0)
            seen.append(len(done))
    worker.cancel()
    assert done == keys
    assert max(later - sooner for sooner, later in itertools.pairwise([0, *seen])) == 3
