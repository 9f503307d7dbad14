"""Zone and region labels of volumes (``plugins/volumezone``)."""

from __future__ import annotations

import numpy as np

from moorage.scheduling.nodes import Bools
from moorage.scheduling.reasons import Finding, Reason
from moorage.scheduling.volumes import GENERAL_LABEL, TOPOLOGY_LABELS, WithVolumes

from .plugin import Plugin


class VolumeZone(Plugin[WithVolumes]):
    """A volume with zone labels must be in the zone of the node; a node without any such label takes all volumes."""

    def skips(self, pod_class: WithVolumes) -> bool:
        """Skip a pod without volumes that decide anything."""
        return pod_class.volumes is None

    def restrict(self, mask: Bools, pod_class: WithVolumes) -> None:
        """Clear nodes in other zones."""
        if pod_class.volumes is not None and self._volumes.of(pod_class).zones:
            for slot in np.flatnonzero(mask):
                mask[slot] = not self.findings(int(slot), pod_class)

    def findings(self, slot: int, pod_class: WithVolumes) -> list[Finding]:
        """Name the zones that differ."""
        if pod_class.volumes is None:
            return []
        labels = self._nodes.record(slot).labels
        if not any(label in labels for label in TOPOLOGY_LABELS):
            return []
        reasons = []
        for field, label, zones in self._volumes.of(pod_class).zones:
            value = labels.get(label, labels.get(GENERAL_LABEL.get(label, label)))
            if value not in zones:
                reasons.append(
                    Finding(Reason.VOLUME_ZONE, field, f"{label} is {value}, not {', '.join(sorted(zones))}")
                )
        return reasons
