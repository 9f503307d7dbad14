"""A minimal HTTP server for probes and scrapes: GET and HEAD, one request per connection."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import parse_qs

from . import compat
from .parsing import Address

MAX_HEAD = 16 << 10
"""Largest request in bytes."""
PATIENCE = 10.0
"""Time limit, in seconds, for receiving a request and for sending its response."""

_LINE = re.compile(rb"([A-Z]{1,20}) (/[!-~]*) HTTP/1\.[01]\r\n")


@dataclass(frozen=True, slots=True)
class Page:
    """A response.

    Attributes:
        body: the whole body.
        status: the status code.
        content_type: of the body.
    """

    body: bytes
    status: int = 200
    content_type: str = "text/plain; charset=utf-8"


Pages = Mapping[str, Callable[[Mapping[str, list[str]]], Page]]
"""Path to a function that creates the page for a query. It is called for each request, in the event loop."""


@asynccontextmanager
async def serve(pages: Pages, address: Address) -> AsyncIterator[Address]:
    """Serve pages until the end of the context.

    Args:
        pages: the pages.
        address: the address to listen on; port 0 means any free one.

    Yields:
        The address with the real port.

    Raises:
        OSError: the address cannot be used.
    """
    meetings: dict[asyncio.Task[None] | None, asyncio.StreamWriter] = {}

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        meetings[asyncio.current_task()] = writer
        try:
            async with asyncio.timeout(PATIENCE):
                answer = _answer(await _head(reader), pages)
                if not writer.is_closing():  # uvloop treats a write on a closed connection as a defect of the caller
                    writer.write(answer)
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (OSError, EOFError, TimeoutError):
            pass  # the client has gone, or is too slow
        finally:
            compat.abort(writer.transport)
            del meetings[asyncio.current_task()]

    server = await asyncio.start_server(meet, address.host or None, address.port, limit=MAX_HEAD)
    try:
        yield Address(address.host, server.sockets[0].getsockname()[1])
    finally:
        await compat.stop_accepting(server.sockets)
        server.close()
        for writer in meetings.values():
            compat.abort(writer.transport)
        await asyncio.gather(*(task for task in meetings if task is not None))
        await server.wait_closed()


async def _head(reader: asyncio.StreamReader) -> bytes:
    """The request line and headers; empty when they are too long."""
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        return b""


def _answer(head: bytes, pages: Pages) -> bytes:
    match = _LINE.match(head)
    if match is None:
        return _bytes(Page(b"not a request\n", 400))
    return _bytes(_page(match[1], match[2].decode("ascii"), pages), bare=match[1] == b"HEAD")


def _page(method: bytes, target: str, pages: Pages) -> Page:
    path, _, query = target.partition("?")
    made = pages.get(path)
    if made is None:
        return Page(f"no such page; there are {', '.join(sorted(pages))}\n".encode(), 404)
    if method not in (b"GET", b"HEAD"):
        return Page(b"only GET and HEAD\n", 405)
    return made(parse_qs(query, keep_blank_values=True))


def _bytes(page: Page, *, bare: bool = False) -> bytes:
    lines = [
        f"HTTP/1.1 {page.status} {HTTPStatus(page.status).phrase}",
        f"Content-Type: {page.content_type}",
        f"Content-Length: {len(page.body)}",
        "Connection: close",
    ]
    if page.status == 405:
        lines.append("Allow: GET, HEAD")
    return "\r\n".join([*lines, "", ""]).encode() + (b"" if bare else page.body)
