# ruff: noqa: ARG002 - all actions take the same arguments
"""Random histories of changes, cuts, expiries and restarts: at the end cache and store are equal, by valid changes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from moorage.kube import cache as cache_module
from tests.examples import examples
from tests.unit.kube.hostile import (
    EXPIRED,
    Following,
    HostileServer,
    Store,
    eventually,
    following,
    hostile,
    line,
    never,
    protobuf,
    refuse,
    reset,
    says,
)

NAMES = ("a", "b", "c", "d")


@dataclass
class Storm:
    """A server, its clients, and the possible events."""

    server: HostileServer
    f: Following
    backup: Store

    async def put(self, name: str, place: int) -> None:
        self.server.store.put(name, node=f"n{place % 3}" if place else "", owner=f"rs{place % 2}")
        self.server.changed()

    async def delete(self, name: str, place: int) -> None:
        if f"ns/{name}" in self.server.store.objects:
            self.server.store.delete(name)
            self.server.changed()

    async def replace(self, name: str, place: int) -> None:
        await self.delete(name, place)
        await self.put(name, place)

    async def breathe(self, name: str, place: int) -> None:
        for _ in range(place * 3):
            await asyncio.sleep(0)

    async def settle(self, name: str, place: int) -> None:
        await self.f.watching()

    async def bookmark(self, name: str, place: int) -> None:
        await self.server.bookmark()

    async def cut(self, name: str, place: int) -> None:
        for watch in list(self.server.watches):
            watch.reset() if place % 2 else watch.cut()

    async def cut_in_an_event(self, name: str, place: int) -> None:
        self.server.cut_next_event = 1 + place * 37
        await self.put(name, place)

    async def garbage(self, name: str, place: int) -> None:
        for watch in list(self.server.watches):
            await watch.chunk(b"garbage\n")

    async def expire(self, name: str, place: int) -> None:
        self.server.gone_as_status = bool(place % 2)
        self.server.store.compact()
        await self.cut(name, place)

    async def bad_answers(self, name: str, place: int) -> None:
        faults = [
            reset,
            refuse(500),
            says(line("ERROR", EXPIRED)),
            says(protobuf.frame("ERROR", EXPIRED), content_type=protobuf.WATCH),
            says(b"{"),
            refuse(410, EXPIRED),
            never,
            refuse(401),
        ]
        self.server.fault("watch", faults[place % len(faults)])
        self.server.fault("list", faults[(place + 1) % 2])
        await self.cut(name, place)

    async def small_pages(self, name: str, place: int) -> None:
        self.server.page_size = 1 + place

    async def restart(self, name: str, place: int) -> None:
        await self.server.stop()
        if place % 2:
            await self.put(name, place)
        await self.server.start()

    async def restore(self, name: str, place: int) -> None:
        """Back to the beginning, and a moment to notice: one that has counted past us again looks like any other."""
        await self.server.stop()
        self.server.store.restore(self.backup)
        await self.server.start()
        # Events from before may still be on their way until the cache watches again.
        await eventually(
            lambda: self.server.watches and int(self.f.cache.resource_version or 0) <= self.server.store.version
        )


ACTIONS = sorted(name for name, value in vars(Storm).items() if asyncio.iscoroutinefunction(value))
STEPS = st.lists(
    st.tuples(st.sampled_from(ACTIONS), st.sampled_from(NAMES), st.integers(0, 6)), min_size=1, max_size=25
)


async def weather(steps: list[tuple[str, str, int]], *, binary: bool) -> None:
    async with hostile() as server:
        server.protobuf = binary
        server.store.put("a", node="n1")
        async with following(server, dead_after=0.03) as f:
            storm = Storm(server, f, server.store.backup())
            for action, name, place in steps:
                await getattr(storm, action)(name, place)
            server.cut_next_event = None
            await f.watching()
            # What came and went again looks like nothing happened while its events are still on their way.
            await eventually(lambda: f.cache.resource_version == str(server.store.version))
            # Quiet now: nobody is told anything more, and one watch stays.
            told = len(f.recorder.changes)
            server.store.put("last")
            server.changed()
            await f.watching()
            assert f.recorder.changes[told:] == [("ADDED", "ns/last")]


@pytest.mark.parametrize("binary", [False, True], ids=["json", "protobuf"])
@settings(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
@example([("put", "b", 1), ("settle", "a", 0), ("restore", "a", 0), ("put", "c", 2)])
@example([("replace", "a", 2), ("expire", "a", 1), ("replace", "a", 3), ("cut_in_an_event", "a", 3)])
@example(
    [
        ("small_pages", "a", 0),
        ("put", "b", 0),
        ("put", "c", 0),
        ("expire", "a", 0),
        ("breathe", "a", 5),
        ("restart", "a", 1),
    ]
)
async def test_any_storm_ends_with_the_truth(binary: bool, steps: list[tuple[str, str, int]]) -> None:
    await weather(steps, binary=binary)


@pytest.mark.parametrize("failures", [1, 7, 8, 9, 30])
async def test_an_outage_of_any_length_ends_with_few_requests(failures: int) -> None:
    async with hostile() as server:
        server.store.put("a")
        async with following(server) as f:
            await f.watching()
            server.fault("watch", *[refuse(503)] * failures)
            server.store.put("b")
            server.watches[0].reset()
            await eventually(lambda: len(server.asked("watch")) == failures + 2)
            await f.watching()
            # One list per STUCK_AFTER failures (the first failure is the reset above), however long it lasts.
            assert len(server.asked("list")) == 1 + (failures + 1) // cache_module.STUCK_AFTER
            assert f.backoff.drawn == list(range(failures + 1))
