"""Kills a part of the running demo at a chosen moment: for tests that the end is the same all the same."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from moorage.kube import errors, resources
from moorage.kube.client import Client

from . import manifests
from .common.events import Mark
from .errors import DemoError
from .programs import LEASE, PINNER, PLANNER, Programs
from .stage import Stage

API_SERVER = "apiserver"
VICTIMS = {"pinner": PINNER, "planner": PLANNER, API_SERVER: API_SERVER}
LEADER_SECONDS = 60.0
SETTLE_SECONDS = 2.0
"""What a new leader gets to do something wrong before the end is checked."""


@dataclass(frozen=True)
class Fault:
    """Whom to kill (a key of ``VICTIMS``), and when: seconds after pinner and planner were started."""

    victim: str
    at: float


async def strike(
    fault: Fault,
    stage: Stage,
    programs: Programs,
    client: Client,
    kill_api_server: Callable[[Callable[[str], None]], None],
) -> None:
    """Wait for the moment, kill, start the victim again, and see it work.

    Raises:
        DemoError: no pod pinner became leader afterwards.
    """
    await asyncio.sleep(fault.at)
    loop = asyncio.get_running_loop()

    def say(sentence: str) -> None:  # from another thread
        loop.call_soon_threadsafe(stage.say, sentence)

    before = await _leader(client)
    stage.say(f"kill -9 of {fault.victim}, {fault.at:.1f} s after planner and pinner were started", Mark.BAD)
    if fault.victim == API_SERVER:
        await asyncio.to_thread(kill_api_server, say)
    else:
        await asyncio.to_thread(programs.kill, VICTIMS[fault.victim])
        await asyncio.to_thread(programs.start_again, VICTIMS[fault.victim])
    stage.say(f"{fault.victim} was started again")
    if fault.victim == "pinner":
        await _succession(client, before)
        stage.say("the new pod pinner leads")
    await asyncio.sleep(SETTLE_SECONDS)


async def _succession(client: Client, before: str) -> None:
    """Wait until another process than before holds the Lease; the dead one's must first run out."""
    end = time.monotonic() + LEADER_SECONDS
    while (await _leader(client)) in ("", before):
        if time.monotonic() > end:
            raise DemoError(f"no pod pinner became leader within {LEADER_SECONDS:g} s after it was killed")
        await asyncio.sleep(0.2)


async def _leader(client: Client) -> str:
    """Who holds the pinner's Lease; empty when nobody does or nobody answers."""
    with suppress(errors.KubeError):
        lease = await client.get(resources.LEASES, LEASE, manifests.NAMESPACE)
        return lease.spec.holder_identity or ""
    return ""
