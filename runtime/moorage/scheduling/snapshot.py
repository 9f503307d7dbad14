"""The questions: does this pod fit there, why not, and where does it fit at all.

``verdict`` answers for one node with every reason; ``fits`` answers for all nodes at once, from columns and counters,
without reasons. Both say the same: a node is in ``fits`` exactly when its verdict is "yes".
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from moorage.objects.base import KubeObject
from moorage.objects.pod import Pod

from .doubts import about
from .nodes import Bools, Floats, NodeRecord
from .plugins import pod_topology_spread
from .plugins.node_declared_features import LabelFacet
from .pod_class import PodClass
from .reasons import Finding, Reason, Verdict
from .state import State
from .unread import Doubts, Unread
from .volumes import GENERAL_LABEL, TOPOLOGY_LABELS, Plan


class Snapshot(State):
    """Nodes and pods, and the answers about them.

    Args:
        nominated: whether pods count that wait for room on the node they are nominated to: then the answers are those
            of kube-scheduler's RunFilterPluginsWithNominatedPods.
    """

    def __init__(self, *, nominated: bool = False) -> None:
        super().__init__(nominated=nominated)
        self.doubts = Doubts()
        self._volume_facets: dict[object, LabelFacet] = {}

    def doubt(self, key: str, unread: Unread) -> None:
        """Take over what can be read of an object, and that the rest cannot.

        Args:
            key: ``namespace/name``, or the name alone when cluster-scoped.
            unread: the object.

        Raises:
            SnapshotError: a simulation is under way.
        """
        self.doubts.put(key, unread)
        self.apply(unread.thing)

    def trust(self, kind: type[KubeObject], key: str) -> None:
        """An object can be read again, or is gone; what is known of it is told by ``apply`` and ``delete``."""
        self.doubts.drop(kind, key)

    def verdict(self, pod: Pod, node: str, *, elsewhere: bool = False, doubts: bool = True) -> Verdict:
        """Whether a pod fits a node, with every reason why not.

        A pod that is in the snapshot is judged as if it were not, so its own use does not stand in its way.

        Args:
            pod: the pod.
            node: the node's name.
            elsewhere: whether to ignore ``spec.nodeName``, as for a pod that is to replace this one.
            doubts: whether to mind what cannot be read; without, the answer is by what is known.

        Returns:
            The verdict; equal to what kube-scheduler v1.36.3's default PreFilter and Filter plugins say, or "unknown".
        """
        if pod.key in self._placed:
            with self.trial():
                self.remove(pod.key)
                return self._verdict(pod, node, elsewhere=elsewhere, doubts=doubts)
        return self._verdict(pod, node, elsewhere=elsewhere, doubts=doubts)

    def fits(self, pod: Pod, *, elsewhere: bool = False, barred: Bools | None = None) -> Bools:
        """Where a pod fits.

        Args:
            pod: the pod; one that is in the snapshot is judged as if it were not.
            elsewhere: whether to ignore ``spec.nodeName``, as for a pod that is to replace this one.
            barred: slots that it may not go to; they and their pods still count for everything else, as those of a
                cordoned node do (but for spread constraints that honour its taint).

        Returns:
            One bool per slot, True where the verdict is "yes"; the caller may change it. See ``node_at``.
        """
        if pod.key in self._placed:
            with self.trial():
                self.remove(pod.key)
                return self._fits(pod, elsewhere=elsewhere, barred=barred)
        return self._fits(pod, elsewhere=elsewhere, barred=barred)

    def fits_at(self, pod: Pod, slot: int, *, elsewhere: bool = False) -> bool:
        """Whether a pod fits the node in a slot: what ``fits`` says of it, without asking about all others."""
        if pod.key in self._placed:
            with self.trial():
                self.remove(pod.key)
                return self._fits_at(pod, slot, elsewhere=elsewhere)
        return self._fits_at(pod, slot, elsewhere=elsewhere)

    def first_fit(self, pod: Pod, *, elsewhere: bool = False, barred: Bools | None = None) -> str | None:
        """The node of the lowest slot that a pod fits, or None. Slots are given in the order nodes came."""
        mask = self.fits(pod, elsewhere=elsewhere, barred=barred)
        slot = int(mask.argmax())
        return self.node_at(slot) if mask[slot] else None

    def best_fit(self, pod: Pod, rank: Floats, *, elsewhere: bool = False, barred: Bools | None = None) -> str | None:
        """The node of the highest rank that a pod fits, the lowest slot of equal ones; None where it fits nowhere.

        Args:
            pod: the pod.
            rank: one number per slot, none of them NaN or minus infinity.
            elsewhere: as for ``fits``.
            barred: as for ``fits``.
        """
        mask = self.fits(pod, elsewhere=elsewhere, barred=barred)
        slot = int(np.where(mask, rank, -np.inf).argmax())
        return self.node_at(slot) if mask[slot] else None

    def slots_of(self, names: Iterable[str]) -> Bools:
        """One bool per slot, True for these nodes; those that are not there are passed over."""
        mask = np.zeros(self.nodes.capacity, dtype=np.bool_)
        mask[[self.nodes.slots[name] for name in names if name in self.nodes.slots]] = True
        return mask

    def fitting(self, pod: Pod, *, elsewhere: bool = False) -> list[str]:
        """The names of all nodes that a pod fits, in slot order."""
        return [self.node_at(int(slot)) for slot in np.flatnonzero(self.fits(pod, elsewhere=elsewhere))]

    def node_at(self, slot: int) -> str:
        """The name of the node in a slot."""
        return self.nodes.record(slot).name

    def sweep(self) -> None:
        """Forget what no pod and no recent question needs; during a simulation nothing, which may bring it back."""
        super().sweep()
        self._volume_facets.clear()

    def _fits(self, pod: Pod, *, elsewhere: bool, barred: Bools | None) -> Bools:
        one = self._asked(pod)
        if one.problems:
            return np.zeros(self.nodes.capacity, dtype=np.bool_)
        mask = one.static.mask(self.nodes).copy()
        if barred is not None:
            mask &= ~barred
        if pod.spec.node_name and not elsewhere:
            slot = self.nodes.slots.get(pod.spec.node_name)
            here = slot is not None and bool(mask[slot])
            mask[:] = False
            if here:
                mask[slot] = True
        self.resources.restrict(mask, one.asked_for)
        if one.ports:
            self.ports.restrict(mask, one.ports)
        one.relations.restrict(mask, one.repelled_by)
        if one.watched:
            pod_topology_spread.restrict(mask, one.watched)
        if one.volumes is not None:
            self._restrict_volumes(mask, one, elsewhere=elsewhere)
        for name in self.nominations.nodes if self.nominations is not None else ():
            where = self.nodes.slots.get(name)
            if where is not None and mask[where]:
                mask[where] = not self._beside_nominated(pod, one, where, elsewhere)
        if self.doubts:
            plan = self.plan_of(one, elsewhere=elsewhere) if one.volumes is not None else None
            for place in np.flatnonzero(mask):
                mask[place] = not about(self, pod.key, one, self.node_at(int(place)), plan)
        return mask

    def _fits_at(self, pod: Pod, slot: int, *, elsewhere: bool) -> bool:
        one = self._asked(pod)
        if one.problems or not one.static.mask(self.nodes)[slot]:
            return False
        record = self.nodes.record(slot)
        if pod.spec.node_name and pod.spec.node_name != record.name and not elsewhere:
            return False
        if not self.resources.enough(slot, one.asked_for) or self._changing_findings(one, slot, record, elsewhere):
            return False
        if self._beside_nominated(pod, one, slot, elsewhere):
            return False
        if not self.doubts:
            return True
        plan = self.plan_of(one, elsewhere=elsewhere) if one.volumes is not None else None
        return not about(self, pod.key, one, self.node_at(slot), plan)

    def _asked(self, pod: Pod) -> PodClass:
        """The class of a pod, with the counters that are needed to answer for it."""
        one = self.classes.of(pod)
        if not one.asked:
            self.relations.prepare(one)
        return one

    def _restrict_volumes(self, mask: Bools, one: PodClass, *, elsewhere: bool) -> None:
        if one.volumes is None:
            return
        plan = self.plan_of(one, elsewhere=elsewhere)
        if plan.everywhere:
            mask[:] = False
            return
        for _, placement, _ in plan.reachable:
            facet = self._volume_facets.get(placement)
            if facet is None:
                facet = self._volume_facets[placement] = LabelFacet(placement)
            mask &= facet.mask(self.nodes)
        if plan.zones or any(plugin for _, _, plugin in plan.reachable):
            for slot in np.flatnonzero(mask):
                if self._volume_findings(int(slot), plan):
                    mask[slot] = False
        self.attached.restrict(mask, plan, one.volumes.disks)

    def _verdict(self, pod: Pod, node: str, *, elsewhere: bool, doubts: bool) -> Verdict:
        one = self._asked(pod)
        slot = self.nodes.slots.get(node)
        found = [Finding(Reason.NODE_ABSENT, node)] if slot is None else self._findings(pod, one, slot, elsewhere)
        if slot is not None and not found:
            found = self._beside_nominated(pod, one, slot, elsewhere)
        if doubts and self.doubts:
            plan = self.plan_of(one, elsewhere=elsewhere) if one.volumes is not None else None
            reasons = about(self, pod.key, one, node, plan)
            lifted = frozenset[Reason]().union(*(doubt.lifts for doubt in reasons))
            found = [finding for finding in found if finding.reason not in lifted]
            found += [doubt.finding for doubt in reasons]
        return Verdict.of(found)

    def _beside_nominated(self, pod: Pod, one: PodClass, slot: int, elsewhere: bool) -> list[Finding]:
        """Why a pod that fits would not if those ran there that are nominated to the node, and that it must yield to.

        As for upstream, those of other nodes count nowhere.
        """
        if self.nominations is None:
            return []
        name = self.node_at(slot)
        first = [found for found in self.nominations.before(pod, name) if found.key not in self._placed]
        if not first:
            return []
        with self.trial():
            for found in first:
                self._add_pod(found.key, found.one, name, slot)
            return self._findings(pod, one, slot, elsewhere)

    def _findings(self, pod: Pod, one: PodClass, slot: int, elsewhere: bool) -> list[Finding]:
        record = self.nodes.record(slot)
        found = list(one.problems)
        if pod.spec.node_name and pod.spec.node_name != record.name and not elsewhere:
            found.append(Finding(Reason.NODE_NAME, "spec.nodeName", pod.spec.node_name))
        found += one.static.findings(record)
        found += self.resources.findings(slot, record, one.asked_for, self.device_classes)
        found += self._changing_findings(one, slot, record, elsewhere)
        return found

    def _changing_findings(self, one: PodClass, slot: int, record: NodeRecord, elsewhere: bool) -> list[Finding]:
        """What other pods and volumes have against a pod."""
        found = self.ports.findings(slot, one.ports)
        found += one.relations.findings(slot, record, one.repelled_by)
        found += pod_topology_spread.findings(slot, record, one.watched)
        if one.volumes is not None:
            plan = self.plan_of(one, elsewhere=elsewhere)
            found += plan.everywhere
            for field, node in plan.selected:
                if node != record.name:
                    found.append(Finding(Reason.SELECTED_NODE, field, node))
            found += self._volume_findings(slot, plan)
            found += self.attached.findings(slot, plan, one.volumes.disks)
        return found

    def _volume_findings(self, slot: int, plan: Plan) -> list[Finding]:
        record = self.nodes.record(slot)
        migrated = self.storage.migrated(record.name)
        found = []
        for field, placement, plugin in plan.reachable:
            if plugin in migrated:
                found.append(Finding(Reason.IN_TREE_VOLUME, field, plugin or ""))
            elif not placement.matches("", record.labels):
                found.append(Finding(Reason.VOLUME_NODE, field, "; ".join(placement.errors)))
        if any(label in record.labels for label in TOPOLOGY_LABELS):
            for field, label, zones in plan.zones:
                value = record.labels.get(label, record.labels.get(GENERAL_LABEL.get(label, label)))
                if value not in zones:
                    found.append(
                        Finding(Reason.VOLUME_ZONE, field, f"{label} is {value}, not {', '.join(sorted(zones))}")
                    )
        return found
