"""Looks at one node: takes its instructions, decides, does, and answers, until nothing is left to do."""

from __future__ import annotations

import asyncio
import dataclasses
import logging

from moorage.controller.fence import NotLeading
from moorage.controller.queue import KeyQueue
from moorage.kube.clock import ServerClock
from moorage.protocol import ReasonCode

from .. import metrics
from ..decisions import late, pins
from ..decisions.decide import decide
from ..decisions.observation import Observation
from ..decisions.status import status_of
from ..decisions.steps import Confirm, Decision, EditReservation, EndReservation, ShowStatus, Step
from ..decisions.sweeps import Sweeps
from ..instructions.accept import TRIES, Acceptance
from ..instructions.answers import Answers
from ..instructions.inbox import Left
from ..options import Options
from ..refusal import Refusal, refusal_of
from ..reporting import Reporter
from ..state.cluster import ClusterState
from . import slots
from .attempts import Attempts
from .executor import Executor
from .reports import Reports
from .room import NodeRoom

logger = logging.getLogger(__name__)

ROUNDS = 12
"""Looks at a node in a row before others get their turn."""


class NodeController:
    """Works the queue.

    Args:
        cluster: what is known.
        executor: does the steps.
        attempts: the steps that were tried.
        acceptance: judges instructions.
        answers: answers them.
        queue: the nodes to look at.
        sweeps: how often pods were swept.
        reporter: tells people.
        reports: tells the planner how it stands with nodes.
        clock: the API server's time.
        options: choices.
    """

    def __init__(
        self,
        cluster: ClusterState,
        executor: Executor,
        attempts: Attempts,
        acceptance: Acceptance,
        answers: Answers,
        queue: KeyQueue,
        sweeps: Sweeps,
        reporter: Reporter,
        reports: Reports,
        clock: ServerClock,
        options: Options,
    ) -> None:
        self._cluster = cluster
        self._executor = executor
        self._attempts = attempts
        self._acceptance = acceptance
        self._answers = answers
        self._queue = queue
        self._sweeps = sweeps
        self._reporter = reporter
        self._reports = reports
        self._clock = clock
        self._options = options
        self._states: dict[str, str] = {}
        self._unreadable: dict[str, str] = {}
        self._unclaimed: set[str] = set()  # Nodes without reservation of which was said that they wait for one
        self._ended: dict[str, Refusal] = {}  # nodes whose end is under way, and why: nobody else remembers in the end
        self._trouble: dict[str, Refusal] = {}  # nodes of which something wanted could not be done, and why
        self._defects: dict[str, int] = {}  # nodes that could not be looked at, and how often in a row

    async def run(self) -> None:
        """Work until cancelled, or until we lead no more."""
        async with asyncio.TaskGroup() as group:
            for number in range(self._options.writes_in_flight):
                group.create_task(self._work(), name=f"pinner worker {number}")

    async def _work(self) -> None:
        while True:
            name, quietly = await self._queue.get()
            try:
                await self._executor.ready()
                well = await self._reconcile(name, quietly=quietly)
            except NotLeading:
                self._queue.retry(name)  # the next term, or nobody, goes on
            except Exception as error:  # a defect: the other nodes go on
                self._retry_defect(name, error)
            else:
                self._defects.pop(name, None)
                if well:
                    self._queue.forget_failures(name)
                else:
                    self._queue.retry(name)
            finally:
                self._queue.done(name)

    def _retry_defect(self, name: str, error: Exception) -> None:
        """Answer what cannot wait, or what would wait for ever, and try again later."""
        defects = self._defects[name] = self._defects.get(name, 0) + 1
        delay = self._queue.retry(name)
        metrics.FAILURES.labels(type(error).__name__).inc()
        fields = {"node": name, "tries": defects, "delay_s": round(delay, 2)}
        logger.error("node could not be looked at", extra=fields, exc_info=error)
        late = None if defects >= TRIES else self._clock.now()
        self._answers.give_up(name, refusal_of(error), late)

    async def _reconcile(self, name: str, *, quietly: bool) -> bool:
        """Look at a node once; returns False when it should be looked at again for what it did not see."""
        well, seen = await self._acceptance.accept(name)
        confirmed = False
        for _ in range(ROUNDS):
            slots.take_on_waiting(self._cluster, name, self._clock.now())
            observation = self._observe(name, seen, confirmed=confirmed)
            seen = None
            decision = decide(observation, NodeRoom(self._cluster, name))
            self._cluster.note_waits(name, decision.pins)
            if lost := pins.lost(decision.pins):
                self._cluster.intents.give_up(name, lost - {pod.metadata.uid for pod in observation.pods})
            due = self._attempts.due(name, decision.steps)
            if not due:
                break
            confirmed = any(isinstance(step, Confirm) for step in due)
            if decision.ended is not None and any(_ends(step) for step in due):
                self._ended[name] = decision.ended
                self._reports.ending(observation, decision)
            self._answers.progress(observation, decision)
            await self._executor.run(name, due)
        else:
            self._queue.add(name)
            return well
        trouble = self._note_trouble(name, decision)
        decision = self._with_end(observation, decision)
        left = self._answers.complete(observation, decision, trouble)
        self._reports.report(observation, decision)
        self._schedule(observation, decision, left, cleared=well)
        await self._report(observation, decision, quietly=quietly)
        return well

    def _observe(self, name: str, seen: Observation | None, *, confirmed: bool) -> Observation:
        """What is known of a node now, if it was not seen just now."""
        hindered, trouble = self._attempts.pins(name), self._trouble.get(name)
        if seen is not None:
            return self._cluster.with_intent(seen, hindered, trouble)
        now = self._clock.now()
        return self._cluster.observe(
            name, now, confirmed=confirmed, sweeps=self._sweeps, hindered=hindered, trouble=trouble
        )

    def _note_trouble(self, name: str, decision: Decision) -> Refusal | None:
        """Take note of what keeps a node from being as intended: said once, and the answer at the deadline."""
        for step, why in self._attempts.news(name, decision.steps):
            self._reporter.stuck(name, type(step).__name__, why)
        trouble = self._attempts.trouble(name, decision.steps)
        if trouble is None and decision.waits:
            trouble = Refusal(ReasonCode.DEADLINE_PASSED, decision.waits)
        self._trouble.pop(name, None)
        if trouble is not None:
            self._trouble[name] = trouble
        return trouble

    def _with_end(self, o: Observation, decision: Decision) -> Decision:
        """A node of which nothing is left cannot say why; what was known when its end began still holds."""
        if decision.steps or decision.ended is not None:
            return decision
        why = self._ended.pop(o.name, None)
        if o.reservation is None:
            self._attempts.forget(o.name)
        return dataclasses.replace(decision, ended=why) if why is not None and not o.open else decision

    # --- afterwards ---

    def _schedule(self, o: Observation, decision: Decision, left: Left, *, cleared: bool) -> None:
        if cleared and o.reservation is None and left.unjudged:
            self._queue.add(o.name)  # what waited until the node was cleared
        wake = pins.earliest(decision.wake, left.deadline, pins.slots_uncapped(o) if o.capped_until else None)
        if wake is not None:
            self._queue.add_after(o.name, max((wake - o.now).total_seconds(), 0.0) + 0.05)
        wait = self._attempts.wait(o.name, decision.steps)
        if wait is not None:
            self._queue.add_after(o.name, wait + 0.05)

    async def _report(self, o: Observation, decision: Decision, *, quietly: bool) -> None:
        """Write what is for people or for later leaders only, when there is nothing better to do."""
        self._count(o.name, decision.state)
        if o.reservation is None:
            self._unreadable.pop(o.name, None)
            self._reporter.catch_up(o.node_name)
            self._report_unclaimed(o)
            return
        if o.problems and self._unreadable.get(o.name) != decision.message:
            self._unreadable[o.name] = decision.message
            self._reporter.unreadable(o.name, decision.message)
        status = None if o.reservation.metadata.deletion_timestamp is not None else status_of(o, decision)
        if decision.later is None and status is None and not self._reporter.behind(o.node_name):
            return
        if not quietly:
            self._queue.add_low_priority(o.name, self._options.settle_delay)
            return
        self._reporter.catch_up(o.node_name)
        notes: list[Step] = [decision.later] if decision.later is not None else []
        if status is not None:
            notes.append(ShowStatus(o.reservation, status))
        for step, why in self._attempts.news(o.name, notes):
            self._reporter.stuck(o.name, type(step).__name__, why)
        for note in self._attempts.due(o.name, notes):  # one after the other: both are of the same object
            await self._executor.run(o.name, [note])
        wait = self._attempts.wait(o.name, notes, accepted=False)
        if wait is not None:
            self._queue.add_low_priority(o.name, wait + 0.05)  # the queue hands out a little early

    def _report_unclaimed(self, o: Observation) -> None:
        """Say once of a Node that it waits for nobody."""
        if o.unclaimed is None:
            self._unclaimed.discard(o.name)
        elif o.name not in self._unclaimed:
            self._unclaimed.add(o.name)
            left = o.unclaimed.since + late.UNCLAIMED - o.now
            self._reporter.unclaimed(o.name, o.unclaimed.like, left.total_seconds())

    def _count(self, name: str, state: str) -> None:
        """Keep the gauge of nodes by state."""
        before = self._states.pop(name, "")
        if state:
            self._states[name] = state
        if before != state:
            if before:
                metrics.PLACEHOLDERS.labels(before).dec()
            if state:
                metrics.PLACEHOLDERS.labels(state).inc()


def _ends(step: Step) -> bool:
    """Whether nothing of a node's intent is left, or nothing that says why, once a step is done."""
    return isinstance(step, EndReservation) or (isinstance(step, EditReservation) and step.close)
