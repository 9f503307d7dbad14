"""Lists and watches in JSON, which every API server and proxy supports.

A watch sends one object per line. The lines are split here, independent of network chunks. So an object of 8 MiB needs
one join, and no line-length limit applies.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Generic, TypeVar

import msgspec

from moorage.kube import errors
from moorage.kube.resource import Resource
from moorage.kube.unreadable import Unreadable
from moorage.objects import KubeObject

from . import lenient
from .decoder import EVENT_TYPES, Body, Decoder, ListMeta

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
    """The metadata that an object needs to be identified."""

    metadata: _BareMeta


class _RawEvent(msgspec.Struct, frozen=True):
    type: str
    object: msgspec.Raw


class _ErrorEvent(msgspec.Struct, frozen=True):
    object: errors.Status


class _Items(msgspec.Struct, Generic[T], frozen=True):
    metadata: ListMeta = ListMeta()
    items: tuple[T, ...] | None = None


class _RawItems(msgspec.Struct, frozen=True):
    metadata: ListMeta = ListMeta()
    items: tuple[msgspec.Raw, ...] | None = None


_any_object = msgspec.json.Decoder(KubeObject)
_bare = msgspec.json.Decoder(_Bare)
_error_event = msgspec.json.Decoder(_ErrorEvent)
_raw_event = msgspec.json.Decoder(_RawEvent)
_raw_items = msgspec.json.Decoder(_RawItems)


class JsonDecoder(Decoder[T]):
    """Decodes one kind from JSON."""

    def __init__(self, resource: Resource[T], path: str) -> None:
        super().__init__(resource, path)
        self._compact = resource.compact or _itself
        self._events = msgspec.json.Decoder(_Event[resource.type])  # type: ignore[name-defined]
        self._items = msgspec.json.Decoder(_Items[resource.type])  # type: ignore[name-defined]
        self._one = msgspec.json.Decoder(resource.type)

    def page(self, body: bytes) -> tuple[ListMeta, tuple[T | Unreadable[T], ...]]:
        """Decode one page of a list."""
        try:
            page: _Items[T] | _RawItems
            items: tuple[T | Unreadable[T], ...]
            try:
                page = lenient.decode(body, self._items)
                items = tuple([self._compact(item) for item in page.items or ()])
            except msgspec.ValidationError:
                page = lenient.decode(body, _raw_items)
                items = tuple([self._item(item) for item in page.items or ()])
        except errors.UNREADABLE as error:
            raise self._no_list(error) from error
        # A proxy's 200 with some other JSON must not look like "nothing exists".
        if not page.metadata.resource_version or not all(item.key for item in items):
            raise self._no_list(repr(body[:200]))
        return page.metadata, items

    async def split(self, body: Body) -> AsyncGenerator[list[bytes], None]:
        """Split the body of a watch into batches of complete lines."""
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

    def event(self, data: bytes) -> tuple[str, T | Unreadable[T]]:
        """Decode one line."""
        if data.startswith(b'{"type":"ERROR"'):
            raise self._error(data)
        try:
            try:
                event = lenient.decode(data, self._events)
            except msgspec.ValidationError as error:
                return self._odd_event(data, error)
        except errors.UNREADABLE as error:
            raise self._no_event(error) from error
        kind, obj = event.type, event.object
        if kind == "ERROR":
            raise self._error(data)
        meta = obj.metadata
        if kind not in EVENT_TYPES or not meta.resource_version or not (meta.name or kind == "BOOKMARK"):
            raise self._no_event(repr(data[:200]))
        return kind, self._compact(obj)

    def _error(self, data: bytes) -> errors.KubeError:
        try:
            return self._refused(lenient.decode(data, _error_event).object)
        except errors.UNREADABLE as error:
            return self._no_event(f"an error that cannot be read: {error}")

    def _odd_event(self, data: bytes, reason: Exception) -> tuple[str, T | Unreadable[T]]:
        """Decode an event whose object does not match its struct. It must not hide the other events."""
        event = _raw_event.decode(data)
        if event.type == "ERROR":
            raise self._error(data)
        if event.type not in EVENT_TYPES:
            raise self._no_event(repr(data[:200]))
        if event.type == "BOOKMARK":
            return event.type, self._bookmark(event.object)
        obj = self._item(event.object, reason)
        version = obj.resource_version if isinstance(obj, Unreadable) else obj.metadata.resource_version
        if not version or not obj.key:
            raise self._no_event(repr(data[:200]))
        return event.type, obj

    def _bookmark(self, data: msgspec.Raw) -> T:
        """A bookmark. Only its resourceVersion is read, because its other fields are empty."""
        meta = lenient.decode(data, _any_object).metadata
        if not meta.resource_version:
            raise self._no_event(f"a bookmark without a version: {bytes(data)[:200]!r}")
        return self._resource.type(metadata=meta)

    def _item(self, item: msgspec.Raw, reason: Exception | None = None) -> T | Unreadable[T]:
        """Decode one object, or its readable fields.

        Raises:
            ValidationError: not even the name is readable.
        """
        try:
            return self._compact(lenient.decode(item, self._one))
        except msgspec.ValidationError as error:
            lenient.decode(item, _bare)
            return self._unreadable(*lenient.decode_rest(item, self._one), reason or error)


def _itself(obj: T) -> T:
    return obj
