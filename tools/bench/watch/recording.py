"""Takes down what a real API server says: the lists of pods and nodes, and the lines of a pod watch."""

from __future__ import annotations

import http.client
import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import msgspec

_PAGE = 500
_VERSION = b'"resourceVersion":"'


class _Meta(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class _List(msgspec.Struct):
    metadata: _Meta
    items: list[msgspec.Raw]


@dataclass(frozen=True)
class RecordedList:
    """One kind as the server listed it: raw JSON of every object, and the version of the list."""

    version: int
    items: list[bytes]


@dataclass(frozen=True)
class Event:
    """One line of a watch, cut at the object's resourceVersion so that it can be told again with a later one."""

    version: int
    before: bytes
    after: bytes

    @classmethod
    def parse(cls, line: bytes) -> Event:
        """Cut a line."""
        before, mark, rest = line.partition(_VERSION)
        version, after = rest.split(b'"', 1)
        return cls(int(version), before + mark, b'"' + after)


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

    def list(self, plural: str) -> RecordedList:
        """Read a whole list in pages."""
        items: list[bytes] = []
        query = {"limit": str(_PAGE)}
        while True:
            page = msgspec.json.decode(self._get(plural, query).read(), type=_List)
            items += [bytes(item) for item in page.items]
            if not page.metadata.continue_:
                return RecordedList(int(page.metadata.resource_version), items)
            query["continue"] = page.metadata.continue_

    def open_watch(self, plural: str, since: int) -> http.client.HTTPResponse:
        """Open a watch whose lines can be read one by one."""
        return self._get(plural, {"watch": "true", "resourceVersion": str(since)})

    def _get(self, plural: str, query: dict[str, str]) -> http.client.HTTPResponse:
        connection = http.client.HTTPSConnection(
            self._address.hostname or "", self._address.port, timeout=60, context=self._tls
        )
        path = f"/api/v1/{plural}?{urlencode(query)}"
        connection.request(
            "GET", path, headers={"Authorization": f"Bearer {self._token}", "Accept": "application/json"}
        )
        response = connection.getresponse()
        if response.status != 200:
            raise SystemExit(f"GET {path}: {response.status} {response.read(300)!r}")
        return response
