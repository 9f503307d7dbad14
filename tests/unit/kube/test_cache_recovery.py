"""The watch cache with a server that loses history, refuses, restarts, or restores a backup."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest

from moorage.kube import cache as cache_module
from tests.unit.kube.hostile import (
    EXPIRED,
    Exchange,
    HostileServer,
    Tokens,
    eventually,
    following,
    hostile,
    line,
    page,
    refuse,
    reset,
    says,
)


def resumed(server: HostileServer) -> list[str]:
    """The resourceVersions of watch requests."""
    return [request.query["resourceVersion"] for request in server.asked("watch")]


# --- 410 ---


@pytest.mark.parametrize("as_status", [False, True], ids=["event", "HTTP status"])
async def test_an_expired_version_lists_again_and_tells_only_the_difference(as_status: bool) -> None:
    async with hostile() as server:
        server.gone_as_status = as_status
        for name in ("same", "changed", "removed"):
            server.store.put(name)
        async with following(server) as f:
            await f.watching()
            told = len(f.recorder.changes)
            server.store.put("changed")
            server.store.delete("removed")
            server.store.put("added")
            server.store.compact()
            server.watches[0].reset()
            await f.again("list")
            assert sorted(f.recorder.changes[told:]) == [
                ("ADDED", "ns/added"),
                ("DELETED", "ns/removed"),
                ("MODIFIED", "ns/changed"),
            ]


@pytest.mark.parametrize("as_status", [False, True], ids=["event", "HTTP status"])
async def test_a_410_storm_is_waited_out_with_growing_delays(as_status: bool) -> None:
    async with hostile() as server:
        server.store.put("a")
        storm = refuse(410, EXPIRED) if as_status else says(line("ERROR", EXPIRED))
        server.fault("watch", *[storm] * 10)
        async with following(server) as f:
            await f.watching()
            assert len(server.asked("list")) == 11
            assert len(server.asked("watch")) == 11
            assert f.backoff.drawn == list(range(10))
            assert f.recorder.changes == [("ADDED", "ns/a")]


async def test_a_410_storm_behind_a_bookmark_is_waited_out_too() -> None:
    async with hostile() as server:
        mark = line("BOOKMARK", {"metadata": {"resourceVersion": "100"}})
        server.fault("watch", *[says(mark, line("ERROR", EXPIRED))] * 10)
        async with following(server) as f:
            await f.watching()
            assert f.backoff.drawn == list(range(10))


async def test_a_continue_token_that_expires_in_the_middle_of_paging() -> None:
    async with hostile() as server:
        for n in range(6):
            server.store.put(f"p{n}")
        server.page_size = 2

        async def meanwhile(exchange: Exchange) -> None:
            server.store.delete("p0")
            server.store.put("p5", node="n1")
            server.store.compact()
            await server.serve_list(exchange)

        server.fault("list", server.serve_list, meanwhile)
        async with following(server) as f:
            await f.watching()
            assert [r.query.get("continue") for r in server.asked("list")][:3] == [None, "106+2", None]
            assert f.recorder.of("ns/p0") == ["ADDED", "DELETED"]


async def test_nothing_is_removed_by_a_list_that_breaks_off() -> None:
    async with hostile() as server:
        for n in range(4):
            server.store.put(f"p{n}")
        async with following(server) as f:
            await f.watching()
            server.page_size = 1
            server.store.compact()
            server.fault("list", server.serve_list, reset, server.serve_list, refuse(500), server.serve_list)
            server.watches[0].reset()
            await f.again("list", 8)
            assert [kind for kind, _ in f.recorder.changes] == ["ADDED"] * 4


async def test_a_server_that_pages_in_a_circle_is_not_followed_round() -> None:
    async with hostile() as server:
        server.store.put("a")
        circle = page([], "100", **{"continue": "x"})
        server.fault("list", *[circle] * 6)
        async with following(server) as f:
            await f.watching()
            assert f.backoff.drawn == [0, 1, 2]  # two pages each time


# --- servers that refuse, restart, or go back in time ---


async def test_a_restart_with_its_state_is_resumed_without_a_new_list() -> None:
    async with hostile() as server:
        server.store.put("a")
        async with following(server) as f:
            await f.watching()
            await server.stop()
            server.store.put("b")
            server.store.delete("a")
            await server.start()
            await eventually(lambda: len(server.asked("watch")) >= 2)
            await f.watching()
            assert resumed(server)[:2] == ["101", "101"]
            # An outage of many failed attempts may count as stuck; then the list tells the difference only.
            assert f.recorder.changes[0] == ("ADDED", "ns/a")
            assert sorted(f.recorder.changes[1:]) == [("ADDED", "ns/b"), ("DELETED", "ns/a")]


async def test_a_server_restored_from_a_backup_is_noticed_by_its_bookmark() -> None:
    async with hostile() as server:
        server.store.put("kept")
        server.store.put("changed")
        backup = server.store.backup()
        async with following(server) as f:
            await f.watching()
            server.store.put("changed", node="n1")
            server.store.put("lost")
            server.changed()
            await f.watching()
            await server.stop()
            server.store.restore(backup)
            await server.start()
            await eventually(lambda: server.watches)
            await server.bookmark()
            await f.watching()
            assert f.recorder.of("ns/lost") == ["ADDED", "DELETED"]
            assert f.recorder.of("ns/changed") == ["ADDED", "MODIFIED", "MODIFIED"]
            assert f.recorder.of("ns/kept") == ["ADDED"]


async def test_a_restored_server_that_says_nothing_is_noticed_by_its_silence() -> None:
    """kube-apiserver sends nothing at or below the requested version, so it is silent until it has caught up."""
    async with hostile() as server:
        server.store.put("kept")
        backup = server.store.backup()
        async with following(server, dead_after=0.05) as f:
            await f.watching()
            server.store.put("lost")
            server.changed()
            await f.caught_up()
            await server.stop()
            server.store.restore(backup)
            await server.start()
            await f.watching()
            assert f.recorder.of("ns/lost") == ["ADDED", "DELETED"]


async def test_a_restored_server_that_counts_to_the_same_version_again_is_read_by_content() -> None:
    async with hostile() as server:
        server.store.put("a", node="n0")
        backup = server.store.backup()
        async with following(server) as f:
            await f.watching()
            server.store.put("a", node="n1")
            server.store.put("b")
            server.changed()
            await f.watching()
            await server.stop()
            server.store.restore(backup)
            server.store.put("a", node="n2")  # the same key, uid and resourceVersion as before, another content
            await server.start()
            await eventually(lambda: server.watches)
            await server.bookmark()
            await eventually(lambda: f.cache.by("node", "n2"))
            await f.watching()


async def test_a_watch_that_never_works_is_begun_anew_after_some_failures() -> None:
    async with hostile() as server:
        server.store.put("a")
        server.fault("watch", *[refuse(500)] * cache_module.STUCK_AFTER)
        async with following(server) as f:
            await f.watching()
            assert len(server.asked("list")) == 2
            assert f.backoff.drawn == list(range(cache_module.STUCK_AFTER))


async def test_a_server_that_ends_every_watch_at_once_is_not_asked_in_a_tight_loop() -> None:
    async with hostile() as server:
        mark = line("BOOKMARK", {"metadata": {"resourceVersion": "100"}})
        server.fault("watch", says(), says(mark), says(), says(mark), says())
        async with following(server) as f:
            await f.watching()
            assert f.backoff.drawn == list(range(5))


async def test_garbage_behind_a_good_event_each_time_is_waited_out_with_growing_delays() -> None:
    async with hostile() as server:
        mark = line("BOOKMARK", {"metadata": {"resourceVersion": "100"}})
        server.fault("watch", *[says(mark, b"garbage\n")] * 6)
        async with following(server) as f:
            await f.watching()
            assert f.backoff.drawn == list(range(6))


async def test_a_watch_that_stayed_open_makes_the_next_failure_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    async with hostile() as server:
        server.fault("watch", *[refuse(500)] * 3)
        async with following(server) as f:
            await f.watching()
            assert f.backoff.failures == 3
            monkeypatch.setattr(cache_module, "STEADY_AFTER", 0.0)
            server.watches[0].reset()
            await eventually(lambda: len(f.backoff.drawn) == 4)
            assert f.backoff.drawn == [0, 1, 2, 0]


class Pauses:
    """Stands in for ``asyncio`` inside a module: real but for ``sleep``, which is remembered and returns at once."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self.module: Any = SimpleNamespace(**{**vars(asyncio), "sleep": self.sleep})

    async def sleep(self, seconds: float) -> None:
        if seconds:
            self.asked.append(seconds)
        await asyncio.sleep(0)


@pytest.mark.parametrize("verb", ["list", "watch"])
async def test_flow_control_is_obeyed(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = Pauses()
    monkeypatch.setattr(cache_module, "asyncio", pauses.module)
    async with hostile() as server:
        server.store.put("a")
        busy = b"Too many requests, please try again later.\n"
        server.fault(verb, refuse(429, busy, "Retry-After: 7"), refuse(429, busy), refuse(429, busy, "Retry-After: 1"))
        async with following(server) as f:
            await f.watching()
            first, second, third = pauses.asked
            assert 7 <= first < 7.1
            assert second < 0.1
            assert 1 <= third < 1.1
            assert len(server.asked(verb)) == 4


async def test_an_absurd_retry_after_does_not_blind_the_cache_for_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = Pauses()
    monkeypatch.setattr(cache_module, "asyncio", pauses.module)
    async with hostile() as server:
        server.fault("watch", refuse(503, b"maintenance", "Retry-After: 86400"))
        async with following(server) as f:
            await f.watching()
            (asked,) = pauses.asked
            assert 60 <= asked <= 61


# --- credentials ---


async def test_an_expired_token_is_replaced_without_a_pause() -> None:
    async with hostile() as server:
        tokens = Tokens("t0", "t1", "t2")
        server.valid_token = "t0"
        server.store.put("a")
        async with following(server, tokens) as f:
            await f.watching()
            server.valid_token = "t1"
            server.watches[0].reset()
            server.store.put("b")
            await eventually(lambda: tokens.token == "t1")
            await f.watching()
            assert tokens.refusals == 1
            assert f.backoff.drawn == [0]  # for the cut, none for the token
            server.valid_token = "t2"
            server.store.compact()
            server.watches[0].reset()
            await eventually(lambda: tokens.token == "t2")
            await f.watching()


async def test_a_token_that_stays_refused_is_tried_with_growing_delays() -> None:
    async with hostile() as server:
        tokens = Tokens("old")
        server.valid_token = "new"
        server.store.put("a")
        async with following(server, tokens) as f:
            await eventually(lambda: len(server.requests) >= 5)
            assert not f.cache.synced
            # One request per attempt, each after its delay: nothing is sent twice with a token known to be refused.
            assert len(server.requests) - tokens.refusals in (0, 1)  # the newest may be under way
            assert f.backoff.drawn[:4] == [0, 1, 2, 3]
            tokens.token = "new"
            await f.watching()


# --- time ---


async def test_jumps_of_either_wall_clock_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time
    async with hostile() as server:
        server.store.put("a")
        async with following(server, dead_after=5.0) as f:
            await f.watching()
            for hours in (1, -1, 0):
                server.clock_offset = -hours * 3600.0
                monkeypatch.setattr(time, "time", lambda jump=hours * 3600.0: real() + jump)
                server.store.put("a")
                server.changed()
                await f.watching()
            assert len(server.requests) == 2
            server.clock_offset = 3600.0
            server.watches[0].reset()
            server.store.put("b")
            await f.again("watch")
            assert len(server.asked("list")) == 1
            assert 0 <= f.cache.last_contact_age < 60


async def test_a_server_that_was_away_for_long_is_not_met_by_a_full_list() -> None:
    async with hostile() as server:
        server.store.put("a")
        async with following(server) as f:
            await f.watching()
            await server.stop()
            await eventually(lambda: len(f.backoff.drawn) > 3 * cache_module.STUCK_AFTER)
            server.store.put("b")
            await server.start()
            await f.watching()
            await f.caught_up()
            assert len(server.asked("list")) == 1
