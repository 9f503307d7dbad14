"""An answer that is read while it comes: the body of a watch, one connection each.

A single event is read at once. Of events that come in quick succession some are read together: to be woken for each
would cost half as much again.
"""

from __future__ import annotations

import asyncio
from typing import cast

from moorage.ops import compat

from .parser import BadAnswer, Head, Reader, check_size, ended

HIGH = 1 << 20
"""Bytes that may wait to be read before the network is made to wait."""
REST = 0.02
"""Seconds for which nobody looks at the network after something has come."""
PLENTY = 64 << 10
"""Bytes after which there is no rest: whoever sends as much is not to wait for us."""


class Stream(asyncio.Protocol):
    """One request, and its answer as it comes.

    Args:
        silence: seconds without a byte, from the request on, after which the connection counts as dead. Time in which
            the network waits for whoever reads does not count.
    """

    def __init__(self, silence: float) -> None:
        self._silence = silence
        self._reader = Reader(endless=True)
        self._paused = False
        self._resting: asyncio.TimerHandle | None = None
        self._error: OSError | None = None
        self._heard = 0.0  # loop time of the last byte
        self._timer: asyncio.TimerHandle | None = None
        self._news: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport | None = None
        self._network: asyncio.Transport | None = None  # below TLS: there alone reading can be put off

    @property
    def head(self) -> Head:
        """Status and headers, once `ask` has returned."""
        assert self._reader.head is not None  # noqa: S101 - it is asked only then
        return self._reader.head

    async def ask(self, request: bytes, network: asyncio.Transport) -> None:
        """Send a request and wait for the head of its answer.

        Args:
            request: all its bytes.
            network: the bare connection.

        Raises:
            ConnectionError: none came.
            TimeoutError: nothing came for too long.
        """
        if self._transport is None or self._transport.is_closing():
            raise ended(None)
        self._network = network
        loop = asyncio.get_running_loop()
        self._heard = loop.time()
        self._timer = loop.call_later(self._silence, self._listen)
        self._transport.write(request)
        while self._reader.head is None:
            await self._more()

    async def readany(self) -> bytes:
        """What has come since the last time, at least a byte; nothing once the answer is complete.

        Raises:
            ConnectionError: the connection ended before it was.
            TimeoutError: nothing came for too long.
        """
        while not self._reader.waiting:
            if self._reader.whole:
                return b""
            await self._more()
        found = self._reader.take()
        if self._paused:
            self._paused = False
            self._heard = asyncio.get_running_loop().time()
            self._resume()
        return found

    async def read(self) -> bytes:
        """The rest of the body; errors as `readany`, and ConnectionError for one that is too large."""
        found = bytearray()
        while piece := await self.readany():
            found += piece
            check_size(len(found))
        return bytes(found)

    def close(self) -> None:
        """End the connection at once; whoever reads is told so."""
        self._fail(ConnectionAbortedError("closed by us"))

    async def _more(self) -> None:
        if self._error is not None:
            raise self._error
        self._news = asyncio.get_running_loop().create_future()
        try:
            await self._news
        finally:
            self._news = None

    # --- what the event loop calls ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """There is a connection."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Something has come."""
        if self._over:
            return
        loop = asyncio.get_running_loop()
        self._heard = loop.time()
        try:
            whole = self._reader.feed(data)
        except BadAnswer as error:
            self._fail(error)
            return
        if whole:
            self._leave()
        else:
            self._hold_back(len(data), loop)
        self._tell()

    def eof_received(self) -> None:
        """The server has said all: the answer is complete if it was to end so."""
        if self._over:
            return
        try:
            self._reader.end()
        except BadAnswer as error:
            self._fail(error)
        else:
            self._leave()
            self._tell()

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is no more."""
        self._transport = None
        self._fail(ended(error))

    @property
    def _over(self) -> bool:
        return self._reader.whole or self._error is not None

    def _fail(self, error: OSError) -> None:
        if not self._over:
            self._error = error
        self._leave()
        self._tell()

    def _leave(self) -> None:
        for timer in (self._timer, self._resting):
            if timer is not None:
                timer.cancel()
        compat.abort(self._transport)

    def _tell(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    def _listen(self) -> None:
        """Whether anything has come lately."""
        loop = asyncio.get_running_loop()
        left = self._silence if self._paused else self._heard + self._silence - loop.time()
        if left > 0:
            self._timer = loop.call_later(left, self._listen)
        else:
            self._fail(TimeoutError())

    # --- how fast is read ---

    def _hold_back(self, came: int, loop: asyncio.AbstractEventLoop) -> None:
        """Have the network wait a moment, or until what has come was read."""
        if self._paused or self._network is None or self._network.is_closing():
            return
        if self._reader.waiting > HIGH:
            self._paused = True
        elif self._resting is None and came < PLENTY:
            self._resting = loop.call_later(REST, self._rested)
        else:
            return
        self._network.pause_reading()

    def _rested(self) -> None:
        self._resting = None
        if not self._paused:
            self._resume()

    def _resume(self) -> None:
        if self._network is not None and not self._network.is_closing():
            self._network.resume_reading()
