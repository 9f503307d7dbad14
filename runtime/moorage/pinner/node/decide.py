"""What to do about one node, from what is known of it: pure, level-triggered, and the same after any crash.

The life of a placeholder (design 5): intended → created → held, pods bound to it → a kubelet joins → Ready, adopted →
settled. Of a late node nothing is made: it is intended until a machine registers. Or it fails: pods, then Node, then
reservation are deleted. Four rules stand above all: nothing is destroyed on the word of a cache, a Node with a kubelet
is never deleted, a Node without a mark of ours is never written to, and who cannot read an intent does nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from moorage.objects import Node
from moorage.protocol import Outcome, ReasonCode
from moorage.reservations import Promise, Spec, moment, rules

from ..names import PREPARING, RESERVATION_ANNOTATION, marked, preparing
from ..promised.manifest import placeholder_manifest
from ..providers import Profile
from ..refusal import Refusal
from . import adoption, late, nominations, pins
from .steps import (
    Confirm,
    CreateNode,
    Decision,
    DeleteNode,
    DeletePod,
    EditReservation,
    EndReservation,
    Observation,
    PatchNode,
    PinState,
    Room,
    Step,
)

GIVEN_UP = Refusal(ReasonCode.SUPERSEDED, "the placeholder was given up")

_OPEN = Refusal(
    ReasonCode.SOFT_PIN_UNSUPPORTED,
    "the node runs and is open to the scheduler: only a soft pin would do, and those are not made yet",
)
"""Pods are bound, and nominated for the first time, only while the scheduler is kept away from the node."""


def decide(o: Observation, room: Room) -> Decision:
    """What to do about a node now.

    Args:
        o: what is known of it.
        room: what is left on it; it only answers, whoever does the steps takes the room.

    Returns:
        The next steps (they may be done in any order, or together), and how things stand. Doing them and deciding
        again ends with no steps left.
    """
    deleted = o.reservation is not None and o.reservation.metadata.deletion_timestamp is not None
    if o.problems and not deleted:  # deleting the object says enough by itself
        message = "the reservation cannot be read: " + "; ".join(str(problem) for problem in o.problems)
        return Decision(state="Stopped", message=message, pins=pins.states(o))
    return _decide(o, room)


def _decide(o: Observation, room: Room) -> Decision:
    if o.reservation is None:
        return _nobodys(o, room)
    if o.node is None:
        return _absent(o)
    if o.node.has_kubelet and o.made and not marked(o.node):
        return _left_alone(o, o.node, room)
    # A Node that a machine brought is no placeholder, even when its status names no kubelet any more.
    if (not o.ours or o.late) and not (o.node.has_kubelet and o.made):
        if o.late and o.ours:
            return _end(o, Refusal(ReasonCode.NODE_FAILED, f"node {o.node_name} names no kubelet any more"), node=None)
        real = ReasonCode.NODE_IS_REAL if o.node.has_kubelet else ReasonCode.NODE_FOREIGN
        return _end(o, Refusal(real), node=None)
    if o.node.has_kubelet:
        return _joined(o, o.node, room)
    return _placeholder(o, o.node, room)


def _nobodys(o: Observation, room: Room) -> Decision:
    """Nothing is promised: of a Node that waits for a pod pinner all the same, our taint goes after a while.

    Nobody else would ever take it off, and the machine would run for nothing. Pods may have been pinned to a node while
    it ran.
    """
    sweeps = pins.sweep(o, room) if o.steered else ()
    if o.unclaimed is None or o.node is None:
        return Decision(sweeps)
    until = o.unclaimed.since + late.UNCLAIMED
    if o.now < until:
        return Decision(sweeps, wake=until)
    return Decision((*sweeps, PatchNode(o.node, adoption.withdraw(o.node, None))))


# --- there is no Node ---


def _absent(o: Observation) -> Decision:
    if o.made and not o.open:  # the machine has joined, worked and gone: nothing of ours is left
        return _end(o, Refusal(ReasonCode.NODE_FAILED, f"node {o.name} has gone"), node=None)
    if o.given_up:
        return _end(o, GIVEN_UP, node=None)
    if o.made:
        return _end(o, pins.never_came(o) or _unwanted(o, pins.states(o)) or _gone(o), node=None)
    if o.refused is not None:
        return _end(o, o.refused, node=None)
    if rules.expired(o.spec, o.now):
        why = pins.never_came(o) if o.late else None
        return _end(o, why or Refusal(ReasonCode.DEADLINE_PASSED), node=None)
    found = pins.states(o)
    wake = pins.earliest(moment(o.spec.deadline), *pins.deadlines(o.spec, found))
    if o.spec.promise is None or o.reservation is None:
        return Decision(state="Stopped", message="nothing is promised", pins=found, wake=wake)
    if not isinstance(o.profile, Profile):
        text = o.profile.text if o.profile is not None else "no provider profile"
        return Decision(state="Stopped", message=text, pins=found, wake=wake)
    if o.late:
        return _awaited(o, o.spec.promise, found, wake)
    manifest = placeholder_manifest(o.name, o.reservation.metadata.uid, o.spec.promise, o.profile)
    return Decision((CreateNode(manifest),), "Pending", "the placeholder is being created", found, wake=wake)


def _awaited(o: Observation, promise: Promise, found: Mapping[str, PinState], wake: datetime | None) -> Decision:
    """The machine brings its own Node: nothing is made for it, and what is intended waits until it registers.

    Which Node it is, is written down before anything is done there.
    """
    if (why := _unwanted(o, found)) is not None:
        return _end(o, why, node=None)
    if o.candidate is not None:
        meta = o.candidate.metadata
        spec = msgspec.structs.replace(pins.without_lost(o, found), node_name=meta.name, node_uid=meta.uid)
        edit = _edited(o, spec, close=False)
        return Decision((edit,) if edit else (), "Joining", f"node {meta.name} has registered", found, wake=wake)
    message = f"waiting for a Node with {late.described(promise)} and the taint {PREPARING}"
    return Decision(_dropped(o, found), "Pending", message, found, wake=wake)


def _gone(o: Observation) -> Refusal:
    """Somebody else has deleted the Node."""
    if o.late:
        return Refusal(ReasonCode.NODE_FAILED, f"node {o.node_name} went before it was adopted")
    return Refusal(ReasonCode.PLACEHOLDER_REMOVED)


def _unwanted(o: Observation, found: Mapping[str, PinState]) -> Refusal | None:
    """The placeholder was released, and no pod is on it or still to come."""
    if not o.spec.released or any(state.outcome in (None, Outcome.APPLIED) for state in found.values()):
        return None
    return Refusal(ReasonCode.SUPERSEDED, "the placeholder was released and holds no pods")


# --- the Node has no kubelet ---


def _placeholder(o: Observation, node: Node, room: Room) -> Decision:
    if o.given_up:
        return _end(o, GIVEN_UP, node=node)
    if node.metadata.deletion_timestamp is not None:
        return _end(o, Refusal(ReasonCode.PLACEHOLDER_REMOVED), node=node)
    if o.refused is not None:  # it is there, and not as it must be
        return _end(o, o.refused, node=node)
    found: Mapping[str, PinState] = pins.states(o)
    over = pins.never_came(o) or _unwanted(o, found)
    if over is not None:
        return _end(o, over, node=node)
    binds, _, found = pins.bind(o, room, found)
    # They may get no grace, which a pod that has started just now would need.
    deletions = _once_confirmed(o, (*pins.left_hanging(o), *pins.sweep(o, room)))
    wake = pins.earliest(moment(o.spec.deadline), pins.next_overdue(o), *pins.deadlines(o.spec, found))
    steps = (*binds, *deletions, *_dropped(o, found))
    message = pins.waiting(found) or "waiting for the machine"
    return Decision(steps, "Placeholder", message, found, wake=wake, later=_noted(o, node))


# --- a kubelet has joined ---


def _joined(o: Observation, node: Node, room: Room) -> Decision:
    if o.given_up:
        return _withdrawn(o, node)
    found: Mapping[str, PinState] = pins.states(o)
    overdue = not node.ready and o.open and rules.expired(o.spec, o.now)
    binds: tuple[Step, ...] = ()
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
    if not node.ready or binds:
        message = "the last pods are being pinned" if node.ready else "the machine is getting ready"
        steps = (*binds, *sweeps, *(nominations.cleared(o, found) or _dropped(o, found)))
        return Decision(steps, "Joining", message, found, wake=wake, later=_noted(o, node))
    nominating = nominations.plan(o, node, left, room, found)
    found = nominating.states
    wake = pins.earliest(wake, nominating.wake)
    if (o.guarded and nominating.holds) or nominating.pins or nominations.cleared(o, found):
        return _nominating(o, node, sweeps, nominating, wake)
    return _adopted(o, node, found, sweeps, wake)


def _nominating(
    o: Observation, node: Node, sweeps: tuple[DeletePod, ...], plan: nominations.Plan, wake: datetime | None
) -> Decision:
    """The scheduler is to place pods there itself: what came to nothing goes first, then all others are nominated."""
    found = plan.states
    steps: tuple[Step, ...] = nominations.cleared(o, found)
    nominate = nominations.nominate(o, _named(pins.without_lost(o, found), node), plan.pins)
    if not steps:
        steps = (nominate,) if nominate is not None else _dropped(o, found)
    message = pins.waiting(found) or "pods are being nominated"
    return Decision((*sweeps, *steps), "Joining", message, found, wake=wake, later=_noted(o, node))


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
            patches = (PatchNode(node, _bearing(o, changes)),)
    placed_soon = nominations.recorded(o, found)
    edit = None
    if o.open and not placed_soon:  # until then a nomination may have to be taken back
        edit = _edited(o, _named(pins.without_lost(o, found), node), close=True)
    if edit is not None:
        edit = dataclasses.replace(edit, adopted=True, shortfalls=shortfalls)
    # The reservation is closed only once the node is as it should be; until then a new leader goes on with it.
    closing: tuple[Step, ...] = (edit,) if edit is not None and not patches and not sweeps else ()
    if placed_soon and not patches and not sweeps:
        closing = _dropped(o, found)
    state = "Preparing" if expecting else "Ready"
    waits = pins.waiting(found) or ("pods are expected" if expecting else "the machine has joined")
    message = "; ".join(shortfalls) or waits
    # A kubelet may have registered anew, under another uid.
    later = _noted(o, node) if not o.open or placed_soon else None
    return Decision((*sweeps, *patches, *closing), state, message, found, wake=wake, later=later)


def _never_ready(o: Observation, node: Node, found: Mapping[str, PinState], sweeps: tuple[DeletePod, ...]) -> Decision:
    """The deadline has passed for a node that has joined and is not Ready: its pods go elsewhere, the node stays."""
    why = Refusal(ReasonCode.NODE_FAILED, f"node {o.name} joined, and was not Ready at its deadline")
    swept = {step.pod.metadata.uid for step in sweeps}
    deletions = tuple(
        DeletePod(pod, None, why)
        for pod in pins.here(o)
        if not pins.started(pod)
        and not pod.finished
        and pins.ours_to_delete(pod)
        and pod.metadata.deletion_timestamp is None
        and pod.metadata.uid not in swept
    )
    states = pins.ended(why, found)
    profile = o.profile if isinstance(o.profile, Profile) else None
    if deletions or sweeps:
        return Decision(_once_confirmed(o, (*deletions, *sweeps)), "Failing", why.text, states, ended=why)
    if cleared := nominations.cleared(o, states):
        return Decision(cleared, "Failing", why.text, states, ended=why)
    changes = adoption.withdraw(node, profile, o.not_kept)
    if changes:
        return Decision((PatchNode(node, _bearing(o, changes)),), "Failing", why.text, states, ended=why)
    edit = _edited(o, _named(pins.without_lost(o, states), node), close=True)
    return Decision((edit,) if edit is not None else (), "Failing", why.text, states, ended=why)


def _bearing(o: Observation, changes: dict[str, Any]) -> dict[str, Any]:
    """A patch of a Node; of one that brought nothing of ours but the taint it leaves our mark when that goes.

    By it a later leader tells the Node from one off which somebody else took the taint.
    """
    if not o.late or o.reservation is None:
        return changes
    annotations = {RESERVATION_ANNOTATION: o.reservation.metadata.uid}
    return {**changes, "metadata": {**changes.get("metadata", {}), "annotations": annotations}}


def _withdrawn(o: Observation, node: Node) -> Decision:
    """Given up, but the machine has joined: take our marks off it and leave it, and its pods, alone."""
    why = Refusal(ReasonCode.NODE_IS_REAL)
    states = pins.ended(GIVEN_UP, pins.states(o))
    if cleared := nominations.cleared(o, states):
        return Decision(cleared, "Failing", why.text, states, ended=why)
    profile = o.profile if isinstance(o.profile, Profile) else None
    changes = adoption.withdraw(node, profile, o.not_kept)
    if changes:
        return Decision((PatchNode(node, _bearing(o, changes)),), "Failing", why.text, states, ended=why)
    return _end(o, why, node=None)


def _left_alone(o: Observation, node: Node, room: Room) -> Decision:
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
        return _end(o, why, node=None)
    found = pins.refused(pins.states(o), why)
    if cleared := nominations.cleared(o, found):
        return Decision(cleared, "Foreign", text, found, ended=why)
    pinned = {pod.metadata.uid for pod in pins.here(o)}
    sweeps = tuple(step for step in pins.sweep(o, room) if step.pod.metadata.uid in pinned)
    edit = _edited(o, _named(pins.without_lost(o, found), node), close=True)
    told = not o.open and o.spec.node_uid == node.metadata.uid
    closing = (dataclasses.replace(edit, news="" if told else text),) if edit is not None else ()
    return Decision((*sweeps, *closing), "Foreign", text, found, ended=why)


# --- the end ---


def _end(o: Observation, why: Refusal, *, node: Node | None) -> Decision:
    """Undo everything, in the order in which nothing is lost: pods (their controllers make new ones), Node, intent.

    Args:
        o: the node.
        why: what the planner is told.
        node: the placeholder to delete; None when there is none, or none of ours.
    """
    found = pins.ended(why, pins.states(o))
    decision = Decision((), "Failing", why.text, found, ended=why)
    if cleared := nominations.cleared(o, found):
        return dataclasses.replace(decision, steps=cleared)
    steps: tuple[DeletePod | DeleteNode | EndReservation, ...] = ()
    if doomed := () if _runs_elsewhere(o, node) else _doomed(o, why):
        steps = doomed
    elif node is not None and node.metadata.deletion_timestamp is not None:
        return _held(decision, f"node {o.name}", node.metadata.finalizers)
    elif node is not None and o.confirmed and o.signs.alive:
        # It reports soon, or is gone soon; its pods have gone elsewhere already.
        waits = f"{o.signs.text}: a kubelet is waited for"
        message = f"{why.text}; but {waits}"
        return dataclasses.replace(decision, message=message, waits=waits, wake=o.now + pins.LOOK_AGAIN)
    elif node is not None:
        steps = (DeleteNode(node, why),)
    elif o.reservation is not None and (o.open or o.reservation.metadata.deletion_timestamp is None):
        by_hand = o.node is not None and not o.given_up and not o.spec.instructions  # nobody hears of it by an answer
        steps = (EndReservation(o.reservation, news=why.text if by_hand else ""),)
    elif o.reservation is not None:
        return _held(decision, f"reservation {o.name}", o.reservation.metadata.finalizers)
    # A kubelet may have joined, or the Node may be back: look, whatever the cache says.
    return dataclasses.replace(decision, steps=_once_confirmed(o, steps))


def _held(decision: Decision, what: str, finalizers: tuple[str, ...]) -> Decision:
    """The rest is for somebody else: an object is deleted once its finalizers are gone."""
    waits = f"{what} is being deleted, and finalizers of others hold it: {', '.join(finalizers) or 'none any more'}"
    return dataclasses.replace(decision, message=f"{decision.message}; {waits}", waits=waits)


def _once_confirmed(o: Observation, steps: tuple[DeletePod | DeleteNode | EndReservation, ...]) -> tuple[Step, ...]:
    """Steps that destroy something, or a look at the Node itself before them."""
    return steps if o.confirmed or not steps else (Confirm(steps),)


def _doomed(o: Observation, why: Refusal) -> tuple[DeletePod, ...]:
    """The pinned pods that would be lost with the node; of those that keep their grace, what is being deleted is done.

    What still hangs when its Node is gone is removed by the garbage collector for pods, which waits for that.
    """
    steps = (
        DeletePod(pod, pins.grace(o, pod), why)
        for pod in pins.here(o)
        if not pins.started(pod) and pins.ours_to_delete(pod) and not pins.let_go(pod)
    )
    return tuple(step for step in steps if step.grace == 0 or step.pod.metadata.deletion_timestamp is None)


def _runs_elsewhere(o: Observation, node: Node | None) -> bool:
    """Whether the pods bound to this name are none of our concern: the Node is another's, or a machine has it."""
    if o.node is not None:
        # We made it, and somebody took our marks off: they would hang there.
        wiped = not o.late and not o.node.has_kubelet and o.node.metadata.uid == o.spec.node_uid
        return node is None and not wiped
    return not o.open  # there was a machine: what ran on it is the business of the controllers for lost nodes


# --- edits of the reservation ---


def _dropped(o: Observation, found: Mapping[str, PinState]) -> tuple[EditReservation, ...]:
    """Stores that some pods will not be pinned, before anybody is told so; what was never stored is just forgotten."""
    lost = pins.lost(found)
    if not o.open or not any(pin.uid in lost for pin in o.stored.pins):
        return ()
    edit = _edited(o, pins.without_lost(o, found), close=False)
    return (edit,) if edit is not None else ()


def _noted(o: Observation, node: Node) -> EditReservation | None:
    """Stores what was done: which Node was made, so that even a later leader notices its end, and what was bound."""
    return _edited(o, _named(o.spec, node), close=False)


def _named(spec: Spec, node: Node) -> Spec:
    return msgspec.structs.replace(spec, node_uid=node.metadata.uid) if spec.node_uid != node.metadata.uid else spec


def _edited(o: Observation, spec: Spec, *, close: bool) -> EditReservation | None:
    if o.reservation is None or o.reservation.metadata.deletion_timestamp is not None:
        return None
    if spec == o.stored and not (close and o.open):
        return None
    return EditReservation(o.reservation, o.stored, spec, close=close)
