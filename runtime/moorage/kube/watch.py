"""Lists in pages and single watch connections. ``cache`` retries and stores; this module does neither.

``wire`` decodes the responses. A watch has a silence limit: the server sends a bookmark about every minute, so a
connection without a byte for longer is half-open and is closed.
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
"""Objects in one page of a list. The largest page decides the peak memory: 500 objects need 13 MiB more."""
LIST_TIMEOUT = 60.0
"""Seconds for one page of a list."""

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
        self._json = JsonDecoder(resource, self._path)
        self._protobuf = ProtobufDecoder(resource, self._path) if resource.protobuf is not None else None

    async def pages(self) -> AsyncGenerator[tuple[str, tuple[T | Unreadable[T], ...]], None]:
        """Read the whole list at one resourceVersion.

        Yields:
            The list's resourceVersion and the objects of one page.

        Raises:
            Gone: the list expired between two pages; start again.
            Undecodable: a response is not a page of a list. Nothing is known about the objects then.
            KubeError: any other failure.
        """
        query = {**self._query, "limit": str(PAGE_SIZE)}
        accept = _ACCEPT if self._protobuf else JSON
        while True:
            response = await self._transport.read(self._path, query=query, accept=accept, timeout=LIST_TIMEOUT)
            meta, items = self._decoder(response.content_type).page(response.body)
            del response  # frees the response while its objects are used
            yield meta.resource_version, items
            if not meta.continue_:
                return
            if meta.continue_ == query.get("continue"):
                raise errors.Undecodable(f"list {self._path}: the server repeats the same page")
            query["continue"] = meta.continue_

    async def events(
        self, since: str, *, seconds: int, silence: float
    ) -> AsyncGenerator[tuple[str, T | Unreadable[T]], None]:
        """Read one watch connection until it ends.

        Args:
            since: the resourceVersion to start after.
            seconds: the server ends the connection after this time.
            silence: seconds without a byte after which the connection is treated as dead.

        Yields:
            The event type (ADDED, MODIFIED, DELETED, BOOKMARK) and the object.

        Raises:
            Gone: ``since`` is too old; list again.
            ConnectionLost: the connection broke, was silent for too long, or ended inside an event.
            Undecodable: the response contains something that is not an event.
        """
        query = {
            **self._query,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": since,
            "timeoutSeconds": str(seconds),
        }
        accept = _ACCEPT_WATCH if self._protobuf else JSON
        async with self._transport.stream(self._path, query=query, accept=accept, silence=silence) as response:
            decoder = self._decoder(response.content_type)
            async with aclosing(decoder.split(response.body)) as batches:
                async for batch in batches:
                    for event in batch:
                        yield decoder.event(event)

    def _decoder(self, content_type: str) -> Decoder[T]:
        """The decoder for a response. A proxy or an old server may respond in JSON although protobuf was requested."""
        return self._protobuf if self._protobuf and content_type == CONTENT_TYPE else self._json
