"""Drains nodes during one term: it runs one cycle at a time, and cleans up the drains of earlier leaders.

A term starts without state in memory. Drains that have started are read from the marks of the nodes and from the pods.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from typing import Any, NamedTuple

from moorage.controller.fence import Fence, NotLeading
from moorage.kube.client import Client
from moorage.kube.clock import ServerClock

from . import names
from .attempts import Attempts
from .batch import Batch, Ended, Policy
from .cached_cluster import CachedCluster
from .cluster_state import ClusterState
from .evictions import Evictions
from .executor import Executor, News
from .names import Phase
from .parallelism import Parallelism
from .reasons import Finding, Reason
from .settings import Settings
from .steps import Step

logger = logging.getLogger(__name__)

LONGEST_SLEEP = 5.0
"""Seconds after which a round starts even if nothing has happened, because pods become available with time."""
SHORTEST_SLEEP = 0.25
"""Seconds between two rounds. Changes in quick succession are handled in one round."""
REST = 4.0
"""After a round, the pause as a multiple of the time it took. It leaves CPU for other work in a large cluster."""

Resimulate = Callable[[Sequence[str]], Awaitable[Collection[str]]]
"""Returns which of some nodes could still be emptied, in the current state of the cluster."""


class Drained(NamedTuple):
    """The result of a cycle.

    Attributes:
        nodes: the result for each node, by name. This includes nodes that were not chosen and had our mark.
        stopped: why the cycle was stopped; None when it was not.
    """

    nodes: Mapping[str, Ended]
    stopped: Finding | None


class Drainer:
    """Drains nodes during one term.

    Args:
        client: the API server. It must not wait when flow control rejects a request (``patience`` 0).
        cached: the state of the cluster.
        fence: limits requests, and lets only the leader write.
        clock: the API server's clock.
        by: the id of our installation.
        policy: the decisions that the service makes.
        settings: how nodes are drained.
        monotonic: seconds on a monotonic clock.
        unseen: returns the kinds that cannot be watched now, each with the reason.
        tell: is called with each step, for Events and reports.
    """

    def __init__(
        self,
        client: Client,
        cached: CachedCluster,
        fence: Fence,
        clock: ServerClock,
        by: str,
        policy: Policy,
        settings: Settings,
        *,
        monotonic: Callable[[], float],
        unseen: Callable[[], Mapping[str, str]] = dict,
        tell: Callable[[News], object] = lambda _: None,
    ) -> None:
        self._cached, self._clock = cached, clock
        self._by, self._policy, self._settings = by, policy, settings
        self._monotonic = monotonic
        self._unseen = unseen
        self._evictions = Evictions(settings, monotonic)
        self._attempts = Attempts(monotonic)
        self._parallelism = Parallelism(settings.parallel)
        self._executor = Executor(client, fence, cached, self._evictions, self._attempts, by, clock.now, tell)
        self._began = monotonic()
        self._hold_until = 0.0
        self._looked = False
        self._stopped: Finding | None = None
        self._batch: Batch | None = None
        self._stirred = asyncio.Event()

    @property
    def batch(self) -> Batch | None:
        """The current cycle, for reports; None when none runs."""
        return self._batch

    def wake(self) -> None:
        """The cluster has changed: start a round soon."""
        self._stirred.set()

    def use(self, settings: Settings) -> None:
        """Change how nodes are drained, from the next cycle on."""
        self._settings = settings
        self._evictions.use(settings)
        self._parallelism.use(settings.parallel)

    def stop(self, detail: str = "") -> None:
        """Stop the current cycle. Nodes that are not emptied yet are rolled back."""
        if self._batch is not None:
            self._batch.stop(Finding(Reason.STOPPED, detail))
            self.wake()

    async def clean_up(self) -> Mapping[str, Ended]:
        """Clean up: finish or roll back drains without a cycle, and hand back emptied nodes that nobody has deleted.

        Returns:
            The result for each node with our mark.

        Raises:
            NotLeading: this replica is not the leader any more.
        """
        return await self._run("", (), _all)

    async def drain(self, chosen: Sequence[str], resimulate: Resimulate, *, cycle: str = "") -> Drained:
        """Empty nodes.

        Args:
            chosen: the names of the nodes, in order.
            resimulate: returns which of the remaining nodes could still be emptied. Called before the first node, and
                after each emptied one.
            cycle: the id of the cycle; a new one by default.

        Returns:
            The result for each node.

        Raises:
            NotLeading: this replica is not the leader any more.
        """
        ended = await self._run(cycle or str(uuid.uuid4()), chosen, resimulate)
        return Drained(ended, self._stopped)

    # --- one cycle ---

    async def _run(self, cycle: str, chosen: Sequence[str], resimulate: Resimulate) -> Mapping[str, Ended]:
        if self._batch is not None:
            raise RuntimeError("a cycle runs already")  # one cycle at a time
        self._see_predecessors()
        batch = self._batch = Batch(
            cycle,
            chosen,
            self._by,
            self._policy,
            self._settings,
            self._evictions,
            self._attempts,
            self._parallelism,
            self._monotonic,
            hold_until=self._hold_until,
        )
        try:
            await _Cycle(batch, self._cluster, self._executor, self._stirred, self._clock, resimulate).run()
        finally:
            self._batch = None
            self._stopped = batch.stopped
        return batch.ended

    def _see_predecessors(self) -> None:
        """If a drain of ours has started, an earlier leader may have evictions in flight: wait before evicting."""
        if self._looked:
            return
        self._looked = True
        for node in self._cluster().nodes.values():
            try:
                mark = names.read(node)
            except names.UnreadableMark:
                continue
            if mark is not None and mark.by == self._by and mark.phase is Phase.DRAINING:
                self._hold_until = self._began + self._settings.settle.total_seconds()

    def _cluster(self) -> ClusterState:
        return self._cached.state(self._clock.now(), unseen=self._unseen())


class _Cycle:
    """Run one batch until it is finished."""

    def __init__(
        self,
        batch: Batch,
        cluster: Callable[[], ClusterState],
        executor: Executor,
        stirred: asyncio.Event,
        clock: ServerClock,
        resimulate: Resimulate,
    ) -> None:
        self._batch = batch
        self._cluster = cluster
        self._executor = executor
        self._stirred = stirred
        self._clock = clock
        self._resimulate = resimulate
        self._under_way: set[asyncio.Task[None]] = set()
        self._asking: asyncio.Task[None] | None = None
        self._lost = False

    async def run(self) -> None:
        try:
            while await self._look():
                pass
        finally:
            tasks = [*self._under_way, *([self._asking] if self._asking is not None else [])]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self) -> bool:
        """Run one round: decide, and start the steps. Returns whether the batch is unfinished."""
        await self._executor.ready()
        self._stirred.clear()
        if self._lost:
            raise NotLeading
        began = asyncio.get_running_loop().time()
        orders = self._batch.decide(self._cluster(), doubtful=self._executor.doubtful, errors=self._executor.errors)
        for step in orders.steps:
            self._executor.begin(step)
            self._start(self._do(step))
        if orders.ask and self._asking is None:
            self._asking = asyncio.create_task(self._ask(), name="simulation")
        if orders.finished and not self._under_way:
            return False
        took = asyncio.get_running_loop().time() - began
        await asyncio.sleep(max(SHORTEST_SLEEP, took * REST))
        seconds = LONGEST_SLEEP
        if orders.wake is not None:
            seconds = min(max((orders.wake - self._clock.now()).total_seconds(), 0.0) + SHORTEST_SLEEP, seconds)
        await self._sleep(seconds)
        return True

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stirred.wait()
        except TimeoutError:
            pass

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="drain step")
        self._under_way.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._stirred.set()

    async def _do(self, step: Step) -> None:
        try:
            await self._executor.run(step, self._batch.cycle)
        except NotLeading:
            self._lost = True
        except Exception as error:  # a bug in one step must not stop the others
            self._executor.broke(step, error)

    async def _ask(self) -> None:
        """Run the simulation. If it fails, the cycle stops."""
        try:
            wanted = await self._resimulate(self._batch.remaining)
        except Exception as error:
            logger.exception("simulation failed")
            self._batch.stop(Finding(Reason.DEFECT, f"the simulation failed: {error}"))
        else:
            self._batch.keep(wanted)
        finally:
            self._asking = None
            self._stirred.set()


async def _all(remaining: Sequence[str]) -> Collection[str]:
    return remaining
