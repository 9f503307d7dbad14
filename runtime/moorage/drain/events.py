"""What people are told on a node that is drained: Events in the same words, whoever drains it."""

from __future__ import annotations

from typing import NamedTuple

from moorage.kube.events import EventRecorder, EventType, ObjectRef

from .steps import Begin, HandBack, MarkEmptied, NodeStep, RollBack


class Told(NamedTuple):
    """One Event: its type, its reason in one word, and the sentence."""

    type: EventType
    reason: str
    note: str


def told_of(step: NodeStep, why: str) -> Told | None:
    """What is told of a step that was done; None for one that changes nothing for people.

    Args:
        step: what was done.
        why: why the pods may go, as part of a sentence.
    """
    match step:
        case Begin():
            return Told("Normal", "Draining", f"Its pods are evicted: {why}")
        case MarkEmptied():
            return Told("Normal", "Emptied", "All of its pods that move have left: it may be deleted")
        case RollBack(_, finding):
            return Told("Warning", "RolledBack", f"It is not emptied, and given back: {finding}")
        case HandBack(_, finding):
            return Told("Warning", "HandedBack", f"It was emptied, and is given back: {finding}")
    return None


def tell_node(recorder: EventRecorder, name: str, told: Told) -> None:
    """Write it on a node.

    Args:
        recorder: writes the Event.
        name: the node's.
        told: what.
    """
    about = ObjectRef("v1", "Node", name, uid=name)  # as the kubelet has it: kubectl looks for both
    recorder.record(about, type=told.type, reason=told.reason, action="Drain", note=told.note)
