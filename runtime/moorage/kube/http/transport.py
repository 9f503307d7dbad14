"""HTTP to one API server: connections, credentials and time limits. Kinds of objects are not known here.

Every failure is raised as one of ``moorage.kube.errors``.
"""

from __future__ import annotations

import asyncio
import math
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from types import TracebackType
from typing import Generic, Self, TypeVar
from urllib.parse import quote, urlencode

from prometheus_client import Counter

from .. import errors, metrics
from ..clock import ServerClock
from ..credentials import Access, Headers
from ..wire import refusals
from .connector import Connector, Endpoint, NotConnected
from .parser import PeerGone, Response
from .pool import ConnectionPool
from .stream import Stream, StreamLimits

USER_AGENT = "moorage"
B = TypeVar("B")

CONNECT_TIMEOUT = 10.0
MAX_CONNECTIONS = 128
"""More connections than any program has writes in flight, so that leases and reads do not wait for writes."""
STARTING = 10.0
"""Seconds after a lost connection in which a missing right may only mean that the server has not read its roles yet."""
# Compression needs more CPU on both sides than it saves on a cluster's network.
_HEADERS = (f"User-Agent: {USER_AGENT}", "Accept-Encoding: identity")
JSON = "application/json"
_REPEATABLE = frozenset(("GET", "PUT", "DELETE"))


@dataclass(slots=True)
class _Request:
    """One request without its credentials."""

    method: str
    path: str
    query: Mapping[str, str] | None
    body: bytes | None
    content_type: str
    accept: str

    def message(self, origin: str, server: Endpoint, credentials: Headers) -> bytes:
        """The bytes of the request.

        Args:
            origin: scheme and authority before the path, for a request over a proxy; else empty.
            server: the server's address.
            credentials: headers.

        Raises:
            ValueError: a header contains a line break, which would start another header.
        """
        target = origin + server.path + self.path + _query(tuple(self.query.items()) if self.query else ())
        lines = [f"{self.method} {target} HTTP/1.1", f"Host: {server.authority}", *_HEADERS, f"Accept: {self.accept}"]
        lines += [
            f"{name}: {value}"
            for name, values in credentials.items()
            for value in ((values,) if isinstance(values, str) else values)
        ]
        if self.body is not None:
            lines += (f"Content-Type: {self.content_type}", f"Content-Length: {len(self.body)}")
        head = "\r\n".join(lines)
        if head.count("\r") != len(lines) - 1 or head.count("\n") != len(lines) - 1:
            raise ValueError(f"{self.method} {self.path!r}: a header holds a line break")
        return b"%b\r\n\r\n%b" % (head.encode(), self.body or b"")


@dataclass(frozen=True, slots=True)
class Content(Generic[B]):
    """The content of a response.

    Attributes:
        content_type: in lower case and without parameters; empty when the header is missing.
        body: the bytes, or the stream of bytes.
    """

    content_type: str
    body: B


class Transport:
    """Connections to one API server.

    Args:
        access: the server's address and the credentials.
        clock: learns the server's time from every response.
    """

    def __init__(self, access: Access, *, clock: ServerClock | None = None) -> None:
        self.access = access
        self.clock = clock or ServerClock()
        self._server = Endpoint.of(access.server)
        proxy = Endpoint.of(access.proxy.url) if access.proxy is not None else None
        source = access.proxy.source if access.proxy is not None else ""
        self._connector = Connector(self._server, proxy, timeout=CONNECT_TIMEOUT, source=source)
        self._pool = ConnectionPool(self._connector, limit=MAX_CONNECTIONS)
        self._streams: set[Stream] = set()
        self._closed = False
        self._lost_at = -math.inf
        # For plain HTTP over an HTTP proxy, each request names the server and carries the proxy's credentials.
        forwarded = proxy is not None and not proxy.is_socks and self._server.scheme == "http"
        self._origin = f"http://{self._server.authority}" if forwarded else ""
        self._to_proxy = {"Proxy-Authorization": proxy.credentials} if proxy and forwarded and proxy.credentials else {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections. Requests in flight and later ones fail with ConnectionLost."""
        self._closed = True
        await self._pool.close()
        for stream in tuple(self._streams):
            stream.close()
        await asyncio.sleep(0)  # the event loop closes aborted connections in its next iteration

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = JSON,
        accept: str = JSON,
        timeout: float = 30.0,
    ) -> bytes:
        """Send one request and read the complete response.

        Args:
            method: HTTP method.
            path: absolute path, already quoted (``Resource.path``).
            query: query parameters, unquoted.
            body: request body.
            content_type: of the body.
            accept: the accepted content types. Refusals are understood in JSON and protobuf.
            timeout: seconds for the response. Connecting has its own limit.

        Returns:
            The body of a 2xx response.

        Raises:
            ApiError: the server refused the request; the subclass gives the reason.
            ConnectionLost: no complete response arrived.
        """
        request = _Request(method, path, query, body, content_type, accept)
        return (await self._respond(request, timeout)).body

    async def read(self, path: str, *, query: Mapping[str, str], accept: str, timeout: float) -> Content[bytes]:
        """GET a resource that the server has in several encodings.

        Args:
            path: absolute path, already quoted.
            query: query parameters, unquoted.
            accept: the accepted content types. A server or a proxy may respond with another one.
            timeout: seconds for the response. Connecting has its own limit.

        Raises:
            ApiError: the server refused the request; the subclass gives the reason.
            Undecodable: the body is compressed.
            ConnectionLost: no complete response arrived.
        """
        return await self._respond(_Request("GET", path, query, None, JSON, accept), timeout)

    async def _respond(self, request: _Request, timeout: float) -> Content[bytes]:
        """Send one request and read the complete response. After a 401, retry once with fresh credentials."""
        response = await self._exchange(request, timeout)
        if response.status == 401 and await self.access.authenticator.refused():
            response = await self._exchange(request, timeout)
        if response.status >= 300:
            line = f"{request.method} {request.path}"
            raise self._refusal(refusals.from_response(response.status, response.headers, response.body, request=line))
        if request.method == "GET":  # what a write answers may be ignored, and the write is done
            _check_coding(request, response.headers)
        return Content(_media_type(response.headers), response.body)

    async def _exchange(self, request: _Request, timeout: float) -> Response:
        message, tls, name = await self._prepare(request)
        sent = time.monotonic()
        try:
            # A repeatable request is sent again when an idle connection had ended. A write whose time limit passed may
            # still be executed, so only a read is sent again then.
            again, read = request.method in _REPEATABLE, request.method == "GET"
            response = await self._pool.exchange(message, tls, name, seconds=timeout, again=again, read=read)
        except OSError as error:
            raise self._no_response(request, error) from error
        self._observe(request, response.status, response.headers, sent)
        return response

    async def _prepare(self, request: _Request) -> tuple[bytes, ssl.SSLContext | None, str]:
        """The bytes of a request, the TLS settings, and the name that the certificate must have."""
        if self._closed:
            raise errors.ConnectionLost(f"the connection to {self._server.authority} was closed by us")
        authenticator = self.access.authenticator
        credentials = await authenticator.headers()
        if self._to_proxy:
            credentials = {**credentials, **self._to_proxy}
        message = request.message(self._origin, self._server, credentials)
        tls = authenticator.ssl_context() if self._server.scheme == "https" else None
        return message, tls, self.access.tls_server_name or self._server.host.partition("%")[0]

    def _observe(self, request: _Request, status: int, headers: Mapping[str, str], sent: float) -> None:
        self.clock.observe(headers.get("date"), sent, time.monotonic())
        _counter(request.method, status).inc()

    def _no_response(self, request: _Request, error: OSError) -> errors.ConnectionLost:
        metrics.REQUESTS.labels(request.method, "none").inc()
        self._lost_at = time.monotonic()
        return _lost(error)(f"{request.method} {request.path}: {_sentence(error)}")

    @asynccontextmanager
    async def stream(
        self, path: str, *, query: Mapping[str, str], limits: StreamLimits, accept: str = JSON
    ) -> AsyncIterator[Content[Stream]]:
        """Open a watch and yield its body as a stream.

        Args:
            path: absolute path, already quoted.
            query: query parameters, unquoted.
            limits: when the connection is treated as dead.
            accept: the accepted content types. A server or a proxy may respond with another one.

        Raises:
            ApiError: the server refused to open it.
            Undecodable: the body is compressed.
            ConnectionLost: it could not be opened, or it broke; Silent when it is treated as dead.
        """
        request = _Request("GET", path, query, None, JSON, accept)
        stream = await self._open(request, limits)
        try:
            if stream.head.status == 401 and await self.access.authenticator.refused():
                self._close(stream)
                stream = await self._open(request, limits)
            head = stream.head
            if head.status >= 300:
                stream.expect_within(limits.head)  # a watch may be silent, a refusal may not
                body = await stream.read()
                raise self._refusal(refusals.from_response(head.status, head.headers, body, request=f"GET {path}"))
            _check_coding(request, head.headers)
            yield Content(_media_type(head.headers), stream)
        except TimeoutError as error:
            self._distrust()
            raise errors.Silent(f"watch {path}: it should have ended or said something, and did not") from error
        except PeerGone as error:
            self._distrust()
            raise errors.ConnectionLost(f"watch {path}: {error}") from error
        except OSError as error:
            self._lost_at = time.monotonic()
            raise errors.ConnectionLost(f"watch {path}: {_sentence(error)}") from error
        finally:
            self._close(stream)

    def _refusal(self, error: errors.ApiError) -> errors.ApiError:
        """The error of a refused request; a missing right is not believed of a server that may have just started."""
        may_start = time.monotonic() - self._lost_at < STARTING
        if may_start and isinstance(error, errors.Forbidden) and error.lacks_right:
            return errors.Starting(error.code, error.status, request=error.request, retry_after=error.retry_after)
        return error

    def _distrust(self) -> None:
        """What swallowed one connection may have swallowed the idle ones, too."""
        self._pool.distrust(asyncio.get_running_loop().time())

    async def _open(self, request: _Request, limits: StreamLimits) -> Stream:
        """Open a connection, send the request and wait for the head of the response."""
        message, tls, name = await self._prepare(request)
        sent = time.monotonic()
        try:
            stream, network = await self._connector.open(lambda: Stream(limits), tls, name)
            self._streams.add(stream)
            try:
                if self._closed:
                    raise NotConnected("closed by us")
                await stream.send(message, network)
            except BaseException:
                self._close(stream)
                raise
        except OSError as error:
            if isinstance(error, (TimeoutError, PeerGone)):
                self._distrust()
            raise self._no_response(request, error) from error
        self._observe(request, stream.head.status, stream.head.headers, sent)
        return stream

    def _close(self, stream: Stream) -> None:
        self._streams.discard(stream)
        stream.close()


@lru_cache(maxsize=256)
def _counter(method: str, status: int) -> Counter:
    return metrics.REQUESTS.labels(method, str(status))


@lru_cache(maxsize=256)  # all writes have the same query
def _query(pairs: tuple[tuple[str, str], ...]) -> str:
    return "?" + urlencode(pairs, quote_via=quote, safe="") if pairs else ""


def _media_type(headers: Mapping[str, str]) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def _check_coding(request: _Request, headers: Mapping[str, str]) -> None:
    """Raise Undecodable for a compressed body, which no decoder could explain."""
    coding = headers.get("content-encoding", "identity").lower()
    if coding not in ("", "identity"):
        raise errors.Undecodable(
            f"{request.method} {request.path}: the answer is compressed ({coding[:20]}), and we accept no compression. "
            "A proxy in between must pass it on as it is"
        )


def _lost(error: OSError) -> type[errors.ConnectionLost]:
    if isinstance(error, NotConnected):
        return errors.Unreachable
    return errors.Silent if isinstance(error, TimeoutError) else errors.ConnectionLost


def _sentence(error: OSError) -> str:
    """The text of a network error. Some errors have none."""
    if isinstance(error, TimeoutError):
        return "no answer within the time limit"
    return str(error) or type(error).__name__
