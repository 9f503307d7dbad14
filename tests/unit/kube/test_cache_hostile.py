"""The watch cache against a server, a network and a proxy that do everything wrong.

Whatever happens, in the end the cache equals the store, subscribers saw a lawful sequence of changes (checked by
``Following``), the server was not hammered, and no connection is left open (checked by ``hostile``).
"""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest

from moorage.kube import cache as cache_module
from moorage.kube import watch as watch_module
from tests.unit.kube.hostile import (
    EXPIRED,
    Exchange,
    Fault,
    HostileServer,
    Tokens,
    eventually,
    following,
    hostile,
    line,
    never,
    page,
    raw,
    refuse,
    reset,
    says,
    status,
)


def resumed(server: HostileServer) -> list[str]:
    """The resourceVersions from which watches were asked."""
    return [request.query["resourceVersion"] for request in server.asked("watch")]


# --- connections that die, or only look alive ---


async def test_a_half_open_watch_is_resumed_where_it_stood() -> None:
    async with hostile() as server:
        new = server.store.put("a")
        server.store.history.clear()
        server.store.objects.clear()

        async def one_event_then_silence(exchange: Exchange) -> None:
            server.store.objects["ns/a"] = new
            await says(line("ADDED", new), then="hang")(exchange)

        server.store.version = 100
        server.fault("watch", one_event_then_silence)
        async with following(server, silence=0.05) as f:
            await eventually(lambda: len(server.asked("watch")) >= 2)
            await f.caught_up()
            assert resumed(server)[:2] == ["100", "101"]
            assert len(server.asked("list")) == 1


async def test_a_watch_that_is_accepted_and_never_answered_is_given_up() -> None:
    async with hostile() as server:
        server.fault("watch", never, never)
        async with following(server, silence=0.05) as f:
            await f.watching()
            assert len(server.asked("watch")) >= 3
            assert len(server.asked("list")) == 1


async def test_a_refusal_whose_body_never_ends_is_given_up() -> None:
    async def half(exchange: Exchange) -> None:
        await exchange.head(503, "Content-Length: 1000")
        await exchange.raw(b"{")
        await never(exchange)

    async with hostile() as server:
        server.fault("watch", half)
        async with following(server, silence=0.05) as f:
            await f.watching()
            assert len(server.asked("list")) == 1


async def test_a_list_that_is_never_answered_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "LIST_TIMEOUT", 0.05)
    async with hostile() as server:
        server.store.put("a")
        server.fault("list", never)
        async with following(server) as f:
            await f.watching()
            assert len(server.asked("list")) == 2


async def test_resets_before_any_answer() -> None:
    async with hostile() as server:
        server.store.put("a")
        server.fault("list", reset, reset)
        server.fault("watch", reset)
        async with following(server) as f:
            await f.watching()
            assert f.recorder.of("ns/a") == ["ADDED"]


@pytest.mark.parametrize("how", ["cut", "reset", "end"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.999])
async def test_a_stream_cut_in_the_middle_of_an_event(how: str, share: float) -> None:
    async with hostile() as server, following(server) as f:
        await f.watching()
        event = line("ADDED", server.store.put("ä"))
        cut = event[: int(len(event) * share)]
        watch = server.watches[0]
        if cut:
            await watch.chunk(cut)
        if how == "end":
            await watch.end()
            server.watches.remove(watch)
        else:
            getattr(watch, how)()
        await f.again("watch", 0) if how == "end" else await f.again("watch")
        assert f.recorder.of("ns/ä") == ["ADDED"]
        assert len(server.asked("list")) == 1


async def test_a_stream_cut_in_the_middle_of_a_chunk() -> None:
    async with hostile() as server, following(server) as f:
        await f.watching()
        event = line("ADDED", server.store.put("a"))
        await server.watches[0].raw(b"%x\r\n%s" % (len(event) + 50, event))
        server.watches[0].cut()
        await f.again("watch")
        assert f.recorder.of("ns/a") == ["ADDED"]
        assert len(server.asked("list")) == 1


async def test_events_arrive_however_the_network_slices_them() -> None:
    async with hostile() as server, following(server) as f:
        await f.watching()
        stream = b"".join(line("ADDED", server.store.put(f"p{n}", note="é" * n)) for n in range(12))
        watch = server.watches[0]
        for size in (1, 2, 3, 5, 8, 13, 21, 34, 55, 89):
            for _ in range(10):
                if stream:
                    await watch.chunk(stream[:size])
                    stream = stream[size:]
        if stream:
            await watch.chunk(stream)
        await f.caught_up()
        assert [name for _, name in f.recorder.changes] == [f"ns/p{n}" for n in range(12)]
        assert len(server.requests) == 2


# --- what comes over the line ---

_GARBAGE = {
    "text": b"garbage\n",
    "bytes": b"\xff\xfe\x00\n",
    "null": b"null\n",
    "array": b"[1,2]\n",
    "no object": b'{"type":"ADDED"}\n',
    "empty object": b'{"type":"ADDED","object":{}}\n',
    "nameless": b'{"type":"MODIFIED","object":{"metadata":{"resourceVersion":"7"}}}\n',
    "without version": b'{"type":"ADDED","object":{"metadata":{"name":"ghost"}}}\n',
    "unknown type": b'{"type":"RENAMED","object":{"metadata":{"name":"ghost","resourceVersion":"999"}}}\n',
    "invalid UTF-8": b'{"type":"ADDED","object":{"metadata":{"name":"\xff\xfe","resourceVersion":"999"}}}\n',
    "half an escape": b'{"type":"ADDED","object":{"metadata":{"name":"\\ud800","resourceVersion":"999"}}}\n',
    "depth": b'{"type":"ADDED","object":{"spec":{"x":' + b"[" * 100_000 + b"\n",
    "metadata of a wrong shape": b'{"type":"ADDED","object":{"metadata":[]}}\n',
    "an error that is none": b'{"type":"ERROR","object":7}\n',
    "html": b"<html>\n<body>Sign in</body>\n</html>\n",
}


@pytest.mark.parametrize("garbage", _GARBAGE.values(), ids=_GARBAGE.keys())
async def test_a_garbage_line_makes_a_new_list_and_nothing_of_it_stays(garbage: bytes) -> None:
    async with hostile() as server:
        server.store.put("a")
        async with following(server) as f:
            await f.watching()
            server.store.put("b")  # its event is lost with the garbage
            await server.watches[0].chunk(garbage)
            await f.again("list")
            assert {pod.metadata.name for pod in f.cache} == {"a", "b"}
            assert f.cache.unreadable == {}


_BAD_HTTP = {
    "not http": raw(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),
    "endless header": raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n"),
    "bad chunk size": raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n"),
    "chunk longer than said": raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}{}{}\r\n0\r\n\r\n"),
    "cut in the head": raw(b"HTTP/1.1 200 OK\r\nTransfer-Enc"),
    "shorter than said": raw(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"),
    "closed at once": raw(b""),
    "proxy page": refuse(200, b"<html>Please sign in</html>"),
    "proxy error": refuse(502, b"<html>Bad gateway</html>"),
    "compressed": refuse(200, b"\x1f\x8b\x08\x00garbage", "Content-Encoding: gzip"),
    "no content": refuse(204, b""),
    "json of something else": refuse(200, b'"hello"'),
    "invalid UTF-8": refuse(200, b'{"metadata":{"resourceVersion":"\xff"}}'),
    "nested": refuse(200, b'{"items":' + b"[" * 100_000),
    "a status": refuse(200, status(0, "Success")),
    "an empty object": refuse(200, b"{}"),
    "nothing": refuse(200, b""),
    "unauthorized": refuse(401),
    "forbidden": refuse(403),
    "not found": refuse(404),
    "internal error": refuse(500),
}


@pytest.mark.parametrize("answer", _BAD_HTTP.values(), ids=_BAD_HTTP.keys())
async def test_a_bad_answer_to_a_list_takes_nothing_away(answer: Fault) -> None:
    async with hostile() as server:
        server.store.put("a")
        server.fault("list", answer)
        async with following(server) as f:
            await f.watching()
            server.fault("list", answer, answer)
            server.store.compact()
            server.watches[0].reset()
            await f.again("list", 3)
            assert f.recorder.changes == [("ADDED", "ns/a")]


@pytest.mark.parametrize("answer", _BAD_HTTP.values(), ids=_BAD_HTTP.keys())
async def test_a_bad_answer_to_a_watch_takes_nothing_away(answer: Fault) -> None:
    async with hostile() as server:
        server.store.put("a")
        server.fault("watch", answer)
        async with following(server) as f:
            await f.watching()
            server.store.put("b")
            server.fault("watch", answer, answer)
            server.watches[0].reset()
            await f.again("watch", 3)
            assert f.recorder.changes == [("ADDED", "ns/a"), ("ADDED", "ns/b")]


async def test_a_redirect_is_not_followed_because_it_would_carry_the_token_away() -> None:
    async with hostile() as server, hostile() as elsewhere:
        server.fault("list", refuse(302, b"", f"Location: {elsewhere.url}/api/v1/pods"))
        async with following(server) as f:
            await f.watching()
            assert elsewhere.requests == []


async def test_an_object_of_8_mib_beside_small_ones() -> None:
    async with hostile() as server:
        server.store.put("big", filler="ü" * (1 << 22))
        server.store.put("small")
        async with following(server) as f:
            await f.watching()
            event = line("MODIFIED", server.store.put("big", filler="x" * (8 << 20)))
            after = line("ADDED", server.store.put("after"))
            assert len(event) > 8 << 20
            for start in range(0, len(event), 100_003):
                await server.watches[0].chunk(event[start : start + 100_003])
            await server.watches[0].chunk(after)
            await f.caught_up()
            assert f.recorder.of("ns/big") == ["ADDED", "MODIFIED"]
            assert len(server.requests) == 2


async def test_a_line_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "MAX_LINE", 1 << 20)

    async def endless(exchange: Exchange) -> None:
        await exchange.start()
        while True:
            await exchange.chunk(b"x" * 65536)

    async with hostile() as server:
        server.fault("watch", endless)
        async with following(server) as f:
            await f.watching()
            assert len(server.asked("list")) == 2


# --- objects of a wrong shape among good ones ---

_BAD_SPEC = {"nodeName": {"not": "a string"}}


async def test_one_object_of_a_wrong_shape_in_a_list_hides_no_other() -> None:
    async with hostile() as server:
        server.store.put("good", node="n1")
        server.store.put("bad")["spec"] = _BAD_SPEC
        async with following(server) as f:
            await eventually(lambda: server.watches)
            assert {pod.metadata.name for pod in f.cache} == {"good"}
            assert "nodeName" in f.cache.unreadable["ns/bad"]
            server.store.put("bad", node="n1")
            server.changed()
            await f.watching()
            assert f.cache.unreadable == {}
            assert f.recorder.of("ns/bad") == ["ADDED"]


async def test_one_object_of_a_wrong_shape_in_a_watch_keeps_what_was_known() -> None:
    async with hostile() as server:
        server.store.put("x", node="n1")
        server.store.put("y", node="n1")
        async with following(server) as f:
            await f.watching()
            server.store.put("x")["spec"] = _BAD_SPEC
            server.store.put("y", node="n2")
            server.changed()
            await eventually(lambda: f.cache.by("node", "n2"))
            assert [p.metadata.name for p in f.cache.by("node", "n1")] == ["x"]
            assert set(f.cache.unreadable) == {"ns/x"}
            # A reconnect resumes after the unreadable event instead of meeting it again and again.
            server.watches[0].reset()
            await eventually(lambda: len(server.asked("watch")) == 2)
            assert resumed(server)[1] == "104"
            await eventually(lambda: server.watches)
            server.store.delete("x")
            server.changed()
            await f.watching()
            assert f.recorder.of("ns/x") == ["ADDED", "DELETED"]
            assert f.cache.unreadable == {}


async def test_an_unreadable_object_under_a_new_uid_ends_the_old_one() -> None:
    async with hostile() as server:
        server.store.put("x", node="n1")
        async with following(server) as f:
            await f.watching()
            server.store.delete("x")
            server.store.put("x")["spec"] = _BAD_SPEC
            server.store.compact()
            server.watches[0].reset()
            await eventually(lambda: f.cache.unreadable)
            assert f.recorder.of("ns/x") == ["ADDED", "DELETED"]
            assert f.cache.by("node", "n1") == ()


async def test_metadata_of_a_wrong_shape_spoils_one_object_and_not_the_list() -> None:
    async with hostile() as server:
        server.store.put("good")
        server.store.put("bad")["metadata"]["labels"] = ["not", "a", "map"]
        async with following(server) as f:
            await eventually(lambda: server.watches)
            assert {pod.metadata.name for pod in f.cache} == {"good"}
            assert set(f.cache.unreadable) == {"ns/bad"}


async def test_events_about_unknown_objects() -> None:
    async with hostile() as server, following(server) as f:
        await f.watching()
        known = server.store.put("modified-first")
        gone = server.store.put("gone")
        server.store.delete("gone")
        server.store.history.clear()
        await server.watches[0].chunk(line("DELETED", gone) + line("MODIFIED", known))
        await f.caught_up()
        assert f.recorder.changes == [("ADDED", "ns/modified-first")]


@pytest.mark.parametrize("lost", [False, True], ids=["resumed", "listed again"])
async def test_deleted_and_created_again_during_an_outage_is_two_changes(lost: bool) -> None:
    async with hostile() as server:
        server.store.put("a", node="n1")
        async with following(server) as f:
            await f.watching()
            await server.stop()
            server.store.delete("a")
            server.store.put("a", node="n2")
            if lost:
                server.store.compact()
            await server.start()
            await f.again("watch", 0 if server.watches else 1)
            assert f.recorder.of("ns/a") == ["ADDED", "DELETED", "ADDED"]
            assert len(server.asked("list")) == (2 if lost else 1)


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
            server.store.put("a")
            server.changed()
            await f.watching()
            assert f.backoff.failures == 0


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
        async with following(server, silence=5.0) as f:
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


# --- cancellation ---


@pytest.mark.parametrize("step", range(0, 40))
async def test_cancelled_at_any_moment_nothing_stays_open(step: int) -> None:
    async with hostile() as server:
        server.page_size = 1
        server.store.put("a")
        server.store.put("b")
        async with following(server) as f:
            for _ in range(step):
                await asyncio.sleep(0)
            f.task.cancel()
            await asyncio.gather(f.task, return_exceptions=True)
            assert f.task.cancelled()
            # The pool may keep idle connections, but nothing may still be asked on one.
            await eventually(lambda: server.busy == 0)


async def test_cancelled_while_a_watch_is_silent_or_half_a_line_has_come() -> None:
    for pieces in ((), (b'{"type":"ADD',)):
        async with hostile() as server:
            server.fault("watch", says(*pieces, then="hang"))
            async with following(server) as f:
                await eventually(lambda: server.asked("watch"))
                for _ in range(20):
                    await asyncio.sleep(0)
                f.task.cancel()
                await asyncio.gather(f.task, return_exceptions=True)
                await eventually(lambda: server.busy == 0)
