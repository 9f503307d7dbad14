"""Looks at one node: takes its instructions, decides, does, and answers, until nothing is left to do."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from datetime import datetime

import msgspec

from moorage.kube import errors
from moorage.kube.clock import ServerClock
from moorage.protocol import Outcome, PinPods, ReasonCode
from moorage.reservations import Spec, Status, merging

from . import intake, metrics, pins
from .apply import Executor
from .decide import decide
from .desk import Desk, Open
from .fence import NotLeading
from .ledger import Ledger
from .options import Options
from .queue import KeyQueue
from .refusal import Refusal
from .reporting import Reporter
from .steps import Confirm, Decision, EditReservation, Observation
from .sweeps import Sweeps
from .world import World

logger = logging.getLogger(__name__)

ROUNDS = 12
"""Looks at a node in a row before others get their turn."""

_REFUSED = (errors.Invalid, errors.Forbidden)


class Loop:
    """Works the queue.

    Args:
        world: what is known.
        executor: does the steps.
        ledger: stores intents.
        desk: the instructions and their answers.
        queue: the nodes to look at.
        sweeps: how often pods were swept.
        reporter: tells people.
        clock: the API server's time.
        options: choices.
    """

    def __init__(
        self,
        world: World,
        executor: Executor,
        ledger: Ledger,
        desk: Desk,
        queue: KeyQueue,
        sweeps: Sweeps,
        reporter: Reporter,
        clock: ServerClock,
        options: Options,
    ) -> None:
        self._world = world
        self._executor = executor
        self._ledger = ledger
        self._desk = desk
        self._queue = queue
        self._sweeps = sweeps
        self._reporter = reporter
        self._clock = clock
        self._options = options
        self._epoch = 0
        self._states: dict[str, str] = {}
        self._unreadable: dict[str, str] = {}

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
                await self._look(name, quietly=quietly)
            except errors.KubeError as error:
                self._failed(name, error)
            except NotLeading:
                self._queue.retry(name)  # the next term, or nobody, goes on
            except Exception as error:  # a defect: the other nodes go on
                logger.exception("node could not be looked at", extra={"node": name})
                self._failed(name, error)
            else:
                self._queue.forgive(name)
            finally:
                self._queue.done(name)

    def _failed(self, name: str, error: Exception) -> None:
        delay = self._queue.retry(name)
        kind = type(error).__name__
        metrics.FAILURES.labels(kind).inc()
        fields = {"node": name, "error": str(error), "delay_s": round(delay, 2)}
        logger.warning("step failed, trying again", extra=fields)

    async def _look(self, name: str, *, quietly: bool) -> None:
        await self._take_instructions(name)
        confirmed, ended = False, None
        for _ in range(ROUNDS):
            observation = self._world.observe(name, self._clock.now(), confirmed=confirmed, sweeps=self._sweeps)
            decision = decide(observation, self._world.room(name))
            self._desk.note(name, decision.pins)
            if lost := pins.lost(decision.pins):
                self._world.intents.give_up(name, lost - {pod.metadata.uid for pod in observation.pods})
            if not decision.steps:
                break
            confirmed = any(isinstance(step, Confirm) for step in decision.steps)
            refused = await self._executor.run(name, decision.steps)
            if refused:
                self._desk.note(name, refused)
                await self._drop(name, set(refused))
            ended = ended if confirmed else decision.ended
        else:
            self._queue.add(name)
            return
        if ended is not None and decision.ended is None:  # it has come to nothing, and nothing is left of it
            decision = dataclasses.replace(decision, ended=ended)
        self._desk.settle(observation, decision)
        self._schedule(name, observation.now, decision)
        await self._tell(observation, decision, quietly=quietly)

    # --- instructions ---

    async def _take_instructions(self, name: str) -> None:
        waiting = self._desk.take(name)
        if not waiting:
            return
        try:
            await self._fetch_unknown(waiting)
            deferred = await self._judge(name, waiting)
        except BaseException:
            self._desk.put_back(name, waiting)
            raise
        self._desk.put_back(name, deferred)

    async def _judge(self, name: str, waiting: list[Open]) -> list[Open]:
        """Judge instructions in their order, see to what they come to, all at once; returns those to judge again."""
        observation = self._world.observe(name, self._clock.now(), confirmed=False, sweeps=self._sweeps)
        spec = observation.spec if observation.reservation is not None else Spec()
        around = intake.Surroundings(self._epoch, self._options.profile, self._world.pod, self._sweeps.capped)
        judged: list[tuple[Open, intake.Admission]] = []
        for each in waiting:
            self._epoch = max(self._epoch, each.instruction.position.epoch)
            admission = intake.take(each.instruction, observation, spec, around)
            if isinstance(admission, intake.Accepted):
                spec = admission.spec
            judged.append((each, admission))
        accepted = [each.instruction for each, admission in judged if isinstance(admission, intake.Accepted)]
        at_once = bool(accepted) and intake.can_be_bound(observation, accepted)
        if at_once:
            self._world.intents.take_on(name, spec)
        elif accepted:
            try:
                if not await self._ledger.store(name, spec):
                    self._queue.add(name)
                    return waiting
            except _REFUSED as error:
                text = f"the API server did not take the reservation: {error.status.message or error}"
                refused = intake.Refused(Outcome.FAILED, Refusal(ReasonCode.API_REFUSED, text))
                judged = [(each, refused if isinstance(said, intake.Accepted) else said) for each, said in judged]
        return [each for each, admission in judged if not self._said(each, admission, stored=not at_once)]

    def _said(self, each: Open, admission: intake.Admission, *, stored: bool) -> bool:
        """Answer as far as is known by now; returns False when the instruction is to be judged again."""
        match admission:
            case intake.Refused(outcome, refusal):
                self._desk.refuse(each, outcome, refusal)
            case intake.Accepted(pods=pods) if stored:
                self._desk.accept(each, pods)
            case intake.Accepted(pods=pods) | intake.Settled(pods):
                self._desk.keep(each, pods)
            case intake.Deferred():
                return False
        return True

    async def _fetch_unknown(self, waiting: list[Open]) -> None:
        """Read the pods that the planner knows and the cache does not: a watch may lag behind another's."""
        unknown = []
        for each in waiting:
            action = each.instruction.action
            for ref in action.pods if isinstance(action, PinPods) else ():
                pod = self._world.pod(str(ref))
                if pod is None or pod.metadata.uid != ref.uid:
                    unknown.append(ref)
        await asyncio.gather(*(self._executor.read_pod(ref.namespace, ref.name) for ref in unknown))

    async def _drop(self, name: str, uids: set[str]) -> None:
        """Store that some pods will not be pinned."""
        self._world.intents.give_up(name, uids)
        reservation, stored = self._world.reservation(name), self._world.reading(name).spec
        if reservation is not None and (kept := merging.without_pins(stored, uids)) != stored:
            await self._ledger.edit(EditReservation(reservation, stored, kept))

    # --- afterwards ---

    def _schedule(self, name: str, now: datetime, decision: Decision) -> None:
        wake = pins.earliest(decision.wake, self._desk.next_deadline(name))
        if wake is not None:
            self._queue.add_after(name, max((wake - now).total_seconds(), 0.0) + 0.05)

    async def _tell(self, o: Observation, decision: Decision, *, quietly: bool) -> None:
        """Write what is for people or for later leaders only, when there is nothing better to do."""
        self._count(o.name, decision.state)
        if o.reservation is None:
            self._unreadable.pop(o.name, None)
            self._reporter.catch_up(o.name)
            return
        if o.problems and self._unreadable.get(o.name) != decision.message:
            self._unreadable[o.name] = decision.message
            self._reporter.unreadable(o.name, decision.message)
        status = None if o.reservation.metadata.deletion_timestamp is not None else _status(o, decision)
        if decision.later is None and status is None and not self._reporter.behind(o.name):
            return
        if not quietly:
            self._queue.add_quietly(o.name, self._options.settle_delay)
            return
        self._reporter.catch_up(o.name)
        if decision.later is not None:
            await self._ledger.edit(decision.later)
        if status is not None:
            await self._ledger.write_status(o.reservation, status)

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


def _status(o: Observation, decision: Decision) -> dict[str, object] | None:
    """The status to be shown, or None when it is; a node that is settled keeps what it had."""
    shown = o.reservation.status if o.reservation is not None and isinstance(o.reservation.status, dict) else {}
    if not o.open and not o.problems and shown.get("state") == decision.state:
        return None
    bound = sum(1 for state in decision.pins.values() if state.outcome is Outcome.APPLIED)
    pinned = f"{bound}/{len(o.spec.pins)}"
    problems = tuple(str(problem) for problem in o.problems[:32])
    status = msgspec.to_builtins(Status(decision.state, pinned, decision.message[:4096], problems))
    wanted = {"message": "", "problems": [], **status}
    if all(shown.get(key, empty) == wanted[key] for key, empty in (("state", ""), ("pinned", ""))) and (
        shown.get("message", "") == wanted["message"] and shown.get("problems", []) == list(wanted["problems"])
    ):
        return None
    return wanted
