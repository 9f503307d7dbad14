"""Node selector and required node affinity (``plugins/nodeaffinity``).

The name set that upstream derives from ``matchFields`` in PreFilter never excludes a node that Filter accepts.
"""

from __future__ import annotations

from typing import Protocol

from moorage.scheduling.nodes import ALL, Bools
from moorage.scheduling.placement import FIELD, Placement
from moorage.scheduling.reasons import Finding, Reason

from .plugin import Plugin


class _PodClass(Protocol):
    @property
    def node_affinity(self) -> Placement: ...


class NodeAffinity(Plugin[_PodClass]):
    """A node must have the labels of the pod's node selector, and match a term of its required node affinity."""

    node_only = True

    def skips(self, pod_class: _PodClass) -> bool:
        """Skip a pod without node selector and node affinity."""
        return pod_class.node_affinity.anywhere

    def restrict(self, mask: Bools, pod_class: _PodClass) -> None:
        """Clear nodes that do not match."""
        mask &= pod_class.node_affinity.rows(self._nodes, ALL)

    def findings(self, slot: int, pod_class: _PodClass) -> list[Finding]:
        """Name the labels of the selector that the node lacks, and node affinity without a matching term."""
        placement, record = pod_class.node_affinity, self._nodes.record(slot)
        reasons = []
        for expression in placement.selector:
            if not expression.holds(record.labels.get(expression.key)):
                detail = f"{expression.key}={expression.values[0]} wanted"
                reasons.append(Finding(Reason.NODE_SELECTOR, f"spec.nodeSelector[{expression.key}]", detail))
        if not placement.affinity_matches(record.name, record.labels):
            reasons.append(Finding(Reason.NODE_AFFINITY, FIELD, "; ".join(placement.errors)))
        return reasons
