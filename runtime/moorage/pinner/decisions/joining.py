"""The phase with a kubelet: the last pods are bound or nominated, the node is adopted, the reservation closed. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from datetime import datetime

from moorage.objects import Node
from moorage.protocol import ReasonCode
from moorage.reservations import Pin, moment, rules

from .. import eligibility
from ..names import PREPARING, preparing
from ..providers import Profile
from ..refusal import Refusal
from . import adoption, edits, ending, kubelet, nominations, pins
from .observation import Observation, PinState, Room
from .starting import removing_waits_for
from .steps import Decision, DeletePod, PatchNode, Step

_OPEN = Refusal(
    ReasonCode.SOFT_PIN_UNSUPPORTED,
    "the node runs and is open to the scheduler: only a soft pin would do, and those are not made yet",
)
"""Pods are bound, and nominated for the first time, only while the scheduler is kept away from the node."""


def decide(o: Observation, node: Node, room: Room) -> Decision:
    """What to do about a node that a kubelet has reported for; arguments as of ``decide.decide``."""
    if o.given_up:
        return _withdrawn(o, node)
    found: Mapping[str, PinState] = pins.states(o)
    overdue = not node.ready and o.open and rules.expired(o.spec, o.now)
    binds: tuple[Step, ...] = ()
    if (going := eligibility.refuse_node(node)) is not None:
        found = pins.refused(found, going)
    left = nominations.recorded(o, found)
    if o.guarded and not overdue:
        binds, left, found = pins.bind(o, room, found)
    elif not overdue:
        found = pins.refused(found, _OPEN, but={pin.uid for pin in left})
    sweeps = pins.sweep(o, room)
    until = (moment(o.spec.deadline) if o.open else None, moment(o.spec.expected_until))
    wake = pins.earliest(*(m for m in until if m is not None and m > o.now), *pins.deadlines(o.spec, found))
    if overdue:
        return _never_ready(o, node, found, sweeps)
    starting = _kept_closed_for(o, found, left)
    if not node.ready or binds or starting is not None:
        message = "the last pods are being pinned" if node.ready else "the machine is getting ready"
        if going is not None:
            message = going.text
        elif starting is not None:
            message = pins.waiting(found) or starting.text
        steps = (*binds, *sweeps, *(nominations.cleared(o, found) or edits.drop_lost(o, found)))
        if node.ready and starting is not None:
            steps = (*steps, *_completed(o, node))
        return Decision(steps, "Joining", message, found, wake=wake, later=edits.note_done(o, node))
    nominating = nominations.plan(o, node, left, room, found)
    found = nominating.states
    wake = pins.earliest(wake, nominating.wake)
    if (o.guarded and nominating.holds) or nominating.pins or nominations.cleared(o, found):
        return _nominating(o, node, sweeps, nominating, wake)
    return _adopted(o, node, found, sweeps, wake)


def _kept_closed_for(o: Observation, found: Mapping[str, PinState], left: Iterable[Pin]) -> Refusal | None:
    """What the scheduler is kept away for, as long as a pod is still to be bound, of a pin or of a slot; or None.

    Those that only the scheduler can place (``left``) wait for startup taints anyhow.
    """
    if not o.guarded:
        return None
    pending = {uid for uid, state in found.items() if state.outcome is None}
    expecting = rules.expecting(o.spec, o.now, o.pods)
    if not (pending or expecting):
        return None
    why = o.binding_waits_for
    if why is None and (expecting or pending - {pin.uid for pin in left}):
        why = removing_waits_for(o.node, o.spec.promise)
    return why


def _completed(o: Observation, node: Node) -> tuple[PatchNode, ...]:
    """Labels and taints as of an adopted node, but for our own: who takes the startup taints off may select by them."""
    if o.spec.promise is None or not isinstance(o.profile, Profile):
        return ()
    closed = adoption.NO_SCHEDULE
    changes, _ = adoption.adopt(node, o.spec.promise, o.profile, preparing=closed, not_kept=o.not_kept)
    return (PatchNode(node, edits.with_mark(o, changes)),) if changes else ()


def _nominating(
    o: Observation, node: Node, sweeps: tuple[DeletePod, ...], plan: nominations.Plan, wake: datetime | None
) -> Decision:
    """The scheduler is to place pods there itself: what came to nothing goes first, then all others are nominated."""
    found = plan.states
    steps: tuple[Step, ...] = nominations.cleared(o, found)
    nominate = nominations.nominate(o, edits.with_node(pins.without_lost(o, found), node), plan.pins)
    if not steps:
        steps = (nominate,) if nominate is not None else edits.drop_lost(o, found)
    message = pins.waiting(found) or "pods are being nominated"
    return Decision((*sweeps, *steps), "Joining", message, found, wake=wake, later=edits.note_done(o, node))


def _adopted(
    o: Observation, node: Node, found: Mapping[str, PinState], sweeps: tuple[DeletePod, ...], wake: datetime | None
) -> Decision:
    expecting = rules.expecting(o.spec, o.now, o.pods)
    patches: tuple[Step, ...] = ()
    shortfalls: tuple[str, ...] = ()
    if o.spec.promise is not None and isinstance(o.profile, Profile) and (o.open or preparing(node)):
        effect = adoption.PREFER_NO_SCHEDULE if expecting else ""
        changes, shortfalls = adoption.adopt(node, o.spec.promise, o.profile, preparing=effect, not_kept=o.not_kept)
        if changes:
            patches = (PatchNode(node, edits.with_mark(o, changes)),)
    placed_soon = nominations.recorded(o, found)
    edit = None
    if o.open and not placed_soon:  # until then a nomination may have to be taken back
        edit = edits.edit(o, edits.with_node(pins.without_lost(o, found), node), close=True)
    if edit is not None:
        edit = dataclasses.replace(edit, adopted=True, shortfalls=shortfalls)
    # The reservation is closed only once the node is as it should be; until then a new leader goes on with it.
    closing: tuple[Step, ...] = (edit,) if edit is not None and not patches and not sweeps else ()
    if placed_soon and not patches and not sweeps:
        closing = edits.drop_lost(o, found)
    state = "Preparing" if expecting else "Ready"
    waits = pins.waiting(found) or ("pods are expected" if expecting else "the machine has joined")
    message = "; ".join(shortfalls) or waits
    # A kubelet may have registered anew, under another uid.
    later = edits.note_done(o, node) if not o.open or placed_soon else None
    return Decision((*sweeps, *patches, *closing), state, message, found, wake=wake, later=later)


def _never_ready(o: Observation, node: Node, found: Mapping[str, PinState], sweeps: tuple[DeletePod, ...]) -> Decision:
    """The deadline has passed for a node that has joined and is not Ready: its pods go elsewhere, the node stays."""
    why = Refusal(ReasonCode.NODE_FAILED, f"node {o.name} joined, and was not Ready at its deadline")
    swept = {step.pod.metadata.uid for step in sweeps}
    deletions = tuple(
        DeletePod(pod, None, why, exact=True)
        for pod in pins.here(o)
        if not kubelet.started(pod)
        and not pod.finished
        and pins.ours_to_delete(pod)
        and pod.metadata.deletion_timestamp is None
        and pod.metadata.uid not in swept
    )
    states = pins.ended(why, found)
    profile = o.profile if isinstance(o.profile, Profile) else None
    if deletions or sweeps:
        return Decision(ending.once_confirmed(o, (*deletions, *sweeps)), "Failing", why.text, states, ended=why)
    if cleared := nominations.cleared(o, states):
        return Decision(cleared, "Failing", why.text, states, ended=why)
    changes = adoption.withdraw(node, profile, o.not_kept)
    if changes:
        return Decision((PatchNode(node, edits.with_mark(o, changes)),), "Failing", why.text, states, ended=why)
    edit = edits.edit(o, edits.with_node(pins.without_lost(o, states), node), close=True)
    return Decision((edit,) if edit is not None else (), "Failing", why.text, states, ended=why)


def _withdrawn(o: Observation, node: Node) -> Decision:
    """Given up, but the machine has joined: take our marks off it and leave it, and its pods, alone."""
    why = Refusal(ReasonCode.NODE_IS_REAL)
    states = pins.ended(ending.GIVEN_UP, pins.states(o))
    if cleared := nominations.cleared(o, states):
        return Decision(cleared, "Failing", why.text, states, ended=why)
    profile = o.profile if isinstance(o.profile, Profile) else None
    changes = adoption.withdraw(node, profile, o.not_kept)
    if changes:
        return Decision((PatchNode(node, edits.with_mark(o, changes)),), "Failing", why.text, states, ended=why)
    return ending.end(o, why)


def left_alone(o: Observation, node: Node, room: Room) -> Decision:
    """A machine has the Node, and nothing on it says that it was ever ours: it registered anew, or we were wiped off.

    What was pinned to it stays, and may still be swept where it can never start. The reservation is closed and says so.
    """
    text = f"a machine has node {o.name}, and no mark of ours is on it (any more): it is left as it is"
    if o.late:
        text = (
            f"node {o.node_name} registered without the taint {PREPARING}, or somebody took it off: "
            "the scheduler is not kept away from it, and it is left as it is"
        )
    why = Refusal(ReasonCode.NODE_IS_REAL, text)
    if o.given_up:
        return ending.end(o, why)
    found = pins.refused(pins.states(o), why)
    if cleared := nominations.cleared(o, found):
        return Decision(cleared, "Foreign", text, found, ended=why)
    pinned = {pod.metadata.uid for pod in pins.here(o)}
    sweeps = tuple(step for step in pins.sweep(o, room) if step.pod.metadata.uid in pinned)
    edit = edits.edit(o, edits.with_node(pins.without_lost(o, found), node), close=True)
    told = not o.open and o.spec.node_uid == node.metadata.uid
    closing = (dataclasses.replace(edit, news="" if told else text),) if edit is not None else ()
    return Decision((*sweeps, *closing), "Foreign", text, found, ended=why)
