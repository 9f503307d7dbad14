"""Cordoned nodes (``plugins/nodeunschedulable``)."""

from __future__ import annotations

from typing import Protocol

from moorage.scheduling.nodes import Bools
from moorage.scheduling.reasons import Finding, Reason

from .plugin import Plugin
from .taint_toleration import TolerationMask


class _PodClass(Protocol):
    @property
    def tolerations(self) -> TolerationMask: ...


class NodeUnschedulable(Plugin[_PodClass]):
    """A cordon keeps pods away that do not tolerate the taint ``node.kubernetes.io/unschedulable``."""

    node_only = True

    def skips(self, pod_class: _PodClass) -> bool:
        """Skip a pod that tolerates cordons."""
        return pod_class.tolerations.cordon

    def restrict(self, mask: Bools, pod_class: _PodClass) -> None:  # noqa: ARG002 - the same for every class
        """Clear cordoned nodes."""
        mask &= self._nodes.schedulable

    def findings(self, slot: int, pod_class: _PodClass) -> list[Finding]:  # noqa: ARG002
        """Report a cordon."""
        if self._nodes.schedulable[slot]:
            return []
        return [Finding(Reason.NODE_UNSCHEDULABLE, "node spec.unschedulable")]
