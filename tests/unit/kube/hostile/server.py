"""A TCP server on loopback with enough HTTP/1.1 to be an API server, and a very bad one."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, unquote

from moorage.ops import compat

from . import protobuf
from .store import EXPIRED, Json, Store, line, status

Fault = Callable[["Exchange"], Awaitable[None]]


@dataclass
class Request:
    """A request as it was received."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(self.target.partition("?")[2], keep_blank_values=True))

    @property
    def verb(self) -> str:
        """What a request wants.

        ``watch``, ``stream`` (a list as the initial events of a watch), ``list`` (a collection's page), ``version`` (a
        list of one object), or the HTTP method.
        """
        if self.method != "GET":
            return self.method
        if self.query.get("watch") == "true":
            return "stream" if self.query.get("sendInitialEvents") == "true" else "watch"
        if not self.path.endswith(("/pods", "/nodes")):
            return "GET"
        return "version" if self.query.get("limit") == "1" else "list"


@dataclass(eq=False)
class Exchange:
    """One request and the connection to answer it on; every byte is the caller's choice."""

    server: HostileServer
    request: Request
    writer: asyncio.StreamWriter
    closed: bool = False
    sent: int = field(default=0)
    position: int = 0
    """The resourceVersion of a watch's last event."""

    async def raw(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()
        self.sent += len(data)

    async def head(self, code: int = 200, *headers: str) -> None:
        """Status line and headers, with Date (in the server's own time) and nothing about the body."""
        date = formatdate(time.time() + self.server.clock_offset, usegmt=True)
        await self.raw("\r\n".join([f"HTTP/1.1 {code} X", f"Date: {date}", *headers, "", ""]).encode())

    async def answer(self, code: int, body: bytes | Json, *headers: str) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        await self.head(code, f"Content-Length: {len(data)}", *headers)
        await self.raw(data)

    async def start(self, content_type: str = "application/json") -> None:
        """Begin a chunked answer."""
        await self.head(200, f"Content-Type: {content_type}", "Transfer-Encoding: chunked")

    @property
    def binary(self) -> bool:
        """Whether the server supports protobuf and the request prefers it."""
        return self.server.protobuf and protobuf.CONTENT_TYPE in self.request.headers.get("accept", "")

    async def event(self, kind: str, obj: Json) -> None:
        """One event of a watch in its encoding."""
        await self.chunk(self.encoded(kind, obj))

    def encoded(self, kind: str, obj: Json) -> bytes:
        return protobuf.frame(kind, obj) if self.binary else line(kind, obj)

    async def chunk(self, data: bytes) -> None:
        await self.raw(b"%x\r\n%s\r\n" % (len(data), data))

    async def end(self) -> None:
        await self.raw(b"0\r\n\r\n")

    def cut(self) -> None:
        """Close in an orderly way (FIN), wherever the answer stands."""
        self._leave()
        self.writer.close()

    def reset(self) -> None:
        """Close with a reset (RST)."""
        self._leave()
        sock = self.writer.get_extra_info("socket")
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        compat.abort(self.writer.transport)

    def _leave(self) -> None:
        self.closed = True
        if self in self.server.watches:
            self.server.watches.remove(self)


class HostileServer:
    """Serves a store, except where a fault is queued.

    Attributes:
        store: the objects.
        requests: all requests so far.
        watches: watch exchanges being answered from the store, oldest first.
        busy: exchanges not yet answered; ``connections``: TCP connections that are open.
        page_size: objects per page, whatever the client asks for.
        streams_lists: whether it can send a list as the initial events of a watch.
        valid_token: the only token accepted; None accepts everybody.
        protobuf: whether lists and watches of pods are answered in protobuf on request.
        gone_as_status: 410 as HTTP status instead of as an ERROR event.
        cut_next_event: bytes of the next event to send before the connection is cut.
        clock_offset: seconds by which the server's Date is off.
    """

    def __init__(self, store: Store | None = None) -> None:
        self.store = store or Store()
        self.requests: list[Request] = []
        self.watches: list[Exchange] = []
        self.busy = 0
        self.connections = 0
        self.page_size = 500
        self.streams_lists = True
        self.valid_token: str | None = None
        self.protobuf = False
        self.gone_as_status = False
        self.cut_next_event: int | None = None
        self.clock_offset = 0.0
        self._faults: dict[str, deque[Fault]] = defaultdict(deque)
        self._always: dict[str, Fault] = {}
        self._lists: dict[int, list[Json]] = {}
        self._changed = asyncio.Event()
        self._handlers: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._life = 0
        self.port = 0

    # --- life ---

    async def start(self) -> None:
        """Listen; on the same port as before after a stop."""
        serve = partial(self._serve, self._life)
        self._server = await asyncio.start_server(serve, "127.0.0.1", self.port, limit=1 << 22)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Die: no more listening, all connections reset."""
        assert self._server is not None
        await compat.stop_accepting(self._server.sockets)
        self._server.close()
        self._life += 1  # what was accepted, and is not known yet, is reset as soon as it is
        for handler in list(self._handlers):
            handler.cancel()
        await asyncio.gather(*self._handlers, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    # --- what a test says ---

    def fault(self, verb: str, *faults: Fault) -> None:
        """Answer the next requests of this verb like this."""
        self._faults[verb].extend(faults)

    def always(self, verb: str, fault: Fault | None) -> None:
        """Answer all requests of this verb like this from now on, when no single fault is queued."""
        if fault is None:
            self._always.pop(verb, None)
        else:
            self._always[verb] = fault

    def changed(self) -> None:
        """Wake the watches after the store was changed."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def bookmark(self) -> None:
        """Send a bookmark on every watch: of the newest resourceVersion, but never beyond an event still to be sent."""
        for watch in list(self.watches):
            behind = any(version > watch.position for version, *_ in self.store.history)
            await watch.event("BOOKMARK", self._mark(watch.position if behind else self.store.version))

    def asked(self, verb: str) -> list[Request]:
        """The requests of one verb so far."""
        return [request for request in self.requests if request.verb == verb]

    # --- serving ---

    async def _serve(self, life: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if life != self._life:
            compat.abort(writer.transport)
            return
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        self.connections += 1
        try:
            with suppress(ConnectionError, asyncio.CancelledError):
                await self._exchanges(reader, writer)
        finally:
            self._handlers.discard(task)
            self.connections -= 1
            compat.abort(writer.transport)

    async def _exchanges(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await reader.read(1)
        while first:
            request = await _read_request(reader, first)
            self.requests.append(request)
            exchange = Exchange(self, request, writer)
            answer = asyncio.ensure_future(self._answer(exchange))
            peer = asyncio.ensure_future(reader.read(1))
            self.busy += 1
            try:
                try:
                    await asyncio.wait({answer, peer}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    self.busy -= 1
                if not answer.done():
                    return  # the client hung up
                answer.result()
                if exchange.closed:
                    return
                first = await peer
            finally:
                for part in (answer, peer):
                    part.cancel()
                await asyncio.gather(answer, peer, return_exceptions=True)

    def _answer(self, exchange: Exchange) -> Awaitable[None]:
        verb = exchange.request.verb
        queued = self._faults[verb]
        fault = queued.popleft() if queued else self._always.get(verb)
        token = f"Bearer {self.valid_token}"
        if self.valid_token is not None and exchange.request.headers.get("authorization") != token:
            return exchange.answer(401, status(401, "Unauthorized"))
        if fault is not None:
            return fault(exchange)
        if verb == "stream":
            return self.serve_stream(exchange)
        if verb == "watch":
            return self.serve_watch(exchange)
        if verb == "version":
            return self.serve_version(exchange)
        return self.serve_list(exchange) if verb == "list" else self.serve_one(exchange)

    async def serve_one(self, exchange: Exchange) -> None:
        """One object by its path, whatever the method."""
        parts = exchange.request.path.split("/")
        found = self.store.objects.get(f"{unquote(parts[4])}/{unquote(parts[6])}") if len(parts) > 6 else None
        if found is None:
            await exchange.answer(404, status(404, "NotFound"))
        else:
            await exchange.answer(200, found)

    async def serve_list(self, exchange: Exchange) -> None:
        """A page. The continue token has the list's resourceVersion and the position, as the real one does."""
        token = exchange.request.query.get("continue")
        version, start = map(int, token.split("+")) if token else (self.store.version, 0)
        if version < self.store.oldest:
            await exchange.answer(410, status(410, "Expired", "The provided continue parameter is too old"))
            return
        if not token:
            self._lists[version] = [self.store.objects[key] for key in sorted(self.store.objects)]
        items = self._lists[version]
        page, left = items[start : start + self.page_size], len(items) - start - self.page_size
        meta: Json = {"resourceVersion": str(version)}
        if left > 0:
            meta["continue"] = f"{version}+{start + self.page_size}"
            meta["remainingItemCount"] = left
        if exchange.binary:
            await exchange.answer(200, protobuf.page(page, meta), f"Content-Type: {protobuf.CONTENT_TYPE}")
            return
        await exchange.answer(200, {"kind": "PodList", "apiVersion": "v1", "metadata": meta, "items": page or None})

    async def serve_stream(self, exchange: Exchange) -> None:
        """A list as a watch (KEP-3157), or the refusal of a server that has the feature gate switched off."""
        if not self.streams_lists:
            reason = "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"
            await exchange.answer(422, status(422, "Invalid", reason))
            return
        await exchange.start(*([protobuf.WATCH] if exchange.binary else []))
        for key in sorted(self.store.objects):
            await exchange.event("ADDED", self.store.objects[key])
        await exchange.event("BOOKMARK", self._mark(self.store.version, {"k8s.io/initial-events-end": "true"}))
        await never(exchange)

    def _mark(self, version: int, annotations: Json | None = None) -> Json:
        """A bookmark's object: an empty Pod as Go writes it. A list that is required is null when it is not there."""
        meta: Json = {"resourceVersion": str(version)}
        if annotations is not None:
            meta["annotations"] = annotations
        return {"kind": "Pod", "apiVersion": "v1", "metadata": meta, "spec": {"containers": None}, "status": {}}

    async def serve_version(self, exchange: Exchange) -> None:
        """A list of no object: only its resourceVersion is of interest."""
        meta = {"resourceVersion": str(self.store.version)}
        if exchange.binary:
            await exchange.answer(200, protobuf.page([], meta), f"Content-Type: {protobuf.CONTENT_TYPE}")
            return
        await exchange.answer(200, {"kind": "PodList", "apiVersion": "v1", "metadata": meta, "items": []})

    async def serve_watch(self, exchange: Exchange) -> None:
        """All events after the requested resourceVersion, until the client disconnects or the test cuts."""
        exchange.position = int(exchange.request.query.get("resourceVersion") or 0)
        if exchange.position < self.store.oldest and self.gone_as_status:
            await exchange.answer(410, protobuf.status(EXPIRED) if exchange.binary else EXPIRED)
            return
        await exchange.start(*([protobuf.WATCH] if exchange.binary else []))
        if exchange.position < self.store.oldest:
            await exchange.event("ERROR", EXPIRED)
            await exchange.end()
            return
        self.watches.append(exchange)
        try:
            while not exchange.closed:
                changed = self._changed
                for version, kind, obj in list(self.store.history):
                    if version > exchange.position and not exchange.closed:
                        exchange.position = version
                        await self._event(exchange, kind, obj)
                await changed.wait()
        finally:
            exchange._leave()

    async def _event(self, exchange: Exchange, kind: str, obj: Json) -> None:
        data = exchange.encoded(kind, obj)
        if self.cut_next_event is not None:
            data, self.cut_next_event = data[: self.cut_next_event % len(data)], None
            if data:
                await exchange.chunk(data)
            exchange.cut()
            return
        await exchange.chunk(data)


async def _read_request(reader: asyncio.StreamReader, first: bytes) -> Request:
    head = (first + await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = head[0].split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (h.partition(":") for h in head[1:] if h)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, target, headers, body)


# --- faults: each is an answer that a server, a proxy or a cable has given somewhere ---


def refuse(code: int, body: bytes | Json | None = None, *headers: str) -> Fault:
    """An HTTP refusal with a Status, or with whatever a proxy says."""
    return lambda exchange: exchange.answer(code, status(code, "Refused") if body is None else body, *headers)


def page(items: Iterable[Any], version: str | None = "100", **meta: str) -> Fault:
    """A list answer made of any items."""
    metadata = {**({"resourceVersion": version} if version is not None else {}), **meta}
    return lambda exchange: exchange.answer(200, {"kind": "PodList", "metadata": metadata, "items": list(items)})


async def reset(exchange: Exchange) -> None:
    """Reset the connection instead of answering."""
    exchange.reset()


async def never(exchange: Exchange) -> None:
    """Accept, read the request, and say nothing."""
    await asyncio.Event().wait()


def says(*pieces: bytes, then: str = "end", content_type: str = "application/json") -> Fault:
    """A watch that says these chunks and then ends (end), closes (cut), resets (reset) or falls silent (hang)."""

    async def fault(exchange: Exchange) -> None:
        await exchange.start(content_type)
        for piece in pieces:
            await exchange.chunk(piece)
        if then == "end":
            await exchange.end()
        elif then == "hang":
            await never(exchange)
        else:
            getattr(exchange, then)()

    return fault


def raw(data: bytes) -> Fault:
    """Bytes instead of HTTP, then the end of the connection."""

    async def fault(exchange: Exchange) -> None:
        await exchange.raw(data)
        exchange.cut()

    return fault
