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


async def in_slices(
    steps: Iterable[object], *, seconds: float = SLICE, clock: Callable[[], float] = time.monotonic
) -> None:
    """Do some work to its end, and let other tasks run again and again.

    Args:
        steps: does a short piece of work for each item.
        seconds: of work between two turns of the others; a step that takes longer is not interrupted.
        clock: seconds on a clock that never goes back.
    """
    until = clock() + seconds
    for _ in steps:
        if clock() >= until:
            await asyncio.sleep(0)
            until = clock() + seconds


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
