"""Lists and watches in JSON, which every API server and whatever stands before it can speak.

Events arrive as one object per line. Lines are split here over whatever the network delivers, so that an object of
8 MiB costs one join and no line-length limit exists.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Generic, TypeVar

import msgspec

from moorage.kube import errors
from moorage.kube.resources import Resource
from moorage.objects import KubeObject

from .decoder import EVENT_TYPES, Body, Decoder, ListMeta, Unreadable

T = TypeVar("T", bound=KubeObject)


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


class JsonDecoder(Decoder[T]):
    """Reads one kind from JSON."""

    def __init__(self, resource: Resource[T], path: str) -> None:
        super().__init__(resource, path)
        self._compact = resource.compact or _itself
        self._events = msgspec.json.Decoder(_Event[resource.type])  # type: ignore[name-defined]
        self._items = msgspec.json.Decoder(_Items[resource.type])  # type: ignore[name-defined]
        self._one = msgspec.json.Decoder(resource.type)

    def page(self, body: bytes) -> tuple[ListMeta, tuple[T | Unreadable, ...]]:
        """Decode one page of a list."""
        try:
            page: _Items[T] | _RawItems
            items: tuple[T | Unreadable, ...]
            try:
                page = self._items.decode(body)
                items = tuple([self._compact(item) for item in page.items or ()])
            except msgspec.ValidationError:
                page = msgspec.json.decode(body, type=_RawItems)
                items = tuple([self._item(item) for item in page.items or ()])
        except errors.UNREADABLE as error:
            raise self._no_list(error) from error
        # A proxy's 200 with some other JSON must not look like "nothing exists".
        if not page.metadata.resource_version or not all(item.key for item in items):
            raise self._no_list(repr(body[:200]))
        return page.metadata, items

    async def split(self, body: Body) -> AsyncGenerator[list[bytes], None]:
        """Cut the body of a watch into batches of whole lines."""
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
                self._check_size(size)
        if pending:
            raise self._cut_off()

    def event(self, data: bytes) -> tuple[str, T | Unreadable]:
        """Decode one line."""
        if data.startswith(b'{"type":"ERROR"'):
            raise self._error(data)
        try:
            event = self._events.decode(data)
        except msgspec.ValidationError as error:
            return self._salvage(data, error)
        except errors.UNREADABLE as error:
            raise self._no_event(error) from error
        if event.type == "ERROR":
            raise self._error(data)
        meta = event.object.metadata
        if event.type not in EVENT_TYPES or not meta.resource_version or not (meta.name or event.type == "BOOKMARK"):
            raise self._no_event(repr(data[:200]))
        return event.type, self._compact(event.object)

    def _error(self, data: bytes) -> errors.KubeError:
        try:
            return self._refused(msgspec.json.decode(data, type=_ErrorEvent).object)
        except errors.UNREADABLE as error:
            return self._no_event(f"an error that cannot be read: {error}")

    def _salvage(self, data: bytes, reason: msgspec.ValidationError) -> tuple[str, T | Unreadable]:
        """Name the one object that has not the promised shape, so that it does not blind us to all the others."""
        try:
            kind = msgspec.json.decode(data, type=_EventType).type
            if kind == "ERROR":
                raise self._error(data)
            if kind == "BOOKMARK":
                return kind, self._bookmark(data)
            event = msgspec.json.decode(data, type=_BareEvent)
        except errors.UNREADABLE:
            raise self._no_event(reason) from reason
        if event.type not in EVENT_TYPES:
            raise self._no_event(reason)
        return event.type, self._named(event.object, reason)

    def _bookmark(self, data: bytes) -> T:
        """An object of which only the resourceVersion is said, whatever else an empty one looks like.

        Go writes lists that are not there as null: a Pod that is a bookmark has ``"containers": null``.
        """
        bare = msgspec.json.decode(data, type=_Event[KubeObject]).object
        if not bare.metadata.resource_version:
            raise self._no_event(f"a bookmark without a version: {data[:200]!r}")
        return self._resource.type(metadata=bare.metadata)

    def _item(self, item: msgspec.Raw) -> T | Unreadable:
        try:
            return self._compact(self._one.decode(item))
        except msgspec.ValidationError as error:
            return self._named(msgspec.json.decode(item, type=_Bare), error)

    def _named(self, bare: _Bare, reason: Exception) -> Unreadable:
        meta = bare.metadata
        return self._unreadable(meta.namespace, meta.name, meta.uid, meta.resource_version, reason)


def _itself(obj: T) -> T:
    return obj
