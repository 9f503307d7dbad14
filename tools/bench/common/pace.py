"""Something done at a steady rate in two ways that take turns: what is compared has met the same moments."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

SLICE = 2.0
"""Seconds of one way before the other one's turn."""


async def in_turns(
    seconds: float, rate: float, do: Callable[[int, bool], Awaitable[None]]
) -> tuple[list[float], list[float]]:
    """Do something again and again, however long each takes.

    Args:
        seconds: how long.
        rate: how often a second.
        do: does it; gets a number and whether it is the first way's turn.

    Returns:
        Seconds from the moment that each was due to its end: of the first way, and of the other.
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
