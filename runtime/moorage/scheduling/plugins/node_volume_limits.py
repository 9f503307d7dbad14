"""What is mounted and attached where: claims in use, in-tree disks, and volumes against each driver's limit per node.

Follows ``plugins/nodevolumelimits/csi.go`` and ``plugins/volumerestrictions``. Corners kept: a volume that several
pods of a node share counts once; an attachment no pod of the node accounts for counts as well; a new volume that is
attached already but not used by a pod of the node counts twice.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable
from typing import TypeVar

import numpy as np

from moorage.objects.storage import CsiNode

from ..nodes import Bools, Ints, NodeTable
from ..pod_class import PodClass
from ..reasons import Finding, Reason
from ..volumes import Disk, Plan, Storage, VolumeNeeds, attachments

Key = TypeVar("Key", bound=Hashable)

_NO_LIMIT = 2**31 - 1


class Attached:
    """Volume use per slot."""

    def __init__(self, nodes: NodeTable, storage: Storage) -> None:
        self._nodes = nodes
        self._storage = storage
        self.claim_users: Counter[str] = Counter()
        self._disks: dict[Disk, dict[int, list[int]]] = defaultdict(dict)
        self._volumes: dict[int, Counter[tuple[str, str, bool]]] = defaultdict(Counter)
        self._holders: dict[str, set[int]] = defaultdict(set)
        self._in_tree: Counter[int] = Counter()
        self._resolved: dict[PodClass, tuple[tuple[str, str, bool], ...]] = {}
        self._of_claim: dict[str, set[PodClass]] = defaultdict(set)
        self._limits: dict[str, Ints] = {}
        self._counts: dict[str, Ints] = {}

    def count(self, one: PodClass, needs: VolumeNeeds, slot: int, sign: int) -> None:
        """Count a pod of a class in (+1) or out (-1), after ``one.where`` says so."""
        known = self._resolved.get(one)
        if known is None:
            known = self._resolved[one] = tuple(attachments(needs, self._storage))
            for claim in needs.claims:
                self._of_claim[f"{needs.namespace}/{claim.name}"].add(one)
        self._use(slot, needs, known, sign)
        if not one.where:
            del self._resolved[one]
            for key in {f"{needs.namespace}/{claim.name}" for claim in needs.claims}:
                self._of_claim[key].discard(one)
                if not self._of_claim[key]:
                    del self._of_claim[key]

    def resolve(self, claims: Iterable[str]) -> None:
        """Work out again what the pods that use these claims attach, after the storage objects have changed."""
        for one in {one for claim in claims for one in self._of_claim.get(claim, ())}:
            if one.volumes is None:
                continue
            old, new = self._resolved[one], tuple(attachments(one.volumes, self._storage))
            for slot, pods in one.where.items() if old != new else ():
                for _ in range(pods):
                    self._use(slot, one.volumes, old, -1)
                    self._use(slot, one.volumes, new, 1)
            self._resolved[one] = new

    def resolve_all(self) -> None:
        """The same for every claim in use."""
        self.resolve(list(self._of_claim))

    def _use(self, slot: int, needs: VolumeNeeds, attached: tuple[tuple[str, str, bool], ...], sign: int) -> None:
        for use in needs.claims:
            if use.owner is None:
                self._count(self.claim_users, f"{needs.namespace}/{use.name}", sign)
        for disk, read_only in needs.disks:
            users = self._disks[disk].setdefault(slot, [0, 0])
            users[read_only] += sign
            if not any(users):
                del self._disks[disk][slot]
        for volume in attached:
            users_here = self._volumes[slot]
            self._count(users_here, volume, sign)
            if volume[2]:
                self._count(self._in_tree, slot, sign)
            if volume in users_here:
                self._holders[volume[1]].add(slot)
            else:
                self._holders[volume[1]].discard(slot)
                if not self._holders[volume[1]]:
                    del self._holders[volume[1]]
        if attached:
            self.recount(slot)

    def set_limits(self, slot: int, csi_node: CsiNode | None) -> None:
        """Take over what a node's CSINode says its drivers can attach."""
        for limits in self._limits.values():
            limits[slot] = _NO_LIMIT
        for driver in csi_node.drivers if csi_node else ():
            if driver.allocatable is not None and driver.allocatable.count is not None:
                self._array(self._limits, driver.name, _NO_LIMIT)[slot] = max(driver.allocatable.count, -(2**31))
        self.recount(slot)

    def recount(self, slot: int) -> None:
        """Count anew what is attached to a node, pods and VolumeAttachments together."""
        for counts in self._counts.values():
            counts[slot] = 0
        migrating = self._record_name(slot) in self._storage.csi_nodes
        here = {name: driver for driver, name, in_tree in self._volumes.get(slot, ()) if migrating or not in_tree}
        for name, driver in self._attachments(slot).items():
            here.setdefault(name, driver)
        for driver in here.values():
            if driver in self._limits:
                self._array(self._counts, driver, 0)[slot] += 1

    def restrict(self, mask: Bools, plan: Plan, disks: tuple[tuple[Disk, bool], ...]) -> None:
        """Clear every slot of ``mask`` where the volumes may not go."""
        for disk, read_only in disks:
            for slot, users in self._disks.get(disk, {}).items():
                if _conflict(read_only, users):
                    mask[slot] = False
        if any(self.claim_users[key] for key in plan.single):
            mask[:] = False
        if any(driver in self._limits for driver, _, _ in plan.attached):
            self._restrict_limits(mask, plan)

    def _restrict_limits(self, mask: Bools, plan: Plan) -> None:
        # The arithmetic is right for nodes that hold none of the volumes and no in-tree ones; the others one by one.
        exact = mask.copy()
        for driver, more in Counter(driver for driver, _, _ in set(plan.attached)).items():
            if driver in self._limits:
                mask &= self._array(self._counts, driver, 0) <= self._limits[driver] - more
        special = set(self._in_tree)
        for _, name, in_tree in plan.attached:
            special |= set(self._nodes.slots.values()) if in_tree else self._holders.get(name, set())
        for slot in special:
            mask[slot] = exact[slot] and not self.limit_findings(slot, plan)

    def findings(self, slot: int, plan: Plan, disks: tuple[tuple[Disk, bool], ...]) -> list[Finding]:
        """Why the volumes may not go to a node; empty when they may."""
        found = []
        for disk, read_only in disks:
            users = self._disks.get(disk, {}).get(slot)
            if users and _conflict(read_only, users):
                found.append(Finding(Reason.DISK_IN_USE, "spec.volumes", " ".join(disk)))
        found += [
            Finding(Reason.READ_WRITE_ONCE_POD, "spec.volumes", key) for key in plan.single if self.claim_users[key]
        ]
        return found + self.limit_findings(slot, plan)

    def limit_findings(self, slot: int, plan: Plan) -> list[Finding]:
        """Which drivers' limits would be exceeded; an in-tree volume under a limit is not decidable here."""
        found = []
        new: Counter[str] = Counter()
        doubtful = set()
        for driver, name, in_tree in set(plan.attached):
            if slot not in self._holders.get(name, ()):
                new[driver] += 1
                if in_tree:
                    doubtful.add(driver)
        doubtful |= {driver for driver, _, in_tree in self._volumes.get(slot, ()) if in_tree}
        for driver, more in new.items():
            limit = self._limits[driver][slot] if driver in self._limits else _NO_LIMIT
            if limit == _NO_LIMIT:
                continue
            have = int(self._counts[driver][slot]) if driver in self._counts else 0
            detail = f"{driver}: {have} attached, {more} more, limit {limit}"
            if driver in doubtful:
                found.append(Finding(Reason.IN_TREE_LIMIT, "spec.volumes", detail))
            elif have + more > limit:
                found.append(Finding(Reason.VOLUME_LIMIT, "spec.volumes", detail))
        return found

    def limited(self, slot: int, plan: Plan) -> bool:
        """Whether a node has a limit for any driver that is to attach something."""
        drivers = {driver for driver, _, _ in plan.attached} & self._limits.keys()
        return any(self._limits[driver][slot] != _NO_LIMIT for driver in drivers)

    def grow(self, capacity: int) -> None:
        """Make room for more slots."""
        for arrays, fill in ((self._limits, _NO_LIMIT), (self._counts, 0)):
            for driver, array in arrays.items():
                more = np.full(capacity - len(array), fill, dtype=np.int32)
                arrays[driver] = np.concatenate([array, more])

    def _array(self, arrays: dict[str, Ints], driver: str, fill: int) -> Ints:
        array = arrays.get(driver)
        if array is None:
            array = arrays[driver] = np.full(self._nodes.capacity, fill, dtype=np.int32)
            if arrays is self._limits:
                for slot in self._nodes.slots.values():
                    self.recount(slot)
        return array

    def _attachments(self, slot: int) -> dict[str, str]:
        found: dict[str, str] = {}
        for attachment in self._storage.attached_to.get(self._record_name(slot), {}).values():
            source = attachment.spec.source.persistent_volume_name
            volume = self._storage.volumes.get(source) if source is not None else None
            if attachment.spec.attacher and volume is not None and volume.spec.csi is not None:
                name = f"{attachment.spec.attacher}/{volume.spec.csi.volume_handle}"
                found[name] = attachment.spec.attacher
        return found

    def _record_name(self, slot: int) -> str:
        record = self._nodes.records[slot]
        return record.name if record is not None else ""

    @staticmethod
    def _count(counter: Counter[Key], key: Key, sign: int) -> None:
        counter[key] += sign
        if not counter[key]:
            del counter[key]


def _conflict(read_only: bool, users: list[int]) -> bool:
    writers, readers = users
    return writers > 0 or (readers > 0 and not read_only)
