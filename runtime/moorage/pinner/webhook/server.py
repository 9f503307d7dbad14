"""The HTTPS server that the API server asks while pods are created.

TLS is begun here and not by the event loop's server, so that a handshake that fails can be told: with the words that
Go's servers have for it, because that is what people search for. Connections that do not get to the point are closed.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import HttpProcessingError, RawRequestMessage

from moorage.ops import compat
from moorage.ops.parsing import Address

from .configuration import PATH

logger = logging.getLogger("moorage.pinner.webhook")

MAX_BODY = 4 << 20
"""Bytes: the API server takes objects of 3 MiB, and a review holds the pod once."""
HANDSHAKE = 10.0
"""Seconds for a TLS handshake."""
SILENCE = 10.0
"""Seconds within which a connection must have sent the headers of its first request."""
BODY = 10.0
"""Seconds within which the body of a request must have come."""
KEPT = 120.0
"""Seconds for which an idle connection is kept: the API server's client lets go after 90, and it must be first. A
question that it sends into a connection which is being closed is lost: Go repeats no POST."""

_LONGEST_WHY = 200

Respond = Callable[[bytes], tuple[bytes, bool]]
"""Answers a review; and whether the connection may be kept."""


Meet = Callable[[asyncio.Transport, web.RequestHandler], None]
"""Told of a connection whose handshake is over."""


class ServerError(Exception):
    """The server cannot be started; the text says why."""


class Webhook:
    """Answers reviews.

    Args:
        respond: gives the answers.
    """

    def __init__(self, respond: Respond) -> None:
        self._respond = respond
        self._silent: dict[web.RequestHandler, asyncio.TimerHandle] = {}

    def meet(self, connection: web.RequestHandler) -> None:
        """A connection is open: it is closed unless a request comes soon."""
        loop = asyncio.get_running_loop()
        self._silent[connection] = loop.call_later(SILENCE, self._give_up, connection)

    def _give_up(self, connection: web.RequestHandler) -> None:
        self._silent.pop(connection).cancel()
        logger.info(
            "connection has sent no request in time, it is closed", extra={"address": _peer(connection.transport)}
        )
        connection.force_close()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        if (timer := self._silent.pop(request.protocol, None)) is not None:
            timer.cancel()
        if request.path != PATH:
            return _refused(request, 404, f"no such page; there is {PATH}")
        if request.method != "POST":
            return _refused(request, 405, "only POST", {"Allow": "POST"})
        if request.content_type != "application/json":
            return _refused(request, 415, "only application/json")
        try:
            async with asyncio.timeout(BODY):
                body = await request.read()
        except TimeoutError:
            return _last(_refused(request, 408, f"the body has not come within {BODY:g}s"))
        except web.HTTPRequestEntityTooLarge:
            return _last(_refused(request, 413, f"a review has at most {MAX_BODY} bytes"))
        answer, kept = self._respond(body)
        response = web.Response(body=answer, content_type="application/json")
        return response if kept else _last(response)


class _Terse(logging.LoggerAdapter[logging.Logger]):
    """The server's own log lines: what somebody sends us is no error of ours, and is worth no traceback."""

    def log(self, level: int, msg: object, *args: object, **details: Any) -> None:
        """Write a line."""
        error = details.get("exc_info")
        if isinstance(error, HttpProcessingError):
            fields = {"address": args[0] if args else "?", "why": " ".join(error.message.split())[:_LONGEST_WHY]}
            self.logger.info("request is no HTTP, it is refused", extra=fields)
        else:
            super().log(level, msg, *args, **details)


def _request(
    message: RawRequestMessage,
    payload: StreamReader,
    protocol: web.RequestHandler,
    writer: AbstractStreamWriter,
    task: asyncio.Task[None],
) -> web.BaseRequest:
    loop = asyncio.get_running_loop()
    return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=MAX_BODY)


def _refused(request: web.BaseRequest, status: int, why: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """What is no review; an API server that gets this answer creates the pod unchanged."""
    fields = {"address": _peer(request.transport), "status": status, "why": why}
    logger.info("request is no admission review, it is refused", extra=fields)
    return web.Response(status=status, text=f"{why}\n", headers=headers)


def _last(response: web.Response) -> web.Response:
    response.force_close()
    return response


@asynccontextmanager
async def serve(webhook: Webhook, address: Address, context: ssl.SSLContext) -> AsyncIterator[Address]:
    """Serve while the context lasts.

    Args:
        webhook: answers.
        address: where to listen; port 0 takes a free one.
        context: the certificate; one that is loaded into it later counts for handshakes from then on.

    Yields:
        The address, with its port.

    Raises:
        ServerError: it is taken, or is none of this machine.
    """
    loop = asyncio.get_running_loop()
    http = web.Server(
        webhook.handle, request_factory=_request, keepalive_timeout=KEPT, access_log=None, logger=_Terse(logger, {})
    )
    doors: set[_Door] = set()

    def meet(tls: asyncio.Transport, guest: web.RequestHandler) -> None:
        guest.connection_made(tls)
        webhook.meet(guest)

    try:
        server = await loop.create_server(lambda: _Door(http, context, doors, meet), address.host or None, address.port)
    except OSError as error:
        way_out = "Choose another address with MOORAGE_WEBHOOK_ADDRESS"
        raise ServerError(f"cannot listen on {address}: {error.strerror or error}. {way_out}") from error
    try:
        yield Address(address.host, server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for door in tuple(doors):
            door.shut()
        await http.shutdown(timeout=1.0)


class _Door(asyncio.Protocol):
    """A TCP connection until its TLS handshake is over."""

    def __init__(self, http: web.Server, context: ssl.SSLContext, doors: set[_Door], meet: Meet) -> None:
        self._http, self._context, self._doors, self._meet = http, context, doors, meet
        self._opening: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - of a TCP server
        transport.pause_reading()  # the first bytes are the handshake's
        self._doors.add(self)
        self._opening = asyncio.get_running_loop().create_task(self._open(transport), name="TLS handshake")

    def shut(self) -> None:
        """Let nobody in any more."""
        if self._opening is not None:
            self._opening.cancel()

    async def _open(self, transport: asyncio.Transport) -> None:
        peer = _peer(transport)
        guest = self._http()
        try:
            tls = await asyncio.get_running_loop().start_tls(
                transport, guest, self._context, server_side=True, ssl_handshake_timeout=HANDSHAKE
            )
        except OSError as error:
            logger.info("http: TLS handshake error from %s: %s", peer, _why(error))
            compat.abort(transport)
        else:
            if tls is not None:
                self._meet(tls, guest)
        finally:
            self._doors.discard(self)


def _peer(transport: asyncio.BaseTransport | None) -> str:
    peer = transport.get_extra_info("peername") if transport is not None else None
    host, port = (peer or ("?", 0))[:2]
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"


def _why(error: OSError) -> str:
    """What Go's servers say of the same."""
    if isinstance(error, ssl.SSLError):
        return f"tls: {error.reason or error}".lower().replace("_", " ")
    return "EOF" if isinstance(error, ConnectionResetError) else "i/o timeout"
