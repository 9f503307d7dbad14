"""Pins of pods that only the scheduler can place: they are nominated to their node once it has joined. Pure.

A nomination (``status.nominatedNodeName``) makes kube-scheduler try that node first, with all its checks, and keep its
room from pods of equal or lower priority. It is a hint for the next attempt, never a reservation: an attempt that fails
clears it, and each clearing wakes other pods. So pods are nominated together, when all that they want is there, and the
preparing taint goes only once the watch has shown that they are: taking it off is what wakes them. It wakes all
others, too: so one node after the other is opened, or pods that are nominated to a closed one would be tried, and fail.

Ours is what the reservation records by the pod's uid, while the pod names this very node. Whatever else stands there is
somebody else's and stays: since 1.35 the scheduler itself writes it while it binds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from moorage.kube.clock import micro_time
from moorage.objects import Node
from moorage.protocol import Outcome, ReasonCode
from moorage.reservations import Pin, Spec, merging, moment
from moorage.wording import counted

from ..refusal import Refusal, Wait
from .observation import Observation, PinState, Room
from .starting import taint_of_start
from .steps import ClearNomination, Nominate

MAX_TRIES = 3
"""How often a pod is nominated: what has failed so often would only wake others again."""
SHOWN = timedelta(seconds=0.1)
"""How long after our own watch has shown a nomination the scheduler surely knows of it, too: it has watches of its own,
and one of Nodes may be ahead of one of pods."""
APART = timedelta(seconds=10)
"""How long after the last try a pod may be nominated again: kube-scheduler backs off for as long at most."""

_STANDS = Refusal(
    ReasonCode.DEADLINE_PASSED, "the pod is nominated to the node, and the scheduler has not placed it yet"
)

_NEXT = Refusal(ReasonCode.DEADLINE_PASSED, "another node is being opened to the scheduler, this one is next")
_FAILED = Refusal(ReasonCode.DEADLINE_PASSED, "the scheduler has tried the pod and failed; it is nominated again soon")


class Plan(NamedTuple):
    """What is to be nominated now.

    Attributes:
        pins: the pods to nominate together.
        holds: whether the scheduler must be kept away from the node until more is known.
        wake: when to look again; None when something else will tell.
        states: the pins' states, by uid, with refusals, and what the others wait for.
    """

    pins: tuple[Pin, ...]
    holds: bool
    wake: datetime | None
    states: Mapping[str, PinState]


def plan(o: Observation, node: Node, wanted: Iterable[Pin], room: Room, found: Mapping[str, PinState]) -> Plan:
    """Decide who is nominated to a node that is Ready.

    Args:
        o: the node.
        node: the Node.
        wanted: the pins of pending pods that only the scheduler can place; those that cannot be read go on waiting.
        room: what is left on the node.
        found: the pins' states, by uid.
    """
    pins, states = _wanted(o, wanted)
    answers = room.nominate([o.pinned[pin.uid] for pin in pins]) if pins else {}
    starting = taint_of_start(node, o.spec.promise)  # the scheduler would be turned away, and wake others
    due: list[Pin] = []
    waiting = unseen = False
    wake = None
    for pin in pins:
        answer = answers[pin.uid]
        awaits = answer.why if isinstance(answer, Wait) else None
        if isinstance(answer, Refusal):
            states[pin.uid] = PinState(Outcome.REJECTED, answer)
        elif stands(o, pin.uid):
            states[pin.uid] = PinState(None, _STANDS, awaits=awaits)
            if pin.uid in o.unseen:
                unseen, wake = True, min(wake or o.now + SHOWN, o.now + SHOWN)
        else:
            again = _again(o, pin)
            why = awaits or starting
            if why is None and again is not None and again > o.now:
                why, wake = _FAILED, min(wake or again, again)
            states[pin.uid] = PinState(None, why, awaits=awaits)
            if why is None:
                due.append(pin)
            else:
                waiting = True
    holds = bool(due) or waiting or unseen
    if o.guarded and (waiting or not due):
        due = []
    elif o.guarded and (later := room.turn(o.now)) is not None:
        states |= {pin.uid: PinState(None, _NEXT) for pin in due}
        due, wake = [], later
    return Plan(tuple(due), holds, wake, {**found, **states} if states else found)


def _wanted(o: Observation, pins: Iterable[Pin]) -> tuple[list[Pin], dict[str, PinState]]:
    """The pins that may be nominated again, those first that are; and the states of those that may not."""
    known, lost = [], {}
    for pin in pins:
        if (why := _lost(o, pin)) is not None:
            lost[pin.uid] = PinState(Outcome.REJECTED, why)
        elif pin.uid in o.pinned:
            known.append(pin)
    return sorted(known, key=lambda pin: not stands(o, pin.uid)), lost


def nominate(o: Observation, spec: Spec, pins: Iterable[Pin]) -> Nominate | None:
    """The step that nominates pods: written down first, so that whoever leads next knows whose they are."""
    chosen = tuple((pin, o.pinned[pin.uid]) for pin in pins)
    if not chosen or o.reservation is None:
        return None
    new = merging.with_nominations(spec, (pin.uid for pin, _ in chosen), at=micro_time(o.now))
    return Nominate(o.reservation, o.stored, new, chosen, turn=o.now if o.guarded else None)


def cleared(o: Observation, found: Mapping[str, PinState]) -> tuple[ClearNomination, ...]:
    """The nominations of ours that nothing will come of: they would keep room from others, and from autoscalers."""
    steps = []
    for pin in o.spec.pins:
        state = found.get(pin.uid)
        if state is not None and state.outcome in (Outcome.REJECTED, Outcome.FAILED) and stands(o, pin.uid):
            why = state.refusal or Refusal(ReasonCode.SUPERSEDED)
            steps.append(ClearNomination(o.pinned[pin.uid], why))
    return tuple(steps)


def recorded(o: Observation, found: Mapping[str, PinState]) -> tuple[Pin, ...]:
    """The pins whose pods were nominated, and of which nothing is final."""
    known = {nomination.uid for nomination in o.spec.nominations}
    return tuple(pin for pin in o.spec.pins if pin.uid in known and found[pin.uid].outcome is None)


def stands(o: Observation, uid: str) -> bool:
    """Whether a pod bears a nomination of ours."""
    pod = o.pinned.get(uid)
    if pod is None or pod.metadata.uid != uid or pod.spec.node_name or pod.finished:
        return False
    node = o.node_name
    return bool(node) and pod.status.nominated_node_name == node == recorded_node(o.spec, uid, node)


def recorded_node(spec: Spec, uid: str, node: str) -> str:
    """The node if its reservation says that we have nominated the pod of this uid to it, else empty."""
    return node if merging.nomination_of(spec, uid) is not None else ""


def landed(spec: Spec, uid: str, node: str) -> Refusal | None:
    """What is said of a pod that is on its node because the scheduler has followed our nomination; None of others."""
    if not recorded_node(spec, uid, node):
        return None
    return Refusal(ReasonCode.POD_NOMINATED, f"the scheduler has placed the pod on node {node}, as it was nominated")


def _lost(o: Observation, pin: Pin) -> Refusal | None:
    """Why a pod is not nominated again, or None while it may be."""
    record = merging.nomination_of(o.spec, pin.uid)
    if record is None or record.tries < MAX_TRIES or stands(o, pin.uid):
        return None
    tries = counted(record.tries, "time")
    text = f"the pod was nominated to node {o.node_name} {tries}, and the scheduler did not place it there"
    return Refusal(ReasonCode.NOMINATION_LOST, text)


def _again(o: Observation, pin: Pin) -> datetime | None:
    """When a pod that was nominated before may be again; None when it never was."""
    record = merging.nomination_of(o.spec, pin.uid)
    last = moment(record.at) if record is not None else None
    return last + APART if last is not None else None
