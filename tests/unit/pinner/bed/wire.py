"""The connection to the API server: it replaces ``Transport``, in virtual time, with faults.

Requests, lists and watches use the real client, decoders and caches, with real bytes.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from email.utils import format_datetime

import msgspec

from moorage.kube import errors
from moorage.kube.clock import ServerClock
from moorage.kube.http.stream import StreamLimits
from moorage.kube.http.transport import JSON, Content

from .api import KINDS, Api, Request
from .faults import Faults
from .refusals import Json

LATENCY = 0.005
"""Seconds from a request to its answer, so that an endless repetition takes time."""
BOOKMARKS = 60.0
MOST = 600
"""The number of requests after which no request is answered. A test never needs more."""


class Wire:
    """Requests to one API server.

    Attributes:
        faults: the faults of requests.
        lag: seconds by which the watches of a kind (plural) are late.
        asked: number of requests.
        most: number of requests after which none is answered.
        arriving: called with each request as it is sent.
    """

    def __init__(self, api: Api) -> None:
        self.api = api
        self.faults = Faults()
        self.clock = ServerClock(api.now)
        self.lag: defaultdict[str, float] = defaultdict(float)
        self.asked = 0
        self.most = MOST
        self.arriving: list[Callable[[Request], None]] = []
        self._held: set[str] = set()
        self._watches: set[Watch] = set()
        api.store.listeners.append(lambda plural, _: self._wake(plural))

    # --- what a test says ---

    def hold(self, plural: str) -> None:
        """Let the watches of a kind deliver nothing until they are let go."""
        self._held.add(plural)

    def let_go(self, *plurals: str) -> None:
        """Deliver held events of a kind, or of all kinds."""
        self._held.difference_update(plurals or tuple(self._held))
        self._wake()

    def cut(self, *plurals: str) -> None:
        """Break the watches of some kinds; of all when none is named."""
        for watch in tuple(self._watches):
            if not plurals or watch.plural in plurals:
                watch.broken = True
        self._wake()

    def compact(self) -> None:
        """Break all watches and discard the history: clients must list again."""
        self.api.store.version += 1
        self.api.store.oldest = self.api.store.version
        self.cut()

    def held(self, plural: str) -> bool:
        """Whether nothing is delivered."""
        return plural in self._held

    def _wake(self, plural: str = "") -> None:
        for watch in self._watches:
            if not plural or watch.plural == plural:
                watch.woken.set()

    # --- what the pinner uses of a Transport ---

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,  # noqa: ARG002
        body: bytes | None = None,
        content_type: str = JSON,  # noqa: ARG002
        accept: str = JSON,  # noqa: ARG002
        timeout: float = 30.0,  # noqa: ARG002
    ) -> bytes:
        return msgspec.json.encode(await self._exchange(Request.read(method, path, body)))

    async def read(
        self,
        path: str,
        *,
        query: Mapping[str, str],  # noqa: ARG002
        accept: str,  # noqa: ARG002
        timeout: float,  # noqa: ARG002
    ) -> Content[bytes]:
        found = await self._exchange(Request.read("GET", path, None))
        return Content(JSON, msgspec.json.encode(found))

    @asynccontextmanager
    async def stream(
        self,
        path: str,
        *,
        query: Mapping[str, str],
        limits: StreamLimits,  # noqa: ARG002
        accept: str = JSON,  # noqa: ARG002
    ) -> AsyncIterator[Content[Watch]]:
        request = Request.read("GET", path, None, watch=True)
        await self._exchange(request)
        watch = Watch(self, request.plural, int(query["resourceVersion"]))
        self._watches.add(watch)
        try:
            yield Content(JSON, watch)
        finally:
            self._watches.discard(watch)

    async def _exchange(self, request: Request) -> Json:
        """Send a request and wait for its answer, as far as the faults let either through."""
        self.asked += 1
        for listener in self.arriving:
            listener(request)
        if self.asked > self.most:
            await asyncio.Event().wait()
        sent = self.api.now()
        await asyncio.sleep(LATENCY / 2)
        try:
            found = await self._through(request)
        except errors.ConnectionLost:
            raise
        except errors.KubeError:
            await self._back(sent)
            raise
        await self._back(sent)
        return found

    async def _back(self, sent: float) -> None:
        date = format_datetime(self.api.time(), usegmt=True)
        await asyncio.sleep(LATENCY / 2)
        self.clock.observe(date, sent, self.api.now())

    async def _through(self, request: Request) -> Json:
        effect = self.faults.meeting(request)
        if effect is None:
            return self._serve(request)
        reached = len(self.api.audit)
        try:
            return await effect(request, lambda: self._serve(request))
        except errors.ApiError as error:
            if len(self.api.audit) == reached:  # refused on the way: the server writes that down, too
                self.api.log(request, error.code, ours=True)
            raise

    def _serve(self, request: Request) -> Json:
        if request.verb == "watch":
            return {}
        if request.verb == "list":
            items = list(self.api.store.objects[request.plural].values())
            return {
                "kind": f"{KINDS[request.plural].kind}List",
                "metadata": {"resourceVersion": str(self.api.store.version)},
                "items": items,
            }
        return self.api.serve(request)


class Watch:
    """The body of a watch: the events after a version, as they come."""

    def __init__(self, wire: Wire, plural: str, since: int) -> None:
        self.plural = plural
        self.broken = False
        self.woken = asyncio.Event()
        self._wire = wire
        self._store = wire.api.store
        self._next = sum(1 for change in self._store.history[plural] if change.version <= since)
        self._expired = since < self._store.oldest

    def expect_within(self, seconds: float) -> None:
        """A bookmark comes each minute, so no watch here is silent for longer."""

    async def readany(self) -> bytes:
        """What has come since the last time."""
        while True:
            if self.broken:
                raise errors.ConnectionLost(f"watch {self.plural}: connection reset")
            if self._expired:
                status = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
                return msgspec.json.encode({"type": "ERROR", "object": status}) + b"\n"
            if found := self._due():
                return found
            self.woken.clear()
            try:
                async with asyncio.timeout(self._patience()):
                    await self.woken.wait()
            except TimeoutError:
                if mark := self._bookmark():
                    return mark

    def _due(self) -> bytes:
        """The events whose time has come."""
        if self._wire.held(self.plural):
            return b""
        found, until = [], self._wire.api.now() - self._wire.lag[self.plural]
        for change in self._store.history[self.plural][self._next :]:
            if change.at > until:
                break
            found.append(change.line())
        self._next += len(found)
        return b"".join(found)

    def _patience(self) -> float:
        """Seconds until the next event is due, or a bookmark."""
        coming = self._store.history[self.plural][self._next : self._next + 1]
        if not coming or self._wire.held(self.plural):
            return BOOKMARKS
        return max(coming[0].at + self._wire.lag[self.plural] - self._wire.api.now(), 0.0) + 1e-6

    def _bookmark(self) -> bytes:
        """Where the watch stands, when nothing is on its way; else nothing."""
        if self._next < len(self._store.history[self.plural]):
            return b""
        kind, version = KINDS[self.plural], str(self._store.version)
        mark = {"apiVersion": kind.group_version, "kind": kind.kind, "metadata": {"resourceVersion": version}}
        return msgspec.json.encode({"type": "BOOKMARK", "object": mark}) + b"\n"
