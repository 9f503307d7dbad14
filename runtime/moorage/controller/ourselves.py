"""Events on the pod that we run in: what people find who ask ``kubectl describe`` why it does what it does."""

from __future__ import annotations

from collections.abc import Callable

from moorage.kube.events import EventRecorder, EventType, ObjectRef


class Ourselves:
    """Tells people who look at our pod.

    Args:
        recorder: writes the Events.
        namespace: of our pod.
        name: of our pod.
        uid: gives its uid, by which ``kubectl describe`` finds an Event; empty while it is not known.
    """

    def __init__(self, recorder: EventRecorder, namespace: str, name: str, uid: Callable[[], str]) -> None:
        self._recorder, self._namespace, self._name, self._uid = recorder, namespace, name, uid

    def tell(self, kind: EventType, reason: str, action: str, note: str) -> None:
        """Record an Event; never blocks and never raises.

        Args:
            kind: ``Normal`` or ``Warning``.
            reason: why, in one CamelCase word.
            action: what was being done, in one word.
            note: a sentence.
        """
        us = ObjectRef("v1", "Pod", self._name, self._namespace, self._uid())
        self._recorder.record(us, type=kind, reason=reason, action=action, note=note)
