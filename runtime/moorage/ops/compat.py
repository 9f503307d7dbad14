"""What asyncio gets wrong in Python versions that are supported: mended here, and nowhere else.

Each function says which versions it is for; it goes when these do.
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
    """End a connection at once, in whatever state it is.

    Up to Python 3.11.2 a TLS transport that was closed twice raises AttributeError here: it has forgotten its
    connection, which is ending by itself.

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
    """Prepare a connection that has TLS to carry TLS once more, as through a proxy that is itself reached by TLS.

    Up to Python 3.11.7 and 3.12.1 such a connection cannot be told why it is ended (CPython issue 113214): a handshake
    that fails inside raises TypeError in a callback, and whoever waits for it learns nothing.

    Args:
        transport: the connection.

    Returns:
        The same.
    """
    if _REFUSES_REASONS and isinstance(transport, _SSLProtocolTransport):
        transport._force_close = lambda _reason: abort(transport)  # type: ignore[attr-defined]
    return transport


async def stop_accepting(listening: Iterable[socket.socket | TransportSocket]) -> None:
    """Accept no more connections, and have those that were accepted known to whoever serves them, before he closes.

    All versions so far: a server that is closed two turns of the loop after it has accepted a connection forgets it;
    from Python 3.12 on an assertion fails for it in a callback. It would stay open until this process ends.

    Args:
        listening: the sockets of the server that will be closed.
    """
    loop = asyncio.get_running_loop()
    for each in listening:
        loop.remove_reader(each.fileno())
    # Accepted, transport made, protocol told, its task begun: a turn each, and two more.
    for _ in range(6):
        await asyncio.sleep(0)


@asynccontextmanager
async def timeout(seconds: float) -> AsyncIterator[None]:
    """``asyncio.timeout`` for what may be part of a clean-up.

    Up to Python 3.11.2 the end of the time is taken for another cancellation in a task that is being cancelled already
    (CPython issue 102780), and the rest of its clean-up is left out.

    Args:
        seconds: how long the block may take.

    Raises:
        TimeoutError: it took longer.
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
