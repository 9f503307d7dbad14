"""Connections to a name with several addresses."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from asyncio import Protocol
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from moorage.kube.http import connector, sockets
from moorage.kube.http.connector import Connector, Endpoint, NotConnected
from tests import containers

DEAD, ALIVE, CLOSED = "127.0.0.2", "127.0.0.1", "127.0.0.3"


class Greeted(asyncio.Protocol):
    """Hands out its connection."""

    def __init__(self, made: asyncio.Future[asyncio.BaseTransport]) -> None:
        self._made = made

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """There is one."""
        self._made.set_result(transport)


@contextmanager
def silent(address: str, port: int) -> Iterator[None]:
    """A listener that never answers: its queue is full."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind((address, port))
        listener.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex((address, port))
        yield


def resolving_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Have every name stand for these addresses, in this order."""

    async def found(endpoint: Endpoint) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (each, endpoint.port)) for each in addresses]

    monkeypatch.setattr(connector, "_addresses", found)


@pytest.mark.parametrize("others", [(DEAD,), (CLOSED,), (DEAD, CLOSED)])
async def test_one_address_that_answers_is_enough(monkeypatch: pytest.MonkeyPatch, others: tuple[str, ...]) -> None:
    resolving_to(monkeypatch, *others, ALIVE)
    met: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def meet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        met.set_result(writer.get_extra_info("sockname")[0])
        writer.close()

    async with await asyncio.start_server(meet, ALIVE, 0) as server:
        port = server.sockets[0].getsockname()[1]
        with silent(DEAD, port):
            endpoint = Endpoint.of(f"http://api.example:{port}")
            made: asyncio.Future[asyncio.BaseTransport] = asyncio.get_running_loop().create_future()
            await Connector(endpoint, None, timeout=30).open(lambda: Greeted(made), None, "")
            (await made).close()
            assert await met == ALIVE


async def test_without_one_the_name_is_said_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving_to(monkeypatch, CLOSED, "127.0.0.4")
    with socket.socket() as taken:
        taken.bind((ALIVE, 0))
        port = taken.getsockname()[1]
        with pytest.raises(NotConnected, match=rf"no connection to api.example:{port}: Connection refused$"):
            await Connector(Endpoint.of(f"http://api.example:{port}"), None, timeout=30).open(Protocol, None, "")


async def test_a_clean_up_learns_that_there_is_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left to do after it is done: up to Python 3.11.2 the time limit was taken for another cancellation."""
    resolving_to(monkeypatch, DEAD)
    done: list[str] = []

    async def work(port: int) -> None:
        try:
            await asyncio.sleep(600)
        finally:
            try:
                await Connector(Endpoint.of(f"http://api.example:{port}"), None, timeout=0.05).open(Protocol, None, "")
            except NotConnected as error:
                done.append(str(error))

    with socket.socket() as taken:
        taken.bind((ALIVE, 0))
        port = taken.getsockname()[1]
        with silent(DEAD, port):
            task = asyncio.create_task(work(port))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    assert done == [f"no connection to api.example:{port} within 0.05 s"]


# --- what the kernel is asked to find ---


def dead_after(sock: socket.socket) -> tuple[int, int]:
    """Whether the kernel probes an idle connection, and the seconds without an acknowledgement that it allows."""
    probes = sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    return probes, sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) // 1000


async def test_the_kernel_looks_for_a_dead_peer_on_every_connection() -> None:
    if not hasattr(socket, "TCP_USER_TIMEOUT"):
        containers.unable("this system has no TCP_USER_TIMEOUT: only keep-alive finds a dead peer there")
    gone = asyncio.Event()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        gone.set()

    async with await asyncio.start_server(listen, ALIVE, 0) as server:
        port = server.sockets[0].getsockname()[1]
        made: asyncio.Future[asyncio.BaseTransport] = asyncio.get_running_loop().create_future()
        endpoint = Endpoint.of(f"http://{ALIVE}:{port}")
        _, network = await Connector(endpoint, None, timeout=30).open(lambda: Greeted(made), None, "")
        assert dead_after(network.get_extra_info("socket")) == (1, sockets.GONE_AFTER)
        network.close()
        await gone.wait()


def test_what_the_kernel_finds_is_found_before_a_request_is_given_up() -> None:
    probes = (sockets.GONE_AFTER - sockets.PROBE_AFTER) / sockets.PROBE_EVERY
    assert probes >= 2, "one lost packet is no death"
    assert sockets.GONE_AFTER < 30, "the time limit of a request"


# --- every error has its reason ---


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError(),
        ConnectionAbortedError(),
        ConnectionRefusedError(),
        BrokenPipeError(),
        OSError(),
        ssl.SSLError(),
        ssl.SSLEOFError(),
        ssl.SSLCertVerificationError(),
        socket.gaierror(),
        OSError(errno.EHOSTUNREACH, ""),
        socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
        NotConnected(""),
    ],
    ids=repr,
)
async def test_no_connection_without_a_reason(error: OSError, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(*_arguments: object, **_options: object) -> None:
        raise error

    monkeypatch.setattr(connector, "start_connection", fails)
    with pytest.raises(NotConnected) as refused:
        await Connector(Endpoint.of(f"http://{ALIVE}:1"), None, timeout=30).open(Protocol, None, "")
    reason = str(refused.value).partition(f"no connection to {ALIVE}:1: ")[2]
    assert len(reason.strip("()")) > 5


async def test_a_server_that_hangs_up_in_the_handshake_is_said_to_do_so() -> None:
    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(hang_up, ALIVE, 0) as server:
        port = server.sockets[0].getsockname()[1]
        tls = ssl.create_default_context()
        with pytest.raises(NotConnected, match=r"no connection to .*: .{10,}"):
            await Connector(Endpoint.of(f"https://{ALIVE}:{port}"), None, timeout=30).open(Protocol, tls, ALIVE)
