"""What both encodings have in common: what comes out, and when a server's word is garbage."""

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
"""Bytes of one event: nothing that etcd holds comes near it."""

EVENT_TYPES = frozenset(("ADDED", "MODIFIED", "DELETED", "BOOKMARK"))


class Body(Protocol):
    """The body of a watch, as it comes."""

    async def readany(self) -> bytes:
        """What has come since the last time, at least a byte; nothing at its end."""


class ListMeta(msgspec.Struct, frozen=True, rename="camel"):
    """``metadata`` of a list."""

    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class Decoder(ABC, Generic[T]):
    """From the bytes of one kind's lists and watches to structs that share what they have in common.

    Args:
        resource: the kind.
        path: where it is read, for messages.
    """

    def __init__(self, resource: Resource[T], path: str) -> None:
        self._resource = resource
        self._path = path
        self._undecodable = metrics.UNDECODABLE.labels(resource.kind)

    @abstractmethod
    def page(self, body: bytes) -> tuple[ListMeta, tuple[T | Unreadable[T], ...]]:
        """Decode one page of a list.

        Raises:
            Undecodable: it is none; it says nothing about what exists.
        """

    @abstractmethod
    def split(self, body: Body) -> AsyncGenerator[list[bytes], None]:
        """Cut the body of a watch into batches of whole events.

        Raises:
            ConnectionLost: the stream ended inside an event.
            Undecodable: an event grew beyond all reason.
        """

    @abstractmethod
    def event(self, data: bytes) -> tuple[str, T | Unreadable[T]]:
        """Decode one event: its type (ADDED, MODIFIED, DELETED, BOOKMARK) and its object.

        Raises:
            Gone: the version from which the watch was begun is too old; list again.
            ApiError: the server ended the watch for another reason.
            Undecodable: this is no event.
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
