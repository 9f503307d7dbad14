"""Lists in pages and single watch connections. ``cache`` retries and stores; this module does neither.

``wire`` decodes the responses. A watch of a quiet kind sends nothing, so silence is no failure. The kernel finds a peer
that is gone (``http/sockets.py``). What looks alive to the kernel, such as a proxy that has lost the server, is found
by what the server owes: the end of the watch after ``timeoutSeconds``, and the next bookmark after the first one.
"""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from moorage.objects import KubeObject

from . import errors
from .http.stream import Stream, StreamLimits
from .http.transport import JSON, Transport
from .resource import Resource
from .unreadable import Unreadable
from .wire.as_json import JsonDecoder
from .wire.as_protobuf import ProtobufDecoder
from .wire.decoder import INITIAL_EVENTS_END, Decoder, ListMeta
from .wire.envelope import CONTENT_TYPE

__all__ = ["ListWatch", "Selection", "Unreadable", "WatchLimits"]

T = TypeVar("T", bound=KubeObject)

PAGE_SIZE = 250
"""Objects in one page of a list. The largest page decides the peak memory: 500 objects need 13 MiB more."""
LIST_TIMEOUT = 60.0
"""Seconds for one page of a list, and seconds without an object of a streamed list."""
LARGE = 2_000
"""Objects after the first page from which a list is large. It is streamed, or read in larger pages."""
LARGE_PAGE_SIZE = 500
"""Objects in one page of a large list, as in client-go's pager. Half as many requests; its objects need more memory."""
STREAM_SECONDS = 300
"""Seconds after which the server ends a streamed list."""

_ACCEPT = f"{CONTENT_TYPE};q=1.0,{JSON};q=0.9"
_ACCEPT_WATCH = f"{CONTENT_TYPE};stream=watch;q=1.0,{JSON};q=0.9"


@dataclass(frozen=True, slots=True)
class Selection:
    """Selects objects of a kind. Empty fields mean no restriction."""

    namespace: str = ""
    labels: str = ""
    fields: str = ""

    def query(self) -> dict[str, str]:
        """The query parameters."""
        pairs = {"labelSelector": self.labels, "fieldSelector": self.fields}
        return {k: v for k, v in pairs.items() if v}


@dataclass(frozen=True, slots=True)
class WatchLimits:
    """How long one watch lasts, and when it is treated as dead.

    The longest time for which a dead watch goes unnoticed is the upper end of ``seconds`` and ``slack``. With the
    defaults it is 320 s.

    Attributes:
        seconds: range of seconds after which the server ends a watch. The value is random, so that caches do not
            reconnect at the same time.
        slack: seconds that the end may take longer.
        head: seconds within which the server accepts or refuses a watch.
        silence: seconds without a byte after a bookmark. The server sends the next one after about 60 s (cacher.go,
            ``defaultBookmarkFrequency``), but none before the first event of the kind since it has started.
        confirmed: seconds after an event, a bookmark or a list for which the server is known not to have gone back.
    """

    seconds: tuple[int, int] = (240, 300)
    slack: float = 20.0
    head: float = 30.0
    silence: float = 100.0
    confirmed: float = 60.0

    def draw(self) -> int:
        """The seconds of one watch."""
        return random.randint(*self.seconds)  # noqa: S311 - spreads load, guards nothing


class ListWatch(Generic[T]):
    """Lists and watches one kind.

    Args:
        transport: the connections to the API server.
        resource: the kind.
        selection: restricts the objects.
    """

    def __init__(self, transport: Transport, resource: Resource[T], selection: Selection) -> None:
        self._transport = transport
        self._path = resource.path(selection.namespace)
        self._query = selection.query()
        self._streams_lists = True  # until the server, or something in between, cannot
        self._json = JsonDecoder(resource, self._path)
        self._protobuf = ProtobufDecoder(resource, self._path) if resource.protobuf is not None else None

    async def pages(self) -> AsyncGenerator[tuple[str, tuple[T | Unreadable[T], ...]], None]:
        """Read the whole list at one resourceVersion.

        A large list is streamed where the server can do that (KEP-3157): one request instead of one for each page, and
        no continue token that expires on the way.

        Yields:
            The list's resourceVersion and the objects of one page. Only the last version is that of the list.

        Raises:
            Gone: the list expired between two pages; start again.
            Undecodable: a response is not a page of a list. Nothing is known about the objects then.
            KubeError: any other failure.
        """
        query = {**self._query, "limit": str(PAGE_SIZE)}
        meta, items = await self._page(query)
        if (meta.remaining_item_count or 0) >= LARGE:
            query["limit"] = str(LARGE_PAGE_SIZE)
            if self._streams_lists:
                self._streams_lists = False  # what fails once is not tried again
                async with aclosing(self._streamed()) as batches:
                    async for version, streamed in batches:
                        yield version, streamed
                if self._streams_lists:
                    return
        while True:
            yield meta.resource_version, items
            if not meta.continue_:
                return
            if meta.continue_ == query.get("continue"):
                raise errors.Undecodable(f"list {self._path}: the server repeats the same page")
            query["continue"] = meta.continue_
            meta, items = await self._page(query)

    async def _page(self, query: dict[str, str]) -> tuple[ListMeta, tuple[T | Unreadable[T], ...]]:
        accept = _ACCEPT if self._protobuf else JSON
        response = await self._transport.read(self._path, query=query, accept=accept, timeout=LIST_TIMEOUT)
        return self._decoder(response.content_type).page(response.body)

    async def _streamed(self) -> AsyncGenerator[tuple[str, tuple[T | Unreadable[T], ...]], None]:
        """Read the whole list as the initial events of a watch, and note whether that works.

        Yields:
            Objects, and with the last of them the list's resourceVersion. Nothing if the server refuses: the feature
            gate WatchList is off by default in Kubernetes 1.33, and on since 1.34.
        """
        begun = False
        query = {
            **self._query,
            "watch": "true",
            "sendInitialEvents": "true",
            "resourceVersionMatch": "NotOlderThan",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(STREAM_SECONDS),
        }
        try:
            async with self._watching(query, StreamLimits(STREAM_SECONDS)) as (decoder, body):
                body.expect_within(LIST_TIMEOUT)
                body.pauses = False
                async with aclosing(decoder.split(body)) as batches:
                    async for batch in batches:
                        for start in range(0, len(batch), PAGE_SIZE):
                            version, items = self._initial(decoder, batch[start : start + PAGE_SIZE])
                            begun = True
                            yield version, items
                            if version:
                                self._streams_lists = True
                                return
        except errors.ApiError:
            if begun:
                raise
            return
        raise errors.ConnectionLost(f"list {self._path}: the stream ended before the list was complete")

    def _initial(self, decoder: Decoder[T], batch: list[bytes]) -> tuple[str, tuple[T | Unreadable[T], ...]]:
        """The objects of initial events, and the list's resourceVersion if the last of them is there; else empty."""
        items: list[T | Unreadable[T]] = []
        for data in batch:
            kind, item = decoder.event(data)
            if kind == "BOOKMARK" and INITIAL_EVENTS_END in data and not isinstance(item, Unreadable):
                return item.metadata.resource_version, tuple(items)
            if kind == "DELETED":
                raise errors.ConnectionLost(f"list {self._path}: {item.key} was deleted before the stream was complete")
            if kind != "BOOKMARK":
                items.append(item)
        return "", tuple(items)

    async def version(self) -> str:
        """The resourceVersion at which the server lists now. Costs one object.

        Raises:
            KubeError: as ``pages``.
        """
        meta, _ = await self._page({**self._query, "limit": "1"})
        return meta.resource_version

    @asynccontextmanager
    async def watch(
        self, since: str, limits: WatchLimits | None = None
    ) -> AsyncIterator[AsyncIterator[tuple[str, T | Unreadable[T]]]]:
        """Open one watch connection. It ends when the server ends it.

        Args:
            since: the resourceVersion to start after.
            limits: how long it lasts, and when it is treated as dead.

        Yields:
            The event types (ADDED, MODIFIED, DELETED, BOOKMARK) with their objects.

        Raises:
            Gone: ``since`` is too old; list again.
            ConnectionLost: the connection broke, is treated as dead, or ended inside an event.
            Undecodable: the response contains something that is not an event.
        """
        limits = limits or WatchLimits()
        seconds = limits.draw()
        query = {
            **self._query,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": since,
            "timeoutSeconds": str(seconds),
        }
        ends = StreamLimits(seconds, limits.slack, limits.head)
        async with (
            self._watching(query, ends) as (decoder, body),
            aclosing(self._events(decoder, body, limits.silence)) as events,
        ):
            yield events

    @asynccontextmanager
    async def _watching(self, query: dict[str, str], limits: StreamLimits) -> AsyncIterator[tuple[Decoder[T], Stream]]:
        accept = _ACCEPT_WATCH if self._protobuf else JSON
        async with self._transport.stream(self._path, query=query, accept=accept, limits=limits) as response:
            yield self._decoder(response.content_type), response.body

    async def _events(
        self, decoder: Decoder[T], body: Stream, silence: float
    ) -> AsyncGenerator[tuple[str, T | Unreadable[T]], None]:
        async with aclosing(decoder.split(body)) as batches:
            async for batch in batches:
                for data in batch:
                    event = decoder.event(data)
                    if event[0] == "BOOKMARK":
                        body.expect_within(silence)
                    yield event

    def _decoder(self, content_type: str) -> Decoder[T]:
        """The decoder for a response. A proxy or an old server may respond in JSON although protobuf was requested."""
        return self._protobuf if self._protobuf and content_type == CONTENT_TYPE else self._json
