"""Clients of the hostile server: a running cache, a subscriber that checks the rules, and leak checks at the end."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from moorage.kube.backoff import Backoff
from moorage.kube.cache import Change, Kind, WatchCache
from moorage.kube.credentials import Access
from moorage.kube.http.transport import Transport
from moorage.kube.indexes import by_controller, by_node
from moorage.kube.resources import PODS
from moorage.kube.watch import WatchLimits
from moorage.objects import Pod

from .server import Fault, HostileServer
from .store import State, Store

HANG_GUARD = 20.0
"""Seconds after which a test that waits for something counts as hung; no test measures time."""


class Tokens:
    """An authenticator whose tokens the test controls. It returns ``fresh`` after a refusal."""

    def __init__(self, token: str = "t0", *fresh: str) -> None:  # noqa: S107
        self.token = token
        self.fresh = list(fresh)
        self.refusals = 0

    async def headers(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def ssl_context(self) -> ssl.SSLContext | None:
        return None

    async def refused(self) -> bool:
        self.refusals += 1
        if not self.fresh:
            return False
        self.token = self.fresh.pop(0)
        return True


class CountedBackoff(Backoff):
    """Short delays, and the number of failures in a row at which each was drawn."""

    def __init__(self) -> None:
        super().__init__(base=0.001, cap=0.01)
        self.drawn: list[int] = []

    def next(self) -> float:
        self.drawn.append(self.failures)
        return super().next()


class Recorder:
    """A subscriber that records changes and violations."""

    def __init__(self) -> None:
        self.changes: list[tuple[str, str]] = []
        self.wrong: list[str] = []
        self._known: dict[str, Pod] = {}

    def __call__(self, change: Change[Pod]) -> None:
        key = change.object.key
        self.changes.append((change.kind.value, key))
        known = self._known.get(key)
        if change.kind is Kind.ADDED:
            self._check(known is None and change.old is None and change.new is not None, change)
        elif change.kind is Kind.MODIFIED:
            self._check(known is not None and change.old is known and change.new is not None, change)
            self._check(known is not None and change.object.metadata.uid == known.metadata.uid, change)
            self._check(change.new != change.old, change)
        else:
            self._check(known is not None and change.new is None and change.old is not None, change)
            self._check(known is not None and change.object.metadata.uid == known.metadata.uid, change)
        if change.new is None:
            self._known.pop(key, None)
        else:
            self._known[key] = change.new

    def _check(self, lawful: bool, change: Change[Pod]) -> None:
        if not lawful:
            self.wrong.append(f"{change.kind.value} {change.object.key}: {self.changes}")

    def state(self) -> State:
        """What a subscriber believes the cluster to be."""
        return {k: (p.metadata.uid, p.metadata.resource_version) for k, p in self._known.items()}

    def of(self, key: str) -> list[str]:
        """The kinds of change one key went through."""
        return [kind for kind, changed in self.changes if changed == key]


async def eventually(condition: Callable[[], object]) -> None:
    """Return once the condition holds, or hang until the guard stops the test."""
    async with asyncio.timeout(HANG_GUARD):
        while not condition():  # noqa: ASYNC110 - conditions span server, network and cache
            await asyncio.sleep(0.0005)


def access(server: HostileServer, tokens: Tokens | None = None) -> Access:
    return Access(
        server=server.url, namespace=None, authenticator=tokens or Tokens(), proxy=None, source="hostile server"
    )


@asynccontextmanager
async def hostile(store: Store | None = None) -> AsyncIterator[HostileServer]:
    """A server; at the end every connection to it must have been closed by its clients."""
    server = HostileServer(store)
    await server.start()
    try:
        yield server
        await eventually(lambda: server.connections == 0)
    finally:
        await server.stop()


@asynccontextmanager
async def transport(server: HostileServer, tokens: Tokens | None = None) -> AsyncIterator[Transport]:
    async with Transport(access(server, tokens)) as opened:
        yield opened


class Following:
    """A running pod cache and its subscriber."""

    def __init__(self, server: HostileServer, cache: WatchCache[Pod], backoff: CountedBackoff) -> None:
        self.server = server
        self.cache = cache
        self.backoff = backoff
        self.recorder = Recorder()
        cache.subscribe(self.recorder)
        self.task = asyncio.create_task(cache.run())

    def agrees(self) -> bool:
        if self.task.done():
            self.task.result()  # a cache never ends by itself: show why
        found = {p.key: (p.metadata.uid, p.metadata.resource_version) for p in self.cache}
        return self.cache.synced and found == self.server.store.state()

    async def again(self, verb: str, count: int = 1) -> None:
        """Wait until so many more requests of a verb were made since the call, and cache and store agree again."""
        wanted = len(self.server.asked(verb)) + count
        await eventually(lambda: self.task.done() or len(self.server.asked(verb)) >= wanted)
        await self.watching()

    async def caught_up(self) -> None:
        """Wait until cache and store are equal, then check subscribers and indexes."""
        await eventually(self.agrees)
        self.check()

    async def watching(self) -> None:
        """Wait until a watch is open and everything was delivered."""
        await eventually(lambda: self.server.watches)
        await self.caught_up()

    def check(self) -> None:
        assert self.recorder.wrong == []
        found = {p.key: (p.metadata.uid, p.metadata.resource_version) for p in self.cache}
        assert self.recorder.state() == found
        for name, index in (("node", by_node), ("controller", by_controller)):
            rebuilt: dict[str, dict[str, Pod]] = {}
            for pod in self.cache:
                for value in index(pod):
                    rebuilt.setdefault(value, {})[pod.key] = pod
            assert self.cache._buckets[name] == rebuilt


@asynccontextmanager
async def following(
    server: HostileServer, tokens: Tokens | None = None, *, dead_after: float | None = None, **options: Any
) -> AsyncIterator[Following]:
    """A pod cache that follows the server; when it is cancelled, nothing it had open may stay open.

    Args:
        server: the server.
        tokens: the credentials.
        dead_after: seconds without a byte after which a watch is treated as dead; None for those of the cache.
        options: of the cache.
    """
    backoff = CountedBackoff()
    limits = WatchLimits()
    if dead_after is not None:
        limits = WatchLimits((0, 0), slack=dead_after, head=dead_after, confirmed=dead_after)
    async with transport(server, tokens) as opened:
        cache = WatchCache(
            opened,
            PODS,
            indexes={"node": by_node, "controller": by_controller},
            limits=limits,
            backoff=backoff,
            **options,
        )
        follower = Following(server, cache, backoff)
        try:
            yield follower
        finally:
            follower.task.cancel()
            with suppress(asyncio.CancelledError):
                await follower.task
        await eventually(lambda: server.busy == 0)
        follower.check()


async def list_badly(answer: Fault, *, binary: bool = False) -> None:
    """See that a bad answer to a list, to the first one and to those after a compaction, takes nothing away.

    Args:
        answer: the server's answer instead of a list.
        binary: whether it speaks protobuf otherwise.
    """
    async with hostile() as server:
        server.protobuf = binary
        server.store.put("a")
        server.fault("list", answer)
        async with following(server) as f:
            await f.watching()
            server.fault("list", answer, answer)
            server.store.compact()
            server.watches[0].reset()
            await f.again("list", 3)
            assert f.recorder.changes == [("ADDED", "ns/a")]
