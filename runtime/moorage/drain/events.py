"""The Events on a drained node. All programs that drain use the same texts."""

from __future__ import annotations

from typing import NamedTuple

from moorage.kube.events import EventRecorder, EventType, ObjectRef

from .steps import Begin, HandBack, MarkEmptied, NodeStep, RollBack


class Told(NamedTuple):
    """An Event: its type, its reason (one word), and its text."""

    type: EventType
    reason: str
    note: str


def told_of(step: NodeStep, why: str) -> Told | None:
    """The Event for a step that was made; None for a step that changes nothing for people.

    Args:
        step: the step.
        why: why the pods may be evicted, as part of a sentence.
    """
    match step:
        case Begin():
            return Told("Normal", "Draining", f"Its pods are evicted: {why}")
        case MarkEmptied():
            return Told("Normal", "Emptied", "All of its pods that move have left: it may be deleted")
        case RollBack(_, finding):
            return Told("Warning", "RolledBack", f"It is rolled back: {finding}")
        case HandBack(_, finding):
            return Told("Warning", "HandedBack", f"It was emptied, and is handed back: {finding}")
    return None


def tell_node(recorder: EventRecorder, name: str, told: Told) -> None:
    """Record an Event on a node.

    Args:
        recorder: writes Events.
        name: the name of the node.
        told: the Event.
    """
    about = ObjectRef("v1", "Node", name, uid=name)  # as in Events of the kubelet: kubectl looks for both
    recorder.record(about, type=told.type, reason=told.reason, action="Drain", note=told.note)
