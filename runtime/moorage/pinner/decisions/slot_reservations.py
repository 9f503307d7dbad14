"""Nodes that run, and on which others expect replacements (SlotReservation): what counts, and who may go there. Pure.

A node that runs is not ours: the scheduler places pods there, too, and nothing is ever written to it. So a pod is put
there only after the whole fit check against the node as it is at this moment; everything else is the scheduler's.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from moorage.objects import Node, Pod
from moorage.protocol import ReasonCode
from moorage.reservations import SlotReservation, destinations, moment
from moorage.scheduling import removal_marks

from .. import eligibility
from ..names import PIN_ANNOTATION, PLACEHOLDER_LABEL, STEERED_BY, preparing
from ..promised.expected import Expectation
from ..refusal import Refusal
from . import kubelet

HARD, OFF = "hard", "off"
"""Of the ways to put pods there: the node's name is given to them; nothing is done for SlotReservations."""

LOOK_AGAIN = timedelta(seconds=10)
"""How long until a NodeReservation is looked at again that is in the way: it may end by itself, which nobody tells."""


class Standing(NamedTuple):
    """What a SlotReservation comes to.

    Attributes:
        expectation: what counts of it; None: nothing.
        message: why nothing counts, or why nobody goes there now; empty when all is well.
        problems: what in it cannot be used.
        wake: when it comes to something else by itself; None: never.
    """

    expectation: Expectation | None = None
    message: str = ""
    problems: tuple[str, ...] = ()
    wake: datetime | None = None


def judge(reservation: SlotReservation, node: Node | None, now: datetime, *, promised: bool) -> Standing:
    """What a SlotReservation comes to now.

    Args:
        reservation: as it is stored.
        node: the Node of its name, or None.
        now: the API server's time, UTC.
        promised: whether a NodeReservation holds the node, or expects pods there itself.
    """
    spec, problems = destinations.read(reservation)
    if reservation.metadata.deletion_timestamp is not None:
        return Standing(message="it is being deleted")
    if problems:
        texts = tuple(str(problem) for problem in problems)
        return Standing(message="it cannot be read: " + "; ".join(texts), problems=texts)
    if not destinations.in_force(spec, now):
        since, until = moment(spec.since), moment(spec.until)
        over = until is not None and until <= now
        return Standing(message="it is over" if over else "it has not begun", wake=None if over else since)
    if node is None:
        return Standing(message="there is no such node")
    if node.metadata.uid != spec.node_uid:
        return Standing(message=f"the node has uid {node.metadata.uid} now, {spec.node_uid} is meant")
    if promised or not node.has_kubelet or preparing(node) or PLACEHOLDER_LABEL in node.metadata.labels:
        return Standing(message="the node is a placeholder, or kept for other pods", wake=now + LOOK_AGAIN)
    expectation = Expectation(spec.slots, spec.until, STEERED_BY + spec.by, spec.since, running=True)
    return Standing(expectation, against(node), wake=moment(spec.until))


def against(node: Node) -> str:
    """Why no pod is put on a node, whichever it is; empty when nothing is in the way."""
    meta, taints = node.metadata, {taint.key for taint in node.spec.taints}
    if meta.deletion_timestamp is not None:
        return "the node is being deleted"
    if not node.ready:
        return "the node is not Ready"
    if node.spec.unschedulable:
        return "the node is cordoned"
    if removal_marks.EVICTED in taints:
        return f"the node is to be emptied: taint {removal_marks.EVICTED}"
    mark = next(removal_marks.marks(node), None)
    return f"the node is to be removed: {mark}" if mark is not None else ""


def refuse(expected: Expectation, name: str, node: Node | None, now: datetime) -> Refusal | None:
    """Why no pod is put on a running node where some are expected, whatever fits there; None when one may be.

    Args:
        expected: what is expected there.
        name: the node's name.
        node: the Node, or None.
        now: the API server's time, UTC.
    """
    until = moment(expected.until)
    if node is None or until is None or until <= now:
        return Refusal(ReasonCode.DEADLINE_PASSED, f"nothing is expected on node {name} any more")
    if (going := eligibility.refuse_node(node)) is not None:
        return going
    why = against(node)
    return Refusal(ReasonCode.DOES_NOT_FIT, f"node {name}: {why}") if why else None


def may_be_stuck(pod: Pod) -> bool:
    """Whether a pod was pinned to a node that runs, and has not started there: it may have to be swept."""
    by = pod.metadata.annotations.get(PIN_ANNOTATION, "")
    waits = pod.status.phase in ("", "Pending") and not kubelet.started(pod)
    return by.startswith(STEERED_BY) and (waits or kubelet.refused(pod))
