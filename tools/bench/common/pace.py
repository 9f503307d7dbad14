"""Runs an operation at a steady rate in two ways that take turns, so that both meet the same conditions."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

SLICE = 2.0
"""Length of a turn, in seconds."""


async def in_turns(
    seconds: float, rate: float, do: Callable[[int, bool], Awaitable[None]]
) -> tuple[list[float], list[float]]:
    """Start an operation at a rate, however long each takes.

    Args:
        seconds: duration.
        rate: operations per second.
        do: the operation; gets a number and whether it is the first way's turn.

    Returns:
        Seconds from the time at which each was due to its end: of the first way, and of the other.
    """
    now = asyncio.get_running_loop().time
    first: list[float] = []
    other: list[float] = []

    async def once(number: int, due: float) -> None:
        turn = int(number / rate / SLICE) % 2 == 0
        await do(number, turn)
        (first if turn else other).append(now() - due)

    began = now() + 0.1
    async with asyncio.TaskGroup() as group:
        for number in range(int(seconds * rate)):
            due = began + number / rate
            await asyncio.sleep(due - now())
            group.create_task(once(number, due))
    return first, other
