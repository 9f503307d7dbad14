"""Answers to instructions: what became of each, by the state of its node and its pods, also after an error."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from moorage.protocol import (
    Ack,
    CreatePlaceholder,
    DeletePlaceholder,
    Outcome,
    PinPods,
    PodResult,
    ReasonCode,
    Release,
)
from moorage.wording import counted

from .. import metrics
from ..decisions.observation import Observation, PinState
from ..decisions.steps import Decision
from ..refusal import Refusal
from ..reporting import Reporter
from .inbox import Inbox, Left, Open

_REJECTING = frozenset(
    (ReasonCode.NODE_IS_REAL, ReasonCode.NODE_FOREIGN, ReasonCode.DUPLICATE_NODE, ReasonCode.SUPERSEDED)
)


class Answers:
    """Gives them.

    Args:
        inbox: the instructions under way.
        acks: takes the answers.
        reporter: tells people about pods that are not pinned.
    """

    def __init__(self, inbox: Inbox, acks: Callable[[Ack], None], reporter: Reporter) -> None:
        self._inbox, self._acks, self._reporter = inbox, acks, reporter

    # --- of instructions that were judged ---

    def refuse(self, each: Open, outcome: Outcome, refusal: Refusal) -> None:
        """Answer that nothing was stored."""
        instruction = each.instruction
        if isinstance(instruction.action, PinPods):
            if refusal.reason is ReasonCode.PLACEHOLDER_MISSING:
                self._reporter.missing(instruction.node, instruction.id)
            for ref in instruction.action.pods:
                self._result(each, ref.uid, PodResult(ref, outcome, refusal.reason, refusal.sentence))
        self._answer(each, outcome, refusal)

    def accept(self, each: Open, pods: Mapping[str, PodResult], *, stored: bool) -> None:
        """Wait for the outcome; answer ACCEPTED when the intent is stored."""
        for uid, result in pods.items():
            self._result(each, uid, result)
        self._inbox.accept(each)
        if stored:
            instruction, results = each.instruction, tuple(each.results.values())
            self._acks(Ack(instruction.id, instruction.position, Outcome.ACCEPTED, pods=results))

    # --- of a node that was looked at ---

    def progress(self, o: Observation, decision: Decision) -> None:
        """Write down what became of pins before the next steps, which may take their time: who is late is answered."""
        accepted = self._inbox.accepted(o.name)
        for each in accepted:
            self._note(each, decision.pins)
        if any(o.now >= each.instruction.deadline for each in accepted):
            self._give_final(accepted, o, decision)

    def complete(self, o: Observation, decision: Decision, trouble: Refusal | None) -> Left:
        """Give every answer that is final now that nothing more can be done for the node at the moment.

        Args:
            o: the node.
            decision: how things stand.
            trouble: what hinders everything for the node, or None.
        """
        accepted = self._inbox.accepted(o.name)
        for each in accepted:
            self._note(each, decision.pins)
        for each in self._inbox.all(o.name) if trouble is not None else ():
            each.trouble = trouble
        self._give_final(accepted, o, decision)
        return self._inbox.left(o.name)

    def give_up(self, node: str, why: Refusal, late: datetime | None = None) -> None:
        """Answer FAILED to everything for a node that cannot be looked at.

        Args:
            node: its name.
            why: what hinders it.
            late: only to what had to be done by this time; None means everything.
        """
        unjudged = self._inbox.dequeue(node)
        for each in (*unjudged, *self._inbox.accepted(node)):
            if late is None or late >= each.instruction.deadline:
                self._finish(each, Outcome.FAILED, why)
        self._inbox.requeue(node, [each for each in unjudged if late is not None and late < each.instruction.deadline])

    # --- pieces ---

    def _note(self, each: Open, states: Mapping[str, PinState]) -> None:
        """Write down what became of pins; what is final stays, unless the node fails after all."""
        action = each.instruction.action
        for ref in action.pods if states and isinstance(action, PinPods) else ():
            state = states.get(ref.uid)
            if state is None or state.outcome is None:
                continue
            if ref.uid not in each.results or state.outcome is Outcome.FAILED:
                self._result(each, ref.uid, state.result(ref))

    def _give_final(self, accepted: tuple[Open, ...], o: Observation, decision: Decision) -> None:
        for each in accepted:
            answer = _answer_of(each, o, decision)
            if answer is not None:
                self._finish(each, *answer)

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
        self._inbox.close(each)
        instruction, pods = each.instruction, tuple(each.results.values())
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
        there = o.node is not None and (o.is_ours or o.made)
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
            several = f" (and {counted(len(found) - 1, 'more pod')})" if len(found) > 1 else ""
            sentence = f"pod {first.pod}: {first.sentence or first.reason.sentence}{several}"
            return bad, Refusal(first.reason, sentence)
    return outcome, refusal or Refusal(ReasonCode.OK)
