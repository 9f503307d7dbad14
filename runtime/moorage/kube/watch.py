"""Lists in pages and single watch connections, decoded; no retries and no memory (those are ``cache``'s).

Events arrive as one JSON object per line. Lines are split here over whatever the network delivers, so that an object of
8 MiB costs one join and no line-length limit exists. Silence is bounded here too: the server sends bookmarks about
every minute, so a connection that says nothing for longer is half-open and is given up.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Generic, TypeVar

import aiohttp
import msgspec

from moorage.objects import KubeObject

from . import errors, metrics
from .resources import Resource
from .transport import Transport

T = TypeVar("T", bound=KubeObject)

PAGE_SIZE = 250
"""Objects of one page of a list. The largest page decides the most memory that is used: 500 took 13 MiB more."""
LIST_TIMEOUT = 60.0
"""Seconds for one page of a list."""

MAX_LINE = 64 << 20

_TYPES = frozenset(("ADDED", "MODIFIED", "DELETED", "BOOKMARK"))


class ListMeta(msgspec.Struct, frozen=True, rename="camel"):
    """``metadata`` of a list."""

    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class _Event(msgspec.Struct, Generic[T], frozen=True, gc=False):
    type: str
    object: T


class _BareMeta(msgspec.Struct, frozen=True, rename="camel"):
    resource_version: str
    name: str
    namespace: str = ""
    uid: str = ""


class _Bare(msgspec.Struct, frozen=True):
    """The least that an object must show to be named."""

    metadata: _BareMeta


class _EventType(msgspec.Struct, frozen=True):
    type: str


class _BareEvent(_EventType, frozen=True):
    object: _Bare


class _ErrorEvent(msgspec.Struct, frozen=True):
    object: errors.Status


class _Items(msgspec.Struct, Generic[T], frozen=True):
    metadata: ListMeta = ListMeta()
    items: tuple[T, ...] | None = None


class _RawItems(msgspec.Struct, frozen=True):
    metadata: ListMeta = ListMeta()
    items: tuple[msgspec.Raw, ...] | None = None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An object that the server has and that does not decode into its struct.

    Attributes:
        key: ``namespace/name``.
        uid: whose name it is now.
        resource_version: where the stream stands after it.
        reason: the field and what is wrong with it.
    """

    key: str
    uid: str
    resource_version: str
    reason: str


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects of a kind are wanted; empty fields mean no restriction."""

    namespace: str = ""
    labels: str = ""
    fields: str = ""

    def query(self) -> dict[str, str]:
        """As query parameters."""
        pairs = {"labelSelector": self.labels, "fieldSelector": self.fields}
        return {k: v for k, v in pairs.items() if v}


class Reader(Generic[T]):
    """Reads one kind: pages of a list, events of a watch.

    Args:
        transport: the connections to the API server.
        resource: the kind.
        selection: restricts it.
    """

    def __init__(self, transport: Transport, resource: Resource[T], selection: Selection) -> None:
        self._transport = transport
        self._resource = resource
        self._path = resource.path(selection.namespace)
        self._query = selection.query()
        self._events = msgspec.json.Decoder(_Event[resource.type])  # type: ignore[name-defined]
        self._items = msgspec.json.Decoder(_Items[resource.type])  # type: ignore[name-defined]
        self._one = msgspec.json.Decoder(resource.type)
        self._undecodable = metrics.UNDECODABLE.labels(resource.kind)

    async def pages(self) -> AsyncGenerator[tuple[str, tuple[T | Unreadable, ...]], None]:
        """Read the whole list at one resourceVersion.

        Yields:
            The list's resourceVersion and the objects of one page.

        Raises:
            Gone: the list grew too old while it was paged; start again.
            Undecodable: an answer is no page of a list; it says nothing about what exists.
            KubeError: anything else that went wrong.
        """
        query = {**self._query, "limit": str(PAGE_SIZE)}
        while True:
            body = await self._transport.request("GET", self._path, query=query, timeout=LIST_TIMEOUT)
            meta, items = self._decode_page(body)
            yield meta.resource_version, items
            if not meta.continue_:
                return
            if meta.continue_ == query.get("continue"):
                raise self._garbage(f"list {self._path}: the same page again and again")
            query["continue"] = meta.continue_

    async def events(
        self, since: str, *, seconds: int, silence: float
    ) -> AsyncGenerator[tuple[str, T | Unreadable], None]:
        """Read one watch connection until it ends.

        Args:
            since: resourceVersion after which events are wanted.
            seconds: when the server is asked to end the connection in an orderly way.
            silence: seconds without a byte after which the connection counts as dead.

        Yields:
            Event type (ADDED, MODIFIED, DELETED, BOOKMARK) and its object.

        Raises:
            Gone: ``since`` is too old; list again.
            ConnectionLost: it broke, fell silent, or ended in the middle of an event.
            Undecodable: a line was no event at all.
        """
        query = {
            **self._query,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": since,
            "timeoutSeconds": str(seconds),
        }
        async with (
            self._transport.stream(self._path, query=query, silence=silence) as body,
            aclosing(_lines(body, self._path)) as batches,
        ):
            async for lines in batches:
                for line in lines:
                    yield self._decode_event(line)

    def _decode_event(self, line: bytes) -> tuple[str, T | Unreadable]:
        if line.startswith(b'{"type":"ERROR"'):
            raise self._watch_error(line)
        try:
            event = self._events.decode(line)
        except msgspec.ValidationError as error:
            return self._salvage_event(line, error)
        except errors.UNREADABLE as error:
            raise self._garbage(f"watch {self._path}: a line is not JSON: {error}") from error
        if event.type == "ERROR":
            raise self._watch_error(line)
        meta = event.object.metadata
        if event.type not in _TYPES or not meta.resource_version or not (meta.name or event.type == "BOOKMARK"):
            raise self._garbage(f"watch {self._path}: a line is no event: {line[:200]!r}")
        return event.type, event.object

    def _watch_error(self, line: bytes) -> errors.KubeError:
        try:
            status = msgspec.json.decode(line, type=_ErrorEvent).object
        except errors.UNREADABLE as error:
            return self._garbage(f"watch {self._path}: an error that cannot be read: {error}")
        return errors.from_status(status.code, status, request=f"watch {self._path}")

    def _salvage_event(self, line: bytes, reason: msgspec.ValidationError) -> tuple[str, T | Unreadable]:
        """Name the one object that has not the promised shape, so that it does not blind us to all the others."""
        try:
            kind = msgspec.json.decode(line, type=_EventType).type
            if kind == "ERROR":
                raise self._watch_error(line)
            if kind == "BOOKMARK":
                return kind, self._bookmark(line)
            event = msgspec.json.decode(line, type=_BareEvent)
        except errors.UNREADABLE:
            raise self._garbage(f"watch {self._path}: a line is no event: {reason}") from reason
        if event.type not in _TYPES:
            raise self._garbage(f"watch {self._path}: a line is no event: {reason}")
        return event.type, self._unreadable(event.object, reason)

    def _bookmark(self, line: bytes) -> T:
        """An object of which only the resourceVersion is said, whatever else an empty one looks like.

        Go writes lists that are not there as null: a Pod that is a bookmark has ``"containers": null``.
        """
        bare = msgspec.json.decode(line, type=_Event[KubeObject]).object
        if not bare.metadata.resource_version:
            raise self._garbage(f"watch {self._path}: a bookmark without a version: {line[:200]!r}")
        return self._resource.type(metadata=bare.metadata)

    def _decode_page(self, body: bytes) -> tuple[ListMeta, tuple[T | Unreadable, ...]]:
        try:
            page: _Items[T] | _RawItems
            items: tuple[T | Unreadable, ...]
            try:
                page = self._items.decode(body)
                items = page.items or ()
            except msgspec.ValidationError:
                page = msgspec.json.decode(body, type=_RawItems)
                items = tuple(self._decode_item(item) for item in page.items or ())
        except errors.UNREADABLE as error:
            raise self._garbage(f"list {self._path}: not a list: {error}") from error
        # A proxy's 200 with some other JSON must not look like "nothing exists".
        if not page.metadata.resource_version or not all(item.key for item in items):
            raise self._garbage(f"list {self._path}: not a list: {body[:200]!r}")
        return page.metadata, items

    def _decode_item(self, item: msgspec.Raw) -> T | Unreadable:
        try:
            return self._one.decode(item)
        except msgspec.ValidationError as error:
            return self._unreadable(msgspec.json.decode(item, type=_Bare), error)

    def _unreadable(self, bare: _Bare, reason: Exception) -> Unreadable:
        self._undecodable.inc()
        meta = bare.metadata
        key = f"{meta.namespace}/{meta.name}" if meta.namespace else meta.name
        return Unreadable(key, meta.uid, meta.resource_version, str(reason))

    def _garbage(self, sentence: str) -> errors.Undecodable:
        self._undecodable.inc()
        return errors.Undecodable(sentence)


async def _lines(body: aiohttp.StreamReader, path: str) -> AsyncGenerator[list[bytes], None]:
    """Split a stream into batches of whole lines.

    Raises:
        ConnectionLost: the stream ended inside a line.
        Undecodable: a line grew beyond all reason.
    """
    pending: list[bytes] = []
    size = 0
    while chunk := await body.readany():
        *whole, rest = chunk.split(b"\n")
        if whole:
            whole[0] = b"".join((*pending, whole[0]))
            pending, size = [], 0
            yield [line for line in whole if line]
        if rest:
            pending.append(rest)
            size += len(rest)
            if size > MAX_LINE:
                raise errors.Undecodable(f"watch {path}: an event is larger than {MAX_LINE >> 20} MiB")
    if pending:
        raise errors.ConnectionLost(f"watch {path}: cut off in the middle of an event")
