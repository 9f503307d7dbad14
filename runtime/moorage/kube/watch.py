"""Lists in pages and single watch connections, decoded; no retries and no memory (those are ``cache``'s).

What is asked for and how it is decoded is ``wire``'s. Silence is bounded here: the server sends bookmarks about every
minute, so a connection that says nothing for longer is half-open and is given up.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Generic, TypeVar

from moorage.objects import KubeObject

from . import errors
from .http.transport import JSON, Transport
from .resource import Resource
from .unreadable import Unreadable
from .wire.as_json import JsonDecoder
from .wire.as_protobuf import ProtobufDecoder
from .wire.decoder import Decoder
from .wire.envelope import CONTENT_TYPE

__all__ = ["ListWatch", "Selection", "Unreadable"]

T = TypeVar("T", bound=KubeObject)

PAGE_SIZE = 250
"""Objects of one page of a list. The largest page decides the most memory that is used: 500 took 13 MiB more."""
LIST_TIMEOUT = 60.0
"""Seconds for one page of a list."""

_ACCEPT = f"{CONTENT_TYPE};q=1.0,{JSON};q=0.9"
_ACCEPT_WATCH = f"{CONTENT_TYPE};stream=watch;q=1.0,{JSON};q=0.9"


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


class ListWatch(Generic[T]):
    """Reads one kind: pages of a list, events of a watch.

    Args:
        transport: the connections to the API server.
        resource: the kind.
        selection: restricts it.
    """

    def __init__(self, transport: Transport, resource: Resource[T], selection: Selection) -> None:
        self._transport = transport
        self._path = resource.path(selection.namespace)
        self._query = selection.query()
        self._json = JsonDecoder(resource, self._path)
        self._protobuf = ProtobufDecoder(resource, self._path) if resource.protobuf is not None else None

    async def pages(self) -> AsyncGenerator[tuple[str, tuple[T | Unreadable[T], ...]], None]:
        """Read the whole list at one resourceVersion.

        Yields:
            The list's resourceVersion and the objects of one page.

        Raises:
            Gone: the list grew too old while it was paged; start again.
            Undecodable: an answer is no page of a list; it says nothing about what exists.
            KubeError: anything else that went wrong.
        """
        query = {**self._query, "limit": str(PAGE_SIZE)}
        accept = _ACCEPT if self._protobuf else JSON
        while True:
            found = await self._transport.read(self._path, query=query, accept=accept, timeout=LIST_TIMEOUT)
            meta, items = self._decoder(found.content_type).page(found.body)
            del found  # the answer is not kept while its objects are used
            yield meta.resource_version, items
            if not meta.continue_:
                return
            if meta.continue_ == query.get("continue"):
                raise errors.Undecodable(f"list {self._path}: the same page again and again")
            query["continue"] = meta.continue_

    async def events(
        self, since: str, *, seconds: int, silence: float
    ) -> AsyncGenerator[tuple[str, T | Unreadable[T]], None]:
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
            Undecodable: what came was no event at all.
        """
        query = {
            **self._query,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": since,
            "timeoutSeconds": str(seconds),
        }
        accept = _ACCEPT_WATCH if self._protobuf else JSON
        async with self._transport.stream(self._path, query=query, accept=accept, silence=silence) as found:
            decoder = self._decoder(found.content_type)
            async with aclosing(decoder.split(found.body)) as batches:
                async for batch in batches:
                    for event in batch:
                        yield decoder.event(event)

    def _decoder(self, content_type: str) -> Decoder[T]:
        """Whoever reads what has come: a proxy or an old server may answer in JSON, whatever it was asked for."""
        return self._protobuf if self._protobuf and content_type == CONTENT_TYPE else self._json
