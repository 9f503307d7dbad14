"""The delay of the event loop, on a clock that the test moves."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import REGISTRY

from moorage.ops.lag import BRIEF, LONG, WINDOW, LoopLag


class Process:
    """A process with a clock of its own: each sleep lasts as long as was asked, and a delay of the test's."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = self.cpu = self.delay = self.load = 0.0
        self.pauses: list[float] = []
        self.lag = LoopLag(lambda: self.now, lambda: self.cpu)
        monkeypatch.setattr(asyncio, "sleep", self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds + self.delay
        self.cpu += self.load * (seconds + self.delay)
        self.delay = 0.0

    async def run(self, seconds: float) -> None:
        until = self.now + seconds

        def look() -> None:
            if self.now >= until:
                raise TimeoutError

        with pytest.raises(TimeoutError):
            await self.lag.watch(look)


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> Process:
    return Process(monkeypatch)


async def test_the_worst_delay_is_remembered_for_a_minute_and_forgotten_after_two(process: Process) -> None:
    process.delay = 0.3
    await process.run(1.0)
    assert process.lag.worst == pytest.approx(0.3)
    assert REGISTRY.get_sample_value("moorage_event_loop_lag_seconds") == pytest.approx(0.3)
    process.delay = 0.1
    await process.run(WINDOW)
    assert process.lag.worst == pytest.approx(0.3)
    await process.run(WINDOW)
    assert process.lag.worst < 0.3
    process.now += 2 * WINDOW
    assert process.lag.worst == 0.0


async def test_an_idle_process_is_woken_once_a_second_and_one_that_works_often(process: Process) -> None:
    await process.run(WINDOW + 1)
    assert set(process.pauses[:1000]) == {BRIEF}  # a start is work
    process.pauses.clear()
    await process.run(30.0)
    assert set(process.pauses) == {LONG}
    process.load, process.delay = 0.5, 0.0
    await process.run(LONG)
    process.pauses.clear()
    await process.run(5.0)
    assert set(process.pauses) == {BRIEF}
    process.load = 0.01
    await process.run(2 * LONG)
    assert process.pauses[-1] == LONG
