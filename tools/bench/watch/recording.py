"""Records what a real API server sends: lists and watches of pods and nodes, in JSON and in protobuf."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import msgspec

from tools.bench.watch import protobuf

_PAGE = 500
PROTOBUF = "application/vnd.kubernetes.protobuf"
PROTOBUF_WATCH = f"{PROTOBUF};stream=watch"
_VERSION = b'"resourceVersion":"'


class _Meta(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class _List(msgspec.Struct):
    metadata: _Meta
    items: list[msgspec.Raw]


@dataclass(frozen=True)
class RecordedList:
    """A kind as the server listed it.

    Attributes:
        version: of the list.
        items: raw JSON of every object.
        binary_items: the same objects in protobuf.
    """

    version: int
    items: list[bytes]
    binary_items: list[bytes]


@dataclass(frozen=True)
class Event:
    """A line of a watch, split at the object's resourceVersion so that it can be replayed with a later one."""

    version: int
    before: bytes
    after: bytes

    @classmethod
    def parse(cls, line: bytes) -> Event:
        """Split a line."""
        before, mark, rest = line.partition(_VERSION)
        if not mark:
            raise SystemExit(f"the watch that is recorded said {line[:300]!r}")
        version, after = rest.split(b'"', 1)
        return cls(int(version), before + mark, b'"' + after)


def initial_frames(events: Iterator[bytes]) -> list[bytes]:
    """All objects at the beginning of a watch, up to the bookmark after them."""
    taken = []
    for frame in events:
        taken.append(frame)
        if b"k8s.io/initial-events-end" in frame:
            break
    return taken


class Server:
    """Requests of an administrator to the real API server.

    Args:
        address: its https URL.
        authority: PEM file of its authority.
        token: bearer token.
    """

    def __init__(self, address: str, authority: Path, token: str) -> None:
        self._address = urlsplit(address)
        self._tls = ssl.create_default_context(cafile=str(authority))
        self._token = token

    def take(self, plural: str) -> RecordedList:
        """Read a whole list in pages, in both encodings."""
        binary = self._binary_items(plural)
        items: list[bytes] = []
        query = {"limit": str(_PAGE)}
        while True:
            page = msgspec.json.decode(self._get(plural, query).read(), type=_List)
            items += [bytes(item) for item in page.items]
            if not page.metadata.continue_:
                return RecordedList(int(page.metadata.resource_version), items, binary)
            query["continue"] = page.metadata.continue_

    def _binary_items(self, plural: str) -> list[bytes]:
        items: list[bytes] = []
        query = {"limit": str(_PAGE)}
        while True:
            body = self._get(plural, query, PROTOBUF).read()
            items += protobuf.items(body)
            if not (token := protobuf.next_page(body)):
                return items
            query["continue"] = token

    def lines(self, plural: str, since: int) -> Iterator[bytes]:
        """The events of a JSON watch as they are on the wire, one per line."""
        watch = self._get(plural, {"watch": "true", "resourceVersion": str(since)})
        yield from iter(watch.readline, b"")

    def frames(self, plural: str, since: int | None) -> Iterator[bytes]:
        """The events of a protobuf watch as they are on the wire: four bytes of length, then the event.

        Args:
            plural: the kind.
            since: the version that they follow, or None for all objects first, as client-go begins (KEP-3157).
        """
        query = {"watch": "true", "resourceVersion": str(since)}
        if since is None:
            query = {
                "watch": "true",
                "allowWatchBookmarks": "true",
                "sendInitialEvents": "true",
                "resourceVersionMatch": "NotOlderThan",
            }
        watch = self._get(plural, query, PROTOBUF_WATCH)
        while head := watch.read(4):
            yield head + watch.read(int.from_bytes(head, "big"))

    def _get(self, plural: str, query: dict[str, str], accept: str = "application/json") -> http.client.HTTPResponse:
        connection = http.client.HTTPSConnection(
            self._address.hostname or "", self._address.port, timeout=60, context=self._tls
        )
        path = f"/api/v1/{plural}?{urlencode(query)}"
        connection.request("GET", path, headers={"Authorization": f"Bearer {self._token}", "Accept": accept})
        response = connection.getresponse()
        if response.status != 200:
            raise SystemExit(f"GET {path}: {response.status} {response.read(300)!r}")
        return response
