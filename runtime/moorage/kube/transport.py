"""HTTP to one API server: connections, credentials, time limits, and nothing about kinds.

Every failure leaves here as one of ``moorage.kube.errors``; aiohttp does not show through.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from types import TracebackType
from typing import Generic, Self, TypeVar
from urllib.parse import quote, urlencode

import aiohttp
from prometheus_client import Counter
from yarl import URL

from . import errors, metrics
from .answer import Answer, check_size
from .clock import ServerClock
from .credentials import Access
from .exchange import Exchanger, NotConnected

USER_AGENT = "moorage"
B = TypeVar("B")

CONNECT_TIMEOUT = 10.0
MAX_CONNECTIONS = 64
_STREAM_BUFFER = 1 << 20
# Compressing a list costs the server and us more CPU than a cluster network saves.
_HEADERS = (f"User-Agent: {USER_AGENT}", "Accept-Encoding: identity")
_JSON = "application/json"
_REPEATABLE = frozenset(("GET", "PUT", "DELETE"))
_MAX_REDIRECTS = 0  # the API server never redirects; following one would carry the token elsewhere


@dataclass(slots=True)
class _Request:
    """One request, credentials apart."""

    method: str
    path: str
    query: Mapping[str, str] | None
    body: bytes | None
    content_type: str
    accept: str

    def message(self, base: URL, credentials: Mapping[str, str]) -> bytes:
        """Its bytes, for a server at ``base``.

        Raises:
            ValueError: a part has a line break, which would begin another header.
        """
        target = base.raw_path.rstrip("/") + self.path + _query(tuple(self.query.items()) if self.query else ())
        lines = [f"{self.method} {target} HTTP/1.1", f"Host: {base.raw_authority}", *_HEADERS, f"Accept: {self.accept}"]
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
        self._base = URL(access.server.rstrip("/"), encoded=True)
        self._session: aiohttp.ClientSession | None = None
        self._exchanger: Exchanger | None = None
        self._closed = False
        self._answers: set[aiohttp.ClientResponse] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections, for good: requests under way and later ones fail with ConnectionLost."""
        self._closed = True
        if self._exchanger is not None:
            await self._exchanger.close()
        for response in self._answers:  # aiohttp would leave whoever reads a body waiting for ever
            response.content.set_exception(aiohttp.ClientConnectionError("closed by us"))
        if self._session is not None:
            session, self._session = self._session, None
            if session.connector is not None:
                # Without the goodbyes of TLS, for which nobody would wait: sockets are closed when this returns.
                await session.connector.close(abort_ssl=True)
            await session.close()
            await asyncio.sleep(0)  # aborted connections leave in the loop's next round

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
        timeout: float = 30.0,
    ) -> bytes:
        """Send one request and read the whole answer.

        Args:
            method: HTTP verb.
            path: absolute path, already quoted (``Resource.path``).
            query: query parameters, unquoted.
            body: request body.
            content_type: of the body.
            timeout: seconds for the answer; connecting has its own limit.

        Returns:
            The body of a 2xx answer.

        Raises:
            ApiError: the server said no; the subclass says how.
            ConnectionLost: no complete answer came.
        """
        asked = _Request(method, path, query, body, content_type, _JSON)
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
        return await self._answered(_Request("GET", path, query, None, _JSON, accept), timeout)

    async def _answered(self, asked: _Request, timeout: float) -> Content[bytes]:
        """Send one request and read the whole answer, over a proxy or without one."""
        request = f"{asked.method} {asked.path}"
        if self.access.proxy is not None:
            limits = aiohttp.ClientTimeout(total=timeout, sock_connect=CONNECT_TIMEOUT)
            async with self._open(asked, limits) as response:
                return Content(_media_type(response.headers), await _read_all(response, request))
        answer = await self._exchange(asked, timeout)
        if answer.status == 401 and await self.access.authenticator.refused():
            answer = await self._exchange(asked, timeout)
        if answer.status >= 300:
            raise errors.from_response(answer.status, answer.headers, answer.body, request=request)
        return Content(_media_type(answer.headers), answer.body)

    async def _exchange(self, asked: _Request, timeout: float) -> Answer:
        """Send, and read the whole answer."""
        authenticator = self.access.authenticator
        message = asked.message(self._base, await authenticator.headers())
        tls = authenticator.ssl_context() if self._base.scheme == "https" else None
        name = self.access.tls_server_name or (self._base.host or "").rstrip(".")
        sent = time.monotonic()
        try:
            # As aiohttp has it: what may be done twice is sent again when a kept connection has ended.
            again = asked.method in _REPEATABLE
            answer = await self._exchanges().exchange(message, tls, name, seconds=timeout, again=again)
        except OSError as error:
            metrics.REQUESTS.labels(asked.method, "none").inc()
            raise _lost(error)(f"{asked.method} {asked.path}: {_sentence(error)}") from error
        self.clock.observe(answer.headers.get("date"), sent, time.monotonic())
        _counter(asked.method, answer.status).inc()
        return answer

    @asynccontextmanager
    async def stream(
        self, path: str, *, query: Mapping[str, str], silence: float, accept: str = _JSON
    ) -> AsyncIterator[Content[aiohttp.StreamReader]]:
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
        limits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT, sock_read=silence)
        async with self._open(_Request("GET", path, query, None, _JSON, accept), limits) as response:
            try:
                yield Content(_media_type(response.headers), response.content)
            except TimeoutError as error:
                raise errors.Silent(f"watch {path}: silent for {silence:g} s") from error
            except (aiohttp.ClientError, OSError) as error:
                raise errors.ConnectionLost(f"watch {path}: {_sentence(error)}") from error

    @asynccontextmanager
    async def _open(self, asked: _Request, limits: aiohttp.ClientTimeout) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send, and send once more with fresh credentials when the server says 401."""
        request = f"{asked.method} {asked.path}"
        response = await self._send(asked, limits)
        try:
            if response.status == 401 and await self.access.authenticator.refused():
                response.release()
                response = await self._send(asked, limits)
            if response.status >= 300:
                refusal = await _read_all(response, request)
                raise errors.from_response(response.status, response.headers, refusal, request=request)
            self._answers.add(response)
            yield response
        finally:
            self._answers.discard(response)
            response.close() if not response.content.at_eof() else response.release()

    async def _send(self, asked: _Request, limits: aiohttp.ClientTimeout) -> aiohttp.ClientResponse:
        access = self.access
        headers = {**await access.authenticator.headers(), "Accept": asked.accept}
        if asked.body is not None:
            headers["Content-Type"] = asked.content_type
        path = self._base.raw_path.rstrip("/") + asked.path
        url = self._base.join(URL(path, encoded=True)).with_query(asked.query)
        sent = time.monotonic()
        try:
            response = await self._connections().request(
                asked.method,
                url,
                data=asked.body,
                headers=headers,
                timeout=limits,
                ssl=access.authenticator.ssl_context() or True,
                server_hostname=access.tls_server_name,
                proxy=access.proxy,
                max_redirects=_MAX_REDIRECTS,
                allow_redirects=False,
            )
        except (aiohttp.ClientError, OSError) as error:
            metrics.REQUESTS.labels(asked.method, "none").inc()
            raise _lost(error)(f"{asked.method} {asked.path}: {_sentence(error)}") from error
        self.clock.observe(response.headers.get("Date"), sent, time.monotonic())
        metrics.REQUESTS.labels(asked.method, str(response.status)).inc()
        return response

    def _exchanges(self) -> Exchanger:
        if self._closed:
            raise errors.ConnectionLost(f"the connection to {self._base} was closed by us")
        if self._exchanger is None:
            host, port = self._base.host or "", self._base.port or 443
            self._exchanger = Exchanger(host, port, limit=MAX_CONNECTIONS, connect_timeout=CONNECT_TIMEOUT)
        return self._exchanger

    def _connections(self) -> aiohttp.ClientSession:
        if self._closed:
            raise errors.ConnectionLost(f"the connection to {self._base} was closed by us")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS, keepalive_timeout=60.0),
                headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
                read_bufsize=_STREAM_BUFFER,
                auto_decompress=False,
                trust_env=False,
            )
        return self._session


@lru_cache(maxsize=256)
def _counter(method: str, status: int) -> Counter:
    return metrics.REQUESTS.labels(method, str(status))


@lru_cache(maxsize=256)  # all writes have the same
def _query(pairs: tuple[tuple[str, str], ...]) -> str:
    return "?" + urlencode(pairs, quote_via=quote, safe="") if pairs else ""


def _media_type(headers: Mapping[str, str]) -> str:
    found = headers.get("content-type") or headers.get("Content-Type", "")
    return found.partition(";")[0].strip().lower()


def _lost(error: BaseException) -> type[errors.ConnectionLost]:
    if isinstance(error, aiohttp.ClientConnectorError | NotConnected):
        return errors.Unreachable
    return errors.Silent if isinstance(error, TimeoutError) else errors.ConnectionLost


async def _read_all(response: aiohttp.ClientResponse, request: str) -> bytes:
    found = bytearray()
    try:
        async for piece in response.content.iter_any():
            found += piece
            check_size(len(found))
        return bytes(found)
    except (aiohttp.ClientError, OSError) as error:
        raise errors.ConnectionLost(f"{request}: answer cut off: {_sentence(error)}") from error


def _sentence(error: BaseException) -> str:
    """A network error in words; several of aiohttp's have an empty text."""
    if isinstance(error, TimeoutError):
        return "no answer within the time limit"
    return str(error) or type(error).__name__
