"""The interface of both decoders, and their common errors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from typing import Generic, Protocol, TypeVar

import msgspec

from moorage.kube import errors, metrics
from moorage.kube.resource import Resource
from moorage.kube.unreadable import Unreadable
from moorage.objects import KubeObject

T = TypeVar("T", bound=KubeObject)

MAX_EVENT = 64 << 20
"""Largest event in bytes. No object in etcd comes near it."""

INITIAL_EVENTS_END = b"k8s.io/initial-events-end"
"""The annotation of the bookmark after the last object of a streamed list (KEP-3157). Both encodings hold its bytes."""

EVENT_TYPES = frozenset(("ADDED", "MODIFIED", "DELETED", "BOOKMARK"))


class Body(Protocol):
    """The body of a watch."""

    async def readany(self) -> bytes:
        """Wait for data and return all of it; empty bytes at the end of the body."""


class ListMeta(msgspec.Struct, frozen=True, rename="camel"):
    """``metadata`` of a list."""

    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")
    remaining_item_count: int | None = None


class Decoder(ABC, Generic[T]):
    """Decodes lists and watches of one kind into structs that share equal parts.

    Args:
        resource: the kind.
        path: the request path, for messages.
    """

    def __init__(self, resource: Resource[T], path: str) -> None:
        self._resource = resource
        self._path = path
        self._undecodable = metrics.UNDECODABLE.labels(resource.kind)

    @abstractmethod
    def page(self, body: bytes) -> tuple[ListMeta, tuple[T | Unreadable[T], ...]]:
        """Decode one page of a list.

        Raises:
            Undecodable: the body is not a list. Nothing is known about the objects then.
        """

    @abstractmethod
    def split(self, body: Body) -> AsyncGenerator[list[bytes], None]:
        """Split the body of a watch into batches of complete events.

        Raises:
            ConnectionLost: the stream ended inside an event.
            Undecodable: an event is larger than ``MAX_EVENT``.
        """

    @abstractmethod
    def event(self, data: bytes) -> tuple[str, T | Unreadable[T]]:
        """Decode one event into its type (ADDED, MODIFIED, DELETED, BOOKMARK) and its object.

        Raises:
            Gone: the resourceVersion of the watch is too old; list again.
            ApiError: the server ended the watch for another reason.
            Undecodable: the data is not an event.
        """

    def _unreadable(self, rest: T, fields: tuple[str, ...], reason: Exception) -> Unreadable[T]:
        self._undecodable.inc()
        meta = rest.metadata
        return Unreadable(rest.key, meta.uid, meta.resource_version, str(reason), rest, fields)

    def _refused(self, status: errors.Status) -> errors.KubeError:
        return errors.from_status(status.code, status, request=f"watch {self._path}")

    def _no_list(self, what: object) -> errors.Undecodable:
        return self._garbage(f"list {self._path}: not a list: {what}")

    def _no_event(self, what: object) -> errors.Undecodable:
        return self._garbage(f"watch {self._path}: not an event: {what}")

    def _garbage(self, sentence: str) -> errors.Undecodable:
        self._undecodable.inc()
        return errors.Undecodable(sentence)

    def _check_size(self, size: int) -> None:
        if size > MAX_EVENT:
            raise self._garbage(f"watch {self._path}: an event is larger than {MAX_EVENT >> 20} MiB")

    def _cut_off(self) -> errors.ConnectionLost:
        return errors.ConnectionLost(f"watch {self._path}: cut off in the middle of an event")
