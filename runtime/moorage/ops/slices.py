"""Long work in the event loop, in slices: Leases are renewed, requests answered and streams read in between."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import ParamSpec, TypeVar

from . import heap

P = ParamSpec("P")
T = TypeVar("T")

SLICE = 0.01
"""Seconds of work after which others run. They need some milliseconds each time, so nobody waits for 50."""


class Turns:
    """Lets other tasks run from time to time, in a loop whose awaits may all return at once.

    Args:
        seconds: of work between two turns of the others.
        clock: seconds on a clock that never goes back.
    """

    def __init__(self, seconds: float = SLICE, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._clock = seconds, clock
        self._until = clock() + seconds

    async def give(self) -> None:
        """Let the others run, if they have waited for long enough."""
        if self._clock() >= self._until:
            await asyncio.sleep(0)
            self._until = self._clock() + self._seconds


async def in_slices(
    steps: Iterable[object], *, seconds: float = SLICE, clock: Callable[[], float] = time.monotonic
) -> None:
    """Do some work to its end, and let other tasks run again and again.

    Args:
        steps: does a short piece of work for each item.
        seconds: of work between two turns of the others; a step that takes longer is not interrupted.
        clock: seconds on a clock that never goes back.
    """
    turns = Turns(seconds, clock)
    for _ in steps:
        await turns.give()


def at_once(steps: Iterable[object]) -> None:
    """Do the same work without a pause.

    Args:
        steps: does a piece of work for each item.
    """
    for _ in steps:
        pass


async def aside(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do long work in a thread. It must not share with the event loop what either of them changes.

    Args:
        work: a function without I/O; it goes on to its end when we are cancelled.
        args: for it.
        kwargs: for it.
    """
    with heap.uncollected():
        return await asyncio.to_thread(work, *args, **kwargs)
