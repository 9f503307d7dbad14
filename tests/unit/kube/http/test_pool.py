"""Idle connections: reused, but never after an anomaly, and no unsafe request is sent twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from moorage.kube import errors
from moorage.kube.http import pool
from moorage.kube.http.stream import StreamLimits
from moorage.kube.http.transport import MAX_CONNECTIONS, Transport
from moorage.kube.resources import PODS
from moorage.pinner.options import Options
from tests.unit.kube.hostile import Exchange, HostileServer, eventually, hostile, never, transport

PATH = PODS.path("ns", "a")


@asynccontextmanager
async def counted() -> AsyncIterator[tuple[HostileServer, list[int]]]:
    """A server, and the client ports of its requests in order: the same port is the same connection."""
    ports: list[int] = []
    async with hostile() as server:

        async def note(exchange: Exchange) -> None:
            ports.append(exchange.writer.get_extra_info("peername")[1])
            await exchange.answer(200, b"{}")

        server.always("GET", note)
        server.always("POST", note)
        yield server, ports


async def test_one_connection_serves_request_after_request() -> None:
    async with counted() as (server, ports), transport(server) as t:
        for _ in range(5):
            await t.request("GET", PATH)
        assert len(set(ports)) == 1


async def test_requests_at_the_same_time_have_connections_of_their_own_which_are_kept() -> None:
    async with counted() as (server, ports), transport(server) as t:
        await asyncio.gather(*(t.request("GET", PATH) for _ in range(8)))
        assert len(set(ports)) == 8
        await asyncio.gather(*(t.request("GET", PATH) for _ in range(8)))
        assert len(set(ports)) == 8


def test_leases_and_reads_have_connections_while_all_writes_are_under_way() -> None:
    assert Options().writes_in_flight < MAX_CONNECTIONS


async def test_more_requests_than_connections_wait_for_their_turn() -> None:
    async with counted() as (server, ports), transport(server) as t:
        await asyncio.gather(*(t.request("GET", PATH) for _ in range(3 * MAX_CONNECTIONS)))
        assert len(ports) == 3 * MAX_CONNECTIONS
        assert len(set(ports)) <= MAX_CONNECTIONS


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}and more",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    ],
    ids=["said so", "more than asked for", "old"],
)
async def test_a_connection_that_is_over_or_strange_is_not_used_again(answer: bytes) -> None:
    async with counted() as (server, ports), transport(server) as t:

        async def once(exchange: Exchange) -> None:
            ports.append(exchange.writer.get_extra_info("peername")[1])
            await exchange.raw(answer)

        server.fault("GET", once)
        assert await t.request("GET", PATH) == b"{}"
        await t.request("GET", PATH)
        assert len(set(ports)) == 2


async def test_bytes_that_come_while_nobody_asks_end_the_connection() -> None:
    async with counted() as (server, ports), transport(server) as t:

        async def later(exchange: Exchange) -> None:
            ports.append(exchange.writer.get_extra_info("peername")[1])
            await exchange.answer(200, b"{}")
            await asyncio.sleep(0.01)
            await exchange.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n!!")

        server.fault("GET", later)
        await t.request("GET", PATH)
        await eventually(lambda: server.connections == 0)
        assert await t.request("GET", PATH) == b"{}"


async def test_a_write_on_a_connection_that_has_ended_meanwhile_is_never_sent_twice() -> None:
    async with counted() as (server, ports), transport(server) as t:
        await t.request("GET", PATH)

        async def hang_up(exchange: Exchange) -> None:
            ports.append(exchange.writer.get_extra_info("peername")[1])
            exchange.cut()

        server.fault("POST", hang_up)
        with pytest.raises(errors.ConnectionLost):
            await t.request("POST", PATH, body=b"{}")
        assert len(ports) == 2


async def test_a_read_on_a_connection_that_has_ended_meanwhile_is_sent_once_more_and_no_more() -> None:
    async with counted() as (server, ports), transport(server) as t:

        async def hang_up(exchange: Exchange) -> None:
            ports.append(exchange.writer.get_extra_info("peername")[1])
            exchange.cut()

        await t.request("GET", PATH)
        server.fault("GET", hang_up)
        assert await t.request("GET", PATH) == b"{}"
        assert len(ports) == 3
        server.fault("GET", hang_up, hang_up)
        with pytest.raises(errors.ConnectionLost):
            await t.request("GET", PATH)
        assert len(ports) == 5


# --- a network that has forgotten all connections of before, without a reset ---


class Forgetful:
    """A server behind a network that swallows what is sent on connections of before a moment.

    Attributes:
        swallowed: the methods of the requests that nobody will answer.
    """

    def __init__(self, server: HostileServer) -> None:
        self.swallowed: list[str] = []
        self._known: set[int] = set()
        self._forgotten: set[int] = set()
        self._first = asyncio.Barrier(KEPT)
        for method in ("GET", "POST", "PUT", "DELETE"):
            server.always(method, self._answer)

    async def keep(self, transport: Transport) -> None:
        """Open connections, and leave them idle."""
        await asyncio.gather(*(transport.request("GET", PATH) for _ in range(KEPT)))
        assert len(self._known) == KEPT

    def forget(self) -> None:
        """All connections of now are lost, and nobody is told."""
        self._forgotten |= self._known

    async def _answer(self, exchange: Exchange) -> None:
        port = exchange.writer.get_extra_info("peername")[1]
        self._known.add(port)
        if port in self._forgotten:
            self.swallowed.append(exchange.request.method)
            await never(exchange)
        if len(self._known) <= KEPT and not self._forgotten:
            await self._first.wait()
        await exchange.answer(200, b"{}")


KEPT = 40


async def test_what_swallowed_one_read_swallows_no_other() -> None:
    async with hostile() as server, transport(server) as t:
        network = Forgetful(server)
        await network.keep(t)
        network.forget()
        for _ in range(KEPT):
            assert await t.request("GET", PATH, timeout=0.1) == b"{}"
        assert network.swallowed == ["GET"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_what_swallowed_one_write_swallows_no_other_and_the_write_is_not_repeated(method: str) -> None:
    async with hostile() as server, transport(server) as t:
        network = Forgetful(server)
        await network.keep(t)
        network.forget()
        with pytest.raises(errors.Silent):
            await t.request(method, PATH, body=b"{}", timeout=0.1)
        for _ in range(KEPT):
            assert await t.request(method, PATH, body=b"{}") == b"{}"
        assert network.swallowed == [method]


async def test_what_swallowed_a_request_that_its_caller_gave_up_swallows_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool, "SILENT_FOR", 0.05)
    async with hostile() as server, transport(server) as t:
        network = Forgetful(server)
        await network.keep(t)
        network.forget()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await t.request("PUT", PATH, body=b"{}")
        for _ in range(KEPT):
            assert await t.request("PUT", PATH, body=b"{}") == b"{}"
        assert network.swallowed == ["PUT"]


async def test_a_request_that_is_given_up_at_once_says_nothing_about_others() -> None:
    async with hostile() as server, transport(server) as t:
        network = Forgetful(server)
        await network.keep(t)
        network.forget()
        given_up = asyncio.create_task(t.request("PUT", PATH, body=b"{}"))
        await eventually(lambda: network.swallowed)
        given_up.cancel()
        await asyncio.wait({given_up})
        assert len(t._pool._idle) == KEPT - 1


async def test_a_watch_that_is_dead_takes_the_idle_connections_with_it() -> None:
    async with hostile() as server, transport(server) as t:
        network = Forgetful(server)
        await network.keep(t)
        server.fault("watch", never)
        with pytest.raises(errors.Silent):
            async with t.stream("/api/v1/pods", query={"watch": "true"}, limits=StreamLimits(0.0, head=0.05)):
                pass
        await eventually(lambda: server.connections == 0)


async def test_connections_that_were_opened_since_are_kept() -> None:
    async with hostile() as server, transport(server) as t:
        network = Forgetful(server)
        await network.keep(t)
        network.forget()
        waiting = asyncio.create_task(t.request("POST", PATH, body=b"{}", timeout=0.3))
        await eventually(lambda: network.swallowed)
        t._pool.distrust(asyncio.get_running_loop().time())
        for _ in range(3):
            await t.request("GET", PATH)
        with pytest.raises(errors.Silent):
            await waiting
        before = len(network._known)
        await t.request("GET", PATH)
        assert len(network._known) == before, "the connection that worked while the other waited"


async def test_connections_that_nobody_uses_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "IDLE_TIMEOUT", 0.02)
    async with counted() as (server, _), transport(server) as t:
        await asyncio.gather(*(t.request("GET", PATH) for _ in range(3)))
        await eventually(lambda: server.connections == 0)
        assert await t.request("GET", PATH) == b"{}"


async def test_a_line_break_in_a_header_is_never_sent() -> None:
    async with counted() as (server, ports), transport(server) as t:
        with pytest.raises(ValueError, match="line break"):
            await t.request("POST", PATH, body=b"{}", content_type="a\r\nX-Evil: 1")
        assert ports == []


async def test_what_is_not_ascii_in_a_header_is_sent_as_kubectl_sends_it() -> None:
    async with counted() as (server, _), transport(server) as t:
        await t.request("POST", PATH, body=b"{}", content_type="application/json; a=\u00e4")
        assert server.requests[-1].headers["content-type"].encode("latin-1").endswith(b"\xc3\xa4")
