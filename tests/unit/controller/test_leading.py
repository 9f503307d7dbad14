"""When a program works: not before it is ready, as long as it leads, and from the start in each term."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest

from moorage.controller import leading
from moorage.controller.leading import Program
from moorage.ops.health import Health


@pytest.fixture(autouse=True)
def thawed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What other tests have made may be collected."""
    monkeypatch.setattr(gc, "freeze", lambda: None)


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


class Caches:
    """One cache, complete when the test says so."""

    def __init__(self) -> None:
        self.complete, self.ended = asyncio.Event(), False

    @property
    def all(self) -> Any:
        return (SimpleNamespace(resource=SimpleNamespace(plural="pods"), synced=self.complete.is_set()),)

    async def wait_synced(self) -> None:
        await self.complete.wait()

    async def run(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.ended = True


class Recorder:
    closed = False

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def close(self) -> None:
        self.closed = True


class Election:
    """Won and lost when the test says so."""

    def __init__(self) -> None:
        self.became_leader, self.lost, self.stands = asyncio.Event(), asyncio.Event(), False
        self.ended = False

    def is_leader(self) -> bool:
        return self.became_leader.is_set()

    async def run(self) -> None:
        self.stands = True
        try:
            await asyncio.Event().wait()
        finally:
            self.ended = True

    async def win(self) -> None:
        self.lost.clear()
        self.became_leader.set()
        await settle()

    async def lose(self) -> None:
        self.became_leader.clear()
        self.lost.set()
        await settle()


class Terms:
    """Notes when a term begins and ends."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.fails = asyncio.Event()

    async def __call__(self) -> None:
        self.log.append("begins")
        try:
            await self.fails.wait()
        except asyncio.CancelledError:
            self.log.append("cancelled")
            raise
        raise RuntimeError("the work has failed")


class Setting:
    def __init__(self, *, alone: bool = False) -> None:
        self.caches, self.recorder, self.terms, self.checks = Caches(), Recorder(), Terms(), Health()
        self.election = Election()
        election = None if alone else self.election
        self.program = Program(self.caches, cast("Any", self.recorder), self.checks, cast("Any", election))

    @asynccontextmanager
    async def running(self, **arguments: Any) -> AsyncIterator[asyncio.Task[None]]:
        task = asyncio.create_task(self.program.run(self.terms, **arguments))
        await settle()
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_nobody_stands_for_election_who_could_not_lead_yet() -> None:
    setting, prepared = Setting(), asyncio.Event()

    async def prepare() -> None:
        await prepared.wait()

    async with setting.running(prepare=prepare):
        setting.caches.complete.set()
        await settle()
        assert not setting.election.stands
        setting.caches.complete.clear()
        prepared.set()
        await settle()
        assert not setting.election.stands
        setting.caches.complete.set()
        await settle()
        assert setting.election.stands
        assert setting.terms.log == []


async def test_a_term_ends_with_the_lease_and_the_next_one_begins_anew() -> None:
    setting = Setting()
    setting.caches.complete.set()
    async with setting.running():
        assert not setting.program.leads()
        await setting.election.win()
        assert setting.program.leads()
        assert setting.terms.log == ["begins"]
        await setting.election.lose()
        assert not setting.program.leads()
        assert setting.terms.log == ["begins", "cancelled"]
        await setting.election.win()
        assert setting.terms.log == ["begins", "cancelled", "begins"]
    assert setting.terms.log == ["begins", "cancelled"] * 2


async def test_a_replica_without_an_election_leads_as_soon_as_it_can() -> None:
    setting = Setting(alone=True)
    async with setting.running():
        assert setting.terms.log == []
        setting.caches.complete.set()
        await settle()
        assert setting.program.leads()
        assert setting.terms.log == ["begins"]
    assert setting.terms.log == ["begins", "cancelled"]


async def test_at_the_end_the_term_ends_first_while_we_still_follow_the_cluster_and_lead() -> None:
    setting, ended = Setting(), asyncio.Event()
    setting.caches.complete.set()
    alive: list[tuple[bool, bool]] = []

    async def term() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await ended.wait()
            alive.append((setting.caches.ended, setting.election.ended))

    setting.terms = term  # type: ignore[assignment]
    async with setting.running() as task:
        await setting.election.win()
        task.cancel()
        await settle()
        assert not task.done()
        ended.set()
        await asyncio.gather(task, return_exceptions=True)
    assert alive == [(False, False)]
    assert (setting.caches.ended, setting.election.ended) == (True, True)


@pytest.mark.parametrize("alone", [True, False])
async def test_a_term_that_fails_ends_the_program_and_what_is_to_be_told_is_told(alone: bool) -> None:
    setting = Setting(alone=alone)
    setting.caches.complete.set()
    async with setting.running() as task:
        await setting.election.win()
        setting.terms.fails.set()
        with pytest.raises(ExceptionGroup) as ended:
            await task
    assert str(ended.value.exceptions[0]) == "the work has failed"
    assert setting.recorder.closed


async def test_probes_know_the_caches_and_what_runs() -> None:
    setting = Setting()
    async with setting.running():
        assert [check.name for check in setting.checks.ready()] == ["cache of pods"]
        live = setting.checks.live()
    running = [f"task {name}" for name in ("caches", "events", "election", "terms", "beat")]
    assert [check.name for check in live] == ["loop event loop", *running]
    assert all(check.passed for check in live)


@pytest.mark.parametrize("filling", [leading.FILLING, 0.0])
async def test_garbage_is_not_collected_while_the_caches_are_filled_unless_that_takes_too_long(
    filling: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leading, "FILLING", filling)
    setting = Setting()
    async with setting.running():
        await asyncio.sleep(0.01)
        assert gc.isenabled() is (filling == 0.0)
        setting.caches.complete.set()
        await settle()
        assert gc.isenabled()
    assert gc.isenabled()
