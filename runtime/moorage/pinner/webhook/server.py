"""The HTTPS server that the API server asks while pods are created.

Connections are accepted here and not by the event loop's server, so that a handshake that fails can be told: with the
words that Go's servers have for it, because people search for those. Who does not get to the point is let go.
"""

from __future__ import annotations

import asyncio
import logging
import math
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager
from typing import Any

from aiohttp import StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import HttpProcessingError, RawRequestMessage

from moorage.ops.parsing import Address
from moorage.wording import followed

from .configuration import PATH
from .connections import KEPT, Connection, Connections, address_text

logger = logging.getLogger("moorage.pinner.webhook")

MAX_BODY = 4 << 20
"""Bytes: the API server takes objects of 3 MiB, and a review holds the pod once."""
RETRY = 1.0
"""Seconds until connections are accepted again when that has failed."""
HANDSHAKE = 10.0
"""Seconds for a TLS handshake."""
BODY = 10.0
"""Seconds within which the body of a request must have come."""
LINGERS = 3.0
"""Seconds for which questions are still answered after we were told to stop, if there were any of late: in less, API
servers learn that somebody else leads or that our pod is no endpoint any more. One answer ends a connection."""
UNDER_WAY = 1.0
"""Seconds that an answer may take which is under way after that."""

_LONGEST_WHY = 200

Respond = Callable[[bytes], tuple[bytes, bool]]
"""Answers a review; and whether the connection may be kept."""


class ServerError(Exception):
    """The server cannot be started; the text says why."""


class Webhook:
    """Answers reviews.

    Args:
        respond: gives the answers.
    """

    def __init__(self, respond: Respond) -> None:
        self._respond = respond
        self._asked_at = -math.inf

    @property
    def asked_of_late(self) -> bool:
        """Whether somebody may still have a connection, or come anew, because he has asked before."""
        return asyncio.get_running_loop().time() - self._asked_at < KEPT

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        if isinstance(request.protocol, Connection):
            request.protocol.asked()
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
        self._asked_at = asyncio.get_running_loop().time()
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
    """Serve while the context lasts, and a little longer where somebody may still ask.

    Args:
        webhook: answers.
        address: where to listen; port 0 takes a free one.
        context: the certificate; one that is loaded into it later counts for handshakes from then on.

    Yields:
        The address, with its port.

    Raises:
        ServerError: it is taken, or is none of this machine.
    """
    http = Connections(
        webhook.handle, request_factory=_request, keepalive_timeout=KEPT, access_log=None, logger=_Terse(logger, {})
    )
    try:
        listeners = await _listen(address)
    except OSError as error:
        way_out = "Choose another address with MOORAGE_WEBHOOK_ADDRESS"
        raise ServerError(followed(f"cannot listen on {address}: {error.strerror or error}", way_out)) from error
    door = _Door(http, context)
    open_doors = [asyncio.create_task(door.open(listener), name="webhook's door") for listener in listeners]
    try:
        yield Address(address.host, listeners[0].getsockname()[1])
    finally:
        try:
            await asyncio.sleep(LINGERS if webhook.asked_of_late else 0)
        finally:
            await _close(http, open_doors, listeners)


async def _close(http: web.Server, open_doors: list[asyncio.Task[None]], listeners: list[socket.socket]) -> None:
    for each in open_doors:
        each.cancel()
    await asyncio.gather(*open_doors, return_exceptions=True)
    for listener in listeners:
        listener.close()
    for connection in http.connections:
        connection.close()  # shutdown waits for those that ask nothing, too, and does not listen to them meanwhile
    await http.shutdown(UNDER_WAY)


async def _listen(address: Address) -> list[socket.socket]:
    """Listen at every address that a host has; an empty host means all of this machine.

    Raises:
        OSError: at one of them that cannot be done.
    """
    if not address.host and socket.has_dualstack_ipv6():
        return [_nonblocking(socket.create_server(("", address.port), family=socket.AF_INET6, dualstack_ipv6=True))]
    loop, port = asyncio.get_running_loop(), address.port
    places = await loop.getaddrinfo(address.host or "0.0.0.0", port, type=socket.SOCK_STREAM)  # noqa: S104 - as told
    with ExitStack() as opened:
        listeners = []
        for family, where in dict.fromkeys((family, where) for family, _, _, _, where in places):
            listener = socket.create_server((where[0], port), family=family)
            port = port or listener.getsockname()[1]
            listeners.append(_nonblocking(opened.enter_context(listener)))
        opened.pop_all()
    return listeners


def _nonblocking(listener: socket.socket) -> socket.socket:
    listener.setblocking(False)
    return listener


class _Door:
    """Lets connections in once their TLS handshake is over.

    Args:
        http: makes what a connection is handed to.
        context: the certificate.
    """

    def __init__(self, http: Connections, context: ssl.SSLContext) -> None:
        self._http, self._context = http, context

    async def open(self, listener: socket.socket) -> None:
        """Let them in until cancelled."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as handshakes:
            while True:
                try:
                    connection, peer = await loop.sock_accept(listener)
                except OSError as error:  # too many files are open, say
                    logger.warning("connections cannot be accepted, trying again", extra={"error": str(error)})
                    await asyncio.sleep(RETRY)
                    continue
                handshakes.create_task(self._let_in(connection, address_text(peer)), name="TLS handshake")

    async def _let_in(self, connection: socket.socket, peer: str) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                self._http, connection, ssl=self._context, ssl_handshake_timeout=HANDSHAKE
            )
        except OSError as error:
            logger.info("http: TLS handshake error from %s: %s", peer, _why(error))
            connection.close()
        except Exception:  # whatever it is, others are let in
            logger.exception("connection could not be let in", extra={"address": peer})
            connection.close()


def _peer(transport: asyncio.BaseTransport | None) -> str:
    return address_text(transport.get_extra_info("peername") if transport is not None else None)


def _why(error: OSError) -> str:
    """What Go's servers say of the same."""
    if isinstance(error, ssl.SSLError):
        return f"tls: {error.reason or error}".lower().replace("_", " ")
    return "EOF" if isinstance(error, ConnectionResetError) else "i/o timeout"
