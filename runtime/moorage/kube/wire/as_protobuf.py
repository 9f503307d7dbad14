"""Lists and watches in protobuf, as the components of Kubernetes read them.

The API server encodes an event once per encoding and sends the bytes to all watches. If others watch a kind too,
protobuf costs the server nothing more. In JSON it would encode for us alone.

Follows apimachinery (pkg/runtime/serializer/protobuf). A page is one object in its envelope. An event of a watch is a
length of four bytes (big endian) and a WatchEvent, which holds an object in its envelope.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TypeVar

from google.protobuf.message import DecodeError

from moorage.kube import errors
from moorage.kube.resource import Resource
from moorage.kube.unreadable import Unreadable
from moorage.objects import KubeObject, ObjectMeta

from ._generated import kubernetes_pb2 as pb
from .decoder import EVENT_TYPES, Body, Decoder, ListMeta
from .envelope import read_status, unwrap
from .messages import UNREADABLE, text

T = TypeVar("T", bound=KubeObject)

_LENGTH = 4


class ProtobufDecoder(Decoder[T]):
    """Decodes one kind from protobuf.

    Args:
        resource: the kind; it must have a ``protobuf`` reader.
        path: the request path, for messages.

    Raises:
        ValueError: the kind has no reader.
    """

    def __init__(self, resource: Resource[T], path: str) -> None:
        super().__init__(resource, path)
        if resource.protobuf is None:
            raise ValueError(f"{resource.kind} is not read in protobuf")
        self._reads = resource.protobuf

    def page(self, body: bytes) -> tuple[ListMeta, tuple[T | Unreadable[T], ...]]:
        """Decode one page of a list."""
        version, kind = self._resource.group_version, self._resource.kind
        try:
            page = pb.List.FromString(unwrap(body, version, f"{kind}List"))
            meta = ListMeta(
                text(page.metadata.resource_version),
                text(page.metadata.continue_token),
                page.metadata.remaining_item_count,
            )
            items = tuple([self._item(item) for item in page.items])
        except UNREADABLE as error:
            raise self._no_list(error) from error
        if not meta.resource_version or not all(item.key for item in items):
            raise self._no_list("its version or an item's name is missing")
        return meta, items

    async def split(self, body: Body) -> AsyncGenerator[list[bytes], None]:
        """Split the body of a watch into batches of complete frames, without their lengths."""
        pending: list[bytes] = []
        size, wanted = 0, _LENGTH
        while chunk := await body.readany():
            pending.append(chunk)
            size += len(chunk)
            if size < wanted:
                continue
            data = b"".join(pending) if len(pending) > 1 else chunk
            frames, used, wanted = self._cut(data)
            pending = [data[used:]] if used < len(data) else []
            size = len(data) - used
            if frames:
                yield frames
        if size:
            raise self._cut_off()

    def _cut(self, data: bytes) -> tuple[list[bytes], int, int]:
        """Return the complete frames at the beginning, the bytes they need, and the bytes that the next frame needs."""
        frames: list[bytes] = []
        at = 0
        while len(data) - at >= _LENGTH:
            length = int.from_bytes(data[at : at + _LENGTH], "big")
            self._check_size(length)
            end = at + _LENGTH + length
            if end > len(data):
                return frames, at, end - at
            frames.append(data[at + _LENGTH : end])
            at = end
        return frames, at, _LENGTH

    def event(self, data: bytes) -> tuple[str, T | Unreadable[T]]:
        """Decode one frame."""
        try:
            event = pb.WatchEvent.FromString(data)
            kind, obj = event.type, event.object.raw
            if kind == "ERROR":
                raise self._refused(read_status(obj, errors.Status))
            if kind not in EVENT_TYPES:
                raise self._no_event(repr(data[:200]))
            raw = unwrap(obj, self._resource.group_version, self._resource.kind)
            if kind == "BOOKMARK":
                return kind, self._bookmark(raw)
            found = self._item(raw)
        except UNREADABLE as error:
            raise self._no_event(error) from error
        version = found.resource_version if isinstance(found, Unreadable) else found.metadata.resource_version
        if not version or not found.key:
            raise self._no_event(repr(data[:200]))
        return kind, found

    def _bookmark(self, raw: bytes) -> T:
        """A bookmark. Only its resourceVersion is read."""
        version = text(pb.Bare.FromString(raw).metadata.resource_version)
        if not version:
            raise self._no_event("a bookmark without a version")
        return self._resource.type(metadata=ObjectMeta(resource_version=version))

    def _item(self, raw: bytes) -> T | Unreadable[T]:
        """Decode one object, or its readable fields. An unreadable object must not hide the others.

        Raises:
            DecodeError: not even the name is readable.
        """
        try:
            return self._reads.whole(raw)
        except UNREADABLE as error:
            rest, fields = self._reads.rest(raw)
            if not rest.metadata.name:
                raise DecodeError("an object without a name") from error
            return self._unreadable(rest, fields, error)
