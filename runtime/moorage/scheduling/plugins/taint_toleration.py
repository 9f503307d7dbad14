"""Taints and tolerations (``plugins/tainttoleration``).

Follows ``k8s.io/api/core/v1/toleration.go`` (ToleratesTaint). The gate of the operators Lt and Gt is off in 1.36, so
they tolerate nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from moorage.objects.pod import Toleration
from moorage.scheduling.node_masks import NodeMask
from moorage.scheduling.nodes import BlockingTaint, Bools, NodeTable, Rows
from moorage.scheduling.reasons import Finding, Reason

from .plugin import Plugin

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
    """Return the first taint that no toleration covers."""
    for taint in taints:
        if not any(toleration.covers(taint) for toleration in tolerations):
            return taint
    return None


def read(tolerations: Iterable[Toleration]) -> Tolerations:
    """Read the tolerations of a pod."""
    return tuple(Tolerated(each.key, each.operator, each.value, each.effect) for each in tolerations)


def tolerates_cordon(tolerations: Iterable[Toleration]) -> bool:
    """Whether pods with these tolerations are scheduled on cordoned nodes, too."""
    return untolerated(read(tolerations), (_CORDON,)) is None


def tolerant_rows(tolerations: Tolerations, nodes: NodeTable, rows: Rows) -> Bools:
    """Decide for the nodes of ``rows`` whether all of a node's taints are tolerated."""
    table = nodes.taints.table(lambda taints: taints is not None and untolerated(tolerations, taints) is None)
    return table[nodes.taints.ids[rows]]


class TolerationMask(NodeMask):
    """The nodes whose taints some tolerations cover.

    Attributes:
        tolerations: the tolerations.
        cordon: whether they cover a cordon.
    """

    def __init__(self, tolerations: Iterable[Toleration]) -> None:
        super().__init__()
        self.tolerations = read(tolerations)
        self.cordon = untolerated(self.tolerations, (_CORDON,)) is None

    def rows(self, nodes: NodeTable, rows: Rows) -> Bools:
        """Decide for the nodes of ``rows``."""
        return tolerant_rows(self.tolerations, nodes, rows)


class _PodClass(Protocol):
    @property
    def tolerations(self) -> TolerationMask: ...


class TaintToleration(Plugin[_PodClass]):
    """Taints with the effects NoSchedule and NoExecute keep pods away that do not tolerate them."""

    node_only = True

    def restrict(self, mask: Bools, pod_class: _PodClass) -> None:
        """Clear nodes with a taint that is not tolerated."""
        mask &= pod_class.tolerations.mask(self._nodes)

    def findings(self, slot: int, pod_class: _PodClass) -> list[Finding]:
        """Name the first taint that is not tolerated."""
        taint = untolerated(pod_class.tolerations.tolerations, self._nodes.record(slot).taints)
        if taint is None:
            return []
        key, value, effect = taint
        return [Finding(Reason.TAINT, "spec.tolerations", f"{key}={value}:{effect}" if value else f"{key}:{effect}")]
