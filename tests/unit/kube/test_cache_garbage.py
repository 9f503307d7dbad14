"""The watch cache with invalid answers: garbage, huge ones and wrong types."""

from __future__ import annotations

import pytest

from moorage.kube.wire import decoder as decoder_module
from tests.unit.kube.hostile import (
    Exchange,
    Fault,
    HostileServer,
    eventually,
    following,
    hostile,
    line,
    list_badly,
    raw,
    refuse,
    status,
)


def resumed(server: HostileServer) -> list[str]:
    """The resourceVersions of watch requests."""
    return [request.query["resourceVersion"] for request in server.asked("watch")]


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
    await list_badly(answer)


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
    monkeypatch.setattr(decoder_module, "MAX_EVENT", 1 << 20)

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
