"""Judges the instructions for a node and stores what they come to: nobody's fault is another's delay.

What one instruction needs and cannot have now (its pods cannot be read, its intent not stored) is waited for until its
deadline, while the others of its node go on. Instructions behind one that waits until the node is cleared wait with it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from moorage.kube import errors
from moorage.kube.clock import ServerClock
from moorage.protocol import Outcome, PinPods, ReasonCode
from moorage.reservations import NodeReservation, Spec

from .. import metrics
from ..decisions.observation import Observation
from ..decisions.sweeps import Sweeps
from ..options import Options
from ..refusal import Refusal, is_final, refusal_of
from ..state.cluster import ClusterState
from ..state.stored import IntentStore, Stored
from . import judge
from .answers import Answers
from .inbox import Inbox, Open

logger = logging.getLogger(__name__)

TRIES = 5
"""How often an instruction, or a node, that meets a defect of ours is tried before it is answered."""


class _NotStored(NamedTuple):
    """Why an intent is not stored, and whether that is for good."""

    why: Refusal
    final: bool = True


class Accepted(NamedTuple):
    """What came of a node's instructions.

    Attributes:
        well: False when some must be tried again.
        seen: the node as it was judged by, when pins were only taken on and nothing was waited for since.
    """

    well: bool = True
    seen: Observation | None = None


NOTHING = Accepted()


class Acceptance:
    """Takes instructions from the inbox.

    Args:
        cluster: what is known.
        read_pod: reads a pod, by namespace and name, into what is known.
        intent_store: stores intents.
        inbox: the instructions.
        answers: gives those that are known by now.
        sweeps: how often pods were swept.
        clock: the API server's time.
        options: choices.
    """

    def __init__(
        self,
        cluster: ClusterState,
        read_pod: Callable[[str, str], Coroutine[Any, Any, None]],
        intent_store: IntentStore,
        inbox: Inbox,
        answers: Answers,
        sweeps: Sweeps,
        clock: ServerClock,
        options: Options,
    ) -> None:
        self._cluster = cluster
        self._read_pod = read_pod
        self._intent_store = intent_store
        self._inbox, self._answers = inbox, answers
        self._sweeps = sweeps
        self._clock = clock
        self._options = options
        self._epoch = 0

    async def accept(self, name: str) -> Accepted:
        """Judge what came for a node.

        Raises:
            NotLeading: we lead no more.
        """
        waiting = self._inbox.dequeue(name)
        if not waiting:
            return NOTHING
        left, seen = waiting, None
        try:
            await self._look_up(waiting)
            left, seen = await self._judge(name, waiting)
        finally:
            self._inbox.requeue(name, left)
        return Accepted(not any(each.trouble is not None for each in left), seen)

    async def _judge(self, name: str, waiting: list[Open]) -> tuple[list[Open], Observation | None]:
        """Judge instructions in their order, and see to what they come to, all at once.

        Returns:
            Those to judge again; and the node as it was seen, if nothing was waited for since.
        """
        observation = self._cluster.observe(name, self._clock.now(), confirmed=False, sweeps=self._sweeps)
        judged, spec = self._judge_in_order(observation, waiting)
        accepted = [each for each, judgement in judged if isinstance(judgement, judge.Accepted)]
        at_once = bool(accepted) and judge.can_be_bound(observation, (each.instruction for each in accepted))
        if at_once:
            self._cluster.intents.take_on(name, spec)
        elif accepted:
            hindrance = await self._store(name, spec)
            if hindrance is not None and not hindrance.final:
                return self._wait(judged, observation.now, hindrance.why), None
            if hindrance is not None and len(waiting) > 1 and _tried_again(accepted):
                return await self._judge_one_by_one(name, waiting), None
            if hindrance is not None:
                refused = judge.Refused(Outcome.FAILED, hindrance.why)
                judged = [(each, refused if isinstance(said, judge.Accepted) else said) for each, said in judged]
        left = [each for each, judgement in judged if not self._answer(each, judgement, stored=not at_once)]
        return left, observation if at_once else None

    def _wait(self, judged: list[tuple[Open, judge.Judgement]], now: datetime, why: Refusal) -> list[Open]:
        """Nothing could be stored: everything waits, but for what has waited as long as it may."""
        left = []
        for each, judgement in judged:
            if now < each.instruction.deadline:
                each.trouble = why
                left.append(each)
            else:
                self._answer(each, judgement, stored=False)
        return left

    async def _judge_one_by_one(self, name: str, waiting: list[Open]) -> list[Open]:
        """Only what the API server refuses is refused; what comes after an instruction that waits waits, too."""
        left: list[Open] = []
        for each in waiting:
            if left and not all(isinstance(other.instruction.action, PinPods) for other in left):
                left.append(each)
            else:
                left += (await self._judge(name, [each]))[0]
        return left

    def _judge_in_order(self, o: Observation, waiting: list[Open]) -> tuple[list[tuple[Open, judge.Judgement]], Spec]:
        """What each instruction comes to, and all of the intent with those that are accepted."""
        spec = o.spec if o.reservation is not None else Spec()
        judged: list[tuple[Open, judge.Judgement]] = []
        behind = False
        for each in waiting:
            self._epoch = max(self._epoch, each.instruction.position.epoch)
            each.reservation = _uid(o.reservation)
            judgement = self._judge_one(each, o, spec, behind=behind)
            if isinstance(judgement, judge.Accepted):
                spec = judgement.spec
            behind |= isinstance(judgement, judge.Deferred) and not isinstance(each.instruction.action, PinPods)
            judged.append((each, judgement))
        return judged, spec

    def _judge_one(self, each: Open, o: Observation, spec: Spec, *, behind: bool) -> judge.Judgement:
        """What an instruction comes to; one that meets a defect is tried again, a few times."""
        context = judge.Context(
            self._epoch,
            self._options.profile,
            self._cluster.pod,
            partial(self._cluster.ends.refuse, shown=True),  # an instruction names pods that the watch has shown
            self._cluster.all_nodes,
            behind=behind or not _known(each),
            instance=lambda name, promise: self._cluster.instance_refusal(name, promise, o.now),
        )
        try:
            judgement = judge.judge(each.instruction, o, spec, context)
        except Exception as error:
            each.tries, each.trouble = each.tries + 1, refusal_of(error)
            fields = {"instruction": each.instruction.id, "node": o.name, "tries": each.tries}
            logger.exception("instruction could not be judged", extra=fields)
            if each.tries < TRIES:
                return judge.Deferred()
            return judge.Refused(Outcome.FAILED, each.trouble)
        late = isinstance(judgement, judge.Refused) and judgement.refusal.reason is ReasonCode.DEADLINE_PASSED
        if late and each.trouble is not None:
            return judge.Refused(Outcome.FAILED, each.trouble)
        return judgement

    async def _store(self, name: str, spec: Spec) -> _NotStored | None:
        """Store an intent; returns what hinders it."""
        try:
            stored = await self._intent_store.store(name, spec)
        except errors.KubeError as error:
            if isinstance(error, errors.ApiError) and is_final(error):
                text = f"the API server did not take the reservation: {error.status.message or error}"
                return _NotStored(Refusal(ReasonCode.API_REFUSED, text))
            metrics.FAILURES.labels(type(error).__name__).inc()
            logger.warning("intent not stored, trying again", extra={"node": name, "error": str(error)})
            return _NotStored(refusal_of(error), final=False)
        if stored is Stored.NOT_KEPT:
            text = "the API server took the reservation and keeps something else: is its definition older than we are?"
            return _NotStored(Refusal(ReasonCode.API_REFUSED, text))
        if stored is Stored.CHANGED:
            text = "the reservation was changed by others again and again"
            return _NotStored(Refusal(ReasonCode.API_REFUSED, text), final=False)
        return None

    def _answer(self, each: Open, judgement: judge.Judgement, *, stored: bool) -> bool:
        """Answer as far as is known by now; returns False when the instruction is to be judged again."""
        match judgement:
            case judge.Refused(outcome, refusal):
                self._answers.refuse(each, outcome, refusal)
            case judge.Accepted(pods=pods) | judge.Settled(pods):
                if isinstance(judgement, judge.Accepted):
                    self._taken_on(each)
                self._answers.accept(each, pods, stored=stored and isinstance(judgement, judge.Accepted))
            case judge.Deferred():
                return False
        return True

    def _taken_on(self, each: Open) -> None:
        action = each.instruction.action
        each.trouble, each.reservation = None, _uid(self._cluster.reservation(action.node))
        if isinstance(action, PinPods):
            self._cluster.pins_anew(each.reservation, (ref.uid for ref in action.pods))

    async def _look_up(self, waiting: list[Open]) -> None:
        """Read the pods that the planner knows and the cache does not, each once: a watch may lag behind another's."""
        reads: dict[str, asyncio.Task[None]] = {}
        await asyncio.gather(*(self._look_up_pods(each, reads) for each in waiting if not each.looked_up))

    async def _look_up_pods(self, each: Open, reads: dict[str, asyncio.Task[None]]) -> None:
        action = each.instruction.action
        try:
            for ref in action.pods if isinstance(action, PinPods) else ():
                pod = self._cluster.pod(str(ref))
                if pod is None or pod.metadata.uid != ref.uid:
                    if str(ref) not in reads:
                        reads[str(ref)] = asyncio.create_task(self._read_pod(ref.namespace, ref.name))
                    await reads[str(ref)]
        except errors.KubeError as error:
            metrics.FAILURES.labels(type(error).__name__).inc()
            fields = {"instruction": each.instruction.id, "node": each.instruction.node, "error": str(error)}
            logger.warning("pods of an instruction cannot be read, trying again", extra=fields)
            each.trouble = refusal_of(error)
        else:
            each.looked_up = True


def _tried_again(accepted: list[Open]) -> bool:
    """Whether instructions that could not be stored together may be judged again, each for itself: a few times.

    What the API server has kept of them may end the node, so that those before it wait until it is cleared, and are
    then stored together once more.
    """
    for each in accepted:
        each.tries += 1
    return all(each.tries < TRIES for each in accepted)


def _uid(reservation: NodeReservation | None) -> str:
    return reservation.metadata.uid if reservation is not None else ""


def _known(each: Open) -> bool:
    """Whether its pods can be judged: those that nobody could read may be there."""
    return each.looked_up or not isinstance(each.instruction.action, PinPods)
