"""The watch cache with a normal server: content, order, indexes and subscribers."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from typing import Any

import pytest
from prometheus_client import REGISTRY

from moorage.kube.backoff import Backoff
from moorage.kube.cache import Change, Kind, WatchCache
from moorage.kube.resources import NODES, PODS
from moorage.kube.watch import PAGE_SIZE, Selection
from moorage.objects import Pod
from moorage.ops.slices import SLICE, Turns
from tests.unit.kube.hostile import Recorder, Store, eventually, following, hostile, page, transport


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_lists_in_pages_then_watches_from_the_lists_version() -> None:
    async with hostile() as server:
        for n in range(7):
            server.store.put(f"p{n}", node=f"n{n % 2}")
        server.page_size = 3
        async with following(server) as f:
            await f.watching()
            assert [p.query.get("continue") for p in server.asked("list")] == [None, "107+3", "107+6"]
            assert all(p.query["limit"] == str(PAGE_SIZE) for p in server.asked("list"))
            (watch,) = server.asked("watch")
            assert watch.query["resourceVersion"] == "107"
            assert watch.query["allowWatchBookmarks"] == "true"
            assert 240 <= int(watch.query["timeoutSeconds"]) <= 300
            assert len(f.cache) == 7
            assert {p.metadata.name for p in f.cache.by("node", "n1")} == {"p1", "p3", "p5"}
            assert f.cache.by("node", "nowhere") == ()
            assert f.cache.get("ns/p3") is not None
            assert f.cache.get("p3") is None


async def test_of_a_kind_that_is_not_followed_nothing_is_old() -> None:
    async with hostile() as server, transport(server) as connections:
        cache = WatchCache(connections, dataclasses.replace(PODS, kind="NotFollowed"))
        for name in ("moorage_watch_contact_age_seconds", "moorage_watch_synced"):
            assert REGISTRY.get_sample_value(name, {"kind": "NotFollowed"}) is None
        task = asyncio.create_task(cache.run())
        await cache.wait_synced()
        for name in ("moorage_watch_contact_age_seconds", "moorage_watch_synced"):
            assert REGISTRY.get_sample_value(name, {"kind": "NotFollowed"}) is not None
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_an_empty_kind_is_synced_too() -> None:
    async with hostile() as server, following(server) as f:
        await f.watching()
        assert f.cache.synced
        assert len(f.cache) == 0
        assert f.recorder.changes == []


async def test_synced_only_once_the_last_page_is_applied() -> None:
    async with hostile() as server:
        server.fault("list", page([], "100", **{"continue": "x"}))
        gate = asyncio.Event()

        async def last(exchange: Any) -> None:
            await gate.wait()
            await page([], "100")(exchange)

        server.fault("list", last)
        async with following(server) as f:
            waiting = asyncio.create_task(f.cache.wait_synced())
            await eventually(lambda: len(server.asked("list")) == 2)
            assert not f.cache.synced
            assert not waiting.done()
            gate.set()
            await waiting
            assert f.cache.synced


async def test_changes_keep_cache_indexes_and_subscriber_current() -> None:
    async with hostile() as server, following(server) as f:
        await f.watching()
        server.store.put("a")
        server.store.put("b", node="n1", owner="rs")
        server.store.put("a", node="n1")
        server.store.delete("b")
        server.changed()
        await f.watching()
        assert f.recorder.of("ns/a") == ["ADDED", "MODIFIED"]
        assert f.recorder.of("ns/b") == ["ADDED", "DELETED"]
        assert [p.metadata.name for p in f.cache.by("node", "n1")] == ["a"]
        assert f.cache.by("node", "") == ()
        assert f.cache.by("controller", "rs") == ()
        assert f.cache.resource_version == "104"


async def test_a_deletion_shows_the_objects_last_state() -> None:
    async with hostile() as server:
        server.store.put("a", status={"phase": "Running"})
        async with following(server) as f:
            await f.watching()
            last: list[Change[Pod]] = []
            f.cache.subscribe(last.append)
            server.store.objects["ns/a"]["status"] = {"phase": "Failed"}
            server.store.delete("a")
            server.changed()
            await f.watching()
            assert last[-1].kind is Kind.DELETED
            assert last[-1].new is None
            assert last[-1].object.status.phase == "Failed"


async def test_a_bookmark_moves_the_version_and_tells_nobody() -> None:
    async with hostile() as server:
        server.store.put("a")
        async with following(server) as f:
            await f.watching()
            told = list(f.recorder.changes)
            server.store.version = 500  # other kinds changed
            await server.bookmark()
            await eventually(lambda: f.cache.resource_version == "500")
            assert f.recorder.changes == told
            server.watches[0].reset()
            await eventually(lambda: len(server.asked("watch")) == 2)
            assert server.asked("watch")[1].query["resourceVersion"] == "500"
            assert len(server.asked("list")) == 1


async def test_metrics_count_events_lists_objects_and_reconnects() -> None:
    def counts() -> dict[str, float]:
        return {
            "added": metric("moorage_watch_events_total", kind="Pod", type="ADDED"),
            "deleted": metric("moorage_watch_events_total", kind="Pod", type="DELETED"),
            "start": metric("moorage_watch_lists_total", kind="Pod", cause="start"),
            "expired": metric("moorage_watch_lists_total", kind="Pod", cause="expired"),
            "lost": metric("moorage_watch_reconnects_total", kind="Pod", cause="ConnectionLost"),
            "requests": metric("moorage_api_requests_total", verb="GET", code="200"),
        }

    before = counts()
    async with hostile() as server:
        server.store.put("a")
        server.store.put("b")
        async with following(server) as f:
            await f.watching()
            assert metric("moorage_watch_objects", kind="Pod") == 2
            assert metric("moorage_watch_synced", kind="Pod") == 1
            server.watches[0].reset()
            await eventually(lambda: len(server.asked("watch")) == 2)
            await f.watching()
            server.store.delete("a")
            server.store.compact()
            server.watches[0].reset()
            await eventually(lambda: len(server.asked("list")) == 2)
            await f.watching()
            assert metric("moorage_watch_objects", kind="Pod") == 1
            # The last watch counts as asked once its headers have arrived. After each cut the version is asked for.
            await eventually(lambda: counts()["requests"] - before["requests"] == 2 + 4 + 2)
            assert 0 <= metric("moorage_watch_contact_age_seconds", kind="Pod") <= f.cache.last_contact_age + 60
    after = counts()
    assert {k: after[k] - before[k] for k in after} == {
        "added": 2,
        "deleted": 1,
        "start": 1,
        "expired": 1,
        "lost": 2,
        "requests": 2 + 4 + 2,
    }


# --- subscribers ---


async def test_a_late_subscriber_gets_what_is_there_and_then_every_change() -> None:
    async with hostile() as server:
        server.store.put("a")
        async with following(server) as f:
            await f.watching()
            late = Recorder()
            f.cache.subscribe(late)
            assert late.changes == [("ADDED", "ns/a")]
            server.store.put("a", node="n")
            server.changed()
            await f.watching()
            assert late.changes == [("ADDED", "ns/a"), ("MODIFIED", "ns/a")]
            assert late.wrong == []


async def test_who_subscribes_inside_a_callback_is_told_each_change_once() -> None:
    async with hostile() as server, following(server) as f:
        await f.watching()
        inner = Recorder()

        def outer(change: Change[Pod]) -> None:
            if not inner.changes:
                f.cache.subscribe(inner)

        f.cache.subscribe(outer)
        server.store.put("a")
        server.store.put("b")
        server.changed()
        await f.watching()
        assert inner.wrong == []
        assert inner.changes == [("ADDED", "ns/a"), ("ADDED", "ns/b")]


async def test_who_ends_a_subscription_hears_nothing_more() -> None:
    async with hostile() as server, following(server) as f:
        await f.watching()
        heard = Recorder()
        end = f.cache.subscribe(heard)
        server.store.put("a")
        server.changed()
        await f.watching()
        end()
        end()
        server.store.put("b")
        server.changed()
        await f.watching()
        assert heard.changes == [("ADDED", "ns/a")]


async def test_a_failing_subscriber_is_logged_and_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    async with hostile() as server:
        server.store.put("a")
        async with following(server) as f:
            await f.watching()

            def broken(change: Change[Pod]) -> None:
                raise RuntimeError("no")

            f.cache.subscribe(broken)
            after = Recorder()
            f.cache.subscribe(after)
            server.store.put("b")
            server.changed()
            await f.watching()
            assert after.wrong == []
            assert after.state() == server.store.state()
            failures = [r for r in caplog.records if r.message == "subscriber failed, the cache continues"]
            assert [vars(r)["object"] for r in failures] == ["ns/a", "ns/b"]


# --- selections and other kinds ---


async def test_a_selection_restricts_list_and_watch() -> None:
    async with hostile() as server, transport(server) as t:
        selection = Selection(namespace="team-a", labels="app in (x,y)", fields="spec.nodeName=n1")
        cache = WatchCache(t, PODS, selection=selection)
        task = asyncio.create_task(cache.run())
        await eventually(lambda: server.asked("watch"))
        for request in server.requests:
            assert request.path == "/api/v1/namespaces/team-a/pods"
            assert request.query["labelSelector"] == "app in (x,y)"
            assert request.query["fieldSelector"] == "spec.nodeName=n1"
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_cluster_scoped_kinds_are_found_by_name() -> None:
    async with hostile() as server, transport(server) as t:
        server.store.put("n1", namespace="")
        server.store.objects = {"n1": server.store.objects["/n1"]}
        cache = WatchCache(t, NODES)
        task = asyncio.create_task(cache.run())
        await cache.wait_synced()
        assert cache.get("n1") is not None
        assert server.requests[0].path == "/api/v1/nodes"
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


# --- back-off ---


def test_backoff_is_drawn_below_a_ceiling_that_doubles_up_to_the_cap() -> None:
    backoff = Backoff(base=1.0, cap=8.0)
    ceilings = [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    for _ in range(50):
        backoff.reset()
        assert all(0.0 <= backoff.next() <= ceiling for ceiling in ceilings)
    many = Backoff(base=1.0, cap=8.0)
    for _ in range(5000):  # no overflow, whatever the outage's length
        many.next()
    drawn = [many.next() for _ in range(400)]
    assert min(drawn) < 1.0  # full jitter reaches down to zero: clients come back spread out
    assert max(drawn) > 7.0


async def test_logs_name_the_kind_the_cause_and_the_delay(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with hostile() as server, following(server) as f:
        await f.watching()
        server.watches[0].reset()
        await eventually(lambda: len(server.asked("watch")) == 2)
        (record,) = [r for r in caplog.records if r.message == "watch interrupted, trying again"]
        fields = vars(record)
        assert (fields["kind"], fields["cause"]) == ("Pod", "ConnectionLost")
        assert "/api/v1/pods" in fields["error"]
        assert record.levelno == logging.INFO


async def test_reading_while_awaiting_sees_a_stable_copy() -> None:
    async with hostile() as server:
        server.store.put("a")
        server.store.put("b")
        async with following(server) as f:
            await f.watching()
            seen = []
            for pod in f.cache:
                server.store.put("c")
                server.changed()
                await eventually(lambda: len(f.cache) == 3)
                seen.append(pod.metadata.name)
            assert seen == ["a", "b"]
            await f.watching()


def test_the_fake_keeps_a_stores_promises() -> None:
    """A uid survives a change but not a re-creation; each event, deletions included, has its own resourceVersion."""
    store = Store()
    first, second = store.put("a")["metadata"], store.put("a")["metadata"]
    store.delete("a")
    third = store.put("a")["metadata"]
    assert first["uid"] == second["uid"] != third["uid"]
    assert [(version, kind) for version, kind, _ in store.history] == [
        (101, "ADDED"),
        (102, "MODIFIED"),
        (103, "DELETED"),
        (104, "ADDED"),
    ]


@pytest.mark.parametrize("how", ["listed", "watched"])
async def test_others_have_their_turn_while_many_changes_are_applied(how: str) -> None:
    async with hostile() as server:
        now, turns, seen = 0.0, 0, set[int]()

        def clock() -> float:
            return now

        def slow(_change: Change[Pod]) -> None:
            nonlocal now
            now += SLICE / 10
            seen.add(turns)

        async def beside() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        if how == "listed":
            for number in range(PAGE_SIZE):
                server.store.put(f"p{number}")
        async with transport(server) as connections:
            cache = WatchCache(connections, PODS)
            cache._turns = Turns(clock=clock)
            cache.subscribe(slow)
            tasks = [asyncio.create_task(cache.run()), asyncio.create_task(beside())]
            await cache.wait_synced()
            if how == "watched":
                for number in range(PAGE_SIZE):
                    server.store.put(f"p{number}")
                server.changed()
            await eventually(lambda: len(cache) == PAGE_SIZE)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        assert len(seen) >= PAGE_SIZE / 11
