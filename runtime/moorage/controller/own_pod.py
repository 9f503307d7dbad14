"""Events on our own pod. ``kubectl describe pod`` shows them."""

from __future__ import annotations

from collections.abc import Callable

from moorage.kube.events import EventRecorder, EventType, ObjectRef


class OwnPod:
    """Records Events on our pod.

    Args:
        recorder: writes the Events.
        namespace: the namespace of our pod.
        name: the name of our pod.
        uid: returns the pod's uid, by which ``kubectl describe`` finds an Event; empty while it is unknown.
    """

    def __init__(self, recorder: EventRecorder, namespace: str, name: str, uid: Callable[[], str]) -> None:
        self._recorder, self._namespace, self._name, self._uid = recorder, namespace, name, uid

    def tell(self, kind: EventType, reason: str, action: str, note: str) -> None:
        """Record an Event. Never blocks and never raises.

        Args:
            kind: ``Normal`` or ``Warning``.
            reason: one CamelCase word.
            action: what was being done, in one CamelCase word.
            note: the text for people.
        """
        us = ObjectRef("v1", "Pod", self._name, self._namespace, self._uid())
        self._recorder.record(us, type=kind, reason=reason, action=action, note=note)
