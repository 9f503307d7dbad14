"""Empties nodes in the cluster, through ``moorage.drain`` and under a mark of our own, for as long as we lead.

What comes to nothing is tried again once the node may be: a budget that is spent, a replacement that finds no place and
a leader that is missing are over some time. At the end whatever is under way is given back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta

from moorage.controller.fence import Fence, NotLeading
from moorage.drain import CachedCluster, Drainer, Ended, News, Outcome, Policy, Settings, resting
from moorage.drain.events import tell_node, told_of
from moorage.drain.steps import Begin, Evict, HandBack, LookAtPod, RollBack
from moorage.kube.client import Client
from moorage.kube.events import EventRecorder
from moorage.kube.http.transport import Transport
from moorage.ops import compat

from .. import metrics
from . import guards
from .caches import Followed

logger = logging.getLogger("moorage.planner.rebalancing")

WHY = "a plan replaces the node, and room is held on others"
AT_ONCE = 8
"""Requests under way at a time."""
PAUSE = 15.0
"""Seconds until what has come to nothing is tried again."""
TIDY = 60.0
"""Seconds between two looks at emptied nodes, which are given back when nobody deletes them."""
SETTINGS = Settings(rest_after_rollback=timedelta(minutes=1), rest_after_hand_back=timedelta(minutes=1))
"""A node was named by a person: it is not left alone for as long as one that a program has chosen."""
_DONE = frozenset((Outcome.EMPTIED, Outcome.GONE))


class Emptying:
    """For one plan.

    Args:
        transport: the connections to the API server.
        installation: which one we are, in marks.
        leads: whether we may write now.
        paused: why nothing is evicted for the moment; empty when nothing speaks against it.
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
        self._followed = Followed(transport, self._stir)
        self._drainer: Drainer | None = None
        self._cached: CachedCluster | None = None
        self._ends = ""
        self.ended = False
        """Whether we were told to end before all was done: somebody else is to go on."""
        self._at_rest = asyncio.Event()
        self._at_rest.set()
        self.open: dict[str, str] = {}
        """The nodes that are to be emptied and are not, each with the reason as far as there is one."""

    async def follow(self) -> None:
        """Follow the cluster until cancelled."""
        await self._followed.run()

    async def empty(self, names: Sequence[str], seconds: float) -> None:
        """Empty nodes; returns when all are empty or gone, or when the time is over. ``open`` says what is not.

        Args:
            names: in this order.
            seconds: how long it may take.
        """
        self.open = dict.fromkeys(names, "")
        over = asyncio.get_running_loop().call_later(seconds, self.stop, "its time is over")
        try:
            while not self._ends and (self.open or self._used_again(names)):
                await self._try()
        finally:
            over.cancel()

    async def tidy(self) -> None:
        """Give back, until cancelled, what was emptied and is used again or deleted by nobody."""
        while True:
            if self._leads() and not self._followed.missing():
                with suppress(NotLeading):
                    await self._with_drainer(lambda drainer: drainer.tidy())
            await asyncio.sleep(TIDY)

    def stop(self, why: str) -> None:
        """Begin nothing more; what is under way is given back."""
        self._ends = self._ends or why
        if self._drainer is not None:
            self._drainer.stop(self._ends)

    async def end(self, seconds: float) -> None:
        """Stop, and wait until what is under way has been given back.

        Args:
            seconds: how long at most; what is not given back by then keeps its mark, for whoever leads next.
        """
        self.ended = True
        self.stop("the planner is being stopped, or serves another plan")
        try:
            async with compat.timeout(seconds):  # whoever calls may be being cancelled
                await self._at_rest.wait()
        except TimeoutError:
            logger.warning("not everything was given back in time", extra={"nodes": sorted(self.open)})

    def close(self) -> None:
        """Forget what belongs to one term."""
        if self._cached is not None:
            self._cached.close()
        self._drainer = self._cached = None

    # --- pieces ---

    async def _try(self) -> None:
        """One cycle of all nodes that are not empty and may be tried."""
        missing = self._followed.missing()
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
        """Whether pods have come to nodes since these were emptied; such nodes are open again.

        Who is created while no pinner leads may be put there: the taint of an emptied node is but a preference.
        """
        for name in names:
            node = self._followed.nodes.get(name)
            if node is not None and (pod := guards.moving(self._followed.on(name))) is not None:
                self.open[name] = f"pod {pod.key} has come to it since it was emptied"
                logger.info("emptied node is used again", extra={"node": name, "pod": pod.key})
        return bool(self.open)

    def _due(self) -> list[str]:
        """The nodes that are not left alone because of what has come to nothing."""
        now, due = self._transport.clock.now(), []
        for name in self.open:
            node = self._followed.nodes.get(name)
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
        """Have a drainer do something; it lasts for as long as we lead.

        Raises:
            NotLeading: we lead no more. What is known of evictions under way is forgotten: somebody else goes on.
        """
        if self._drainer is None:
            self._cached = CachedCluster(self._followed)
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
            unseen=self._followed.unseen,
            tell=self._tell,
        )

    def _stir(self) -> None:
        if self._drainer is not None:
            self._drainer.stir()

    def _tell(self, news: News) -> None:
        step = news.step
        if isinstance(step, Evict):
            metrics.EVICTIONS.labels("evicted" if news.refused is None else news.refused.reason.name).inc()
        if news.refused is not None:
            return  # the node says so when it comes to nothing
        if isinstance(step, Evict):
            logger.info("pod evicted", extra={"node": step.pod.spec.node_name, "pod": step.pod.key})
        elif isinstance(step, Begin):
            logger.info("node is being emptied", extra={"node": step.name})
        elif isinstance(step, RollBack | HandBack):
            logger.warning("node is given back", extra={"node": step.name, "why": str(step.why)})
        if not isinstance(step, Evict | LookAtPod) and (told := told_of(step, WHY)) is not None:
            tell_node(self._recorder, step.name, told)


async def _drained(drainer: Drainer, names: Sequence[str]) -> Mapping[str, Ended]:
    drained = await drainer.drain(names, _still)
    if drained.stopped is not None:
        fields = {"reason": drained.stopped.reason.name, "why": str(drained.stopped)}
        logger.warning("no more nodes are emptied for the moment", extra=fields)
    return drained.nodes


async def _still(remaining: Sequence[str]) -> Collection[str]:
    """All that a person has named are to go; where their pods find no place, the drain stops by itself."""
    return remaining
