"""The Events on a drained node. All programs that drain use the same texts."""

from __future__ import annotations

from typing import NamedTuple

from moorage.kube.events import EventRecorder, EventType, ObjectRef

from .steps import Begin, HandBack, MarkEmptied, NodeStep, RollBack


class NodeEvent(NamedTuple):
    """An Event: its type, its reason (one word), and its text."""

    type: EventType
    reason: str
    note: str


def event_for(step: NodeStep, why: str) -> NodeEvent | None:
    """The Event for a step that was made; None for a step that changes nothing for people.

    Args:
        step: the step.
        why: why the pods may be evicted, as part of a sentence.
    """
    match step:
        case Begin():
            return NodeEvent("Normal", "Draining", f"Its pods are evicted: {why}")
        case MarkEmptied():
            return NodeEvent("Normal", "Emptied", "All of its pods that move have left: it may be deleted")
        case RollBack(_, finding):
            return NodeEvent("Warning", "RolledBack", f"It is rolled back: {finding}")
        case HandBack(_, finding):
            return NodeEvent("Warning", "HandedBack", f"It was emptied, and is handed back: {finding}")
    return None


def record_on_node(recorder: EventRecorder, name: str, event: NodeEvent) -> None:
    """Record an Event on a node.

    Args:
        recorder: writes Events.
        name: the name of the node.
        event: the Event.
    """
    about = ObjectRef("v1", "Node", name, uid=name)  # as in Events of the kubelet: kubectl looks for both
    recorder.record(about, type=event.type, reason=event.reason, action="Drain", note=event.note)
