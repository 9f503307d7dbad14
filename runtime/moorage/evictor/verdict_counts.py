"""Counts how many nodes stay, by reason, for metrics and status."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from .candidates import NodeVerdict
from .compaction import KeptReason
from .evaluation import Evaluation


@dataclass(frozen=True, slots=True)
class VerdictCounts:
    """The counts of one evaluation.

    Attributes:
        nodes: how many nodes there are.
        candidates: how many of them may go.
        kept: nodes that stay, under each reason: the node's own, those of pods that hold it, those of the choice.
        holding: pods that hold their nodes, under the weightiest reason.
    """

    nodes: int
    candidates: int
    kept: Counter[str]
    holding: Counter[str]


def count_verdicts(evaluation: Evaluation) -> VerdictCounts:
    """Count the verdicts and findings of an evaluation.

    Args:
        evaluation: what was found.
    """
    verdicts, kept, holding = evaluation.cluster.verdicts, Counter[str](), Counter[str]()
    for name, findings in evaluation.plan.kept.items():
        chosen_by = {each.reason.name for each in findings if each.reason is not KeptReason.HELD}
        kept.update(chosen_by.union(_reasons(verdicts[name])))
    for verdict in verdicts.values():
        holding.update(pod.findings[0].reason.name for pod in verdict.holders)
    return VerdictCounts(len(verdicts), sum(verdict.may_go for verdict in verdicts.values()), kept, holding)


def _reasons(verdict: NodeVerdict) -> Iterator[str]:
    """Every reason against emptying a node."""
    for finding in verdict.findings:
        yield finding.reason.name
    for pod in verdict.holders:
        yield pod.findings[0].reason.name
