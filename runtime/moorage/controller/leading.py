"""A service as a program: caches, Events, an election, and work in terms.

Every replica follows the cluster, so that a new leader begins at once; only the leader works. A term ends by cancelling
whatever is under way: the next leader finds the intent in the cluster and goes on.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol

from moorage.kube import resources
from moorage.kube.cache import WatchCache
from moorage.kube.events import EventRecorder
from moorage.kube.http.transport import Transport
from moorage.kube.lease import LeaderElection
from moorage.kube.watch import Selection
from moorage.objects import Lease
from moorage.ops.health import Health

Term = Callable[[], Coroutine[Any, Any, None]]


class Followed(Protocol):
    """The caches of a service."""

    @property
    def all(self) -> Sequence[WatchCache[Any]]:
        """Every cache."""

    async def wait_synced(self) -> None:
        """Return once each has been complete."""

    async def run(self) -> None:
        """Follow the API server until cancelled."""


def lease_watch(transport: Transport, namespace: str, name: str) -> WatchCache[Lease]:
    """What follows the Lease of an election, and nothing else.

    Args:
        transport: to the API server.
        namespace: of the Lease.
        name: its name.
    """
    return WatchCache(transport, resources.LEASES, selection=Selection(namespace, fields=f"metadata.name={name}"))


async def _nothing() -> None:
    pass


class Program:
    """What lives as long as the process.

    Args:
        caches: the watch caches; run here, and what /readyz depends on.
        recorder: writes the Events; run and closed here.
        checks: of the probes.
        election: for the Lease; None when there is but one replica, which always leads.
        lease: follows that Lease, so that a candidate knows at once when it is given up; run here. We are ready without
            it: who may not watch the Lease asks for it now and then.
    """

    def __init__(
        self,
        caches: Followed,
        recorder: EventRecorder,
        checks: Health,
        election: LeaderElection | None,
        *,
        lease: WatchCache[Lease] | None = None,
    ) -> None:
        self._caches, self._recorder, self._checks, self._election = caches, recorder, checks, election
        self._lease = lease
        self._able = asyncio.Event()
        if election is not None and lease is not None:
            lease.subscribe(lambda change: election.told(change.new))

    def leads(self) -> bool:
        """Whether we may act now; to be asked before each act."""
        return self._election is None or self._election.is_leader()

    async def run(
        self,
        term: Term,
        *,
        prepare: Callable[[], Awaitable[None]] = _nothing,
        beside: Mapping[str, Coroutine[Any, Any, None]] = MappingProxyType({}),
    ) -> None:
        """Run until cancelled. Then the term ends first: until it has, we follow the cluster and may lead.

        Args:
            term: works until cancelled, once per term; everything in it is made anew.
            prepare: done once, before we stand for election.
            beside: what else every replica does, by name.

        Raises:
            ExceptionGroup: something has ended by an error, or the work of a term has.
        """
        for cache in self._caches.all:
            self._checks.needs(f"cache of {cache.resource.plural}", lambda cache=cache: cache.synced)  # type: ignore[misc]
        works: dict[str, Coroutine[Any, Any, None]] = {"caches": self._caches.run(), "events": self._recorder.run()}
        if self._election is not None:
            works["election"] = self._campaign(self._election)
        if self._lease is not None:
            works["lease"] = self._lease.run()
        works |= beside
        works |= {"terms": self._terms(term, prepare), "beat": self._checks.beat()}
        try:
            async with asyncio.TaskGroup() as group:
                tasks = {name: group.create_task(work, name=name) for name, work in works.items()}
                for name, task in tasks.items():
                    self._checks.task(name, task)
                await _first(tasks["terms"])
        finally:
            await self._recorder.close()

    async def _campaign(self, election: LeaderElection) -> None:
        """Take part in the election once we could lead: who holds the Lease and knows nothing keeps others from it."""
        await self._able.wait()
        await election.run()

    async def _terms(self, term: Term, prepare: Callable[[], Awaitable[None]]) -> None:
        """Lead whenever we are the leader."""
        await prepare()
        await self._caches.wait_synced()
        gc.collect()
        gc.freeze()  # what was listed lives on; to walk all of it again each minute stopped everything for 0.1 s
        self._able.set()
        while True:
            if self._election is None:
                await term()
            else:
                await _until_lost(term, self._election)


async def _first(task: asyncio.Task[None]) -> None:
    """Wait for a task of a group; whoever is cancelled meanwhile has it end before the others."""
    try:
        await asyncio.wait({task})
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait({task})
        raise


async def _until_lost(term: Term, election: LeaderElection) -> None:
    """One term, as soon as it begins."""
    await election.became_leader.wait()
    working = asyncio.create_task(term(), name="term")
    lost = asyncio.create_task(election.lost.wait(), name="lost")
    try:
        await asyncio.wait({working, lost}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()  # never without an error
    finally:
        for task in (working, lost):
            task.cancel()
        await asyncio.gather(working, lost, return_exceptions=True)
