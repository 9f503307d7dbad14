"""HTTP to one API server: connections, credentials, time limits, and nothing about kinds.

Every failure leaves here as one of ``moorage.kube.errors``.
"""

from __future__ import annotations

import asyncio
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
from ..credentials import Access
from ..wire import refusals
from .connector import Connector, NotConnected, Place
from .parser import Answer
from .pool import Exchanger
from .stream import Stream

USER_AGENT = "moorage"
B = TypeVar("B")

CONNECT_TIMEOUT = 10.0
MAX_CONNECTIONS = 128
"""More than any program has writes under way: leases and reads do not wait for these."""
# Compressing a list costs the server and us more CPU than a cluster network saves.
_HEADERS = (f"User-Agent: {USER_AGENT}", "Accept-Encoding: identity")
JSON = "application/json"
_REPEATABLE = frozenset(("GET", "PUT", "DELETE"))


@dataclass(slots=True)
class _Request:
    """One request, credentials apart."""

    method: str
    path: str
    query: Mapping[str, str] | None
    body: bytes | None
    content_type: str
    accept: str

    def message(self, origin: str, server: Place, credentials: Mapping[str, str]) -> bytes:
        """Its bytes.

        Args:
            origin: what stands before the path when a proxy is to ask the server; else empty.
            server: where it is.
            credentials: headers.

        Raises:
            ValueError: a part has a line break, which would begin another header.
        """
        target = origin + server.path + self.path + _query(tuple(self.query.items()) if self.query else ())
        lines = [f"{self.method} {target} HTTP/1.1", f"Host: {server.authority}", *_HEADERS, f"Accept: {self.accept}"]
        lines += [f"{name}: {value}" for name, value in credentials.items()]
        if self.body is not None:
            lines += (f"Content-Type: {self.content_type}", f"Content-Length: {len(self.body)}")
        head = "\r\n".join(lines)
        if head.count("\r") != len(lines) - 1 or head.count("\n") != len(lines) - 1:
            raise ValueError(f"{self.method} {self.path!r}: a header holds a line break")
        return b"%b\r\n\r\n%b" % (head.encode(), self.body or b"")


@dataclass(frozen=True, slots=True)
class Content(Generic[B]):
    """What an answer holds.

    Attributes:
        content_type: in lower case and without parameters; empty when the server names none.
        body: its bytes, or the stream of them.
    """

    content_type: str
    body: B


class Transport:
    """One pool of connections to one API server.

    Args:
        access: where the server is and how to prove who we are.
        clock: learns the server's time from every answer.
    """

    def __init__(self, access: Access, *, clock: ServerClock | None = None) -> None:
        self.access = access
        self.clock = clock or ServerClock()
        self._server = Place.of(access.server)
        proxy = Place.of(access.proxy) if access.proxy is not None else None
        self._connector = Connector(self._server, proxy, timeout=CONNECT_TIMEOUT)
        self._exchanger = Exchanger(self._connector, limit=MAX_CONNECTIONS)
        self._streams: set[Stream] = set()
        self._closed = False
        # Plain HTTP over a proxy: it is told in each request whom to ask, and who we are.
        plainly = proxy is not None and self._server.scheme == "http"
        self._origin = f"http://{self._server.authority}" if plainly else ""
        self._to_proxy = {"Proxy-Authorization": proxy.credentials} if proxy and plainly and proxy.credentials else {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections, for good: requests under way and later ones fail with ConnectionLost."""
        self._closed = True
        await self._exchanger.close()
        for stream in tuple(self._streams):
            stream.close()
        await asyncio.sleep(0)  # aborted connections leave in the loop's next round

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
        """Send one request and read the whole answer.

        Args:
            method: HTTP verb.
            path: absolute path, already quoted (``Resource.path``).
            query: query parameters, unquoted.
            body: request body.
            content_type: of the body.
            accept: the encodings that are understood; refusals are, in JSON and protobuf.
            timeout: seconds for the answer; connecting has its own limit.

        Returns:
            The body of a 2xx answer.

        Raises:
            ApiError: the server said no; the subclass says how.
            ConnectionLost: no complete answer came.
        """
        asked = _Request(method, path, query, body, content_type, accept)
        return (await self._answered(asked, timeout)).body

    async def read(self, path: str, *, query: Mapping[str, str], accept: str, timeout: float) -> Content[bytes]:
        """GET something that the server has in several encodings.

        Args:
            path: absolute path, already quoted.
            query: query parameters, unquoted.
            accept: the encodings that are understood. A server or a proxy may answer in another one.
            timeout: seconds for the answer; connecting has its own limit.

        Raises:
            ApiError: the server said no; the subclass says how.
            ConnectionLost: no complete answer came.
        """
        return await self._answered(_Request("GET", path, query, None, JSON, accept), timeout)

    async def _answered(self, asked: _Request, timeout: float) -> Content[bytes]:
        """Send one request and read the whole answer; once more with fresh credentials when the server says 401."""
        request = f"{asked.method} {asked.path}"
        answer = await self._exchange(asked, timeout)
        if answer.status == 401 and await self.access.authenticator.refused():
            answer = await self._exchange(asked, timeout)
        if answer.status >= 300:
            raise refusals.from_response(answer.status, answer.headers, answer.body, request=request)
        return Content(_media_type(answer.headers), answer.body)

    async def _exchange(self, asked: _Request, timeout: float) -> Answer:
        """Send, and read the whole answer."""
        message, tls, name = await self._prepared(asked)
        sent = time.monotonic()
        try:
            # What may be done twice is sent again when a kept connection has ended.
            again = asked.method in _REPEATABLE
            answer = await self._exchanger.exchange(message, tls, name, seconds=timeout, again=again)
        except OSError as error:
            raise self._no_answer(asked, error) from error
        self._answered_by(asked, answer.status, answer.headers, sent)
        return answer

    async def _prepared(self, asked: _Request) -> tuple[bytes, ssl.SSLContext | None, str]:
        """The bytes of a request, settings of TLS, and whom the certificate must be for."""
        if self._closed:
            raise errors.ConnectionLost(f"the connection to {self._server.authority} was closed by us")
        authenticator = self.access.authenticator
        credentials = await authenticator.headers()
        if self._to_proxy:
            credentials = {**credentials, **self._to_proxy}
        message = asked.message(self._origin, self._server, credentials)
        tls = authenticator.ssl_context() if self._server.scheme == "https" else None
        return message, tls, self.access.tls_server_name or self._server.host

    def _answered_by(self, asked: _Request, status: int, headers: Mapping[str, str], sent: float) -> None:
        self.clock.observe(headers.get("date"), sent, time.monotonic())
        _counter(asked.method, status).inc()

    def _no_answer(self, asked: _Request, error: OSError) -> errors.ConnectionLost:
        metrics.REQUESTS.labels(asked.method, "none").inc()
        return _lost(error)(f"{asked.method} {asked.path}: {_sentence(error)}")

    @asynccontextmanager
    async def stream(
        self, path: str, *, query: Mapping[str, str], silence: float, accept: str = JSON
    ) -> AsyncIterator[Content[Stream]]:
        """Open a watch and hand out its body as it comes.

        Args:
            path: absolute path, already quoted.
            query: query parameters, unquoted.
            silence: seconds without a byte, from the request on, after which the connection counts as dead. Time in
                which the reader is slow and the network waits for us does not count.
            accept: the encodings that are understood. A server or a proxy may answer in another one.

        Raises:
            ApiError: the server refused to open it.
            ConnectionLost: it could not be opened, or broke while it was read; Silent when nothing came for too long.
        """
        asked = _Request("GET", path, query, None, JSON, accept)
        found = await self._asked(asked, silence)
        try:
            if found.head.status == 401 and await self.access.authenticator.refused():
                self._leave(found)
                found = await self._asked(asked, silence)
            head = found.head
            if head.status >= 300:
                raise refusals.from_response(head.status, head.headers, await found.read(), request=f"GET {path}")
            yield Content(_media_type(head.headers), found)
        except TimeoutError as error:
            raise errors.Silent(f"watch {path}: silent for {silence:g} s") from error
        except OSError as error:
            raise errors.ConnectionLost(f"watch {path}: {_sentence(error)}") from error
        finally:
            self._leave(found)

    async def _asked(self, asked: _Request, silence: float) -> Stream:
        """Send, and read the head of the answer."""
        message, tls, name = await self._prepared(asked)
        sent = time.monotonic()
        try:
            found, network = await self._connector.open(lambda: Stream(silence), tls, name)
            self._streams.add(found)
            try:
                if self._closed:
                    raise NotConnected("closed by us")
                await found.ask(message, network)
            except BaseException:
                self._leave(found)
                raise
        except OSError as error:
            raise self._no_answer(asked, error) from error
        self._answered_by(asked, found.head.status, found.head.headers, sent)
        return found

    def _leave(self, stream: Stream) -> None:
        self._streams.discard(stream)
        stream.close()


@lru_cache(maxsize=256)
def _counter(method: str, status: int) -> Counter:
    return metrics.REQUESTS.labels(method, str(status))


@lru_cache(maxsize=256)  # all writes have the same
def _query(pairs: tuple[tuple[str, str], ...]) -> str:
    return "?" + urlencode(pairs, quote_via=quote, safe="") if pairs else ""


def _media_type(headers: Mapping[str, str]) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def _lost(error: OSError) -> type[errors.ConnectionLost]:
    if isinstance(error, NotConnected):
        return errors.Unreachable
    return errors.Silent if isinstance(error, TimeoutError) else errors.ConnectionLost


def _sentence(error: OSError) -> str:
    """A network error in words; some have an empty text."""
    if isinstance(error, TimeoutError):
        return "no answer within the time limit"
    return str(error) or type(error).__name__
