"""Connections of the webhook's server, each closed when its first request does not come in time."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from aiohttp import web

logger = logging.getLogger("moorage.pinner.webhook")

HEADERS = 10.0
"""Seconds within which the headers of the first request must have come once they have begun."""
KEPT = 120.0
"""Seconds for which an idle connection is kept: the API server's client lets go after 90, and it must be first. A
question that it sends into a connection which is being closed is lost: Go repeats no POST. A connection that was never
used counts as idle, too: Go opens more of them than it needs (net/http/transport.go, queueForDial)."""


class Connection(web.RequestHandler):
    """A connection from an API server."""

    __slots__ = ("_begun", "_timer")

    def __init__(self, manager: web.Server, **options: Any) -> None:
        super().__init__(manager, **options)
        self._timer: asyncio.TimerHandle | None = None
        self._begun = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Its TLS handshake is over."""
        super().connection_made(transport)
        self._timer = asyncio.get_running_loop().call_later(KEPT, self.force_close)

    def data_received(self, data: bytes) -> None:
        """A piece of a request has come."""
        if not self._begun:
            self._begun = True
            self._stop_timer()
            self._timer = asyncio.get_running_loop().call_later(HEADERS, self._give_up)
        super().data_received(data)

    def asked(self) -> None:
        """The headers of a request have come."""
        self._stop_timer()

    def connection_lost(self, exc: BaseException | None) -> None:
        """It has ended."""
        self._stop_timer()
        super().connection_lost(exc)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        address = address_text(self.transport.get_extra_info("peername") if self.transport is not None else None)
        logger.info("connection has sent no request in time, it is closed", extra={"address": address})
        self.force_close()


class Connections(web.Server):
    """What all connections share."""

    def __call__(self) -> Connection:
        """A connection that is about to be made."""
        return Connection(self, loop=self._loop, **self._kwargs)


def address_text(peer: Any) -> str:
    """The address of somebody, for people.

    Args:
        peer: as a socket says it; None when that is not known any more.
    """
    host, port = (peer or ("?", 0))[:2]
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
