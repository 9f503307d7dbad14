"""Drains nodes through ``moorage.drain``, with a mark of our own, while this planner is the leader.

A failed drain is repeated when the node may be drained again: a used-up budget, a replacement without a node and a
missing leader are temporary. At the end, drains that have started are rolled back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta

from moorage.controller.fence import Fence, NotLeading
from moorage.drain import CachedCluster, Drainer, Ended, News, Outcome, Policy, Settings, resting
from moorage.drain.events import event_for, record_on_node
from moorage.drain.steps import Begin, Evict, HandBack, LookAtPod, RollBack
from moorage.kube.client import Client
from moorage.kube.events import EventRecorder
from moorage.kube.http.transport import Transport
from moorage.ops import compat

from .. import metrics
from . import guards
from .caches import RebalanceCaches

logger = logging.getLogger("moorage.planner.rebalancing")

WHY = "a plan replaces the node, and room is held on others"
AT_ONCE = 8
"""Requests in flight."""
PAUSE = 15.0
"""Seconds until failed drains are repeated."""
TIDY = 60.0
"""Seconds between two checks of emptied nodes, which are handed back when nobody deletes them."""
SETTINGS = Settings(rest_after_rollback=timedelta(minutes=1), rest_after_hand_back=timedelta(minutes=1))
"""A user has named the node, so its cool-down is shorter than that of a node that a program has chosen."""
_DONE = frozenset((Outcome.EMPTIED, Outcome.GONE))


class Emptying:
    """Drains the nodes of one plan.

    Args:
        transport: the connections to the API server.
        installation: the id of our installation, in marks.
        leads: returns whether this planner is the leader now.
        paused: returns why no eviction is made for now; empty when nothing prevents that.
        recorder: writes Events on the nodes.
        settings: how nodes are drained.
    """

    def __init__(
        self,
        transport: Transport,
        installation: str,
        leads: Callable[[], bool],
        paused: Callable[[], str],
        recorder: EventRecorder,
        settings: Settings = SETTINGS,
    ) -> None:
        self._transport, self._installation, self._settings = transport, installation, settings
        self._leads, self._paused, self._recorder = leads, paused, recorder
        self._caches = RebalanceCaches(transport, self._wake)
        self._drainer: Drainer | None = None
        self._cached: CachedCluster | None = None
        self._ends = ""
        self.ended = False
        """Whether the work was stopped before its end, for another planner to continue."""
        self._at_rest = asyncio.Event()
        self._at_rest.set()
        self.open: dict[str, str] = {}
        """The nodes that are not empty yet, with the reason if there is one."""

    async def follow(self) -> None:
        """Watch the cluster until cancelled."""
        await self._caches.run()

    async def empty(self, names: Sequence[str], seconds: float) -> None:
        """Drain nodes, until all are empty or gone or the time limit has passed. ``open`` has the rest.

        Args:
            names: the nodes, in order.
            seconds: the time limit.
        """
        self.open = dict.fromkeys(names, "")
        over = asyncio.get_running_loop().call_later(seconds, self.stop, "its time is over")
        try:
            while not self._ends and (self.open or self._used_again(names)):
                await self._try()
        finally:
            over.cancel()

    async def clean_up(self) -> None:
        """Hand back, until cancelled, emptied nodes that are in use again or that nobody deletes."""
        while True:
            if self._leads() and not self._caches.missing():
                with suppress(NotLeading):
                    await self._with_drainer(lambda drainer: drainer.clean_up())
            await asyncio.sleep(TIDY)

    def stop(self, why: str) -> None:
        """Start no more drains, and roll back those that have started."""
        self._ends = self._ends or why
        if self._drainer is not None:
            self._drainer.stop(self._ends)

    async def end(self, seconds: float) -> None:
        """Stop, and wait until the drains that have started are rolled back.

        Args:
            seconds: the time limit. A node that is not rolled back by then keeps its mark, for the next leader.
        """
        self.ended = True
        self.stop("the planner is being stopped, or serves another plan")
        try:
            async with compat.timeout(seconds):  # the caller may be cancelled already
                await self._at_rest.wait()
        except TimeoutError:
            logger.warning("not everything was given back in time", extra={"nodes": sorted(self.open)})

    def close(self) -> None:
        """Drop the state of one term."""
        if self._cached is not None:
            self._cached.close()
        self._drainer = self._cached = None

    # --- cycles ---

    async def _try(self) -> None:
        """Run one cycle over all nodes that are not empty and may be drained."""
        missing = self._caches.missing()
        if missing:
            self.open = dict.fromkeys(self.open, missing)
        due = self._due() if not missing and self._leads() and not self._paused() else []
        if not due:
            await asyncio.sleep(1.0)
            return
        with suppress(NotLeading):
            ended = await self._with_drainer(lambda drainer: _drained(drainer, due))
            self._note(ended)
            if self.open and not self._ends:
                await asyncio.sleep(PAUSE)

    def _used_again(self, names: Sequence[str]) -> bool:
        """Find emptied nodes that have pods again. They are open again.

        Without a leading pinner, new pods may get there: the soft taint of an emptied node is only a preference.
        """
        for name in names:
            node = self._caches.nodes.get(name)
            if node is not None and (pod := guards.moving(self._caches.on(name))) is not None:
                self.open[name] = f"pod {pod.key} was bound to it since it was emptied"
                logger.info("emptied node is used again", extra={"node": name, "pod": pod.key})
        return bool(self.open)

    def _due(self) -> list[str]:
        """The nodes without a cool-down."""
        now, due = self._transport.clock.now(), []
        for name in self.open:
            node = self._caches.nodes.get(name)
            why = resting(node, self._settings, now) if node is not None else None
            if why is None:
                due.append(name)
            else:
                self.open[name] = str(why)
        return due

    def _note(self, ended: Mapping[str, Ended]) -> None:
        for name, each in ended.items():
            if name not in self.open:
                continue
            if each.outcome in _DONE:
                del self.open[name]
                logger.info("node is empty", extra={"node": name, "outcome": each.outcome.value})
            else:
                self.open[name] = str(each.why or each.outcome.value)
                fields = {"node": name, "outcome": each.outcome.value, "why": self.open[name]}
                logger.warning("node was not emptied", extra=fields)

    async def _with_drainer(self, work: Callable[[Drainer], Awaitable[Mapping[str, Ended]]]) -> Mapping[str, Ended]:
        """Run a drainer's work while this planner is the leader.

        Raises:
            NotLeading: this planner is not the leader any more. Evictions in flight are forgotten: the next leader
                continues.
        """
        if self._drainer is None:
            self._cached = CachedCluster(self._caches)
            self._drainer = self._new_drainer(self._cached)
        self._at_rest.clear()
        try:
            return await work(self._drainer)
        except NotLeading:
            self.close()
            raise
        finally:
            self._at_rest.set()

    def _new_drainer(self, cached: CachedCluster) -> Drainer:
        return Drainer(
            Client(self._transport, patience=0.0),
            cached,
            Fence(self._leads, AT_ONCE),
            self._transport.clock,
            self._installation,
            Policy(guards.classify, guards.claimed, self._paused),
            self._settings,
            monotonic=asyncio.get_running_loop().time,
            unseen=self._caches.unseen,
            tell=self._tell,
        )

    def _wake(self) -> None:
        if self._drainer is not None:
            self._drainer.wake()

    def _tell(self, news: News) -> None:
        step = news.step
        if isinstance(step, Evict):
            metrics.EVICTIONS.labels("evicted" if news.refused is None else news.refused.reason.name).inc()
        if news.refused is not None:
            return  # the node's own Event tells a failure
        if isinstance(step, Evict):
            logger.info("pod evicted", extra={"node": step.pod.spec.node_name, "pod": step.pod.key})
        elif isinstance(step, Begin):
            logger.info("node is being emptied", extra={"node": step.name})
        elif isinstance(step, RollBack | HandBack):
            logger.warning("node is given back", extra={"node": step.name, "why": str(step.why)})
        if not isinstance(step, Evict | LookAtPod) and (event := event_for(step, WHY)) is not None:
            record_on_node(self._recorder, step.name, event)


async def _drained(drainer: Drainer, names: Sequence[str]) -> Mapping[str, Ended]:
    drained = await drainer.drain(names, _still)
    if drained.stopped is not None:
        fields = {"reason": drained.stopped.reason.name, "why": str(drained.stopped)}
        logger.warning("no more nodes are emptied for the moment", extra=fields)
    return drained.nodes


async def _still(remaining: Sequence[str]) -> Collection[str]:
    """A user has named all nodes. If their pods have no room elsewhere, the drain stops by itself."""
    return remaining
