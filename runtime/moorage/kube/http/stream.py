"""A response whose body is read while it arrives, such as that of a watch. Each stream has its own connection.

A single event is read at once. Events in quick succession are read together, because one wake-up per event would need
half as much CPU again.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import cast

from moorage.ops import compat

from .parser import BadResponse, ResponseHead, ResponseParser, check_body_size, connection_error

MAX_BUFFERED = 1 << 20
"""Bytes that may be buffered before reading from the network is paused."""
READ_PAUSE = 0.02
"""Seconds for which reading from the network is paused after data has arrived."""
NO_PAUSE_SIZE = 64 << 10
"""Bytes of one read after which reading is not paused: the server sends a lot, and a pause would delay it."""


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """When a stream is treated as dead. Silence alone is no failure: a watch of a quiet kind sends nothing.

    Time during which the reader is slow and reading is paused does not count.

    Attributes:
        ends_after: seconds, counted from the request, after which the server ends the response by itself.
        slack: seconds that it may take longer, and seconds without a byte after that.
        head: seconds, counted from the request, within which the head of the response must arrive.
    """

    ends_after: float
    slack: float = 20.0
    head: float = 30.0


class Stream(asyncio.Protocol):
    """One request and its streamed response.

    Args:
        limits: when it is treated as dead.

    Attributes:
        silence: seconds without a byte after which it is treated as dead, too; None where silence is normal.
        pauses: whether reading pauses for a moment after a little data. A list that is streamed has no end of data.
    """

    def __init__(self, limits: StreamLimits) -> None:
        self.silence: float | None = None
        self.pauses = True
        self._limits = limits
        self._parser = ResponseParser(unlimited=True)
        self._paused = False
        self._read_pause: asyncio.TimerHandle | None = None
        self._error: OSError | None = None
        self._sent_at = 0.0  # loop time of the request
        self._last_byte_at = 0.0  # loop time of the last byte
        self._timer: asyncio.TimerHandle | None = None
        self._wakeup: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport | None = None
        self._network: asyncio.Transport | None = None  # below TLS: reading can be paused only there

    @property
    def head(self) -> ResponseHead:
        """Status and headers. Available after `send` has returned."""
        assert self._parser.head is not None  # noqa: S101 - `send` waits for it
        return self._parser.head

    async def send(self, request: bytes, network: asyncio.Transport) -> None:
        """Send a request and wait for the head of its response.

        Args:
            request: the bytes of the request.
            network: the connection below TLS.

        Raises:
            ConnectionError: the connection ended before the head was complete.
            TimeoutError: the head did not arrive in time.
        """
        if self._transport is None or self._transport.is_closing():
            raise connection_error(None)
        self._network = network
        loop = asyncio.get_running_loop()
        self._sent_at = self._last_byte_at = loop.time()
        self._timer = loop.call_at(self._dead_at(), self._check)
        self._transport.write(request)
        while self._parser.head is None:
            await self._wait()
        self._check()

    def expect_within(self, seconds: float) -> None:
        """Treat the connection as dead, too, when no byte arrives for some seconds: the server sends bookmarks."""
        if self.silence is None:
            self.silence = seconds
            self._check()

    async def readany(self) -> bytes:
        """Wait for data and return all of it; empty bytes at the end of the response.

        Raises:
            ConnectionError: the connection ended before the response was complete.
            TimeoutError: the connection is treated as dead.
        """
        while not self._parser.buffered:
            if self._parser.complete:
                return b""
            await self._wait()
        data = self._parser.take_body()
        if self._paused:
            self._paused = False
            self._last_byte_at = asyncio.get_running_loop().time()
            self._resume()
        return data

    async def read(self) -> bytes:
        """The rest of the body. Raises what `readany` raises, and ConnectionError when the body is too large."""
        result = bytearray()
        while piece := await self.readany():
            result += piece
            check_body_size(len(result))
        return bytes(result)

    def close(self) -> None:
        """Close the connection at once. A caller that reads gets a ConnectionAbortedError."""
        self._fail(ConnectionAbortedError("closed by us"))

    async def _wait(self) -> None:
        if self._error is not None:
            raise self._error
        self._wakeup = asyncio.get_running_loop().create_future()
        try:
            await self._wakeup
        finally:
            self._wakeup = None

    # --- callbacks of the event loop ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is open."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Bytes have arrived."""
        if self._done:
            return
        loop = asyncio.get_running_loop()
        self._last_byte_at = loop.time()
        try:
            complete = self._parser.feed(data)
        except BadResponse as error:
            self._fail(error)
            return
        if complete:
            self._abort()
        else:
            self._pause_reading(len(data), loop)
        self._wake()

    def eof_received(self) -> None:
        """The server sends no more: the response is complete if its body ends with the connection."""
        if self._done:
            return
        try:
            self._parser.end()
        except BadResponse as error:
            self._fail(error)
        else:
            self._abort()
            self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        """The connection has ended."""
        self._transport = None
        self._fail(connection_error(error))

    @property
    def _done(self) -> bool:
        return self._parser.complete or self._error is not None

    def _fail(self, error: OSError) -> None:
        if not self._done:
            self._error = error
        self._abort()
        self._wake()

    def _abort(self) -> None:
        for timer in (self._timer, self._read_pause):
            if timer is not None:
                timer.cancel()
        compat.abort(self._transport)

    def _wake(self) -> None:
        if self._wakeup is not None and not self._wakeup.done():
            self._wakeup.set_result(None)

    def _dead_at(self) -> float:
        """The loop time at which the connection is treated as dead if no further byte arrives."""
        limits = self._limits
        if self._parser.head is None:
            return self._sent_at + limits.head
        overdue = max(self._sent_at + limits.ends_after, self._last_byte_at) + limits.slack
        return overdue if self.silence is None else min(overdue, self._last_byte_at + self.silence)

    def _check(self) -> None:
        """Fail when the connection is dead, or look again when it may be."""
        if self._timer is not None:
            self._timer.cancel()
        if self._done:
            return
        loop = asyncio.get_running_loop()
        if self._paused:
            self._timer = loop.call_later(self._limits.slack, self._check)
        elif (dead_at := self._dead_at()) > loop.time():
            self._timer = loop.call_at(dead_at, self._check)
        else:
            self._fail(TimeoutError())

    def _pause_reading(self, received: int, loop: asyncio.AbstractEventLoop) -> None:
        """Pause reading: for a moment, or, when too much is buffered, until the buffer was read."""
        if self._paused or self._network is None or self._network.is_closing():
            return
        if self._parser.buffered > MAX_BUFFERED:
            self._paused = True
        elif self.pauses and self._read_pause is None and received < NO_PAUSE_SIZE:
            self._read_pause = loop.call_later(READ_PAUSE, self._end_pause)
        else:
            return
        self._network.pause_reading()

    def _end_pause(self) -> None:
        self._read_pause = None
        if not self._paused:
            self._resume()

    def _resume(self) -> None:
        if self._network is not None and not self._network.is_closing():
            self._network.resume_reading()
