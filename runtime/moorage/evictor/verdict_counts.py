"""How many nodes stay, and why: counted by reason, for people who look from afar."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from .candidates import NodeVerdict
from .compaction import KeptReason
from .evaluation import Look


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of one look.

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


def tally(look: Look) -> Tally:
    """Count.

    Args:
        look: what was found.
    """
    verdicts, kept, holding = look.cluster.verdicts, Counter[str](), Counter[str]()
    for name, findings in look.plan.kept.items():
        chosen_by = {each.reason.name for each in findings if each.reason is not KeptReason.HELD}
        kept.update(chosen_by.union(_reasons(verdicts[name])))
    for verdict in verdicts.values():
        holding.update(pod.findings[0].reason.name for pod in verdict.holders)
    return Tally(len(verdicts), sum(verdict.may_go for verdict in verdicts.values()), kept, holding)


def _reasons(verdict: NodeVerdict) -> Iterator[str]:
    """Every reason for which a node may not go."""
    for finding in verdict.findings:
        yield finding.reason.name
    for pod in verdict.holders:
        yield pod.findings[0].reason.name
