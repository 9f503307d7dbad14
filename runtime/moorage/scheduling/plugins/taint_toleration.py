"""Taints, tolerations and cordons.

Follows ``k8s.io/api/core/v1/toleration.go`` (ToleratesTaint; the Lt and Gt operators are behind a gate that is off in
1.36 and therefore tolerate nothing), ``plugins/tainttoleration`` and ``plugins/nodeunschedulable``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from moorage.objects.pod import Toleration

from ..nodes import BlockingTaint, Bools, Fence, NodeTable, Rows
from ..reasons import Finding, Reason

_CORDON: BlockingTaint = ("node.kubernetes.io/unschedulable", "", "NoSchedule")


class Tolerated(NamedTuple):
    """One toleration."""

    key: str
    operator: str
    value: str
    effect: str

    def covers(self, taint: BlockingTaint) -> bool:
        """Whether it tolerates this taint."""
        key, value, effect = taint
        if (self.effect and self.effect != effect) or (self.key and self.key != key):
            return False
        if self.operator in ("", "Equal"):
            return self.value == value
        return self.operator == "Exists"


Tolerations = tuple[Tolerated, ...]


def untolerated(tolerations: Tolerations, taints: tuple[BlockingTaint, ...]) -> BlockingTaint | None:
    """The first taint that nothing tolerates, or None."""
    for taint in taints:
        if not any(toleration.covers(taint) for toleration in tolerations):
            return taint
    return None


def read(tolerations: Iterable[Toleration]) -> Tolerations:
    """The tolerations of a pod."""
    return tuple(Tolerated(each.key, each.operator, each.value, each.effect) for each in tolerations)


def tolerates_cordon(tolerations: Iterable[Toleration]) -> bool:
    """Whether a cordon keeps no pod with these tolerations from its node."""
    return untolerated(read(tolerations), (_CORDON,)) is None


def passes(tolerations: Tolerations, fence: Fence) -> bool:
    """Whether a pod with these tolerations gets past a node's cordon and taints."""
    cordoned, taints = fence
    if cordoned and untolerated(tolerations, (_CORDON,)) is not None:
        return False
    return untolerated(tolerations, taints) is None


def rows(tolerations: Tolerations, nodes: NodeTable, where: Rows) -> Bools:
    """The same for all nodes of ``where``."""
    table = nodes.fences.table(lambda fence: fence is not None and passes(tolerations, fence))
    return table[nodes.fences.ids[where]]


def tolerant_rows(tolerations: Tolerations, nodes: NodeTable, where: Rows) -> Bools:
    """Whether the taints alone are tolerated, which is what topology spread asks (nodeTaintsPolicy)."""
    table = nodes.fences.table(lambda fence: fence is not None and untolerated(tolerations, fence[1]) is None)
    return table[nodes.fences.ids[where]]


def findings(tolerations: Tolerations, fence: Fence) -> list[Finding]:
    """Why a pod does not get past; empty when it does."""
    cordoned, taints = fence
    found = []
    if cordoned and untolerated(tolerations, (_CORDON,)) is not None:
        found.append(Finding(Reason.NODE_UNSCHEDULABLE, "node spec.unschedulable"))
    taint = untolerated(tolerations, taints)
    if taint is not None:
        key, value, effect = taint
        text = f"{key}={value}:{effect}" if value else f"{key}:{effect}"
        found.append(Finding(Reason.TAINT, "spec.tolerations", text))
    return found
