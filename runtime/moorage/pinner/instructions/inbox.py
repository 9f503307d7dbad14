"""The instructions that have no final answer yet, and the answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from moorage.protocol import (
    Ack,
    CreatePlaceholder,
    DeletePlaceholder,
    Instruction,
    Outcome,
    PinPods,
    PodResult,
    ReasonCode,
    Release,
)

from .. import metrics
from ..node.observation import Observation, PinState
from ..node.steps import Decision
from ..refusal import Refusal
from ..reporting import Reporter

_REJECTING = frozenset(
    (ReasonCode.NODE_IS_REAL, ReasonCode.NODE_FOREIGN, ReasonCode.DUPLICATE_NODE, ReasonCode.SUPERSEDED)
)


@dataclass(slots=True)
class Open:
    """One instruction under way.

    Attributes:
        instruction: as received last.
        received: when it was first (monotonic seconds).
        results: what is final of single pods, by uid.
        tries: how often it could not be judged.
        trouble: what has hindered it so far; its answer when its deadline comes.
        looked_up: whether its pods were read from the API server where the cache does not know them.
        reservation: uid of the reservation that it was taken on with; empty when there was none.
    """

    instruction: Instruction
    received: float
    results: dict[str, PodResult] = field(default_factory=dict)
    tries: int = 0
    trouble: Refusal | None = None
    looked_up: bool = False
    reservation: str = ""


class Desk:
    """Keeps instructions until they have their final answer.

    Args:
        acks: takes the answers.
        reporter: tells people about pods that are not pinned.
        monotonic: seconds on a clock that never goes back.
    """

    def __init__(self, acks: Callable[[Ack], None], reporter: Reporter, monotonic: Callable[[], float]) -> None:
        self._acks = acks
        self._reporter = reporter
        self._monotonic = monotonic
        self._inbox: dict[str, dict[str, Open]] = {}  # node to instructions not judged yet, by id
        self._open: dict[str, dict[str, Open]] = {}  # node to instructions that were taken on, by id
        self._received: dict[str, float] = {}

    def receive(self, instruction: Instruction) -> None:
        """Keep an instruction until its node is looked at; a repetition takes the place of the first."""
        inbox = self._inbox.setdefault(instruction.node, {})
        inbox.pop(instruction.id, None)
        received = self._received.setdefault(instruction.id, self._monotonic())
        inbox[instruction.id] = Open(instruction, received)

    def take(self, node: str) -> list[Open]:
        """The instructions for a node that were not judged yet, in the order of their positions."""
        found = self._inbox.pop(node, {})
        return sorted(found.values(), key=lambda each: each.instruction.position)

    def put_back(self, node: str, found: list[Open]) -> None:
        """Judge these again later."""
        for each in found:
            self._inbox.setdefault(node, {}).setdefault(each.instruction.id, each)

    def waiting(self, node: str) -> list[Open]:
        """The instructions for a node that are to be judged again."""
        return list(self._inbox.get(node, {}).values())

    def hindered(self, node: str, why: Refusal) -> None:
        """Everything for a node is hindered by the same."""
        for each in (*self._inbox.get(node, {}).values(), *self._open.get(node, {}).values()):
            each.trouble = why

    def received(self, instruction_id: str) -> float | None:
        """When an instruction that is under way was received (monotonic seconds)."""
        return self._received.get(instruction_id)

    def next_deadline(self, node: str) -> datetime | None:
        """When the next instruction for a node is too late."""
        every = (*self._inbox.get(node, {}).values(), *self._open.get(node, {}).values())
        return min((each.instruction.deadline for each in every), default=None)

    def is_late(self, node: str, now: datetime) -> bool:
        """Whether an instruction that was taken on has waited for as long as it may."""
        return any(now >= each.instruction.deadline for each in self._open.get(node, {}).values())

    # --- answers ---

    def refuse(self, each: Open, outcome: Outcome, refusal: Refusal) -> None:
        """Answer that nothing was stored."""
        instruction = each.instruction
        if isinstance(instruction.action, PinPods):
            if refusal.reason is ReasonCode.PLACEHOLDER_MISSING:
                self._reporter.missing(instruction.node, instruction.id)
            for ref in instruction.action.pods:
                self._result(each, ref.uid, PodResult(ref, outcome, refusal.reason, refusal.sentence))
        self._answer(each, outcome, refusal)

    def keep(self, each: Open, pods: Mapping[str, PodResult], *, accepted: bool) -> None:
        """Wait for the outcome; answer ACCEPTED when the intent is stored."""
        for uid, result in pods.items():
            self._result(each, uid, result)
        instruction = each.instruction
        self._open.setdefault(instruction.node, {})[instruction.id] = each
        if accepted:
            self._acks(Ack(instruction.id, instruction.position, Outcome.ACCEPTED, pods=tuple(each.results.values())))

    def note(self, node: str, states: Mapping[str, PinState]) -> None:
        """Write down what became of pins; what is final stays, unless the node fails after all."""
        if not states:
            return
        for each in self._open.get(node, {}).values():
            action = each.instruction.action
            if not isinstance(action, PinPods):
                continue
            for ref in action.pods:
                state = states.get(ref.uid)
                if state is None or state.outcome is None:
                    continue
                if ref.uid in each.results and state.outcome is not Outcome.FAILED:
                    continue
                refusal = state.refusal or Refusal(ReasonCode.OK)
                self._result(
                    each, ref.uid, PodResult(ref, state.outcome, refusal.reason, refusal.sentence, node=state.node)
                )

    def settle(self, o: Observation, decision: Decision) -> None:
        """Give every answer that is final now that nothing more can be done for the node at the moment."""
        for each in tuple(self._open.get(o.name, {}).values()):
            answer = _answer_of(each, o, decision)
            if answer is not None:
                self._finish(each, *answer)

    def give_up(self, node: str, why: Refusal, late: datetime | None = None) -> None:
        """Answer FAILED to everything for a node that cannot be looked at.

        Args:
            node: its name.
            why: what hinders it.
            late: only to what had to be done by this time; None means everything.
        """
        for each in (*self.take(node), *self._open.get(node, {}).values()):
            if late is None or late >= each.instruction.deadline:
                self._finish(each, Outcome.FAILED, why)
            elif each.instruction.id not in self._open.get(node, {}):
                self.put_back(node, [each])

    def _finish(self, each: Open, outcome: Outcome, refusal: Refusal | None) -> None:
        if refusal is not None:
            self._fill(each, outcome, refusal)
        self._answer(each, *_summary(each, outcome, refusal))

    def _fill(self, each: Open, outcome: Outcome, refusal: Refusal) -> None:
        """Pods of which nothing was known share the fate of their instruction."""
        action = each.instruction.action
        for ref in action.pods if isinstance(action, PinPods) else ():
            if ref.uid not in each.results:
                self._result(each, ref.uid, PodResult(ref, outcome, refusal.reason, refusal.sentence))

    def _result(self, each: Open, uid: str, result: PodResult) -> None:
        before = each.results.get(uid)
        each.results[uid] = result
        if result.outcome is Outcome.APPLIED or before == result:
            return
        metrics.PINS.labels(result.outcome.value, result.reason.name).inc()
        refusal = Refusal(result.reason, result.sentence)
        self._reporter.pin_refused(result.pod, each.instruction.node, each.instruction.id, refusal)

    def _answer(self, each: Open, outcome: Outcome, refusal: Refusal) -> None:
        instruction = each.instruction
        opened = self._open.get(instruction.node, {})
        opened.pop(instruction.id, None)
        if not opened:
            self._open.pop(instruction.node, None)
        self._received.pop(instruction.id, None)
        pods = tuple(each.results.values())
        self._acks(Ack(instruction.id, instruction.position, outcome, refusal.reason, refusal.sentence, pods))


def _answer_of(each: Open, o: Observation, decision: Decision) -> tuple[Outcome, Refusal | None] | None:
    """The final outcome of an instruction, or None while it is under way; of pods the worst decides, see below."""
    action = each.instruction.action
    if isinstance(action, PinPods) and len(each.results) == len(action.pods):
        return Outcome.APPLIED, None
    late = o.now >= each.instruction.deadline
    too_late = (Outcome.FAILED, each.trouble or Refusal(ReasonCode.DEADLINE_PASSED, decision.message))
    gone = o.reservation is None or each.reservation != o.reservation.metadata.uid
    if isinstance(action, DeletePlaceholder):
        return _deleted(o, gone=gone) or (too_late if late else None)
    if isinstance(action, Release):
        return Outcome.APPLIED, None
    if late and (decision.ended is None or decision.ended.reason is ReasonCode.DEADLINE_PASSED):
        return too_late
    if decision.ended is not None and (decision.finished or late):
        outcome = Outcome.REJECTED if decision.ended.reason in _REJECTING else Outcome.FAILED
        return outcome, decision.ended
    if decision.ended is not None:
        return None
    if gone and isinstance(action, PinPods | CreatePlaceholder):
        return Outcome.REJECTED, Refusal(ReasonCode.SUPERSEDED, "the reservation was deleted")
    if isinstance(action, PinPods):
        return None
    if isinstance(action, CreatePlaceholder):
        there = o.node is not None and (o.ours or o.made)
        return (Outcome.APPLIED, None) if there else None
    return Outcome.APPLIED, None


def _deleted(o: Observation, *, gone: bool) -> tuple[Outcome, Refusal | None] | None:
    if o.node is not None and o.node.has_kubelet:
        text = f"a kubelet has reported for node {o.name}: it is left alone"
        return Outcome.REJECTED, Refusal(ReasonCode.NODE_IS_REAL, text)
    return (Outcome.APPLIED, None) if gone else None


def _summary(each: Open, outcome: Outcome, refusal: Refusal | None) -> tuple[Outcome, Refusal]:
    """The outcome of the whole: of PinPods APPLIED when every pod is, else REJECTED when one was, else FAILED."""
    results = each.results.values()
    for bad in (Outcome.REJECTED, Outcome.FAILED):
        found = [result for result in results if result.outcome is bad]
        if found:
            first = found[0]
            several = f" (and {len(found) - 1} more pods)" if len(found) > 1 else ""
            sentence = f"pod {first.pod}: {first.sentence or first.reason.sentence}{several}"
            return bad, Refusal(first.reason, sentence)
    return outcome, refusal or Refusal(ReasonCode.OK)
