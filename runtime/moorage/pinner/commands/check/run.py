"""Runs checks side by side; what has not passed is looked at again while that is worth it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import TypeAlias

from moorage.kube import errors
from moorage.kube.clock import ClockNotSynchronised

from .outcome import Failed, Finding, NotLookedAt, Result, State

PAUSE = 1.0
"""Seconds between looks: a fresh installation elects its leader and finds its planner within seconds."""

Check: TypeAlias = Callable[[], Awaitable[str]]
"""Returns what was found, or raises a Finding."""
Waiting: TypeAlias = Callable[[Result], None]


async def run(
    checks: Mapping[str, Check], timeout: float, waiting: Waiting = lambda _: None
) -> AsyncGenerator[Result, None]:
    """Run every check; results come in the order of the checks, each as soon as it and those before it are there.

    Args:
        checks: by name.
        timeout: seconds after which nothing is looked at again.
        waiting: told once about each check that is going to be looked at again.
    """
    tasks = [asyncio.create_task(_patiently(name, check, timeout, waiting)) for name, check in checks.items()]
    try:
        for task in tasks:
            yield await task
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _patiently(name: str, check: Check, timeout: float, waiting: Waiting) -> Result:
    began, told = time.monotonic(), False
    while True:
        try:
            return Result(name, State.OK, await check())
        except (Finding, errors.KubeError, ClockNotSynchronised) as error:
            finding = error if isinstance(error, Finding) else _finding(error)
        found = Result(name, finding.state, str(finding))
        if time.monotonic() - began + PAUSE > min(timeout, finding.worth):
            return found
        if not told:
            told = True
            waiting(found)
        await asyncio.sleep(PAUSE)


def _finding(error: Exception) -> Finding:
    """An answer of the API server that a check has not expected."""
    if isinstance(error, errors.Forbidden) and error.lacks_right:
        return NotLookedAt(f"whoever asks may not: {error.status.message}")
    return Failed(str(error))
