"""Kills a part of the running demo at a chosen moment: for tests that the end is the same all the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from .events import Mark
from .programs import PINNER, PLANNER, Programs
from .stage import Stage

API_SERVER = "apiserver"
VICTIMS = {"pinner": PINNER, "planner": PLANNER, API_SERVER: API_SERVER}


@dataclass(frozen=True)
class Fault:
    """Whom to kill (a key of ``VICTIMS``), and when: seconds after pinner and planner were started."""

    victim: str
    at: float


async def strike(
    fault: Fault, stage: Stage, programs: Programs, kill_api_server: Callable[[Callable[[str], None]], None]
) -> None:
    """Wait for the moment, kill, and start the victim again."""
    await asyncio.sleep(fault.at)
    loop = asyncio.get_running_loop()
    stage.say(f"kill -9 of {fault.victim}, {fault.at:.1f} s after planner and pinner were started", Mark.BAD)
    if fault.victim == API_SERVER:
        await asyncio.to_thread(kill_api_server, lambda said: _later(loop, stage, said))
    else:
        await asyncio.to_thread(programs.kill, VICTIMS[fault.victim])
    stage.say(f"{fault.victim} was started again")


def _later(loop: asyncio.AbstractEventLoop, stage: Stage, sentence: str) -> None:
    loop.call_soon_threadsafe(stage.say, sentence)
