"""Volumes against the limit of each CSI driver per node (``plugins/nodevolumelimits/csi.go``).

Corners kept: a volume that several pods of a node share counts once; an attachment counts also when no pod of the node
uses it; a new volume that is attached already, and that no pod of the node uses, counts twice.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping
from typing import Protocol, TypeVar

import numpy as np

from moorage.objects.base import KubeObject
from moorage.objects.storage import CsiNode, PersistentVolume, PersistentVolumeClaim, StorageClass
from moorage.scheduling.nodes import Bools, Ints, NodeRecord, NodeTable
from moorage.scheduling.reasons import Finding, Reason
from moorage.scheduling.volumes import Attachment, Volumes, WithVolumes, attachments

from .plugin import Plugin

Key = TypeVar("Key", bound=Hashable)

_NO_LIMIT = 2**31 - 1


class _PodClass(WithVolumes, Hashable, Protocol):
    @property
    def pods_at(self) -> Mapping[int, int]: ...


class NodeVolumeLimits(Plugin[_PodClass]):
    """A node attaches no more volumes of a driver than its CSINode allows."""

    def __init__(self, nodes: NodeTable, volumes: Volumes) -> None:
        super().__init__(nodes, volumes)
        self._storage = volumes.storage
        self._users: dict[int, Counter[Attachment]] = defaultdict(Counter)  # by slot: pods that use an attachment
        self._slots_of: dict[str, set[int]] = defaultdict(set)  # by volume: slots where a pod uses it
        self._in_tree: Counter[int] = Counter()  # by slot: in-tree volumes of its pods
        self._attachments: dict[_PodClass, tuple[Attachment, ...]] = {}
        self._claim_classes: dict[str, set[_PodClass]] = defaultdict(set)  # by claim: pod classes that use it
        self._limits: dict[str, Ints] = {}
        self._counts: dict[str, Ints] = {}

    def count(self, pod_class: _PodClass, slot: int, sign: int) -> None:
        """Count what a pod attaches."""
        volumes = pod_class.volumes
        if volumes is None:
            return
        known = self._attachments.get(pod_class)
        if known is None:
            known = self._attachments[pod_class] = tuple(attachments(volumes, self._storage))
            for key in volumes.claim_keys():
                self._claim_classes[key].add(pod_class)
        self._use(slot, known, sign)
        if not pod_class.pods_at:
            del self._attachments[pod_class]
            for key in volumes.claim_keys():
                self._claim_classes[key].discard(pod_class)
                if not self._claim_classes[key]:
                    del self._claim_classes[key]

    def node_changed(self, slot: int, old: NodeRecord | None, new: NodeRecord | None) -> None:
        """Read the limits of a new node; forget those of one that goes."""
        if old is None and new is not None:
            self._set_limits(slot, self._storage.csi_nodes.get(new.name))
        elif new is None:
            self._set_limits(slot, None)

    def storage_changed(self, kind: type[KubeObject], key: str, nodes: set[str]) -> None:
        """Work out again what is attached."""
        if kind is PersistentVolumeClaim:
            self._resolve({key})
        elif kind is PersistentVolume:
            self._resolve(set(self._storage.claims_of.get(key, ())))
        elif kind is StorageClass:
            self._resolve(set(self._storage.waiting_for.get(key, ())))
        for name in nodes & self._nodes.slots.keys():
            slot = self._nodes.slots[name]
            if kind is CsiNode:
                self._set_limits(slot, self._storage.csi_nodes.get(name))
            else:
                self._recount(slot)

    def grow(self, capacity: int) -> None:
        """Make room for more slots."""
        for arrays, fill in ((self._limits, _NO_LIMIT), (self._counts, 0)):
            for driver, array in arrays.items():
                more = np.full(capacity - len(array), fill, dtype=np.int32)
                arrays[driver] = np.concatenate([array, more])

    def skips(self, pod_class: _PodClass) -> bool:
        """Skip a pod without volumes that decide anything."""
        return pod_class.volumes is None

    def restrict(self, mask: Bools, pod_class: _PodClass) -> None:
        """Clear nodes where a limit would be exceeded."""
        if pod_class.volumes is None:
            return
        new = self._volumes.of(pod_class).attachments
        if not any(driver in self._limits for driver, _, _ in new):
            return
        # The arithmetic is right for nodes that hold none of the volumes and no in-tree ones; the others one by one.
        before = mask.copy()
        for driver, more in Counter(driver for driver, _, _ in set(new)).items():
            if driver in self._limits:
                mask &= self._array(self._counts, driver, 0) <= self._limits[driver] - more
        special = set(self._in_tree)
        for _, name, in_tree in new:
            special |= set(self._nodes.slots.values()) if in_tree else self._slots_of.get(name, set())
        for slot in special:
            mask[slot] = before[slot] and not self.findings(slot, pod_class)

    def findings(self, slot: int, pod_class: _PodClass) -> list[Finding]:
        """Name the drivers whose limit would be exceeded; an in-tree volume under a limit is not decidable here."""
        if pod_class.volumes is None:
            return []
        reasons = []
        new: Counter[str] = Counter()
        undecidable = set()
        for driver, name, in_tree in set(self._volumes.of(pod_class).attachments):
            if slot not in self._slots_of.get(name, ()):
                new[driver] += 1
                if in_tree:
                    undecidable.add(driver)
        undecidable |= {driver for driver, _, in_tree in self._users.get(slot, ()) if in_tree}
        for driver, more in new.items():
            limit = self._limits[driver][slot] if driver in self._limits else _NO_LIMIT
            if limit == _NO_LIMIT:
                continue
            have = int(self._counts[driver][slot]) if driver in self._counts else 0
            detail = f"{driver}: {have} attached, {more} more, limit {limit}"
            if driver in undecidable:
                reasons.append(Finding(Reason.IN_TREE_LIMIT, "spec.volumes", detail))
            elif have + more > limit:
                reasons.append(Finding(Reason.VOLUME_LIMIT, "spec.volumes", detail))
        return reasons

    def limited(self, slot: int, pod_class: WithVolumes) -> bool:
        """Whether a node has a limit for any driver that a pod of the class uses."""
        drivers = {driver for driver, _, _ in self._volumes.of(pod_class).attachments} & self._limits.keys()
        return any(self._limits[driver][slot] != _NO_LIMIT for driver in drivers)

    def _resolve(self, claims: Iterable[str]) -> None:
        """Work out again what the pods that use these claims attach."""
        for pod_class in {each for claim in claims for each in self._claim_classes.get(claim, ())}:
            if pod_class.volumes is None:
                continue
            old, new = self._attachments[pod_class], tuple(attachments(pod_class.volumes, self._storage))
            for slot, pods in pod_class.pods_at.items() if old != new else ():
                for _ in range(pods):
                    self._use(slot, old, -1)
                    self._use(slot, new, 1)
            self._attachments[pod_class] = new

    def _use(self, slot: int, attached: tuple[Attachment, ...], sign: int) -> None:
        for attachment in attached:
            users = self._users[slot]
            _add(users, attachment, sign)
            _, name, in_tree = attachment
            if in_tree:
                _add(self._in_tree, slot, sign)
            if attachment in users:
                self._slots_of[name].add(slot)
            else:
                self._slots_of[name].discard(slot)
                if not self._slots_of[name]:
                    del self._slots_of[name]
        if attached:
            self._recount(slot)

    def _set_limits(self, slot: int, csi_node: CsiNode | None) -> None:
        for limits in self._limits.values():
            limits[slot] = _NO_LIMIT
        for driver in csi_node.drivers if csi_node else ():
            if driver.allocatable is not None and driver.allocatable.count is not None:
                self._array(self._limits, driver.name, _NO_LIMIT)[slot] = max(driver.allocatable.count, -(2**31))
        self._recount(slot)

    def _recount(self, slot: int) -> None:
        """Count again what is attached to a node, for pods and by VolumeAttachments together."""
        for counts in self._counts.values():
            counts[slot] = 0
        record = self._nodes.records[slot]
        node = record.name if record is not None else ""
        migrating = node in self._storage.csi_nodes
        here = {name: driver for driver, name, in_tree in self._users.get(slot, ()) if migrating or not in_tree}
        for name, driver in self._storage.attached_volumes(node):
            here.setdefault(name, driver)
        for driver in here.values():
            if driver in self._limits:
                self._array(self._counts, driver, 0)[slot] += 1

    def _array(self, arrays: dict[str, Ints], driver: str, fill: int) -> Ints:
        array = arrays.get(driver)
        if array is None:
            array = arrays[driver] = np.full(self._nodes.capacity, fill, dtype=np.int32)
            if arrays is self._limits:
                for slot in self._nodes.slots.values():
                    self._recount(slot)
        return array


def _add(counter: Counter[Key], key: Key, sign: int) -> None:
    counter[key] += sign
    if not counter[key]:
        del counter[key]
