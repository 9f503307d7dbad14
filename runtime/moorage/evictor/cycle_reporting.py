"""Reports a cycle: one log line, metrics, and Events on nodes that could newly be emptied."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping

from moorage.controller.own_pod import OwnPod
from moorage.kube.events import EventRecorder, ObjectRef

from . import metrics
from .compaction import Emptied, Plan, Unit
from .configuration_watch import CurrentConfiguration
from .evaluation import Evaluation
from .verdict_counts import VerdictCounts

logger = logging.getLogger("moorage.evictor")

_TOP = 5
"""Reasons in a log line."""
_MISTAKES = 10
"""Log lines about one configuration."""
DRY_RUN = "this is a dry run, nothing is evicted"
ACTS = "nodes that could go are emptied"


class CycleReporter:
    """Reports cycles to people.

    Args:
        recorder: writes the Events.
        us: our own pod.
        chosen: nodes that were reported already.
    """

    def __init__(self, recorder: EventRecorder, us: OwnPod, chosen: Collection[str] = ()) -> None:
        self._recorder, self._us = recorder, us
        self._chosen = frozenset(chosen)
        self._configured = 0
        self._dry_run: bool | None = None
        self._failure = ""

    def configured(self, current: CurrentConfiguration) -> None:
        """Report a configuration, once."""
        if current.number == self._configured:
            return
        self._configured = current.number
        if current.configuration is not None and current.configuration.dry_run != self._dry_run:
            self._dry_run = current.configuration.dry_run
            self._tell_whether_we_act(dry_run=self._dry_run)
        if not current.wrong:
            logger.info("configuration is in force")
            for note in current.notes:
                logger.warning("configuration has a setting without effect", extra={"note": note})
            return
        kept = current.configuration is not None
        sentence = "configuration is wrong, " + (
            "the last good one stays in force" if kept else "nothing is chosen until it is right"
        )
        for each in current.wrong[:_MISTAKES]:
            fields = {"source": each.source, "path": each.path, "line": each.line, "error": each.sentence}
            logger.warning(sentence, extra=fields)
        if len(current.wrong) > _MISTAKES:
            logger.warning("configuration has more mistakes", extra={"more": len(current.wrong) - _MISTAKES})
        self._tell_wrong(current, "The last good one stays in force" if kept else "Nothing is chosen until it is right")

    def _tell_whether_we_act(self, *, dry_run: bool) -> None:
        if dry_run:
            note = "Nodes that could go are found and reported, and nothing is evicted"
            self._us.tell("Normal", "DryRun", "Start", note)
        else:
            self._us.tell("Normal", "Acting", "Start", "Nodes that could go are found and emptied")
        logger.info(DRY_RUN if dry_run else ACTS)

    def _tell_wrong(self, current: CurrentConfiguration, consequence: str) -> None:
        reported = set()
        for each in current.wrong:
            if each.source in reported:
                continue
            reported.add(each.source)
            note = f"{consequence}: {each}"
            about = current.about.get(each.source)
            if about is None:
                self._us.tell("Warning", "ConfigurationInvalid", "Configure", note)
                continue
            self._recorder.record(about, type="Warning", reason="ConfigurationInvalid", action="Configure", note=note)

    def looked(self, evaluation: Evaluation, counts: VerdictCounts, seconds: float) -> None:
        """Report a cycle."""
        plan = evaluation.plan
        self._failure = ""
        metrics.CYCLES.labels("computed").inc()
        metrics.SECONDS.observe(seconds)
        metrics.show(plan, counts.kept, counts.holding)
        logger.info("cluster evaluated", extra=_fields(evaluation, counts, seconds))
        for node in plan.chosen:
            if node.name not in self._chosen and evaluation.configuration.dry_run:
                self._tell_node(node, plan)
        self._chosen = frozenset(node.name for node in plan.chosen)

    def idle(self, result: str) -> None:
        """Report a cycle without evaluation: ``disabled`` or ``unconfigured``."""
        metrics.CYCLES.labels(result).inc()
        metrics.clear()
        self._chosen = frozenset()

    def failed(self, error: Exception, seconds: float) -> None:
        """Report a cycle that ended with an error; the same traceback is logged once."""
        message = f"{type(error).__name__}: {error}"
        metrics.CYCLES.labels("failed").inc()
        fields = {"error": message, "seconds": round(seconds, 3)}
        logger.error("cycle failed, trying again", extra=fields, exc_info=None if message == self._failure else error)
        self._failure = message
        self._us.tell("Warning", "CycleFailed", "Look", f"What is said about nodes is old: {message}")

    def _tell_node(self, node: Emptied, plan: Plan) -> None:
        worth = f"{node.price:.4g} per hour" if plan.unit is Unit.MONEY else f"{node.price:.4g} units"
        if node.moves:
            note = f"All of its pods that may move would fit elsewhere: {len(node.moves)}. It is worth {worth}"
        else:
            note = f"Nothing runs on it that would have to move. It is worth {worth}"
        self._recorder.record(
            ObjectRef("v1", "Node", node.name, uid=node.name),  # as the kubelet does: kubectl selects by both
            type="Normal",
            reason="CouldBeEmptied",
            action="Look",
            note=f"{note}. This is a dry run: nothing is evicted",
        )


def _fields(evaluation: Evaluation, counts: VerdictCounts, seconds: float) -> Mapping[str, object]:
    plan = evaluation.plan
    fields: dict[str, object] = {
        "nodes": counts.nodes,
        "candidates": counts.candidates,
        "chosen": len(plan.chosen),
        "freed": round(plan.freed, 4),
        "part": round(plan.freed / plan.total, 4) if plan.total else 0.0,
        "unit": plan.unit.value,
        "moved": plan.moved,
        "cut_off": plan.cut_off,
        "seconds": round(seconds, 3),
        "held": dict(counts.kept.most_common(_TOP)),
    }
    if evaluation.inventory.unseen:
        fields["unseen"] = sorted(evaluation.inventory.unseen)
    return fields
