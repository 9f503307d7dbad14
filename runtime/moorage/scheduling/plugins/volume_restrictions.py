"""Disks and claims that pods cannot share (``plugins/volumerestrictions``)."""

from __future__ import annotations

from collections import Counter, defaultdict

from moorage.scheduling.nodes import Bools, NodeTable
from moorage.scheduling.reasons import Finding, Reason
from moorage.scheduling.volumes import Disk, Volumes, WithVolumes

from .plugin import Plugin


class VolumeRestrictions(Plugin[WithVolumes]):
    """In-tree disks are shared on one node only by readers, a ReadWriteOncePod claim by no two pods at all."""

    def __init__(self, nodes: NodeTable, volumes: Volumes) -> None:
        super().__init__(nodes, volumes)
        self._claim_users: Counter[str] = Counter()
        self._disk_users: dict[Disk, dict[int, list[int]]] = defaultdict(dict)  # per slot: writers and readers

    def count(self, pod_class: WithVolumes, slot: int, sign: int) -> None:
        """Count the users of claims and disks."""
        volumes = pod_class.volumes
        if volumes is None:
            return
        for claim in volumes.claims:
            if claim.owner is None:
                key = f"{volumes.namespace}/{claim.name}"
                self._claim_users[key] += sign
                if not self._claim_users[key]:
                    del self._claim_users[key]
        for disk, read_only in volumes.disks:
            users = self._disk_users[disk].setdefault(slot, [0, 0])
            users[read_only] += sign
            if not any(users):
                del self._disk_users[disk][slot]

    def skips(self, pod_class: WithVolumes) -> bool:
        """Skip a pod without volumes that decide anything."""
        return pod_class.volumes is None

    def restrict(self, mask: Bools, pod_class: WithVolumes) -> None:
        """Clear nodes where a disk is in use; all of them where a claim is."""
        if pod_class.volumes is None:
            return
        for disk, read_only in pod_class.volumes.disks:
            for slot, users in self._disk_users.get(disk, {}).items():
                if _conflict(read_only, users):
                    mask[slot] = False
        if any(self._claim_users[key] for key in self._volumes.of(pod_class).single_pod_claims):
            mask[:] = False

    def findings(self, slot: int, pod_class: WithVolumes) -> list[Finding]:
        """Name the disks and claims in use."""
        if pod_class.volumes is None:
            return []
        reasons = []
        for disk, read_only in pod_class.volumes.disks:
            users = self._disk_users.get(disk, {}).get(slot)
            if users and _conflict(read_only, users):
                reasons.append(Finding(Reason.DISK_IN_USE, "spec.volumes", " ".join(disk)))
        used = [key for key in self._volumes.of(pod_class).single_pod_claims if self._claim_users[key]]
        return reasons + [Finding(Reason.READ_WRITE_ONCE_POD, "spec.volumes", key) for key in used]


def _conflict(read_only: bool, users: list[int]) -> bool:
    writers, readers = users
    return writers > 0 or (readers > 0 and not read_only)
