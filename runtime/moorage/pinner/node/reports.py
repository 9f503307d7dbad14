"""What the planner is told of each node, whatever became of instructions: how far it is, and who fills its slots.

Reports follow from what is seen, so a new leader says the same as the one before; what has not changed is not said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from moorage.objects import Pod
from moorage.protocol import NodeReport, NodeState, Owner, Position, SlotReport
from moorage.reservations import Slot, merging, rules

from ..decisions import adoption
from ..decisions.ends import NOBODY
from ..decisions.observation import Observation
from ..decisions.steps import Decision
from ..names import CLAIM_ANNOTATION, NOT_PINNED_ANNOTATION, PIN_ANNOTATION, preparing
from ..promised.expected import OwnerKey, key_of
from ..providers import Profile
from ..refusal import Refusal

_JOINED = (NodeState.PREPARING, NodeState.READY)


class Reports:
    """Says how it stands with nodes, each time that has changed; for one term.

    Args:
        send: takes a report; must not block.
    """

    def __init__(self, send: Callable[[NodeReport], None]) -> None:
        self._send = send
        self._said: dict[str, NodeReport] = {}

    def report(self, o: Observation, decision: Decision) -> None:
        """Take note of how it stands with a node.

        Args:
            o: the node.
            decision: what was decided when nothing more could be done for the moment.
        """
        self._say(o.name, report_of(o, decision))

    def ending(self, o: Observation, decision: Decision) -> None:
        """Say why a promise fails before nothing is left of it: afterwards only that it is gone can be said.

        Args:
            o: the node.
            decision: what is done now.
        """
        if decision.state == "Failing":
            self._say(o.name, report_of(o, decision))

    def _say(self, name: str, report: NodeReport | None) -> None:
        if report is None:
            before = self._said.pop(name, None)
            if before is not None:
                self._send(NodeReport(name, NodeState.GONE, position=before.position))
        elif self._said.get(name) != report:
            self._said[name] = report
            self._send(report)


def report_of(o: Observation, decision: Decision) -> NodeReport | None:
    """How it stands with a node; None when nothing is intended for it.

    Args:
        o: the node.
        decision: what was decided.
    """
    if o.reservation is None:
        return None
    state = NodeState(decision.state.lower())
    return NodeReport(
        o.name,
        state,
        o.node.metadata.uid if o.node is not None else "",
        decision.message,
        _shortfalls(o) if state in _JOINED else (),
        slot_reports(rules.slots_filled(o.spec.slots, o.pods), o.capped_owners),
        Position(*merging.latest_position(o.spec)),
    )


def slot_reports(
    filled: Iterable[tuple[Slot, Sequence[Pod]]], capped: Mapping[OwnerKey, Refusal] = NOBODY
) -> tuple[SlotReport, ...]:
    """What is expected on a node, and who has filled it.

    Args:
        filled: the slots, each with the pods that have come to it.
        capped: why no pods of some owners are pinned.
    """
    return tuple(_slot(slot, pods, capped.get(key_of(slot.owner))) for slot, pods in filled)


def _shortfalls(o: Observation) -> tuple[str, ...]:
    """What the machine lacks, also after its adoption, when nobody compares any more."""
    if o.node is None or o.spec.promise is None or not isinstance(o.profile, Profile):
        return ()
    return adoption.adopt(
        o.node, o.spec.promise, o.profile, preparing=preparing(o.node), not_kept=o.not_kept
    ).shortfalls


def _slot(slot: Slot, pods: Sequence[Pod], capped: Refusal | None) -> SlotReport:
    owner = Owner(slot.owner.kind, slot.owner.namespace, slot.owner.name, slot.owner.uid)
    by = [_by(pod) for pod in pods]
    left = (pod.metadata.annotations.get(NOT_PINNED_ANNOTATION, "") for pod in pods)
    return SlotReport(
        owner,
        slot.count,
        by.count("webhook"),
        by.count("binding"),
        by.count("scheduler"),
        next((why for why in left if why), capped.text if capped is not None and len(pods) < slot.count else ""),
    )


def _by(pod: Pod) -> str:
    """Who has put a pod where it is; a claim alone was a wish that the scheduler has fulfilled."""
    annotations = pod.metadata.annotations
    if PIN_ANNOTATION not in annotations:
        return "scheduler"
    return "webhook" if CLAIM_ANNOTATION in annotations else "binding"
