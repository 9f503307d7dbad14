"""``spec.nodeName`` (``plugins/nodename``)."""

from __future__ import annotations

from typing import Protocol

from moorage.scheduling.nodes import Bools
from moorage.scheduling.reasons import Finding, Reason

from .plugin import Plugin


class _PodClass(Protocol):
    @property
    def node_name(self) -> str: ...


class NodeName(Plugin[_PodClass]):
    """A pod that names a node fits no other node."""

    def skips(self, pod_class: _PodClass) -> bool:
        """Skip a pod that names no node."""
        return not pod_class.node_name

    def restrict(self, mask: Bools, pod_class: _PodClass) -> None:
        """Keep the named node only."""
        slot = self._nodes.slots.get(pod_class.node_name)
        fits = slot is not None and bool(mask[slot])
        mask[:] = False
        if fits:
            mask[slot] = True

    def findings(self, slot: int, pod_class: _PodClass) -> list[Finding]:
        """Compare the node's name with the named one."""
        if pod_class.node_name == self._nodes.record(slot).name:
            return []
        return [Finding(Reason.NODE_NAME, "spec.nodeName", pod_class.node_name)]
