"""A thousand placeholders in virtual time: every Lease is renewed in time, however slowly the API server answers."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any, cast

import pytest

from moorage.kube.clock import micro_time
from moorage.kube.errors import ConnectionLost
from moorage.pinner.names import RENEWED_ANNOTATION
from moorage.pinner.node import lease_pace
from moorage.pinner.node.lease_pace import Pace
from moorage.pinner.node.leases import LeaseKeeper
from moorage.pinner.reporting import Reporter
from moorage.pinner.state.cluster import ClusterState
from tests.unit.kube.simulated import EPOCH, Link, Time, refusal
from tests.unit.pinner.bed.virtual import virtual
from tests.unit.pinner.node.test_leases import FOLDER, INTERVAL, Leases, Placeholders

NODES = 1000
OLDEST = 40.0
"""Seconds: node-lifecycle waits 50 since Kubernetes 1.32, and 40 before."""


class LoopTime(Time):
    """The time of the running event loop."""

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    @now.setter
    def now(self, _value: float) -> None:
        pass

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Way(Link):
    """A server behind a network that is slow, and sometimes out of order."""

    def __init__(self, server: Leases, seconds: float) -> None:
        super().__init__(server)
        self.delay_there = seconds
        self.disorder: Callable[[], Awaitable[None]] | None = None
        self.under_way = self.most = 0
        self.sent: Counter[int] = Counter()

    async def request(self, method: str, path: str, **more: Any) -> bytes:
        self.sent[int(self.server.time.now)] += 1
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            if self.disorder is not None:
                await self.disorder()
            return await super().request(method, path, **more)
        finally:
            self.under_way -= 1


class Scene:
    """Many placeholders that an earlier leader held until just now, and a keeper that takes them over."""

    def __init__(self, seconds: float) -> None:
        self.time = LoopTime()
        self.server = Leases(self.time)
        self.way = Way(self.server, seconds)
        self.way.clock.observe(self.server.date(), self.time.now, self.time.now)
        self.cluster = Placeholders()
        for number in range(NODES):
            self.cluster.add(f"n{number}", created=self.time.now)
        self.keeper = LeaseKeeper(
            self.way,
            cast("ClusterState", self.cluster),
            cast("Reporter", self.cluster),
            self.way.clock,
            is_leader=lambda: True,
            interval=INTERVAL,
            monotonic=self.time.monotonic,
            sleep=self.time.sleep,
        )

    async def run(self, seconds: float) -> None:
        task = asyncio.create_task(self.keeper.run())
        try:
            await asyncio.sleep(seconds)
            assert not task.done()
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        self._check(self.time.now)

    def _check(self, end: float) -> None:
        assert len(self.server.renewals) == NODES
        for renewed in self.server.renewals.values():
            moments = [moment for moment, _ in renewed] + [end]
            assert max(later - sooner for sooner, later in itertools.pairwise(moments)) <= OLDEST
        assert self.way.most <= lease_pace.MOST


@pytest.mark.parametrize("seconds", [0.005, 0.25, 1.0])
@virtual
async def test_no_lease_is_old_however_slowly_the_server_answers(seconds: float) -> None:
    scene = Scene(seconds)
    await scene.run(85.0)
    steady = [scene.way.sent[second] for second in range(int(scene.time.now) - 40, int(scene.time.now) - 1)]
    assert sum(steady) / len(steady) <= 1.02 * NODES / (lease_pace.SOONEST * INTERVAL)
    assert max(steady) <= 2 * NODES / INTERVAL, "spread over the interval"
    if seconds < 0.01:
        assert scene.way.most <= 3 * lease_pace.CONCURRENT, "few, even before the latency is known"


async def _refuse() -> None:
    raise ConnectionLost("connection refused")


async def _overload() -> None:
    raise refusal(429, "TooManyRequests", "too many requests")


async def _swallow() -> None:
    await asyncio.sleep(3600)


@pytest.mark.parametrize("disorder", [_refuse, _overload, _swallow])
@virtual
async def test_after_a_burst_of_errors_the_oldest_are_renewed_first(disorder: Callable[[], Awaitable[None]]) -> None:
    scene = Scene(0.25)

    async def burst() -> None:
        await asyncio.sleep(30.0)
        before = scene.way.sent.copy()
        scene.way.disorder = disorder
        await asyncio.sleep(10.0)
        scene.way.disorder = None
        assert (scene.way.sent - before).total() <= 10 * NODES / 2

    beside = asyncio.create_task(burst())
    await scene.run(75.0)
    await beside


@virtual
async def test_who_takes_over_from_a_leader_that_was_killed_is_in_time() -> None:
    scene = Scene(0.25)
    for number in range(NODES):
        name = f"n{number}"
        scene.cluster.add(name, created=scene.time.now - 600)
        text = micro_time(EPOCH + timedelta(seconds=scene.time.now - 15 - number / NODES * INTERVAL))
        lease = {"metadata": {"name": name, "annotations": {RENEWED_ANNOTATION: text}}, "spec": {"renewTime": text}}
        scene.server.store(f"{FOLDER}/{name}", lease)
    began = scene.time.now
    await scene.run(42.0)
    first = max(renewed[1][0] for renewed in scene.server.renewals.values())
    assert 15 + INTERVAL + first - began < 50, "what node-lifecycle waits"


def test_as_many_are_under_way_as_the_latency_needs() -> None:
    pace = Pace(INTERVAL)
    for _ in range(100):
        pace.observe(0.005)
    assert pace.concurrent(NODES, NODES) == lease_pace.CONCURRENT
    for _ in range(100):
        pace.observe(0.25)
    assert pace.concurrent(NODES, 0) == 25
    assert pace.concurrent(10, 10) == lease_pace.CONCURRENT
    assert pace.concurrent(NODES, NODES) == lease_pace.MOST
    for _ in range(100):
        pace.observe(8.0)
    assert pace.concurrent(NODES, 0) == lease_pace.MOST


def test_a_lease_comes_to_its_moment_within_some_rounds() -> None:
    pace, now, phase = Pace(INTERVAL), 100.0, 93.0
    for _ in range(6):
        due = pace.next(now, phase)
        assert lease_pace.SOONEST * INTERVAL <= due - now <= INTERVAL
        now = due
    assert now % INTERVAL == pytest.approx(phase % INTERVAL)
    assert pace.next(now + 1.0, phase) == pytest.approx(now + INTERVAL), "a delay does not add up"
