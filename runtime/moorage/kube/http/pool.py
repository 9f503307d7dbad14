"""A pool of keep-alive connections. Each connection carries one request and its complete response at a time.

The pool does not use aiohttp's client: a pin is one small request, and aiohttp needs almost twice the CPU for it
(0.18 instead of 0.10 ms with TLS). Without aiohttp's client a process also needs 10 MiB less memory.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import cast

from moorage.ops import compat

from .connector import Connector, NotConnected
from .parser import BadResponse, PeerGone, Response, ResponseParser, connection_error

IDLE_TIMEOUT = 60.0
"""Seconds after which an idle connection is closed."""
SILENT_FOR = 4.0
"""Seconds without an answer after which a request that its caller gives up says as much as one whose time limit passed.
Callers have limits of their own, such as the Leases of placeholders (8 s)."""


class _Closed(BadResponse):
    """The connection ended before the first byte of the response."""


class _Connection(asyncio.Protocol):
    """One connection with one request at a time.

    Args:
        tls: the TLS settings it was opened with.
        lost: is called when the connection has ended.

    Attributes:
        opened_at: loop time, in seconds, at which it was opened.
        fresh: whether it has carried no request yet.
        idle_since: loop time, in seconds, of its last response.
    """

    def __init__(self, tls: ssl.SSLContext | None, lost: Callable[[_Connection], None]) -> None:
        self.tls = tls
        self.opened_at = asyncio.get_running_loop().time()
        self.fresh = True
        self.idle_since = 0.0
        self._lost = lost
        self._transport: asyncio.Transport | None = None
        self._parser: ResponseParser | None = None
        self._answer: asyncio.Future[Response] | None = None

    @property
    def usable(self) -> bool:
        """Whether the connection accepts a request."""
        return self._transport is not None and not self._transport.is_closing()

    async def exchange(self, request: bytes, seconds: float) -> Response:
        """Send a request and wait at most ``seconds`` for its response. Any failure closes the connection."""
        assert self._transport is not None  # noqa: S101 - the pool checks `usable` first
        loop = asyncio.get_running_loop()
        self._parser = ResponseParser()
        waiting: asyncio.Future[Response] = loop.create_future()
        self._answer = waiting
        limit = loop.call_later(seconds, self.abort, TimeoutError())  # asyncio.timeout needs three times the CPU
        try:
            self._transport.write(request)
            response = await waiting
        except BaseException:
            self.abort(None)
            raise
        finally:
            limit.cancel()
            self._parser = self._answer = None
        self.fresh = False
        if not response.keep_alive:
            self.abort(None)
        return response

    def abort(self, reason: OSError | None) -> None:
        """Close the connection at once. A caller that waits for a response gets ``reason`` as an exception."""
        if reason is not None:
            self._fail(reason)
        compat.abort(self._transport)

    # --- callbacks of the event loop ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own for TLS does not say that it is one

    def data_received(self, data: bytes) -> None:
        if self._parser is None or self._answer is None or self._answer.done():
            self.abort(BadResponse("the server sent more than its answer"))
            return
        try:
            complete = self._parser.feed(data)
        except BadResponse as error:
            self.abort(error)
        else:
            if complete:
                self._answer.set_result(self._parser.response())

    def eof_received(self) -> None:
        if self._parser is None or self._answer is None or self._answer.done():
            return
        try:
            self._parser.end()
        except BadResponse as error:
            self._fail(error)
        else:
            self._answer.set_result(self._parser.response())

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._fail(connection_error(error))
        self._lost(self)

    def _fail(self, error: OSError) -> None:
        if self._answer is None or self._answer.done():
            return
        closed = isinstance(error, ConnectionError) and not isinstance(error, PeerGone)
        unanswered = closed and self._parser is not None and self._parser.empty
        self._answer.set_exception(_Closed(str(error)) if unanswered else error)


class ConnectionPool:
    """Connections to one server.

    Args:
        connector: opens connections.
        limit: the number of requests that may be in flight at a time.
    """

    def __init__(self, connector: Connector, *, limit: int) -> None:
        self._connector = connector
        self._limit = asyncio.Semaphore(limit)
        self._idle: list[_Connection] = []
        self._all: set[_Connection] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    async def exchange(
        self, request: bytes, tls: ssl.SSLContext | None, server_name: str, *, seconds: float, again: bool, read: bool
    ) -> Response:
        """Send one request and read its complete response.

        A time limit that passes says nothing about the server where the connection was kept: the network may have
        forgotten it. So a read is sent once more on a new connection, and other idle connections are not used again.

        Args:
            request: the bytes of the request.
            tls: TLS settings, None for plain HTTP. Connections opened with other settings are not reused.
            server_name: the name that the certificate must have.
            seconds: how long to wait for the response after the request is sent; on a new connection once more.
            again: whether to send the request a second time when the server had closed an idle connection, or the
                network reports it dead.
            read: whether to send it a second time when the time limit passed on a kept connection.

        Raises:
            NotConnected: the request was not sent.
            ConnectionError: no complete response arrived.
            TimeoutError: the time limit passed.
        """
        async with self._limit:
            while True:
                connection = self._reusable(tls) or await self._connect(tls, server_name)
                fresh, sent = connection.fresh, asyncio.get_running_loop().time()
                try:
                    answer = await connection.exchange(request, seconds)
                except (_Closed, PeerGone, TimeoutError) as error:
                    if not isinstance(error, _Closed):
                        self.distrust(sent)
                    repeatable = read if isinstance(error, TimeoutError) else again
                    if fresh or not repeatable or self._closed:
                        raise
                    again = read = False
                except asyncio.CancelledError:
                    if asyncio.get_running_loop().time() - sent >= SILENT_FOR:
                        self.distrust(sent)
                    raise
                else:
                    self._keep(connection)
                    return answer

    def distrust(self, before: float) -> None:
        """Close the idle connections that were opened before a moment: what swallowed one may have swallowed all.

        A network that loses a connection without a reset usually loses those beside it, too. Each would cost another
        request its time limit. A new connection costs one handshake.

        Args:
            before: loop time in seconds. Connections that were opened later are known to work.
        """
        suspects = [each for each in self._idle if each.opened_at < before]
        for connection in suspects:
            self._idle.remove(connection)
            connection.abort(None)

    async def close(self) -> None:
        """Close all connections. Requests in flight fail, and so do later ones."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        for connection in tuple(self._all):
            connection.abort(ConnectionAbortedError("closed by us"))
        self._idle.clear()

    def _reusable(self, tls: ssl.SSLContext | None) -> _Connection | None:
        """The idle connection that was used last. Connections with outdated TLS settings are closed."""
        while self._idle:
            connection = self._idle.pop()
            if connection.usable and connection.tls is tls:
                return connection
            connection.abort(None)
        return None

    def _keep(self, connection: _Connection) -> None:
        if not connection.usable:
            return
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        self._idle.append(connection)
        if self._sweeper is None:
            self._sweeper = loop.call_later(IDLE_TIMEOUT, self._sweep)

    def _sweep(self) -> None:
        """Close connections that were idle for too long. Requests always take the last connection of the list."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        for connection in [each for each in self._idle if each.idle_since + IDLE_TIMEOUT <= now]:
            self._idle.remove(connection)
            connection.abort(None)
        oldest = min((each.idle_since for each in self._idle), default=None)
        self._sweeper = None if oldest is None else loop.call_at(oldest + IDLE_TIMEOUT, self._sweep)

    async def _connect(self, tls: ssl.SSLContext | None, server_name: str) -> _Connection:
        self._check_open()
        connection, _ = await self._connector.open(lambda: _Connection(tls, self._lose), tls, server_name)
        self._all.add(connection)
        try:
            self._check_open()
            if not connection.usable:
                raise NotConnected("the server closed the connection at once")
        except NotConnected:
            self._all.discard(connection)
            connection.abort(None)
            raise
        return connection

    def _check_open(self) -> None:
        if self._closed:
            raise NotConnected("closed by us")

    def _lose(self, connection: _Connection) -> None:
        self._all.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
