"""Workarounds for defects of asyncio in supported Python versions. All of them are here.

Each function names its versions. It is removed with them.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from asyncio.sslproto import _SSLProtocolTransport
from asyncio.trsock import TransportSocket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

_VERSION = sys.version_info[:3]
_REFUSES_REASONS = _VERSION < (3, 11, 8) or (3, 12) <= _VERSION < (3, 12, 2)


def abort(transport: asyncio.WriteTransport | None) -> None:
    """Close a connection at once, in any state.

    Up to Python 3.11.2 a TLS transport that was closed twice raises AttributeError here. It has dropped its connection,
    which ends by itself.

    Args:
        transport: the connection; None when it has ended already.
    """
    if transport is None:
        return
    try:
        transport.abort()
    except AttributeError:
        if not transport.is_closing():
            raise


def ready_for_tls(transport: asyncio.Transport) -> asyncio.Transport:
    """Prepare a TLS connection to carry TLS inside, as through an HTTPS proxy.

    Up to Python 3.11.7 and 3.12.1 such a connection cannot receive an error (CPython issue 113214). If the inner
    handshake fails, a callback raises TypeError, and the caller never learns of it.

    Args:
        transport: the connection.

    Returns:
        The same transport.
    """
    if _REFUSES_REASONS and isinstance(transport, _SSLProtocolTransport):
        transport._force_close = lambda _reason: abort(transport)  # type: ignore[attr-defined]
    return transport


async def stop_accepting(listening: Iterable[socket.socket | TransportSocket]) -> None:
    """Accept no more connections, and wait until accepted ones are known to their server, before the server closes.

    In all versions so far, a server that is closed within two iterations of the loop after accepting a connection loses
    it. From Python 3.12 on, an assertion fails in a callback then. The connection stays open until the process ends.

    Args:
        listening: the sockets of the server that will be closed.
    """
    loop = asyncio.get_running_loop()
    for each in listening:
        loop.remove_reader(each.fileno())
    # Accept, create the transport, notify the protocol, start its task: one iteration each, and two more.
    for _ in range(6):
        await asyncio.sleep(0)


@asynccontextmanager
async def timeout(seconds: float) -> AsyncIterator[None]:
    """``asyncio.timeout`` for code that may be part of a clean-up.

    Up to Python 3.11.2, in a task that is being cancelled, the timeout is mistaken for another cancellation (CPython
    issue 102780), and the rest of the clean-up is skipped.

    Args:
        seconds: time limit of the block.

    Raises:
        TimeoutError: the block took longer.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task is not None else 0
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            yield
    except asyncio.CancelledError:
        if limit.expired() and task is not None and task.cancelling() <= before:
            raise TimeoutError from None
        raise
