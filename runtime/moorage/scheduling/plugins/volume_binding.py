"""Claims and the node affinity of their volumes (``plugins/volumebinding``)."""

from __future__ import annotations

import numpy as np

from moorage.scheduling.node_masks import NodeMask
from moorage.scheduling.nodes import Bools, NodeTable, Rows
from moorage.scheduling.placement import Placement
from moorage.scheduling.reasons import Finding, Reason
from moorage.scheduling.volumes import NodeAffinityOf, Volumes, WithVolumes

from .plugin import Plugin


class _Reach(NodeMask):
    """The nodes that match the node affinity of a volume."""

    def __init__(self, placement: Placement) -> None:
        super().__init__()
        self._placement = placement

    def rows(self, nodes: NodeTable, rows: Rows) -> Bools:
        return self._placement.rows(nodes, rows)


class VolumeBinding(Plugin[WithVolumes]):
    """Every claim of a pod must be bound to a volume that the node can reach."""

    def __init__(self, nodes: NodeTable, volumes: Volumes) -> None:
        super().__init__(nodes, volumes)
        self._masks: dict[Placement, _Reach] = {}

    def skips(self, pod_class: WithVolumes) -> bool:
        """Skip a pod without volumes that decide anything."""
        return pod_class.volumes is None

    def restrict(self, mask: Bools, pod_class: WithVolumes) -> None:
        """Clear nodes that cannot reach a volume; all of them for a claim that is not bound."""
        if pod_class.volumes is None:
            return
        resolved = self._volumes.of(pod_class)
        if resolved.problems:
            mask[:] = False
            return
        for affinity in resolved.node_affinities:
            reach = self._masks.get(affinity.placement)
            if reach is None:
                reach = self._masks[affinity.placement] = _Reach(affinity.placement)
            mask &= reach.mask(self._nodes)
        if any(affinity.in_tree_plugin for affinity in resolved.node_affinities):
            for slot in np.flatnonzero(mask):
                mask[slot] = not self._unreachable(int(slot), resolved.node_affinities)

    def findings(self, slot: int, pod_class: WithVolumes) -> list[Finding]:
        """Name the claims that are not bound, and the volumes that the node cannot reach."""
        if pod_class.volumes is None:
            return []
        resolved = self._volumes.of(pod_class)
        name = self._nodes.record(slot).name
        reasons = list(resolved.problems)
        reasons += [Finding(Reason.SELECTED_NODE, field, node) for field, node in resolved.selected if node != name]
        return reasons + self._unreachable(slot, resolved.node_affinities)

    def sweep(self) -> None:
        """Drop the masks of volumes."""
        self._masks.clear()

    def _unreachable(self, slot: int, affinities: tuple[NodeAffinityOf, ...]) -> list[Finding]:
        record = self._nodes.record(slot)
        migrated = self._volumes.storage.migrated(record.name)
        reasons = []
        for field, placement, plugin in affinities:
            if plugin in migrated:
                reasons.append(Finding(Reason.IN_TREE_VOLUME, field, plugin or ""))
            elif not placement.matches("", record.labels):
                reasons.append(Finding(Reason.VOLUME_NODE, field, "; ".join(placement.errors)))
        return reasons
