"""The cycles: one after the other, never two at once, and none when nothing has changed.

The chosen nodes are drained within the cycle (``Drains``), so the next evaluation begins after the drains.

A cycle begins after a change that the result may depend on: an object, the configuration, or the right to list a kind.
It begins also when time alone changes the result (``due``), and after a failure. Between two cycles lies at least an
interval, except after a change of the configuration.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NoReturn, Protocol

from moorage.kube.backoff import Backoff
from moorage.objects.conditions import Condition

from . import status
from .compaction import History
from .configuration import Configuration
from .configuration_watch import CurrentConfiguration
from .destinations import Arrivals
from .evaluation import Evaluation, evaluate
from .inventory import Inventory
from .next_change import due
from .verdict_counts import VerdictCounts, count_verdicts

Computed = tuple[Evaluation, VerdictCounts, datetime | None]
"""What was found, its counts, and when time alone changes it."""

LONGEST_PAUSE = 600.0
"""Seconds between cycles that fail."""
SOONEST = 1.0
"""Seconds between cycles, however often the configuration changes."""


class Cluster(Protocol):
    """The cluster that is evaluated."""

    def unseen(self) -> Mapping[str, str]:
        """Return the kinds that cannot be listed, with the reasons."""

    def inventory(self, now: datetime) -> Inventory:
        """Return all objects as they are now."""


class Configurations(Protocol):
    """The configuration."""

    def current(self) -> CurrentConfiguration:
        """Return the configuration that counts now."""


class Reports(Protocol):
    """Reports cycles to people."""

    def configured(self, current: CurrentConfiguration) -> None:
        """Report a configuration, once."""

    def looked(self, evaluation: Evaluation, counts: VerdictCounts, seconds: float) -> None:
        """Report a cycle."""

    def idle(self, result: str) -> None:
        """Report a cycle without evaluation."""

    def failed(self, error: Exception, seconds: float) -> None:
        """Report a cycle that ended with an error."""


class Memory(Protocol):
    """What outlives the process: the status of the EvictorConfig."""

    def remember(self, configuration: Configuration) -> History | None:
        """Return the recent evictions; None while the status cannot be read."""

    def say(self, said: status.StatusUpdate) -> None:
        """Have a status written."""


class Drains(Protocol):
    """Drains the chosen nodes."""

    @property
    def drained(self) -> Mapping[str, int]:
        """How many nodes of this cycle ended in which way."""

    @property
    def arrivals(self) -> Arrivals:
        """Where the replacements of this cycle run."""

    def condition(self, configuration: Configuration | None) -> Condition:
        """Return the condition Acting."""

    def steering(self) -> Condition:
        """Return the condition Steering."""

    def due(self) -> datetime | None:
        """Return when a mark has to be removed although nothing happens; None without such a mark."""

    async def clean_up(self, configuration: Configuration | None) -> None:
        """Finish or roll back drains of earlier cycles."""

    async def drain(self, evaluation: Evaluation, say: Callable[[History], None]) -> None:
        """Empty the chosen nodes."""


Evaluates = Callable[[Inventory, Configuration, History], Awaitable[Computed]]


def compute(
    inventory: Inventory, configuration: Configuration, history: History, *, stopped: Callable[[], bool]
) -> Computed:
    """Compute a cycle, in a thread of its own."""
    gc.collect()  # a snapshot refers to itself: that of the last cycle goes before another one comes
    evaluation = evaluate(inventory, configuration, history, stopped)
    return evaluation, count_verdicts(evaluation), due(evaluation, history)


class CycleLoop:
    """Evaluates the cluster again and again.

    Args:
        cluster: the cluster.
        configurations: what is in force.
        looks: evaluates the cluster.
        reporter: reports to people.
        memory: writes down.
        drains: empties nodes; None: nodes are not emptied.
        now: the API server's time.
        interval: seconds between two cycles without a configuration.
    """

    def __init__(
        self,
        cluster: Cluster,
        configurations: Configurations,
        looks: Evaluates,
        reporter: Reports,
        memory: Memory,
        *,
        drains: Drains | None = None,
        now: Callable[[], datetime],
        interval: float,
    ) -> None:
        self._cluster, self._configurations, self._evaluates = cluster, configurations, looks
        self._reporter, self._memory, self._drains, self._now = reporter, memory, drains, now
        self._interval = interval
        self.changed, self.configured = asyncio.Event(), asyncio.Event()
        self._unseen: Mapping[str, str] = {}
        self._found: CurrentConfiguration | None = None
        self._due: datetime | None = None

    async def run(self) -> NoReturn:
        """Work until cancelled; an evaluation under way has ended by then."""
        clock, backoff = asyncio.get_running_loop().time, Backoff(cap=LONGEST_PAUSE, least=0.5)
        while True:
            began = clock()
            try:
                await self._cycle(began)
                backoff.reset()
                await self._pause(began, began + self._interval)
                await self._until_changed()
            except Exception as error:  # whatever it is: the next one may be about another cluster
                self._reporter.failed(error, clock() - began)
                if self._found is not None:
                    self._say(self._found, status.failed(error))
                backoff.base = self._interval
                await self._pause(began, max(began + self._interval, clock() + backoff.next()))

    async def _pause(self, began: float, until: float) -> None:
        """Wait until a time of the event loop, or until the configuration changes."""
        clock = asyncio.get_running_loop().time
        try:
            await asyncio.wait_for(self.configured.wait(), max(until - clock(), 0.0))
        except TimeoutError:
            return
        await asyncio.sleep(max(min(began + SOONEST, until) - clock(), 0.0))

    async def _cycle(self, began: float) -> None:
        self.changed.clear()
        self.configured.clear()
        self._due, self._unseen = None, self._cluster.unseen()
        self._found = current = self._configurations.current()
        self._reporter.configured(current)
        configuration = current.configuration
        if configuration is not None:
            self._interval = configuration.interval.total_seconds()
        if self._drains is not None:
            await self._drains.clean_up(configuration)
        history = self._memory.remember(configuration) if configuration is not None else None
        if configuration is None or history is None or not configuration.enabled:
            self._due = self._drains.due() if self._drains is not None else None
            self._reporter.idle("unconfigured" if configuration is None or history is None else "disabled")
            self._say(current, Condition("Computed", None, "Idle", "Nothing is looked at"))
            return
        evaluation, counts, self._due = await self._evaluates(
            self._cluster.inventory(self._now()), configuration, history
        )
        self._reporter.looked(evaluation, counts, asyncio.get_running_loop().time() - began)
        cycle = status.cycle(evaluation.plan, counts, evaluation.inventory.now)
        say = partial(self._say, current, status.computed(evaluation.inventory.unseen), cycle)
        say(history)
        if self._drains is not None and not configuration.dry_run:
            await self._drains.drain(evaluation, say)

    def _say(
        self,
        current: CurrentConfiguration,
        condition: Condition,
        cycle: Mapping[str, Any] | None = None,
        history: History | None = None,
    ) -> None:
        enabled = current.configuration is not None and current.configuration.enabled
        conditions = (*status.about(current, enabled), condition)
        if self._drains is not None:
            conditions += (self._drains.condition(current.configuration), self._drains.steering())
            if cycle is not None:
                drained = {key: self._drains.drained.get(key, 0) for key in status.DRAINED}
                cycle = {**cycle, "drained": drained, "replacements": status.replacements(self._drains.arrivals)}
        self._memory.say(status.StatusUpdate(current.generation, conditions, cycle, history))

    async def _until_changed(self) -> None:
        """Wait until the next evaluation may have another result."""
        while not self.changed.is_set() and not self._differs():
            wait = timedelta(seconds=self._interval)
            if self._due is not None:
                wait = min(wait, self._due - self._now())
            try:
                await asyncio.wait_for(self.changed.wait(), max(wait.total_seconds(), 0.0))
            except TimeoutError:
                if self._due is not None and self._now() >= self._due:
                    return

    def _differs(self) -> bool:
        """Whether something has changed that sends no event: the right to list a kind."""
        return self._cluster.unseen() != self._unseen or self._configurations.current() is not self._found
