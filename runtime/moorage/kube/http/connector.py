"""Opens connections to one server, directly or through a proxy: HTTP (CONNECT, RFC 9110 section 9.3.6) or SOCKS."""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast
from urllib.parse import unquote_to_bytes, urlsplit

from aiohappyeyeballs import AddrInfoType, start_connection

from moorage.ops import compat
from moorage.ops.parsing import host_name

from . import socks
from .parser import BadResponse, ResponseParser, connection_error
from .sockets import find_dead_peers

P = TypeVar("P", bound=asyncio.Protocol)

_PORTS = {"http": 80, "https": 443, **dict.fromkeys(socks.SCHEMES, 1080)}
_HAPPY_EYEBALLS_DELAY = 0.25
"""Seconds before the next address of a name is tried in parallel (RFC 8305)."""


class NotConnected(OSError):
    """No connection could be opened, so no request was sent."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The address of a server or a proxy.

    Attributes:
        scheme: ``http`` or ``https``; of a proxy also ``socks5`` or ``socks5h``.
        host: DNS name or IP address, without brackets.
        port: TCP port.
        authority: host and port as a ``Host`` header has them.
        path: a prefix of every path, without a slash at its end; may be empty.
        credentials: the ``Authorization`` header for the user and password in the URL; empty when it has none.
    """

    scheme: str
    host: str
    port: int
    authority: str
    path: str
    credentials: str

    @classmethod
    def of(cls, url: str) -> Endpoint:
        """Parse an absolute, validated URL."""
        parts = urlsplit(url)
        host = (parts.hostname or "").removesuffix(".")
        if ":" in host:
            host = host.replace("%25", "%", 1)  # the zone of a link-local address, as a URL has it (RFC 6874)
        shown = f"[{host.partition('%')[0]}]" if ":" in host else host_name(host)
        suffix = "" if parts.port is None else f":{parts.port}"
        credentials = ""
        if parts.username is not None:
            pair = b"%b:%b" % (unquote_to_bytes(parts.username), unquote_to_bytes(parts.password or ""))
            credentials = f"Basic {base64.b64encode(pair).decode()}"
        port = parts.port or _PORTS[parts.scheme]
        return cls(parts.scheme, host, port, shown + suffix, parts.path.rstrip("/"), credentials)

    @property
    def login(self) -> tuple[str, str]:
        """User and password of the URL; both empty when it has none."""
        pair = base64.b64decode(self.credentials.removeprefix("Basic "))
        user, _, password = pair.decode(errors="replace").partition(":")
        return user, password

    @property
    def is_socks(self) -> bool:
        """Whether it is a SOCKS proxy, which passes on bytes and knows no HTTP."""
        return self.scheme in socks.SCHEMES


class Connector:
    """Opens connections to one server.

    Args:
        server: the server's address.
        proxy: the proxy's address; None for a direct connection.
        timeout: seconds for opening a connection, including the TLS handshake.
        source: where the proxy was named, for messages.
    """

    def __init__(self, server: Endpoint, proxy: Endpoint | None, *, timeout: float, source: str = "") -> None:
        self._server, self._proxy = server, proxy
        self._timeout = timeout
        self._where = f"{server.host}:{server.port}"
        self._proxy_name = f"proxy {proxy.host}:{proxy.port}{source and f' ({source})'}" if proxy is not None else ""
        self._by = f" through {self._proxy_name}" if self._proxy_name else ""

    async def open(
        self, made: Callable[[], P], tls: ssl.SSLContext | None, server_name: str
    ) -> tuple[P, asyncio.Transport]:
        """Open a connection.

        Args:
            made: makes the protocol.
            tls: TLS settings, None for plain HTTP. TLS to the proxy uses the same settings, as in Go (net/http).
            server_name: the name that the certificate must have.

        Returns:
            The protocol, and the connection below TLS.

        Raises:
            NotConnected: no connection could be opened.
        """
        try:
            async with compat.timeout(self._timeout):
                if self._proxy is None:
                    return await self._direct(self._server, made, tls, server_name)
                if self._proxy.is_socks:
                    return await _over(await self._socks(self._proxy), made, tls, server_name)
                if self._server.scheme == "http":  # the request line names the server, and the proxy forwards it
                    return await self._to_proxy(self._proxy, made, tls)
                return await self._through(self._proxy, made, tls, server_name)
        except TimeoutError as error:
            raise NotConnected(f"no connection to {self._where}{self._by} within {self._timeout:g} s") from error
        except OSError as error:
            why = _why(error)
            by = self._by if self._proxy_name not in why else ""
            raise NotConnected(f"no connection to {self._where}{by}: {why}") from error

    async def _direct(
        self, endpoint: Endpoint, made: Callable[[], P], tls: ssl.SSLContext | None, name: str
    ) -> tuple[P, asyncio.Transport]:
        """Connect to the address that answers first (RFC 8305), as Go does, because one may be unreachable."""
        sock = await start_connection(await _addresses(endpoint), happy_eyeballs_delay=_HAPPY_EYEBALLS_DELAY)
        return await _over(sock, made, tls, name)

    async def _socks(self, proxy: Endpoint) -> socket.socket:
        server = host_name(self._server.host), self._server.port
        try:
            return await socks.connect((proxy.host, proxy.port), proxy.login, server)
        except OSError as error:
            raise NotConnected(f"{self._proxy_name}: {_why(error)}") from error

    async def _to_proxy(
        self, proxy: Endpoint, made: Callable[[], P], tls: ssl.SSLContext | None
    ) -> tuple[P, asyncio.Transport]:
        try:
            if proxy.scheme == "http":
                return await self._direct(proxy, made, None, "")
            return await self._direct(proxy, made, tls or ssl.create_default_context(), proxy.host)
        except OSError as error:
            raise NotConnected(f"{self._proxy_name}: {_why(error)}") from error

    async def _through(
        self, proxy: Endpoint, made: Callable[[], P], tls: ssl.SSLContext | None, name: str
    ) -> tuple[P, asyncio.Transport]:
        tunnel, bare = await self._to_proxy(proxy, _Tunnel, tls)
        try:
            await tunnel.connect(self._server, proxy, self._proxy_name)
        except BaseException:
            compat.abort(tunnel.transport)
            raise
        lower = compat.ready_for_tls(tunnel.transport)
        return await _secured(lower, made, tls or ssl.create_default_context(), name), bare


async def _over(
    sock: socket.socket, made: Callable[[], P], tls: ssl.SSLContext | None, name: str
) -> tuple[P, asyncio.Transport]:
    """Use a socket that is connected. It is closed when that fails."""
    find_dead_peers(sock)
    connect = asyncio.get_running_loop().create_connection
    try:
        if tls is None:
            bare, protocol = await connect(made, sock=sock)
            return protocol, bare
        bare, _ = await connect(asyncio.Protocol, sock=sock)
    except BaseException:
        sock.close()
        raise
    return await _secured(bare, made, tls, name), bare


async def _secured(bare: asyncio.Transport, made: Callable[[], P], tls: ssl.SSLContext, name: str) -> P:
    """Start TLS on a connection. The connection is closed when the handshake fails."""
    protocol = made()
    try:
        inner = await asyncio.get_running_loop().start_tls(bare, protocol, tls, server_hostname=name)
    except BaseException:
        compat.abort(bare)
        raise
    if inner is None:
        raise NotConnected("the other side closed the connection")
    protocol.connection_made(inner)
    return protocol


def _why(error: OSError) -> str:
    """The system's error text without the IP address, because users know the server by its name. Never empty."""
    if not error.errno or isinstance(error, (socket.gaierror, ssl.SSLError, NotConnected)):
        text = error.strerror or str(error)
        return text if text.strip("()") else _reason(error)  # an SSLError without a text is "()"
    return os.strerror(error.errno)


def _reason(error: OSError) -> str:
    """The reason of an error without a text: the text of its cause, or what its class means."""
    cause = error.__cause__ or error.__context__
    if isinstance(cause, Exception) and str(cause):
        return str(cause)
    return next((text for kind, text in _REASONS if isinstance(error, kind)), type(error).__name__)


_REASONS: tuple[tuple[type[OSError], str], ...] = (
    (ConnectionResetError, "the other side closed the connection"),
    (ConnectionRefusedError, "the other side refuses connections"),
    (ConnectionError, "the connection ended while it was opened"),
    (TimeoutError, "no answer within the time limit"),
    (socket.gaierror, "the name cannot be resolved"),
    (ssl.SSLEOFError, "the other side closed the connection during the TLS handshake"),
    (ssl.SSLError, "the TLS handshake failed"),
)


async def _addresses(endpoint: Endpoint) -> Sequence[AddrInfoType]:
    return await asyncio.get_running_loop().getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)


class _Tunnel(asyncio.Protocol):
    """The CONNECT request to a proxy and its response."""

    def __init__(self) -> None:
        self._parser = ResponseParser(no_body=True)
        self._done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._done.add_done_callback(_retrieve)  # nobody waits if TLS to the proxy fails

    async def connect(self, server: Endpoint, proxy: Endpoint, name: str) -> None:
        """Ask the proxy to open a tunnel to the server.

        Args:
            server: the server's address.
            proxy: the proxy's address.
            name: of the proxy, for messages.

        Raises:
            NotConnected: the proxy refuses.
            ConnectionError: the proxy does not answer, or its response is invalid.
        """
        where = f"[{server.host}]" if ":" in server.host else server.authority.partition(":")[0]
        lines = [f"CONNECT {where}:{server.port} HTTP/1.1", f"Host: {where}:{server.port}"]
        if proxy.credentials:
            lines.append(f"Proxy-Authorization: {proxy.credentials}")
        if not self.transport.is_closing():
            self.transport.write("\r\n".join([*lines, "", ""]).encode())
        status = await self._done
        if not 200 <= status < 300:
            hint = ": give user and password in the proxy's URL, if it wants them" if status == 407 else ""
            raise NotConnected(f"{name} answered HTTP {status}{hint}")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._done.done():
            return
        try:
            self._parser.feed(data)
        except BadResponse as error:
            self._done.set_exception(error)
        else:
            if self._parser.head is not None:
                self._done.set_result(self._parser.head.status)

    def connection_lost(self, error: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(connection_error(error, "the proxy"))


def _retrieve(done: asyncio.Future[int]) -> None:
    """Retrieve an exception, so that asyncio does not log it."""
    if not done.cancelled():
        done.exception()
