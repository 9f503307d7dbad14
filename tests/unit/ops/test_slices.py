"""Long work lets others run in between."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from moorage.ops.slices import at_once, in_slices


class Work:
    """Takes time on a clock of its own."""

    def __init__(self, *seconds: float) -> None:
        self.now, self.done, self._seconds = 0.0, 0, seconds

    def __iter__(self) -> Iterator[None]:
        for seconds in self._seconds:
            self.now += seconds
            self.done += 1
            yield


async def turns(work: Work) -> list[int]:
    """How much was done whenever another task had its turn."""
    seen: list[int] = []

    async def beside() -> None:
        while True:
            seen.append(work.done)
            await asyncio.sleep(0)

    other = asyncio.create_task(beside())
    await asyncio.sleep(0)
    await in_slices(work, seconds=0.01, clock=lambda: work.now)
    other.cancel()
    return seen


async def test_others_run_whenever_a_slice_is_over() -> None:
    assert await turns(Work(*[0.004] * 10)) == [0, 3, 6, 9]


async def test_a_long_step_is_a_slice_of_its_own() -> None:
    assert await turns(Work(0.001, 5.0, 0.001, 5.0)) == [0, 2, 4]


async def test_short_work_is_done_without_a_pause() -> None:
    assert await turns(Work(*[0.001] * 9)) == [0]


def test_at_once_does_everything() -> None:
    work = Work(1.0, 1.0)
    at_once(work)
    assert work.done == 2
