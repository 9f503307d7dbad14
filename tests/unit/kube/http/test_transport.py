"""The transport against a hostile server: one family of errors, credentials, and nothing left open."""

from __future__ import annotations

import asyncio
import dataclasses
import gzip

import pytest

from moorage.kube import errors
from moorage.kube.http import parser
from moorage.kube.http.stream import StreamLimits
from moorage.kube.http.transport import Transport
from moorage.kube.resources import LEASES, NODES, PODS
from tests.unit.kube.hostile import (
    Exchange,
    Fault,
    HostileServer,
    Tokens,
    access,
    eventually,
    hostile,
    never,
    raw,
    refuse,
    reset,
    transport,
)

PATH = "/api/v1/namespaces/ns/pods/a"
HANG_GUARD = 20.0


def targets(server: HostileServer) -> list[str]:
    return [request.target for request in server.requests]


# --- paths and queries ---


def test_paths_of_collections_objects_and_subresources() -> None:
    assert PODS.path() == "/api/v1/pods"
    assert PODS.path("ns") == "/api/v1/namespaces/ns/pods"
    assert PODS.path("ns", "a", "binding") == "/api/v1/namespaces/ns/pods/a/binding"
    assert NODES.path(name="n1") == "/api/v1/nodes/n1"
    assert NODES.path("ignored", "n1") == "/api/v1/nodes/n1"
    assert LEASES.path("ns", "l") == "/apis/coordination.k8s.io/v1/namespaces/ns/leases/l"


@pytest.mark.parametrize("bad", [("", "a"), ("..", "a"), ("ns", ".."), ("ns", "."), ("..", ""), ("ns", "a", "..")])
def test_paths_that_would_lead_elsewhere_are_refused(bad: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="Pod"):
        PODS.path(*bad)


@pytest.mark.parametrize(
    ("name", "quoted"),
    [
        ("a/../../b", "a%2F..%2F..%2Fb"),
        ("a?x=1", "a%3Fx%3D1"),
        ("a#b", "a%23b"),
        ("a%2Fb", "a%252Fb"),
        ("ä b", "%C3%A4%20b"),
    ],
)
async def test_strange_names_arrive_as_they_were_quoted(name: str, quoted: str) -> None:
    async with hostile() as server, transport(server) as t:
        with pytest.raises(errors.NotFound):
            await t.request("GET", PODS.path("ns", name))
        assert targets(server) == [f"/api/v1/namespaces/ns/pods/{quoted}"]


async def test_a_server_below_a_path_and_queries_of_any_text() -> None:
    async with hostile() as server:
        below = dataclasses.replace(access(server), server=f"{server.url}/k8s/clusters/c%2Fx/")
        query = {"continue": "a+b/=&c%20 d", "labelSelector": "app in (x,y),!z"}
        server.fault("GET", refuse(200, b"ok"))
        async with Transport(below) as t:
            assert await t.request("GET", PATH, query=query) == b"ok"
        (request,) = server.requests
        assert request.path == "/k8s/clusters/c%2Fx" + PATH
        assert request.query == query


async def test_what_is_sent() -> None:
    async with hostile() as server, transport(server) as t:
        server.fault("PATCH", refuse(200, b"{}"))
        await t.request("PATCH", PATH, body=b'{"a":1}', content_type="application/merge-patch+json")
        (request,) = server.requests
        assert request.body == b'{"a":1}'
        assert request.headers["content-type"] == "application/merge-patch+json"
        assert request.headers["authorization"] == "Bearer t0"
        assert request.headers["accept"] == "application/json"
        assert request.headers["user-agent"] == "moorage"


# --- failures ---


@pytest.mark.parametrize(
    "fault",
    [
        reset,
        raw(b""),
        raw(b"garbage\r\n\r\n"),
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"),
        raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"),
        raw(b"HTTP/1.1 500 X\r\nContent-Length: 9\r\n\r\n{"),
    ],
    ids=["reset", "closed", "no http", "short", "bad chunk", "short refusal"],
)
async def test_no_complete_answer_is_a_lost_connection(fault: Fault) -> None:
    async with hostile() as server, transport(server) as t:
        server.fault("POST", fault)
        with pytest.raises(errors.ConnectionLost, match=r"POST /api/v1/namespaces/ns/pods/a: .+"):
            await t.request("POST", PATH, body=b"{}")
        # A write whose fate is unknown is never repeated behind the caller's back.
        assert len(server.requests) == 1


async def test_nobody_listens() -> None:
    server = HostileServer()
    await server.start()
    await server.stop()
    async with transport(server) as t:
        with pytest.raises(errors.ConnectionLost, match=str(server.port)):
            await t.request("GET", PATH)


async def test_an_answer_that_never_comes_ends_with_the_time_limit() -> None:
    async with hostile() as server, transport(server) as t:
        server.fault("GET", never)
        with pytest.raises(errors.ConnectionLost, match="no answer within the time limit"):
            await t.request("GET", PATH, timeout=0.02)
        await eventually(lambda: server.connections == 0)


async def test_a_body_that_drips_ends_with_the_time_limit() -> None:
    async def drip(exchange: Exchange) -> None:
        await exchange.start()
        while True:
            await exchange.chunk(b" ")
            await asyncio.sleep(0.001)

    async with hostile() as server, transport(server) as t:
        server.fault("GET", drip)
        with pytest.raises(errors.ConnectionLost, match="time limit"):
            await t.request("GET", PATH, timeout=0.05)
        await eventually(lambda: server.connections == 0)


async def test_a_kept_connection_that_the_server_closed_is_opened_anew() -> None:
    async with hostile() as server, transport(server) as t:
        server.store.put("a")
        await t.request("GET", PATH)
        await server.stop()
        await server.start()
        assert await t.request("GET", PATH)


# --- credentials ---


async def test_a_refused_token_is_replaced_once_per_request() -> None:
    async with hostile() as server:
        server.store.put("a")
        server.valid_token = "t1"
        tokens = Tokens("t0", "t1")
        async with transport(server, tokens) as t:
            await t.request("GET", PATH)
            await t.request("GET", PATH)
        sent = [request.headers["authorization"] for request in server.requests]
        assert sent == ["Bearer t0", "Bearer t1", "Bearer t1"]
        assert tokens.refusals == 1


async def test_a_fresh_token_that_is_refused_as_well_is_not_tried_again() -> None:
    async with hostile() as server:
        server.valid_token = "never"
        tokens = Tokens("t0", "t1", "t2", "t3")
        async with transport(server, tokens) as t:
            with pytest.raises(errors.Unauthorized):
                await t.request("GET", PATH)
        assert len(server.requests) == 2


async def test_no_fresh_token_means_unauthorized_at_once() -> None:
    async with hostile() as server:
        server.valid_token = "new"
        async with transport(server, Tokens("old")) as t:
            with pytest.raises(errors.Unauthorized):
                await t.request("GET", PATH)
        assert len(server.requests) == 1


async def test_a_body_is_sent_again_whole_with_the_fresh_token() -> None:
    async with hostile() as server:
        server.valid_token = "t1"
        server.fault("POST", refuse(201, b"{}"))
        async with transport(server, Tokens("t0", "t1")) as t:
            server._faults["POST"].appendleft(refuse(401))  # the first one is used up by the stale token
            await t.request("POST", PATH, body=b"x" * 100_000)
        assert [len(request.body) for request in server.requests] == [100_000, 100_000]


async def test_the_servers_clock_is_learnt_from_every_answer() -> None:
    async with hostile() as server, transport(server) as t:
        assert not t.clock.synchronised
        with pytest.raises(errors.NotFound):
            await t.request("GET", PATH)
        assert t.clock.synchronised
        before = t.clock.now()
        server.clock_offset = 3600.0
        with pytest.raises(errors.NotFound):
            await t.request("GET", PATH)
        assert 3590 < (t.clock.now() - before).total_seconds() < 3610 + 60


# --- closing and cancelling ---


async def test_closing_ends_what_is_under_way_and_nothing_opens_again() -> None:
    async with hostile() as server:
        server.fault("GET", never)
        server.fault("watch", never)
        t = Transport(access(server))
        waiting = asyncio.create_task(t.request("GET", PATH))
        await eventually(lambda: server.busy == 1)
        await t.close()
        with pytest.raises(errors.ConnectionLost):
            await waiting
        with pytest.raises(errors.ConnectionLost, match="closed by us"):
            await t.request("GET", PATH)
        await t.close()
        await eventually(lambda: server.connections == 0)


async def test_closing_while_a_watch_is_read_ends_it() -> None:
    async with hostile() as server:
        t = Transport(access(server))

        async def read() -> bytes:
            async with t.stream(
                "/api/v1/pods", query={"watch": "true", "resourceVersion": "100"}, limits=StreamLimits(30.0)
            ) as found:
                return await found.body.read()

        reading = asyncio.create_task(read())
        await eventually(lambda: server.watches)
        for _ in range(10):
            await asyncio.sleep(0)
        await t.close()
        with pytest.raises(errors.ConnectionLost):
            await reading


@pytest.mark.parametrize("step", range(0, 24))
async def test_a_request_cancelled_at_any_moment_leaves_nothing_open(step: int) -> None:
    async with hostile() as server:
        server.valid_token = "t1"  # the way through 401 and back is the longest
        server.store.put("a", filler="x" * 200_000)
        async with transport(server, Tokens("t0", "t1")) as t:
            task = asyncio.create_task(t.request("GET", PATH))
            for _ in range(step):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await eventually(lambda: server.busy == 0)
            assert await t.request("GET", PATH)  # and the pool is in order


async def test_a_refusal_that_never_ends_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parser, "MAX_BODY", 100)
    async with hostile() as server, transport(server) as t:
        server.fault("watch", refuse(500, {"message": "x" * 101}))
        with pytest.raises(errors.ConnectionLost, match="larger than"):
            async with t.stream("/api/v1/pods", query={"watch": "true"}, limits=StreamLimits(30.0)):
                pass


async def test_a_watch_may_be_silent_and_a_refusal_may_not() -> None:
    async def half(exchange: Exchange) -> None:
        await exchange.head(503, "Content-Length: 1000")
        await never(exchange)

    async with hostile() as server, transport(server) as t:
        server.fault("watch", half)
        with pytest.raises(errors.Silent):
            async with (
                asyncio.timeout(HANG_GUARD),
                t.stream("/api/v1/pods", query={"watch": "true"}, limits=StreamLimits(3600.0, head=0.1)),
            ):
                pass


async def test_an_answer_that_was_compressed_on_the_way_is_called_so() -> None:
    async def compressed(exchange: Exchange) -> None:
        await exchange.answer(200, gzip.compress(b"{}"), "Content-Encoding: GZip")

    words = r"the answer is compressed \(gzip\), and we accept no compression"
    async with hostile() as server, transport(server) as t:
        server.always("GET", compressed)
        server.always("PUT", compressed)
        server.always("watch", compressed)
        with pytest.raises(errors.Undecodable, match=words):
            await t.request("GET", PATH)
        with pytest.raises(errors.Undecodable, match=words):
            async with t.stream("/api/v1/pods", query={"watch": "true"}, limits=StreamLimits(30.0)):
                pass
        assert await t.request("PUT", PATH, body=b"{}"), "the write is done"
