"""Runs a service: caches, Events, leader election, and the work of each term.

Every replica runs the caches, so that a new leader can start at once. Only the leader works. At the end of a term its
work is cancelled; the next leader continues from the state in the cluster.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import ExitStack
from types import MappingProxyType
from typing import Any, Protocol

from moorage.kube import resources
from moorage.kube.cache import WatchCache
from moorage.kube.events import EventRecorder
from moorage.kube.http.transport import Transport
from moorage.kube.lease import LeaderElection
from moorage.kube.watch import Selection
from moorage.objects import Lease
from moorage.ops import heap
from moorage.ops.health import Health

Term = Callable[[], Coroutine[Any, Any, None]]

FILLING = 60.0
"""Seconds, at most, without garbage collection while the caches are filled."""


class Followed(Protocol):
    """The caches of a service."""

    @property
    def all(self) -> Sequence[WatchCache[Any]]:
        """All caches."""

    async def wait_synced(self) -> None:
        """Wait until each cache was complete once."""

    async def run(self) -> None:
        """Run the caches until cancelled."""


def lease_watch(transport: Transport, namespace: str, name: str) -> WatchCache[Lease]:
    """A cache that holds only the Lease of an election.

    Args:
        transport: the connections to the API server.
        namespace: the namespace of the Lease.
        name: the name of the Lease.
    """
    return WatchCache(transport, resources.LEASES, selection=Selection(namespace, fields=f"metadata.name={name}"))


async def _nothing() -> None:
    pass


class Program:
    """The parts of a service that live as long as the process.

    Args:
        caches: the watch caches. They are run here, and /readyz depends on them.
        recorder: writes Events. It is run and closed here.
        checks: the checks of the probes.
        election: the election; None when there is one replica, which is always the leader.
        lease: a cache of the Lease, so that a candidate sees a release at once; run here. Readiness does not depend on
            it: without the right to watch, the candidate reads the Lease from time to time.
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
            lease.subscribe(lambda change: election.observe(change.new))

    def leads(self) -> bool:
        """Whether this replica is the leader now. Check it before each write."""
        return self._election is None or self._election.is_leader()

    async def run(
        self,
        term: Term,
        *,
        prepare: Callable[[], Awaitable[None]] = _nothing,
        beside: Mapping[str, Coroutine[Any, Any, None]] = MappingProxyType({}),
    ) -> None:
        """Run until cancelled. The current term ends before the caches and the election stop.

        Args:
            term: the work of one term, until cancelled. It starts without state from an earlier term.
            prepare: is awaited once, before this replica becomes a candidate.
            beside: more tasks that every replica runs, by name.

        Raises:
            ExceptionGroup: a task ended with an error, or the work of a term did.
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
        """Become a candidate when the caches are complete: a holder without data would keep others from leading."""
        await self._able.wait()
        await election.run()

    async def _terms(self, term: Term, prepare: Callable[[], Awaitable[None]]) -> None:
        """Run a term whenever this replica is the leader."""
        with ExitStack() as filling:
            filling.enter_context(heap.uncollected())
            ends = asyncio.get_running_loop().call_later(FILLING, filling.close)
            await prepare()
            await self._caches.wait_synced()
            heap.keep()
        ends.cancel()
        self._able.set()
        while True:
            if self._election is None:
                await term()
            else:
                await _until_lost(term, self._election)
            heap.renew()  # nobody waits for who leads no more


async def _first(task: asyncio.Task[None]) -> None:
    """Wait for a task of a group. On cancellation, this task ends before the others."""
    try:
        await asyncio.wait({task})
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait({task})
        raise


async def _until_lost(term: Term, election: LeaderElection) -> None:
    """Run one term as soon as it begins."""
    await election.became_leader.wait()
    working = asyncio.create_task(term(), name="term")
    lost = asyncio.create_task(election.lost.wait(), name="lost")
    try:
        await asyncio.wait({working, lost}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()  # raised only with an error
    finally:
        for task in (working, lost):
            task.cancel()
        await asyncio.gather(working, lost, return_exceptions=True)
