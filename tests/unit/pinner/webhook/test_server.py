"""The webhook's server over real connections: requests of the API server and of other clients."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import io
import logging
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvloop

from moorage.controller import certificates
from moorage.ops.parsing import Address
from moorage.pinner.webhook import connections, server
from moorage.pinner.webhook.connections import Connection, Connections
from moorage.pinner.webhook.server import Webhook, serve
from tests.unit.pinner.webhook.scene import Scene, patch_in, pod, review, slot

DATA = certificates.fill(datetime.now(UTC), ["127.0.0.1"], "test")
OTHER = certificates.issue(DATA, datetime.now(UTC), ["127.0.0.1"], "test")


def load(context: ssl.SSLContext, folder: Path, data: dict[str, bytes]) -> None:
    for name in ("tls.crt", "tls.key"):
        (folder / name).write_bytes(data[name])
    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")


@pytest.fixture
def context(tmp_path: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    load(context, tmp_path, DATA)
    return context


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is waited for at the end of a test."""
    monkeypatch.setattr(server, "LINGERS", 0.0)


@asynccontextmanager
async def running(context: ssl.SSLContext, *, kept: bool = True) -> AsyncIterator[Address]:
    async with serve(Webhook(lambda body: (b"answer to " + body, kept)), Address("127.0.0.1", 0), context) as address:
        yield address


@asynccontextmanager
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    trust = ssl.create_default_context(cadata=DATA[certificates.AUTHORITY].decode())
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as session:
        yield session


@asynccontextmanager
async def connected(address: Address) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection without any data."""
    trust = ssl.create_default_context(cadata=DATA[certificates.AUTHORITY].decode())
    reader, writer = await asyncio.open_connection(address.host, address.port, ssl=trust)
    yield reader, writer
    writer.close()


def refusals(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    """The answer to requests that are not reviews: status and reason."""
    found = [vars(each) for each in caplog.records if "no admission review" in each.getMessage()]
    return [(each["status"], each["why"]) for each in found]


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110 - a log line comes without an event
            await asyncio.sleep(0.01)


async def test_a_review_is_answered_and_the_connection_kept(context: ssl.SSLContext) -> None:
    async with running(context) as address, client() as session:
        for number in range(3):
            async with session.post(f"https://{address}/mutate", json=number) as response:
                assert (response.status, response.content_type) == (200, "application/json")
                assert await response.read() == b"answer to %d" % number
                assert response.headers.get("Connection") != "close"


async def test_a_connection_is_ended_after_an_answer_that_says_so(context: ssl.SSLContext) -> None:
    async with running(context, kept=False) as address, client() as session:
        response = await session.post(f"https://{address}/mutate", json=1)
        assert response.status == 200
        assert response.headers["Connection"] == "close"


@pytest.mark.parametrize(
    ("method", "path", "content_type", "status"),
    [
        ("POST", "/", "application/json", 404),
        ("GET", "/mutate", "application/json", 405),
        ("POST", "/mutate", "text/plain", 415),
    ],
)
async def test_what_is_no_review_has_a_status_of_its_own(
    context: ssl.SSLContext,
    caplog: pytest.LogCaptureFixture,
    method: str,
    path: str,
    content_type: str,
    status: int,
) -> None:
    caplog.set_level(logging.INFO)
    async with running(context) as address, client() as session:
        headers = {"Content-Type": content_type}
        async with session.request(method, f"https://{address}{path}", data=b"{}", headers=headers) as response:
            assert response.status == status
            said = (await response.text()).strip()
    assert refusals(caplog) == [(status, said)]


async def test_a_body_of_ten_mebibytes_is_not_read(context: ssl.SSLContext, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with running(context) as address, client() as session:
        headers = {"Content-Type": "application/json"}
        async with session.post(
            f"https://{address}/mutate", data=io.BytesIO(b"x" * (10 << 20)), headers=headers
        ) as response:
            assert response.status == 413
    assert [status for status, _ in refusals(caplog)] == [413]


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
async def test_an_expected_pod_is_pinned_whatever_the_version_of_the_review(
    context: ssl.SSLContext, version: str
) -> None:
    scene = Scene()
    scene.node("node-1", slot(1))
    webhook = Webhook(lambda body: (scene.mutator.respond(body), True))
    body = review(pod()).replace(b"admission.k8s.io/v1", f"admission.k8s.io/{version}".encode())
    async with serve(webhook, Address("127.0.0.1", 0), context) as address, client() as session:
        headers = {"Content-Type": "application/json; charset=utf-8"}
        async with session.post(f"https://{address}/mutate", data=body, headers=headers) as response:
            answer = await response.read()
    assert f'"apiVersion":"admission.k8s.io/{version}"'.encode() in answer
    assert {"op": "add", "path": "/spec/nodeName", "value": "node-1"} in patch_in(answer)


async def test_a_certificate_that_is_loaded_later_counts_from_then_on(context: ssl.SSLContext, tmp_path: Path) -> None:
    async with running(context) as address:
        shown = []
        for data in (DATA, OTHER):
            load(context, tmp_path, data)
            pem = await asyncio.to_thread(ssl.get_server_certificate, (address.host, address.port))
            shown.append(pem.strip() == data["tls.crt"].decode().strip())
    assert shown == [True, True]


async def test_a_handshake_that_ends_is_told_in_the_words_people_search_for(
    context: ssl.SSLContext, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with running(context) as address:
        _, writer = await asyncio.open_connection(address.host, address.port)
        port = writer.get_extra_info("sockname")[1]
        writer.close()
        await writer.wait_closed()
        await until(lambda: bool(caplog.messages))
    assert caplog.messages == [f"http: TLS handshake error from 127.0.0.1:{port}: EOF"]
    assert {record.levelname for record in caplog.records} == {"INFO"}


async def test_a_connection_that_cannot_be_let_in_keeps_nobody_else_out(
    context: ssl.SSLContext, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_in, tries = Connections.__call__, iter([RuntimeError("no more of it")])

    def fails_once(connections: Connections) -> Connection:
        for error in tries:
            raise error
        return let_in(connections)

    monkeypatch.setattr(Connections, "__call__", fails_once)
    async with running(context) as address, client() as session:
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.post(f"https://{address}/mutate", json=1)
        assert (await session.post(f"https://{address}/mutate", json=2)).status == 200
    assert "connection could not be let in" in caplog.messages


async def test_plain_http_is_turned_away(context: ssl.SSLContext, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with running(context) as address:
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(b"POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
        with contextlib.suppress(ConnectionError):
            assert b"200" not in await reader.read()
        writer.close()
        await until(lambda: bool(caplog.messages))
    assert caplog.messages[0].startswith("http: TLS handshake error from 127.0.0.1:")
    assert "http request" in caplog.messages[0]


@pytest.mark.parametrize(
    "sent",
    [
        b"rubbish\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x00\xff" * 100,
        b"POST /mutate HTTP/1.1\r\nX: " + b"x" * 20_000,
        b"POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_one_line_without_a_traceback(
    context: ssl.SSLContext, caplog: pytest.LogCaptureFixture, sent: bytes
) -> None:
    caplog.set_level(logging.INFO)
    async with running(context) as address, connected(address) as (reader, writer):
        writer.write(sent)
        async with asyncio.timeout(30):
            assert b" 400 " in await reader.readline()
    assert [(each.levelname, each.getMessage(), each.exc_info) for each in caplog.records] == [
        ("INFO", "request is no HTTP, it is refused", None)
    ]


async def test_whoever_does_not_get_to_the_point_is_let_go(
    context: ssl.SSLContext, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(connections, "HEADERS", 0.2)
    async with running(context) as address, connected(address) as (reader, writer):
        writer.write(b"POST /mutate HTTP/1.1\r\nHost: x\r\n")
        async with asyncio.timeout(30):
            assert await reader.read() == b""
    assert caplog.messages == ["connection has sent no request in time, it is closed"]


async def test_a_spare_connection_is_kept_as_long_as_any_idle_one(
    context: ssl.SSLContext, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Go opens more than it needs, and takes one later: a question into one that is being closed would be lost."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(connections, "HEADERS", 0.2)
    async with running(context) as address, connected(address) as (reader, writer):
        await asyncio.sleep(0.5)
        writer.write(
            b"POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1\r\n\r\n1"
        )
        async with asyncio.timeout(30):
            assert b" 200 " in await reader.readline()
    assert caplog.messages == []


async def test_in_the_end_nobody_keeps_a_connection_for_nothing(
    context: ssl.SSLContext, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(connections, "KEPT", 0.2)
    async with running(context) as address, connected(address) as (reader, _):
        async with asyncio.timeout(30):
            assert await reader.read() == b""
    assert caplog.messages == []


async def test_whoever_sends_byte_after_byte_is_let_go_too(
    context: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEADERS", 0.2)
    async with running(context) as address, connected(address) as (reader, writer):

        async def drip() -> None:
            writer.write(b"POST /mutate HTTP/1.1\r\nX: ")
            while True:
                writer.write(b"x")
                await asyncio.sleep(0.01)

        dripping = asyncio.create_task(drip())
        async with asyncio.timeout(30):
            assert await reader.read() == b""
        dripping.cancel()


async def test_a_body_that_does_not_come_is_not_waited_for(
    context: ssl.SSLContext, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(server, "BODY", 0.2)
    async with running(context) as address, connected(address) as (reader, writer):
        writer.write(
            b"POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
        )
        async with asyncio.timeout(30):
            assert (await reader.readline()).split()[1] == b"408"
    assert [status for status, _ in refusals(caplog)] == [408]


class Going:
    """A server that stops when the test says so."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context, self._stop = context, asyncio.Event()
        self.kept = True
        self.address = Address("127.0.0.1", 0)
        self.begun = asyncio.Event()

    async def run(self) -> None:
        async with serve(Webhook(lambda body: (body, self.kept)), self.address, self._context) as self.address:
            self.begun.set()
            await self._stop.wait()

    def stop(self) -> None:
        """As when a term has ended: whoever answers leads no more."""
        self.kept = False
        self._stop.set()


async def test_whoever_asks_while_we_stop_is_answered_once_more(
    context: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "LINGERS", 3600.0)
    going = Going(context)
    async with asyncio.timeout(30), client() as session, client() as newcomer:
        running = asyncio.create_task(going.run())
        await going.begun.wait()
        url = f"https://{going.address}/mutate"
        async with session.post(url, json=1) as response:
            assert response.headers.get("Connection") != "close"
        going.stop()
        for each in (newcomer, session):  # one that has not heard of it yet, and one that has a connection
            async with each.post(url, json=2) as response:
                assert (response.status, response.headers["Connection"]) == (200, "close")
        assert not running.done()
        running.cancel()  # who wants it at once
        await asyncio.gather(running, return_exceptions=True)
        with pytest.raises(aiohttp.ClientConnectionError):
            await newcomer.post(url, json=3)


async def test_whoever_was_never_asked_stops_at_once(context: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "LINGERS", 3600.0)
    async with asyncio.timeout(30), running(context) as address, client() as session:
        assert (await session.get(f"https://{address}/")).status == 404


async def test_whoever_has_a_connection_and_asks_nothing_is_not_waited_for(
    context: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "UNDER_WAY", 3600.0)
    async with asyncio.timeout(30), client() as session, running(context) as address:
        assert (await session.post(f"https://{address}/mutate", json=1)).status == 200


async def test_a_taken_address_is_one_sentence_with_the_way_out(context: ssl.SSLContext) -> None:
    async with running(context) as address:
        with pytest.raises(server.ServerError, match=r"cannot listen on 127\.0\.0\.1:\d+: .*MOORAGE_WEBHOOK_ADDRESS"):
            async with serve(Webhook(lambda body: (body, True)), address, context):
                pass


@pytest.mark.parametrize(
    "test",
    [
        test_a_review_is_answered_and_the_connection_kept,
        test_a_connection_is_ended_after_an_answer_that_says_so,
        test_a_body_of_ten_mebibytes_is_not_read,
        test_a_certificate_that_is_loaded_later_counts_from_then_on,
        test_a_handshake_that_ends_is_told_in_the_words_people_search_for,
        test_plain_http_is_turned_away,
        test_whoever_sends_byte_after_byte_is_let_go_too,
        test_a_spare_connection_is_kept_as_long_as_any_idle_one,
        test_in_the_end_nobody_keeps_a_connection_for_nothing,
        test_a_body_that_does_not_come_is_not_waited_for,
        test_whoever_asks_while_we_stop_is_answered_once_more,
        test_whoever_has_a_connection_and_asks_nothing_is_not_waited_for,
    ],
)
def test_the_same_on_the_loop_that_the_pinner_runs_on(
    test: Callable[..., Coroutine[Any, Any, None]], request: pytest.FixtureRequest
) -> None:
    """Its transports and its errors are others than asyncio's."""
    wanted = {name: request.getfixturevalue(name) for name in inspect.signature(test).parameters}
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(test(**wanted))
