"""Connections to one server, straight or through an HTTP proxy (CONNECT, RFC 9110 section 9.3.6)."""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast
from urllib.parse import unquote, urlsplit

from aiohappyeyeballs import AddrInfoType, start_connection

from moorage.ops import compat

from .parser import BadAnswer, Reader, ended

P = TypeVar("P", bound=asyncio.Protocol)

_PORTS = {"http": 80, "https": 443}
_HEAD_START = 0.25
"""Seconds that an address has before the next one is tried, too."""


class NotConnected(OSError):
    """There is no connection, so nothing was sent."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where something listens.

    Attributes:
        scheme: ``http`` or ``https``.
        host: name or address, without brackets.
        port: its port.
        authority: both as they stand in a ``Host`` header.
        path: what stands before every path; empty or without a slash at its end.
        credentials: value of an ``Authorization`` header from a URL with user and password; empty without.
    """

    scheme: str
    host: str
    port: int
    authority: str
    path: str
    credentials: str

    @classmethod
    def of(cls, url: str) -> Place:
        """From an absolute URL that was checked."""
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
        shown = f"[{host}]" if ":" in host else host.encode("idna").decode()
        said = "" if parts.port is None else f":{parts.port}"
        credentials = ""
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            credentials = f"Basic {base64.b64encode(pair.encode()).decode()}"
        port = parts.port or _PORTS[parts.scheme]
        return cls(parts.scheme, host, port, shown + said, parts.path.rstrip("/"), credentials)


class Connector:
    """Opens connections to one server.

    Args:
        server: where it is.
        proxy: where the proxy is that leads there; None for none.
        timeout: seconds for opening a connection, TLS included.
    """

    def __init__(self, server: Place, proxy: Place | None, *, timeout: float) -> None:
        self._server, self._proxy = server, proxy
        self._timeout = timeout
        self._where = f"{server.host}:{server.port}"

    async def open(
        self, made: Callable[[], P], tls: ssl.SSLContext | None, server_name: str
    ) -> tuple[P, asyncio.Transport]:
        """Open a connection.

        Args:
            made: makes its protocol.
            tls: settings of TLS, None for plain HTTP; of TLS to the proxy, too, as Go has it (net/http).
            server_name: whom the certificate must be for.

        Returns:
            The protocol, and the bare connection: what TLS, if any, goes over.

        Raises:
            NotConnected: there is none.
        """
        try:
            async with compat.timeout(self._timeout):
                if self._proxy is None:
                    return await self._straight(self._server, made, tls, server_name)
                if self._server.scheme == "http":  # requests name the server, and the proxy asks it
                    return await self._to_proxy(self._proxy, made, tls)
                return await self._through(self._proxy, made, tls, server_name)
        except TimeoutError as error:
            raise NotConnected(f"no connection to {self._where} within {self._timeout:g} s") from error
        except OSError as error:
            raise NotConnected(f"no connection to {self._where}: {_why(error)}") from error

    async def _straight(
        self, place: Place, made: Callable[[], P], tls: ssl.SSLContext | None, name: str
    ) -> tuple[P, asyncio.Transport]:
        """Connect to whichever address of a name answers first (RFC 8305), as Go does: one may be dead."""
        sock = await start_connection(await _addresses(place), happy_eyeballs_delay=_HEAD_START)
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

    async def _to_proxy(
        self, proxy: Place, made: Callable[[], P], tls: ssl.SSLContext | None
    ) -> tuple[P, asyncio.Transport]:
        try:
            if proxy.scheme == "http":
                return await self._straight(proxy, made, None, "")
            return await self._straight(proxy, made, tls or ssl.create_default_context(), proxy.host)
        except OSError as error:
            raise NotConnected(f"proxy {proxy.host}:{proxy.port}: {_why(error)}") from error

    async def _through(
        self, proxy: Place, made: Callable[[], P], tls: ssl.SSLContext | None, name: str
    ) -> tuple[P, asyncio.Transport]:
        tunnel, bare = await self._to_proxy(proxy, _Tunnel, tls)
        try:
            await tunnel.ask(self._server, proxy)
        except BaseException:
            compat.abort(tunnel.transport)
            raise
        lower = compat.ready_for_tls(tunnel.transport)
        return await _secured(lower, made, tls or ssl.create_default_context(), name), bare


async def _secured(bare: asyncio.Transport, made: Callable[[], P], tls: ssl.SSLContext, name: str) -> P:
    """Speak TLS over a connection; without success it is closed."""
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
    """What the system says, without whom it was asked for: the address of a name is of no use to people."""
    if not error.errno or isinstance(error, (socket.gaierror, ssl.SSLError, NotConnected)):
        return error.strerror or str(error)
    return os.strerror(error.errno)


async def _addresses(place: Place) -> Sequence[AddrInfoType]:
    return await asyncio.get_running_loop().getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)


class _Tunnel(asyncio.Protocol):
    """The first words with a proxy, until it has connected us."""

    def __init__(self) -> None:
        self._reader = Reader(bodiless=True)
        self._done: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def ask(self, server: Place, proxy: Place) -> None:
        """Have the proxy connect us.

        Raises:
            NotConnected: it does not.
            ConnectionError: it says nothing, or nonsense.
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
            raise NotConnected(f"proxy {proxy.host}:{proxy.port} answered HTTP {status}{hint}")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._done.done():
            return
        try:
            self._reader.feed(data)
        except BadAnswer as error:
            self._done.set_exception(error)
        else:
            if self._reader.head is not None:
                self._done.set_result(self._reader.head.status)

    def connection_lost(self, error: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(ended(error, "the proxy"))
