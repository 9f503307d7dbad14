"""Builds the report of an evaluation: which nodes go, what holds the others, and how full nodes are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from moorage.evictor.candidates import NodeVerdict
from moorage.evictor.candidates.reasons import Finding, R
from moorage.evictor.compaction import Emptied, KeptFinding, KeptReason
from moorage.evictor.compaction.prices import instance_type, is_spot
from moorage.objects import Node

from . import holding, model
from .input import ReportInput
from .model import Held, Movement, NodeReport, Report, Usage, Why
from .simulated import Simulated
from .unlisted_kinds import HIDES
from .usage import usages

ZONES = ("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone")
_OPAQUE = "what this hides is not known"


def build(evaluation: ReportInput, source: str) -> Report:
    """Build the report of an evaluation.

    Args:
        evaluation: what was found; nothing of it is changed in the end.
        source: the source of the objects, for people.

    Returns:
        The report; the same for the same input.
    """
    view, plan = evaluation.cluster.view, evaluation.plan
    facts = _Facts(evaluation)
    chosen = tuple(facts.chosen(each) for each in plan.chosen)
    others = tuple(facts.other(name) for name in sorted(evaluation.cluster.verdicts.keys() - facts.emptied))
    return Report(
        version=model.VERSION,
        when=view.now,
        source=source,
        configuration=_configured(evaluation),
        unit=plan.unit.value,
        total=plan.total,
        freed=plan.freed,
        part=plan.freed / plan.total if plan.total else 0.0,
        nodes=len(view.nodes),
        may_go=sum(verdict.may_go for verdict in evaluation.cluster.verdicts.values()),
        pods=len(view.pods),
        moved=plan.moved,
        steps=plan.steps,
        cut_off=plan.cut_off,
        chosen=chosen,
        others=others,
        holding=holding.reasons(others),
        holders=holding.controllers(others),
        unpriced=plan.unpriced,
        unplaced=plan.unplaced,
        unseen=tuple(model.Unseen(kind, why, HIDES.get(kind, _OPAQUE)) for kind, why in sorted(view.unseen.items())),
        unread=tuple(
            model.Unread(kind, key, each.reason)
            for kind, things in sorted(view.unread.items())
            for key, each in sorted(things.items())
        ),
    )


def node_report(evaluation: ReportInput, name: str) -> NodeReport:
    """Build the part about one node.

    Args:
        evaluation: what was found.
        name: one of its nodes.
    """
    facts = _Facts(evaluation)
    emptied = facts.emptied.get(name)
    return facts.other(name) if emptied is None else facts.chosen(emptied)


class _About(NamedTuple):
    """What the report has about every node."""

    name: str
    instance_type: str
    zone: str
    capacity_type: str
    price: float
    usage: Usage | None
    may_go: bool


class _Facts:
    """What the evaluation has about single nodes."""

    def __init__(self, evaluation: ReportInput) -> None:
        self._look = evaluation
        self._simulated = Simulated(evaluation)
        self._usages: Mapping[str, Usage] = usages(evaluation.cluster.snapshot, evaluation.plan.chosen, self._simulated)
        self._prices = evaluation.configuration.choice.prices.of(evaluation.cluster.view.nodes.values()).of
        self.emptied = {each.name: each for each in evaluation.plan.chosen}

    def chosen(self, emptied: Emptied) -> NodeReport:
        """Report a node that could go."""
        moves = tuple(Movement(move.pod, move.node) for move in emptied.moves)
        return NodeReport(*self._about(emptied.name), chosen=True, moves=moves)

    def other(self, name: str) -> NodeReport:
        """Report a node that stays."""
        verdict = self._look.cluster.verdicts[name]
        kept = tuple(kept_why(each) for each in self._look.plan.kept[name] if each.reason is not KeptReason.HELD)
        return NodeReport(
            *self._about(name),
            chosen=False,
            reasons=tuple(why(each) for each in verdict.findings),
            holders=self._holders(verdict),
            kept=kept,
        )

    def _holders(self, verdict: NodeVerdict) -> tuple[Held, ...]:
        owner = self._simulated.owner
        return tuple(Held(pod.key, owner(pod.key), tuple(map(why, pod.findings))) for pod in verdict.holders)

    def _about(self, name: str) -> _About:
        node: Node = self._look.cluster.view.nodes[name]
        labels = node.metadata.labels
        return _About(
            name,
            instance_type(node),
            next((labels[key] for key in ZONES if key in labels), ""),
            "spot" if is_spot(node) else "on-demand",
            self._prices[name],
            self._usages.get(name),
            self._look.cluster.verdicts[name].may_go,
        )


def why(found: Finding[R]) -> Why:
    """Return a finding about a node or pod as the report has it."""
    return Why(found.reason.name, found.reason.sentence, found.detail)


def kept_why(found: KeptFinding) -> Why:
    """Return a finding of the choice as the report has it."""
    return Why(found.reason.name, found.reason.sentence, found.detail, found.pod)


def _configured(evaluation: ReportInput) -> model.Configured:
    policy, choice = evaluation.configuration.policy, evaluation.configuration.choice
    known = evaluation.cluster.snapshot.nodes.slots
    candidates = sum(verdict.may_go and name in known for name, verdict in evaluation.cluster.verdicts.items())
    return model.Configured(
        enabled=evaluation.configuration.enabled,
        aggressive_mode=policy.aggressive,
        scoped_mode=policy.scoped,
        node_grace_period_minutes=policy.node_grace_period.total_seconds() / 60,
        drain_timeout_seconds=policy.drain_timeout.total_seconds(),
        windows=policy.windows,
        rules=len(policy.rules),
        max_target_nodes_per_cycle=choice.most,
        min_target_nodes_per_cycle=choice.least,
        target_node_percentage=choice.percentage,
        limit=choice.limit(candidates),
        target_utilization=round(choice.utilisation * 100, 6),
        quiet_period_seconds=choice.quiet_period.total_seconds(),
        owner_window_seconds=choice.owner_window.total_seconds(),
        allow_spot=choice.spot,
        arm64_supported=choice.arm64,
    )
