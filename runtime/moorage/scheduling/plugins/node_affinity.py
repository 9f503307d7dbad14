"""Node selector and required node affinity (``plugins/nodeaffinity``).

The name set that upstream derives from ``matchFields`` in PreFilter never excludes a node that Filter accepts.
"""

from __future__ import annotations

from typing import Protocol

from moorage.scheduling.node_masks import NodeMask
from moorage.scheduling.nodes import Bools, NodeTable, Rows
from moorage.scheduling.placement import FIELD, Placement
from moorage.scheduling.reasons import Finding, Reason

from .plugin import Plugin


class PlacementMask(NodeMask):
    """The nodes that match a node selector and node affinity terms."""

    def __init__(self, placement: Placement) -> None:
        super().__init__()
        self.placement = placement

    def rows(self, nodes: NodeTable, rows: Rows) -> Bools:
        """Decide for the nodes of ``rows``."""
        return self.placement.rows(nodes, rows)


class _PodClass(Protocol):
    @property
    def node_affinity(self) -> PlacementMask: ...


class NodeAffinity(Plugin[_PodClass]):
    """A node must have the labels of the pod's node selector, and match a term of its required node affinity."""

    node_only = True

    def skips(self, pod_class: _PodClass) -> bool:
        """Skip a pod without node selector and node affinity."""
        return pod_class.node_affinity.placement.anywhere

    def restrict(self, mask: Bools, pod_class: _PodClass) -> None:
        """Clear nodes that do not match."""
        mask &= pod_class.node_affinity.mask(self._nodes)

    def findings(self, slot: int, pod_class: _PodClass) -> list[Finding]:
        """Name the labels of the selector that the node lacks, and node affinity without a matching term."""
        placement, record = pod_class.node_affinity.placement, self._nodes.record(slot)
        reasons = []
        for expression in placement.selector:
            if not expression.holds(record.labels.get(expression.key)):
                detail = f"{expression.key}={expression.values[0]} wanted"
                reasons.append(Finding(Reason.NODE_SELECTOR, f"spec.nodeSelector[{expression.key}]", detail))
        if not placement.affinity_matches(record.name, record.labels):
            reasons.append(Finding(Reason.NODE_AFFINITY, FIELD, "; ".join(placement.errors)))
        return reasons
