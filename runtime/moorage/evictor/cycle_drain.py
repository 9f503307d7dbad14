"""Empties the nodes that one cycle has chosen, as long as no reason against it comes up.

A cycle ends with its drains; the next evaluation comes after that. Intended evictions are written to the status first.

With ``dryRun: true``, without a valid configuration and beside another evictor no drain begins, but drains of earlier
terms are finished or rolled back. At the end of a term all drains under way are rolled back.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Protocol

from moorage.controller.fence import Fence, NotLeading
from moorage.drain import CachedCluster, Drained, Drainer, Ended, Mark, News, Outcome, Phase, Policy, Reason
from moorage.drain import names as marks
from moorage.drain.cached_cluster import Followed
from moorage.drain.steps import Evict, HandBack, MarkEmptied, RollBack
from moorage.kube.client import Client
from moorage.kube.clock import ServerClock
from moorage.objects import Node, Pod
from moorage.objects.conditions import Condition

from .compaction import History
from .configuration import Configuration
from .configuration_watch import CurrentConfiguration
from .destinations import Arrivals, ReplacementMove, Steering
from .destinations.steering import Reason as Steered
from .drain_policy import DrainPolicy
from .drain_reporting import DrainReporter
from .evaluation import Evaluation
from .intended_evictions import IntendedEvictions
from .inventory import Inventory
from .other_evictors import OtherEvictors
from .recheck import Remaining, draining_nodes

logger = logging.getLogger("moorage.evictor")

GLANCE = 1.0
"""Seconds between two checks of what may stop a cycle: the configuration, another evictor."""
WRITING = 30.0
"""Seconds within which it must have been written down what is about to be evicted."""
AT_ONCE = 8
"""Requests under way at a time."""
ENDS = "the evictor is being stopped"
_DRAINED = {"emptied": MarkEmptied, "rolledBack": RollBack, "handedBack": HandBack}
_PERHAPS = frozenset((Reason.API_UNAVAILABLE, Reason.NOT_EVICTED))
"""Refusals after which a pod may have been evicted all the same."""
_INVISIBLE = frozenset((Reason.RIGHTS, Reason.API_ERRORS, Reason.DEFECT))
"""Reasons for a stop that may be over without an event in the cluster."""

Say = Callable[[History], None]
"""Has a status written, with what is to be remembered."""


class Cluster(Followed, Protocol):
    """The cluster whose nodes are drained."""

    def unseen(self) -> Mapping[str, str]:
        """Return the kinds that cannot be listed, with the reasons."""

    def inventory(self, now: datetime) -> Inventory:
        """Return all objects as they are now."""


class Configurations(Protocol):
    """The configuration."""

    def current(self) -> CurrentConfiguration:
        """Return the configuration that counts now."""


class Memory(Protocol):
    """What outlives the process: the status of the EvictorConfig."""

    def remember(self, configuration: Configuration) -> History | None:
        """Return the recent evictions; None while the status cannot be read."""

    def evicted(self, owner: str) -> None:
        """Remember an eviction of now."""

    async def settled(self, seconds: float) -> bool:
        """Whether the latest status is written within some seconds, if there is a resource to write to."""


Asks = Callable[
    [Inventory, Configuration, History, Collection[str], Sequence[ReplacementMove], Mapping[str, str]],
    Awaitable[Remaining],
]
"""The simulation: which nodes can still be emptied, given replacements to come and earlier destinations."""


class CycleDrain:
    """Drains nodes, for one term of leadership.

    Args:
        client: the API server; one that does not wait itself when flow control pushes back (``patience`` 0).
        cluster: the cluster.
        configurations: what is in force.
        memory: what outlives us.
        asks: the simulation.
        steering: has replacements steered to where the simulation has put them.
        rivals: knows other evictors.
        reporter: reports to people.
        clock: the API server's.
        leads: whether we may write now.
        installation: which one we are, in marks.
        monotonic: seconds on a clock that never goes back.
        changed: requests another cycle.
    """

    def __init__(
        self,
        client: Client,
        cluster: Cluster,
        configurations: Configurations,
        memory: Memory,
        asks: Asks,
        steering: Steering,
        other_evictors: OtherEvictors,
        reporter: DrainReporter,
        *,
        clock: ServerClock,
        leads: Callable[[], bool],
        installation: str,
        monotonic: Callable[[], float],
        changed: Callable[[], None],
    ) -> None:
        self._cluster, self._configurations, self._memory = cluster, configurations, memory
        self._asks, self._steering, self._other_evictors, self._reporter = asks, steering, other_evictors, reporter
        self._now, self._installation, self._changed = clock.now, installation, changed
        self._configuration = Configuration()
        self._cached = CachedCluster(cluster)
        self._drain_policy = DrainPolicy(cluster.inventory, lambda: self._configuration.policy)
        self._drainer = Drainer(
            client,
            self._cached,
            Fence(leads, AT_ONCE),
            clock,
            installation,
            Policy(self._drain_policy.classify, self._drain_policy.claimed, self._why_pause),
            self._configuration.drains,
            monotonic=monotonic,
            unseen=cluster.unseen,
            tell=self._on_news,
        )
        self._intended = IntendedEvictions()
        self._places: Mapping[str, str] = {}
        self._counted: set[str] = set()
        self._say: Say = lambda _: None
        self._state = Condition("Acting", True, "Idle", "")
        self._stuck = ""
        self._leads, self._ends, self._asking = leads, False, False
        self._at_rest = asyncio.Event()
        self._at_rest.set()
        self.drained: Counter[str] = Counter()

    def close(self) -> None:
        """Stop watching the cluster."""
        self._cached.close()

    def wake(self) -> None:
        """Continue the drains: an object in the cluster has changed."""
        self._drainer.wake()

    async def end(self, seconds: float) -> None:
        """Begin nothing more; wait until drains under way are rolled back and the status is written.

        A node that is not handed back in time keeps its mark, for the next leader.

        Args:
            seconds: how long at most.
        """
        self._ends = True
        if seconds <= 0 or not self._leads() or self._at_rest.is_set():
            return
        self._drainer.stop(ENDS)
        try:
            async with asyncio.timeout(seconds):
                await self._at_rest.wait()
                await self._memory.settled(seconds)
        except TimeoutError:
            logger.warning("not everything was given back in time", extra={"nodes": self._unfinished()})

    def condition(self, configuration: Configuration | None) -> Condition:
        """Return the condition Acting.

        Args:
            configuration: what is in force.
        """
        if configuration is None or not configuration.enabled:
            condition = Condition("Acting", False, "Off", "Nothing is emptied: see Ready")
        elif configuration.dry_run:
            condition = Condition("Acting", False, "DryRun", "Nothing is emptied: dryRun is true")
        else:
            condition = self._state
        return condition._replace(message="; ".join(each for each in (condition.message, self._stuck) if each))

    @property
    def arrivals(self) -> Arrivals:
        """Where the replacements of this cycle run."""
        return self._steering.arrivals

    def steering(self) -> Condition:
        """Return the condition Steering."""
        reason = self._steering.reason
        holds = None if reason is Steered.NOT_TRIED else reason is Steered.SERVED
        message = ": ".join(each for each in (reason.value, self._steering.detail) if each)
        return Condition("Steering", holds, "".join(each.title() for each in reason.name.split("_")), message)

    def due(self) -> datetime | None:
        """Return when a mark has to be removed although nothing happens; None without such a mark."""
        after = self._configuration.drains.hand_back_after
        return min((mark.since + after for mark in self._marks()), default=None)

    async def clean_up(self, configuration: Configuration | None) -> None:
        """Finish or roll back drains of earlier cycles, and hand back emptied nodes that are not deleted.

        Args:
            configuration: what is in force; None: how nodes are drained by default.
        """
        self.drained.clear()
        self._steering.begin()
        self._stuck = ""
        self._take(configuration)
        if configuration is not None and not configuration.dry_run:
            await self._steering.clean_up()
        if next(self._marks(), None) is None:
            return
        self._drainer.use(self._configuration.drains)
        with suppress(NotLeading), self._busy():
            self._note(await self._drainer.clean_up())
        self._reporter.ended(None)

    async def drain(self, evaluation: Evaluation, say: Say) -> None:
        """Empty the chosen nodes, if no reason forbids it.

        Args:
            evaluation: what was found.
            say: has the status written.
        """
        self._take(evaluation.configuration)
        self._say = say
        with self._busy():
            await self._act(evaluation)

    async def _act(self, evaluation: Evaluation) -> None:
        why = self._other_evictors.conflict(self._cluster.inventory(self._now()))
        if why:
            self._stand_down("AnotherEvictor", why)
        elif not evaluation.plan.chosen or self._ends:
            self._reporter.aside("")
            self._settle(Condition("Acting", True, "Idle", ""))
        elif not await self._written_down(evaluation):
            self._stand_down("NotWritten", "what is about to be evicted could not be written down")
        elif self._ends:
            self._settle(Condition("Acting", False, "Stopped", ENDS))
        else:
            self._reporter.aside("")
            self._places = {move.pod: move.node for node in evaluation.plan.chosen for move in node.moves}
            await self._drain([node.name for node in evaluation.plan.chosen])

    # --- one cycle ---

    async def _written_down(self, evaluation: Evaluation) -> bool:
        """Write the intended evictions to the status."""
        self._counted.clear()
        self._intended.begin((move.owner for node in evaluation.plan.chosen for move in node.moves), self._now())
        self._state = Condition("Acting", True, "Draining", f"Nodes of this cycle: {len(evaluation.plan.chosen)}")
        self._say(self._history())
        return await self._memory.settled(WRITING)

    async def _drain(self, chosen: Sequence[str]) -> None:
        self._drainer.use(self._configuration.drains)
        beside = [
            asyncio.create_task(self._glance(), name="glance"),
            asyncio.create_task(self._steering.keep(), name="destinations"),
        ]
        try:
            drained = await self._drainer.drain(chosen, self._ask)
        except NotLeading:
            return  # the term ends; what was written down stays
        finally:
            for each in beside:
                each.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
        self._reporter.came(await self._steering.end(self._pods(self._cluster.inventory(self._now())), self._counted))
        self._ended(chosen, drained)

    def _ended(self, chosen: Collection[str], drained: Drained) -> None:
        stopped = drained.stopped
        self._note(drained.nodes)
        for name, each in drained.nodes.items():
            if name not in chosen or each.why is None or each.why == stopped:
                continue  # nothing new, or the reason of the whole cycle
            if each.outcome is Outcome.REFUSED:
                self._reporter.left_alone(name, str(each.why))
            elif each.outcome is Outcome.GONE:
                self._reporter.gone(name, str(each.why))
        self._reporter.ended(stopped)
        if stopped is not None:
            self._settle(Condition("Acting", False, "Stopped", str(stopped)))
            if stopped.reason in _INVISIBLE:
                self._changed()
        else:
            self._settle(Condition("Acting", True, "Idle", ""))

    def _stand_down(self, reason: str, why: str) -> None:
        self._reporter.aside(why)
        self._settle(Condition("Acting", False, reason, f"Nothing is emptied: {why}"))

    def _settle(self, state: Condition) -> None:
        """End the cycle: no node is drained at the moment."""
        self._intended.end()
        self._state = state
        self._say(self._history())

    async def _ask(self, remaining: Sequence[str]) -> Collection[str]:
        history = self._memory.remember(self._configuration) or History()
        inventory = self._cluster.inventory(self._now())
        pods, nodes = self._pods(inventory), inventory.of("Node", Node)
        coming = self._steering.coming(pods, remaining, draining_nodes(inventory, self._configuration.policy))
        self._asking = True
        try:
            still = await self._asks(inventory, self._configuration, history, remaining, coming, self._places)
            self._places = still.places
            await self._steering.follow(pods, nodes, remaining, still.moves, still.coming)
        finally:
            self._asking = False
        return still.nodes

    def _why_pause(self) -> str:
        """While the simulation runs, a new reservation could promise room that an eviction of now needs."""
        return "it is being found out where replacements go" if self._asking and self._steering.serves else ""

    async def _glance(self) -> None:
        """Stop the cycle when the configuration or another evictor requires it."""
        why = ""
        while not why:
            await asyncio.sleep(GLANCE)
            try:
                why = self._why_stop()
            except Exception as error:  # the configuration is unknown: nothing more is begun
                logger.exception("configuration cannot be read")
                why = f"{type(error).__name__}: {error}"
        self._drainer.stop(why)

    def _why_stop(self) -> str:
        configuration = self._configurations.current().configuration
        if configuration is None or not configuration.enabled:
            return "the evictor is switched off"
        if configuration.dry_run:
            return "dryRun is true"
        self._take(configuration)
        return self._other_evictors.conflict(self._cluster.inventory(self._now()))

    # --- what happens ---

    def _on_news(self, news: News) -> None:
        self._reporter.done(news, pod_events=self._configuration.pod_events)
        if isinstance(news.step, Evict):
            if news.refused is None or news.refused.reason in _PERHAPS:
                self._evicted(news.step.pod)
        elif news.refused is None:
            self.drained.update(key for key, step in _DRAINED.items() if isinstance(news.step, step))

    def _evicted(self, pod: Pod) -> None:
        if pod.metadata.uid in self._counted:
            return
        self._counted.add(pod.metadata.uid)
        owner = self._drain_policy.owner(pod)
        self._memory.evicted(owner)
        if not self._intended.happened(owner):
            self._say(self._history())

    def _note(self, ended: Mapping[str, Ended]) -> None:
        """Remember nodes that still have a mark of ours, and have them looked at again."""
        for name, each in ended.items():
            if each.outcome is Outcome.STUCK:
                what = f"node {name} still has our mark, and could not be given back: {each.why}"
                self._stuck = f"{what}; moorage cleanup does it with your rights"
                self._reporter.stuck(name, str(each.why))
                self._changed()

    # --- pieces ---

    @contextmanager
    def _busy(self) -> Iterator[None]:
        """In this block, marks of ours may be under way."""
        self._at_rest.clear()
        try:
            yield
        finally:
            self._at_rest.set()

    def _unfinished(self) -> list[str]:
        """The nodes that are neither emptied nor handed back."""
        return sorted(name for name, mark in self._marked() if mark.phase is not Phase.EMPTIED)

    @staticmethod
    def _pods(inventory: Inventory) -> Collection[Pod]:
        return inventory.of("Pod", Pod).values()

    def _take(self, configuration: Configuration | None) -> None:
        self._configuration = configuration or Configuration()

    def _history(self) -> History:
        return self._intended.with_these(self._memory.remember(self._configuration) or History())

    def _marks(self) -> Iterator[Mark]:
        """Our marks that still need a step."""
        return (mark for _, mark in self._marked())

    def _marked(self) -> Iterator[tuple[str, Mark]]:
        """The nodes with such marks, by name."""
        for cached in self._cluster.nodes:
            node = self._cached.nodes.get(cached.key)
            try:
                mark = marks.read(node) if node is not None else None
            except marks.UnreadableMark:
                continue
            if mark is not None and mark.by == self._installation and not mark.phase.over:
                yield cached.key, mark
