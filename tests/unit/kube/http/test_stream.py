"""The read rate of an endless answer."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from moorage.kube.http import stream as streams
from moorage.kube.http.stream import MAX_BUFFERED, NO_PAUSE_SIZE, Stream, StreamLimits

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(size: int) -> bytes:
    """So many bytes of a body."""
    return b"%x\r\n%b\r\n" % (size, b"x" * size)


class Network:
    """A connection that notes whether anybody looks at it."""

    def __init__(self) -> None:
        self.watched = asyncio.Event()
        self.watched.set()
        self.closed = False

    @property
    def read(self) -> bool:
        return self.watched.is_set()

    def is_closing(self) -> bool:
        return self.closed

    def write(self, _data: bytes) -> None:
        pass

    def abort(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        self.watched.clear()

    def resume_reading(self) -> None:
        self.watched.set()


async def opened(monkeypatch: pytest.MonkeyPatch, rest: float) -> tuple[Stream, Network]:
    """A stream whose answer has begun, without delays."""
    monkeypatch.setattr(streams, "READ_PAUSE", 0.0)
    network: Any = Network()
    stream = Stream(StreamLimits(60.0))
    stream.connection_made(cast("asyncio.Transport", network))
    sending = asyncio.create_task(stream.send(b"GET / HTTP/1.1\r\n\r\n", network))
    await asyncio.sleep(0)
    stream.data_received(HEAD)
    await sending
    await network.watched.wait()
    monkeypatch.setattr(streams, "READ_PAUSE", rest)
    return stream, network


async def test_what_comes_is_read_at_once_and_the_network_not_looked_at_for_a_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream, network = await opened(monkeypatch, rest=0.001)
    stream.data_received(chunk(10))
    assert not network.read
    assert await stream.readany() == b"x" * 10
    assert not network.read, "reading it does not end the rest"
    await network.watched.wait()
    stream.close()


async def test_nobody_rests_while_plenty_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, network = await opened(monkeypatch, rest=60.0)
    stream.data_received(chunk(NO_PAUSE_SIZE))
    assert network.read
    assert len(await stream.readany()) == NO_PAUSE_SIZE
    stream.close()


async def test_a_streamed_list_is_read_without_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, network = await opened(monkeypatch, rest=60.0)
    stream.pauses = False
    stream.data_received(chunk(10))
    assert network.read
    stream.close()


async def test_what_was_under_way_when_the_rest_began_is_read_with_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, network = await opened(monkeypatch, rest=60.0)
    for _ in range(3):
        stream.data_received(chunk(5))
    assert await stream.readany() == b"x" * 15
    assert not network.read
    stream.close()


async def test_a_slow_reader_has_the_network_wait_and_no_rest_ends_that(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, network = await opened(monkeypatch, rest=0.0)
    stream.data_received(chunk(1))
    stream.data_received(chunk(MAX_BUFFERED))
    for _ in range(5):
        await asyncio.sleep(0.001)
    assert not network.read
    assert len(await stream.readany()) == MAX_BUFFERED + 1
    assert network.read
    stream.close()


async def test_a_stream_that_ends_while_it_rests_leaves_the_network_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, network = await opened(monkeypatch, rest=0.001)
    stream.data_received(chunk(1) + b"0\r\n\r\n")
    assert network.closed
    stream, network = await opened(monkeypatch, rest=0.001)
    stream.data_received(chunk(1))
    stream.close()
    await asyncio.sleep(0.01)
    assert network.closed
    assert not network.read
