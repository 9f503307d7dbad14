"""The watch cache and a server with protobuf, always or sometimes."""

from __future__ import annotations

import pytest

from moorage.kube import errors
from moorage.kube.resources import NODES, PODS
from moorage.kube.watch import ListWatch, Selection
from moorage.objects import Node, Pod
from tests.unit.kube.hostile import (
    EXPIRED,
    Exchange,
    Fault,
    HostileServer,
    Json,
    eventually,
    following,
    hostile,
    list_badly,
    protobuf,
    says,
    status,
    transport,
)
from tests.unit.kube.wire.test_as_protobuf import BAD_PAGES, GARBAGE

BINARY = f"Content-Type: {protobuf.CONTENT_TYPE}"


async def test_the_cache_follows_in_protobuf() -> None:
    async with hostile() as server:
        server.protobuf = True
        server.page_size = 1
        server.store.put("a", node="n1", owner="rs")
        server.store.put("b")
        async with following(server) as f:
            await f.watching()
            assert all(exchange.binary for exchange in server.watches)
            server.store.put("a", node="n2")
            server.store.put("c")
            server.store.delete("b")
            server.changed()
            await f.caught_up()
            server.store.version += 1
            await server.bookmark()
            await eventually(lambda: f.cache.resource_version == str(server.store.version))
            assert [p.metadata.name for p in f.cache.by("node", "n2")] == ["a"]
            assert f.recorder.of("ns/b") == ["ADDED", "DELETED"]
            assert len(server.asked("list")) == 2
            assert {request.headers["accept"] for request in server.asked("list")} == {
                "application/vnd.kubernetes.protobuf;q=1.0,application/json;q=0.9"
            }
            assert [request.headers["accept"] for request in server.asked("watch")] == [
                "application/vnd.kubernetes.protobuf;stream=watch;q=1.0,application/json;q=0.9"
            ]


async def test_kinds_without_a_reader_are_asked_for_in_json() -> None:
    async with hostile() as server, transport(server) as t:
        server.protobuf = True
        server.store.put("a")
        async for _, items in ListWatch(t, NODES, Selection()).pages():
            assert [type(item) for item in items] == [Node]
        assert [request.headers["accept"] for request in server.requests] == ["application/json"]


async def test_the_encoding_may_change_with_every_answer() -> None:
    """A rolling update of API servers, or of a proxy before them."""
    async with hostile() as server:
        server.store.put("a", node="n1")
        async with following(server) as f:
            for number, binary in enumerate((True, False, True)):
                server.protobuf = binary
                if f.cache.synced:
                    server.watches[0].reset()
                    await f.again("watch")
                else:
                    await f.watching()
                server.store.put("a", node=f"n{number}")
                server.changed()
                await f.caught_up()
            assert len(server.asked("list")) == 1
            # The same content in another encoding is no change.
            told = len(f.recorder.changes)
            server.protobuf = False
            server.store.compact()
            server.watches[0].reset()
            await f.again("list")
            assert f.recorder.changes[told:] == []


@pytest.mark.parametrize("at", range(0, 120, 7))
async def test_a_cut_anywhere_in_an_event_loses_nothing(at: int) -> None:
    async with hostile() as server:
        server.protobuf = True
        server.store.put("a")
        async with following(server) as f:
            await f.watching()
            server.cut_next_event = at
            server.store.put("b")
            server.changed()
            await f.again("watch")
            assert f.recorder.of("ns/b") == ["ADDED"]
            assert len(server.asked("list")) == 1


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE.keys())
async def test_a_garbage_frame_makes_a_new_list_and_nothing_of_it_stays(garbage: bytes) -> None:
    async with hostile() as server:
        server.protobuf = True
        server.store.put("a")
        async with following(server) as f:
            await f.watching()
            server.store.put("b")  # its event is lost with the garbage
            await server.watches[0].chunk(protobuf.framed(garbage))
            await f.again("list")
            assert {pod.metadata.name for pod in f.cache} == {"a", "b"}
            assert f.cache.unreadable == {}


async def test_a_frame_without_end_is_given_up() -> None:
    async def endless(exchange: Exchange) -> None:
        await exchange.start(protobuf.WATCH)
        while True:
            await exchange.chunk(b"x" * 65536)

    async with hostile() as server:
        server.protobuf = True
        server.fault("watch", endless)
        async with following(server) as f:
            await f.watching()
            assert len(server.asked("list")) == 2


async def test_silence_is_bounded() -> None:
    async with hostile() as server:
        server.protobuf = True
        server.fault("watch", says(protobuf.framed(b"")[:2], then="hang", content_type=protobuf.WATCH))
        async with following(server, dead_after=0.03) as f:
            await f.again("watch", 2)


def answers(body: bytes, content_type: str) -> Fault:
    return lambda exchange: exchange.answer(200, body, f"Content-Type: {content_type}")


@pytest.mark.parametrize("body", BAD_PAGES.values(), ids=BAD_PAGES.keys())
async def test_a_bad_answer_to_a_list_takes_nothing_away(body: bytes) -> None:
    await list_badly(answers(body, protobuf.CONTENT_TYPE), binary=True)


async def test_the_content_type_decides() -> None:
    whole = protobuf.page([], {"resourceVersion": "7"})
    async with hostile() as server, transport(server) as t:
        server.fault("list", answers(whole, "application/json"), answers(b"{}", protobuf.CONTENT_TYPE))
        for _ in range(2):
            with pytest.raises(errors.Undecodable, match="not a list"):
                [page async for page in ListWatch(t, PODS, Selection()).pages()]
        server.fault("list", answers(whole, "Application/VND.kubernetes.protobuf; charset=binary"))
        assert [page async for page in ListWatch(t, PODS, Selection()).pages()] == [("7", ())]


async def test_one_object_that_cannot_be_read_hides_no_other() -> None:
    async with hostile() as server:
        server.protobuf = True
        server.store.put("good", node="n1")
        server.store.put("bad", broken=True)
        async with following(server) as f:
            await eventually(lambda: server.watches)
            assert {pod.metadata.name for pod in f.cache} == {"good"}
            assert set(f.cache.unreadable) == {"ns/bad"}
            server.store.put("good", node="n1", broken=True)
            server.store.put("bad", node="n2")
            server.changed()
            await eventually(lambda: f.cache.by("node", "n2"))
            assert [p.metadata.name for p in f.cache.by("node", "n1")] == ["good"]
            assert set(f.cache.unreadable) == {"ns/good"}
            server.store.put("good", node="n3")
            server.changed()
            await f.caught_up()
            assert f.cache.unreadable == {}
            assert len(server.requests) == 2


# --- refusals ---

_REFUSALS: dict[int, type[errors.ApiError]] = {
    401: errors.Unauthorized,
    403: errors.Forbidden,
    404: errors.NotFound,
    410: errors.Gone,
    429: errors.TooManyRequests,
    500: errors.ServerError,
}


def refused(code: int, document: Json, encoding: str) -> Fault:
    """A Status in either encoding; or in protobuf while the header says otherwise."""
    if encoding == "json":
        return lambda exchange: exchange.answer(code, document, "Content-Type: application/json")
    header = [BINARY] if encoding == "protobuf" else []
    return lambda exchange: exchange.answer(code, protobuf.status(document), *header)


@pytest.mark.parametrize("encoding", ["json", "protobuf", "unnamed"])
@pytest.mark.parametrize("verb", ["list", "watch"])
@pytest.mark.parametrize(("code", "kind"), _REFUSALS.items())
async def test_a_refusal_is_read_in_either_encoding(
    code: int, kind: type[errors.ApiError], verb: str, encoding: str
) -> None:
    document = status(code, "Because", "it is so", retryAfterSeconds=2)
    async with hostile() as server, transport(server) as t:
        server.fault(verb, refused(code, document, encoding))
        with pytest.raises(kind, match="Because: it is so") as error:
            await _ask(server, ListWatch(t, PODS, Selection()), verb)
        assert (error.value.status.code, error.value.retry_after) == (code, 2.0)


async def _ask(server: HostileServer, reader: ListWatch[Pod], verb: str) -> None:
    if verb == "list":
        await anext(reader.pages())
    else:
        async with reader.watch("100") as events:
            await anext(events)
    raise AssertionError(f"answered: {server.requests}")


@pytest.mark.parametrize("body", [b"k8s\0", b"k8s\0\xff\xff", protobuf.envelope(b"", "Pod")])
async def test_a_refusal_that_is_no_status_keeps_its_code(body: bytes) -> None:
    async with hostile() as server, transport(server) as t:
        server.fault("list", lambda exchange: exchange.answer(403, body, BINARY))
        with pytest.raises(errors.Forbidden, match="HTTP 403"):
            await _ask(server, ListWatch(t, PODS, Selection()), "list")


@pytest.mark.parametrize("as_status", [False, True], ids=["event", "HTTP status"])
async def test_a_version_that_is_too_old_leads_to_a_list_that_tells_the_difference(as_status: bool) -> None:
    async with hostile() as server:
        server.protobuf = True
        server.gone_as_status = as_status
        for name in ("same", "changed", "removed"):
            server.store.put(name)
        async with following(server) as f:
            await f.watching()
            told = len(f.recorder.changes)
            server.store.put("changed")
            server.store.delete("removed")
            server.store.compact()
            server.watches[0].reset()
            await f.again("list")
            assert sorted(f.recorder.changes[told:]) == [("DELETED", "ns/removed"), ("MODIFIED", "ns/changed")]


async def test_an_expired_list_is_begun_again() -> None:
    async with hostile() as server:
        server.protobuf = True
        server.page_size = 1
        server.store.put("a")
        server.store.put("b")
        server.fault("list", server.serve_list, refused(410, EXPIRED, "protobuf"))
        async with following(server) as f:
            await f.watching()
            assert f.recorder.changes == [("ADDED", "ns/a"), ("ADDED", "ns/b")]
            assert len(server.asked("list")) == 4
