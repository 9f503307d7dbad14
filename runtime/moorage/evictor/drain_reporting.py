"""Reports a drain to people: log lines, metrics, Events on the nodes and, if wanted, on the pods."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from moorage.controller.own_pod import OwnPod
from moorage.drain import Finding, News, Reason
from moorage.drain.events import NodeEvent, event_for, record_on_node
from moorage.drain.steps import Begin, Evict, HandBack, MarkEmptied, NodeStep, RollBack
from moorage.kube.events import EventRecorder, ObjectRef

from . import metrics
from .destinations import Arrivals

logger = logging.getLogger("moorage.evictor")

_WHY = "they fit on other nodes"
_ENDED: Mapping[type[NodeStep], str] = {MarkEmptied: "emptied", RollBack: "rolled_back", HandBack: "handed_back"}
"""What ends a drain, as the metric calls it."""


class DrainReporter:
    """Reports drains to people, for one term of leadership.

    Args:
        recorder: writes the Events.
        us: our own pod.
    """

    def __init__(self, recorder: EventRecorder, us: OwnPod) -> None:
        self._recorder, self._us = recorder, us
        self._draining: set[str] = set()
        self._aside = ""
        self._stopped = ""
        self._stuck: dict[str, str] = {}

    def done(self, news: News, *, pod_events: bool) -> None:
        """Report a step.

        Args:
            news: the step, or its refusal.
            pod_events: whether pods get Events.
        """
        step = news.step
        if isinstance(step, Evict):
            metrics.EVICTIONS.labels("evicted" if news.refused is None else news.refused.reason.name).inc()
            if news.refused is None and pod_events:
                self._tell_pod(step)
        elif news.refused is None and isinstance(step, NodeStep):
            self._changed(step)

    def ended(self, stopped: Finding | None) -> None:
        """Report the end of a cycle. The same reason for a stop is reported once, until a node was emptied meanwhile.

        Args:
            stopped: why; None when it was not.
        """
        self._draining.clear()
        metrics.DRAINING.set(0)
        if stopped is None:
            return
        before, self._stopped = self._stopped, _essence(stopped)
        if self._stopped != before:
            logger.warning("cycle stopped", extra={"reason": stopped.reason.name, "why": str(stopped)})
            self._us.tell("Warning", "CycleStopped", "Drain", f"No more nodes are emptied in this cycle: {stopped}")

    def came(self, come: Arrivals) -> None:
        """Report where the replacements of a cycle run."""
        metrics.REPLACEMENTS.labels("as_simulated").inc(come.as_simulated)
        metrics.REPLACEMENTS.labels("elsewhere").inc(come.elsewhere)
        if any(come):
            logger.info("replacements have come", extra=come._asdict())

    def aside(self, why: str) -> None:
        """Report, once, that no node is emptied, and why; empty: nodes are emptied again."""
        if why == self._aside:
            return
        self._aside = why
        if why:
            logger.warning("nothing is emptied", extra={"why": why})
            self._us.tell("Warning", "StoodDown", "Drain", f"Nothing is emptied: {why}")
        else:
            logger.info("nodes are emptied again")

    def stuck(self, name: str, why: str) -> None:
        """Report, once, a node that could not be handed back."""
        if self._stuck.get(name) == why:
            return
        self._stuck[name] = why
        logger.warning("node not handed back, trying again", extra={"node": name, "why": why})

    def left_alone(self, name: str, why: str) -> None:
        """Report a node of the cycle that the evictor leaves as it is, without a write.

        Args:
            name: the node's.
            why: the reason, for people.
        """
        self._record_on_node(
            name, NodeEvent("Warning", "LeftAlone", f"It is not emptied, and what is set on it stays: {why}")
        )

    def gone(self, name: str, why: str) -> None:
        """Report a node that was deleted before it was emptied; there is no object left for an Event."""
        logger.info("node drained", extra={"node": name, "state": "Gone", "note": why})

    def _changed(self, step: NodeStep) -> None:
        self._stuck.pop(step.name, None)
        if isinstance(step, Begin):
            self._draining.add(step.name)
        elif (ended := _ENDED.get(type(step))) is not None:
            metrics.DRAINS.labels(ended).inc()
            self._draining.discard(step.name)
        if isinstance(step, MarkEmptied):
            self._stopped = ""
        if (event := event_for(step, _WHY)) is not None:
            self._record_on_node(step.name, event)
        metrics.DRAINING.set(len(self._draining))

    def _record_on_node(self, name: str, event: NodeEvent) -> None:
        logger.info("node drained", extra={"node": name, "state": event.reason, "note": event.note})
        record_on_node(self._recorder, name, event)

    def _tell_pod(self, step: Evict) -> None:
        meta = step.pod.metadata
        about = ObjectRef("v1", "Pod", meta.name, meta.namespace, meta.uid)
        note = f"Evicted from node {step.pod.spec.node_name}, which is emptied"
        self._recorder.record(about, type="Normal", reason="Evicted", action="Drain", note=note)


def _essence(stopped: Finding) -> str:
    """What makes two reasons the same: for a missing right, the right, and not the object's name."""
    if stopped.reason is Reason.RIGHTS:
        return f"{stopped.reason.name} {stopped.detail.partition(' is forbidden')[2] or stopped.detail}"
    return str(stopped)
