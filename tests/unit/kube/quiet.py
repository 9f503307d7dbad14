"""An API server in virtual time with one quiet kind: hours of a watch that has nothing to say pass in milliseconds.

Only the network is replaced: bytes go to and from the real HTTP client, stream, pool and cache.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

from moorage.kube.cache import WatchCache
from moorage.kube.credentials import Access
from moorage.kube.http.transport import Transport
from moorage.kube.resources import NODES
from moorage.objects import Node
from tests.unit.kube.hostile import Tokens


class Connection:
    """A connection without a network. What the client writes is handed to the server."""

    def __init__(self, server: QuietServer, protocol: asyncio.Protocol) -> None:
        self._server, self._protocol = server, protocol
        self._ended = False

    def write(self, data: bytes) -> None:
        head = data.partition(b"\r\n\r\n")[0].decode().split("\r\n")[0]
        asyncio.get_running_loop().call_soon(self._server.answer, self, head.split(" ")[1])

    def send(self, data: bytes) -> None:
        if not self._ended:
            self._protocol.data_received(data)

    def lose(self, error: Exception | None = None) -> None:
        """End the connection, as the network does; None is a FIN."""
        if not self._ended:
            self._ended = True
            self._server.closed(self)
            self._protocol.connection_lost(error)

    @property
    def ended(self) -> bool:
        return self._ended

    def is_closing(self) -> bool:
        return self._ended

    def abort(self) -> None:
        asyncio.get_running_loop().call_soon(self.lose)

    def pause_reading(self) -> None:
        """The server of a quiet kind never sends too much."""

    def resume_reading(self) -> None:
        """See `pause_reading`."""


class QuietServer:
    """Serves a kind that nobody changes.

    Attributes:
        version: the resourceVersion at which it lists.
        lists, versions, watches: the requests so far: full lists, lists of one object, watches.
        behave: what a watch does after its head; gets the connection and its ``timeoutSeconds``.
    """

    def __init__(self, behave: Callable[[QuietServer, Connection, float], None]) -> None:
        self.version = 100
        self.lists = self.versions = self.watches = 0
        self.behave = behave
        self._open: set[Connection] = set()
        self._blind_since: float | None = None
        self._blind = 0.0

    async def open(
        self, made: Callable[[], asyncio.Protocol], _tls: ssl.SSLContext | None, _name: str
    ) -> tuple[asyncio.Protocol, Any]:
        """Take the place of ``Connector.open``."""
        protocol = made()
        connection: Any = Connection(self, protocol)
        protocol.connection_made(connection)
        return protocol, connection

    def answer(self, connection: Connection, target: str) -> None:
        query = dict(parse_qsl(target.partition("?")[2]))
        if query.get("watch") != "true":
            self.lists += query["limit"] != "1"
            self.versions += query["limit"] == "1"
            body = json.dumps({"metadata": {"resourceVersion": str(self.version)}, "items": []})
            connection.send(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
            return
        self.watches += 1
        self._open.add(connection)
        if self._blind_since is not None:
            self._blind += asyncio.get_running_loop().time() - self._blind_since
            self._blind_since = None
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        self.behave(self, connection, float(query["timeoutSeconds"]))

    def closed(self, connection: Connection) -> None:
        if connection in self._open:
            self._open.discard(connection)
            self._blind_since = asyncio.get_running_loop().time()

    @property
    def blind(self) -> float:
        """Seconds during which no watch was open, since the first."""
        since = self._blind_since
        return self._blind + (asyncio.get_running_loop().time() - since if since is not None else 0.0)


def later(seconds: float, what: Callable[..., object], *arguments: Any) -> None:
    """Do something in virtual time."""
    asyncio.get_running_loop().call_later(seconds, what, *arguments)


def bookmark(server: QuietServer, connection: Connection) -> None:
    event = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": str(server.version)}}}
    line = json.dumps(event).encode() + b"\n"
    connection.send(b"%x\r\n%s\r\n" % (len(line), line))


async def follow(server: QuietServer, seconds: float, then: Callable[[WatchCache[Node]], None] | None = None) -> None:
    """Follow the server for some seconds, and look at the cache at the end."""
    access = Access(server="http://quiet", namespace=None, authenticator=Tokens(), proxy=None, source="a test")
    async with Transport(access) as transport:
        connector: Any = server
        transport._connector = transport._pool._connector = connector
        cache = WatchCache(transport, NODES, monotonic=asyncio.get_running_loop().time)
        following = asyncio.create_task(cache.run())
        try:
            await asyncio.sleep(seconds)
            if then is not None:
                then(cache)
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
