"""Kinds that are forbidden or not served: reported once, retried, and different from empty ones."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from moorage.kube.cache import WatchCache
from moorage.objects import Pod
from tests.unit.kube.hostile import eventually, following, hostile, refuse

INTERRUPTED = "watch interrupted, trying again"
FORBIDDEN, NOT_FOUND = refuse(403), refuse(404)


async def test_a_refused_list_is_an_answer_and_no_list(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with hostile() as server:
        server.store.put("a")
        server.fault("list", *[FORBIDDEN] * 5)
        async with following(server) as f:
            await f.cache.wait_answered()
            assert f.cache.refusal is not None
            assert f.cache.refusal.code == 403
            assert not f.cache.synced
            await f.watching()
            assert f.cache.refusal is None
            assert len(server.asked("list")) == 6
    (said,) = [record for record in caplog.records if record.message == INTERRUPTED]
    assert said.levelno == logging.WARNING


async def test_rights_that_are_taken_away_are_noticed_and_what_was_known_is_kept() -> None:
    async with hostile() as server:
        server.store.put("a")
        async with following(server) as f:
            await f.watching()
            refused: list[int] = []
            f.backoff.next = _noting(f.cache, refused)  # type: ignore[method-assign]
            server.fault("watch", FORBIDDEN, FORBIDDEN)
            server.watches[0].reset()
            await f.again("watch", 3)
            assert refused[-2:] == [403, 403]
            server.store.put("b")
            server.changed()
            await f.caught_up()
            assert f.cache.refusal is None
            assert f.recorder.changes == [("ADDED", "ns/a"), ("ADDED", "ns/b")]


def _noting(cache: WatchCache[Pod], codes: list[int]) -> Callable[[], float]:
    def next_() -> float:
        codes.append(cache.refusal.code if cache.refusal is not None else 0)
        return 0.0

    return next_


async def test_a_kind_that_is_not_served_is_empty_when_it_may_be_missing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with hostile() as server:
        server.store.put("a")
        server.fault("list", *[NOT_FOUND] * 3)
        async with following(server, optional=True) as f:
            await f.cache.wait_synced()
            assert len(f.cache) == 0
            assert f.cache.refusal is None
            await f.watching()
            assert len(f.cache) == 1
            server.fault("watch", NOT_FOUND)
            server.fault("list", NOT_FOUND)
            server.watches[0].reset()
            await eventually(lambda: ("DELETED", "ns/a") in f.recorder.changes)
            await f.watching()
            assert f.recorder.of("ns/a") == ["ADDED", "DELETED", "ADDED"]
    assert [record.levelno for record in caplog.records if "is not served" in record.message] == [logging.INFO] * 2


async def test_a_kind_that_every_server_has_is_not_taken_for_empty() -> None:
    async with hostile() as server:
        server.fault("list", NOT_FOUND)
        async with following(server) as f:
            await f.cache.wait_answered()
            assert not f.cache.synced
            assert f.cache.refusal is not None
            await f.watching()
