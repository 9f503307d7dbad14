"""Connections to a name with several addresses."""

from __future__ import annotations

import asyncio
import socket
from asyncio import Protocol
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from moorage.kube.http import connector
from moorage.kube.http.connector import Connector, Endpoint, NotConnected

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
