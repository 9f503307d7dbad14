"""Proxies on loopback: HTTP and SOCKS. They resolve names below example.com to loopback."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from moorage.kube.http.connector import Endpoint
from moorage.ops import compat

USER = f"Basic {base64.b64encode(b'me:p ss').decode()}"


def _resolved(name: str) -> str:
    return "127.0.0.1" if name.endswith(".example.com") else name


class Proxy:
    """A proxy on loopback that connects (CONNECT) or forwards requests, and records them."""

    def __init__(self, refusal: bytes = b"", *, hangs: bool = False) -> None:
        self.refusal = refusal
        self.hangs = hangs
        self.asked: list[str] = []
        self.port = 0
        self._open: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open[writer] = asyncio.current_task()
        with suppress(OSError, EOFError):
            await self._serve(reader, writer)
        compat.abort(writer.transport)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(head.decode())
        if self.refusal or self.hangs:
            writer.write(self.refusal)
            await writer.drain()
            if self.hangs:
                await reader.read()
            writer.close()
            await writer.wait_closed()
            return
        method, target, _ = head.decode().split(" ", 2)
        place = Endpoint.of(target if method != "CONNECT" else f"http://{target}")
        there, back = await asyncio.open_connection(_resolved(place.host), place.port)
        self._open[back] = None
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\nVia: us\r\n\r\n")
        else:
            back.write(head.replace(target.encode(), target.partition(place.authority)[2].encode(), 1))
        await asyncio.gather(pump(reader, back), pump(there, writer))

    async def stop(self) -> None:
        for writer in self._open:
            compat.abort(writer.transport)
        await asyncio.gather(*(task for task in self._open.values() if task is not None))


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while (data := await reader.read(65536)) and not writer.is_closing():
            writer.write(data)
            await writer.drain()
    with suppress(OSError):
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def proxying(
    refusal: bytes = b"", tls: ssl.SSLContext | None = None, *, hangs: bool = False
) -> AsyncIterator[Proxy]:
    proxy = Proxy(refusal, hangs=hangs)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0, ssl=tls)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        await compat.stop_accepting(server.sockets)
        server.close()
        await proxy.stop()


@dataclass
class Socks:
    """A SOCKS5 proxy (RFC 1928, RFC 1929) that records the servers it was asked for.

    Attributes:
        login: the user and password that it wants, as user:password; empty: it wants none.
        reply: its answer to the request; 0 connects.
        bound: the address in its answer.
        garbage: what it says instead of anything.
    """

    login: str = ""
    reply: int = 0
    bound: bytes = b"\x01\0\0\0\0\0\0"
    garbage: bytes | None = None
    port: int = 0
    asked: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, EOFError):
            await self._serve(reader, writer)
        compat.abort(writer.transport)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, count = await reader.readexactly(2)
        methods = await reader.readexactly(count)
        if self.garbage is not None:
            writer.write(self.garbage)
            await writer.drain()
            return
        if not await self._let_in(methods, reader, writer):
            await reader.read()
            return
        _, command, _, kind = await reader.readexactly(4)
        assert command == 1
        if kind == 3:
            host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        else:
            host = ".".join(map(str, await reader.readexactly(4)))
        port = int.from_bytes(await reader.readexactly(2), "big")
        self.asked.append(f"{host}:{port}")
        writer.write(bytes([5, self.reply, 0]) + self.bound)
        if self.reply:
            await reader.read()
            return
        there, back = await asyncio.open_connection(_resolved(host), port)
        await asyncio.gather(pump(reader, back), pump(there, writer))

    async def _let_in(self, methods: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        if not self.login:
            writer.write(b"\x05\x00")
            return True
        if 2 not in methods:
            writer.write(b"\x05\xff")
            return False
        writer.write(b"\x05\x02")
        await reader.readexactly(1)
        given = [(await reader.readexactly((await reader.readexactly(1))[0])).decode() for _ in range(2)]
        right = ":".join(given) == self.login
        writer.write(bytes([1, not right]))
        return right


@asynccontextmanager
async def socks(proxy: Socks) -> AsyncIterator[Socks]:
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        await compat.stop_accepting(server.sockets)
        server.close()
