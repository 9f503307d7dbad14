"""The end of a reservation: its pods are deleted, then its Node, then the reservation itself. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from moorage.objects import Node
from moorage.protocol import Outcome, ReasonCode

from ..refusal import Refusal
from . import kubelet, nominations, pins
from .observation import Observation, PinState
from .steps import Confirm, Decision, DeleteNode, DeletePod, EndReservation, Step

GIVEN_UP = Refusal(ReasonCode.SUPERSEDED, "the placeholder was given up")


def end(o: Observation, why: Refusal, *, node: Node | None = None) -> Decision:
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
    elif node is not None and (hanging := pins.left_hanging(o)):
        steps = hanging
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
    return dataclasses.replace(decision, steps=once_confirmed(o, steps))


def unwanted(o: Observation, found: Mapping[str, PinState]) -> Refusal | None:
    """The placeholder was released, and no pod is on it or still to come."""
    if not o.spec.released or any(state.outcome in (None, Outcome.APPLIED) for state in found.values()):
        return None
    return Refusal(ReasonCode.SUPERSEDED, "the placeholder was released and holds no pods")


def once_confirmed(o: Observation, steps: tuple[DeletePod | DeleteNode | EndReservation, ...]) -> tuple[Step, ...]:
    """Steps that destroy something, or a look at the Node itself before them."""
    return steps if o.confirmed or not steps else (Confirm(steps),)


def _held(decision: Decision, what: str, finalizers: tuple[str, ...]) -> Decision:
    """The rest is for somebody else: an object is deleted once its finalizers are gone."""
    waits = f"{what} is being deleted, and finalizers of others hold it: {', '.join(finalizers) or 'none any more'}"
    return dataclasses.replace(decision, message=f"{decision.message}; {waits}", waits=waits)


def _doomed(o: Observation, why: Refusal) -> tuple[DeletePod, ...]:
    """The pinned pods that would be lost with the node; of those that keep their grace, what is being deleted is done.

    What still hangs when its Node is gone is removed by the garbage collector for pods, which waits for that.
    """
    steps = (
        DeletePod(pod, pins.grace(o, pod), why, exact=True)
        for pod in pins.here(o)
        if not kubelet.started(pod) and pins.ours_to_delete(pod) and not pins.let_go(pod)
    )
    return tuple(step for step in steps if step.grace == 0 or step.pod.metadata.deletion_timestamp is None)


def _runs_elsewhere(o: Observation, node: Node | None) -> bool:
    """Whether the pods bound to this name are none of our concern: the Node is another's, or a machine has it."""
    if o.node is not None:
        # We made it, and somebody took our marks off: they would hang there.
        wiped = not o.late and not o.node.has_kubelet and o.node.metadata.uid == o.spec.node_uid
        return node is None and not wiped
    return not o.open  # there was a machine: what ran on it is the business of the controllers for lost nodes
