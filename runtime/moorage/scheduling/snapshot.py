"""The questions: does this pod fit there, why not, and where does it fit at all.

``verdict`` answers for one node, with every reason. ``fits`` answers for all nodes at once, without reasons. Both ask
the same plugins: a node is in ``fits`` exactly when its verdict is "yes".
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from moorage.objects.base import KubeObject
from moorage.objects.pod import Pod

from .doubts import doubts_about
from .nodes import Bools, Floats
from .pod_class import PodClass
from .reasons import Finding, Reason, Verdict
from .state import State
from .unread import Unread, UnreadObjects


class Snapshot(State):
    """Nodes and pods, and the answers about them.

    Args:
        nominated: whether nominated pods count on the node that they are nominated to: then the answers are those of
            kube-scheduler's RunFilterPluginsWithNominatedPods.

    Attributes:
        unread: the objects of which not all can be read.
    """

    def __init__(self, *, nominated: bool = False) -> None:
        super().__init__(nominated=nominated)
        self.unread = UnreadObjects()

    def doubt(self, key: str, unread: Unread) -> None:
        """Take over what can be read of an object, and that the rest cannot.

        Args:
            key: ``namespace/name``, or the name alone when cluster-scoped.
            unread: the object.

        Raises:
            SnapshotError: a simulation is under way.
        """
        self.unread.put(key, unread)
        self.apply(unread.thing)

    def trust(self, kind: type[KubeObject], key: str) -> None:
        """Take over that an object can be read again, or is gone; ``apply`` and ``delete`` take over the object."""
        self.unread.drop(kind, key)

    def verdict(self, pod: Pod, node: str, *, as_replacement: bool = False, doubts: bool = True) -> Verdict:
        """Judge whether a pod fits a node.

        A pod that is in the snapshot is judged as if it were not: its own use does not stand in its way.

        Args:
            pod: the pod.
            node: the node's name.
            as_replacement: whether to judge the pod that replaces this one: ``spec.nodeName`` does not count, and
                claims of generic ephemeral volumes do not exist yet.
            doubts: whether objects that cannot be read make verdicts unknown that they could change.

        Returns:
            The verdict with every reason. It equals what kube-scheduler v1.36.3's default PreFilter and Filter plugins
            say, or is "unknown".
        """
        if pod.key in self._node_of:
            with self.trial():
                self.remove(pod.key)
                return self._verdict(pod, node, as_replacement=as_replacement, doubts=doubts)
        return self._verdict(pod, node, as_replacement=as_replacement, doubts=doubts)

    def fits(self, pod: Pod, *, as_replacement: bool = False, barred: Bools | None = None) -> Bools:
        """Judge where a pod fits.

        Args:
            pod: the pod; one that is in the snapshot is judged as if it were not.
            as_replacement: as for ``verdict``.
            barred: slots that it must not go to. Their nodes and pods still count for everything else, as those of a
                cordoned node do (but for spread constraints that honour its taint).

        Returns:
            One bool per slot, True where the verdict is "yes"; the caller may change it. See ``node_at``.
        """
        if pod.key in self._node_of:
            with self.trial():
                self.remove(pod.key)
                return self._fits(pod, as_replacement=as_replacement, barred=barred)
        return self._fits(pod, as_replacement=as_replacement, barred=barred)

    def fits_at(self, pod: Pod, slot: int, *, as_replacement: bool = False) -> bool:
        """Judge whether a pod fits the node in a slot: as ``fits``, for one node."""
        if pod.key in self._node_of:
            with self.trial():
                self.remove(pod.key)
                return self._fits_at(pod, slot, as_replacement=as_replacement)
        return self._fits_at(pod, slot, as_replacement=as_replacement)

    def first_fit(self, pod: Pod, *, as_replacement: bool = False, barred: Bools | None = None) -> str | None:
        """Return the node of the lowest slot that a pod fits, or None. Nodes get slots in the order they came."""
        mask = self.fits(pod, as_replacement=as_replacement, barred=barred)
        slot = int(mask.argmax())
        return self.node_at(slot) if mask[slot] else None

    def best_fit(
        self, pod: Pod, rank: Floats, *, as_replacement: bool = False, barred: Bools | None = None
    ) -> str | None:
        """Return the node of the highest rank that a pod fits, the lowest slot of equal ones; None when it fits none.

        Args:
            pod: the pod.
            rank: one number per slot, none of them NaN or minus infinity.
            as_replacement: as for ``verdict``.
            barred: as for ``fits``.
        """
        mask = self.fits(pod, as_replacement=as_replacement, barred=barred)
        slot = int(np.where(mask, rank, -np.inf).argmax())
        return self.node_at(slot) if mask[slot] else None

    def fitting(self, pod: Pod, *, as_replacement: bool = False) -> list[str]:
        """Return the names of all nodes that a pod fits, in slot order."""
        return [self.node_at(int(slot)) for slot in np.flatnonzero(self.fits(pod, as_replacement=as_replacement))]

    def class_of(self, pod: Pod) -> PodClass:
        """Return the class of a pod, with the counts that plugins need to judge it."""
        pod_class = self.classes.of(pod)
        if not pod_class.prepared:
            self.counters.prepare(pod_class)
        return pod_class

    def nodes_for(self, pod_class: PodClass) -> Bools:
        """Return the nodes that a class fits by their own fields: cordon, taints, labels, features.

        Args:
            pod_class: the class.

        Returns:
            One bool per slot; the caller does not change it.
        """
        kept = pod_class.node_mask
        if kept.mask is None or kept.clock != self.nodes.clock:
            mask = self.nodes.alive.copy()
            for plugin in pod_class.plugins:
                if plugin.node_only:
                    plugin.restrict(mask, pod_class)
            kept.mask, kept.clock = mask, self.nodes.clock
        return kept.mask

    def slots_of(self, names: Iterable[str]) -> Bools:
        """Return one bool per slot, True for these nodes; unknown names are ignored."""
        mask = np.zeros(self.nodes.capacity, dtype=np.bool_)
        mask[[self.nodes.slots[name] for name in names if name in self.nodes.slots]] = True
        return mask

    def node_at(self, slot: int) -> str:
        """Return the name of the node in a slot."""
        return self.nodes.record(slot).name

    def _judged(self, pod: Pod, *, as_replacement: bool) -> PodClass:
        """Return what the plugins judge: the class of a pod, or of its replacement."""
        pod_class = self.class_of(pod)
        if as_replacement:
            return pod_class.replacement()
        if not pod.spec.node_name:
            return pod_class
        return pod_class.bound_to(pod.spec.node_name, self.plugin_choice)

    def _fits(self, pod: Pod, *, as_replacement: bool, barred: Bools | None) -> Bools:
        pod_class = self._judged(pod, as_replacement=as_replacement)
        if pod_class.problems:
            return np.zeros(self.nodes.capacity, dtype=np.bool_)
        mask = self.nodes_for(pod_class).copy()
        if barred is not None:
            mask &= ~barred
        for plugin in pod_class.pod_plugins:
            plugin.restrict(mask, pod_class)
        for name in self.nominations.nodes if self.nominations is not None else ():
            slot = self.nodes.slots.get(name)
            if slot is not None and mask[slot]:
                mask[slot] = not self._beside_nominated(pod, pod_class, slot)
        if self.unread:
            for each in np.flatnonzero(mask):
                mask[each] = not doubts_about(self, self.unread, pod.key, pod_class, self.node_at(int(each)))
        return mask

    def _fits_at(self, pod: Pod, slot: int, *, as_replacement: bool) -> bool:
        pod_class = self._judged(pod, as_replacement=as_replacement)
        if pod_class.problems or not self.nodes_for(pod_class)[slot]:
            return False
        if any(plugin.findings(slot, pod_class) for plugin in pod_class.pod_plugins):
            return False
        if self._beside_nominated(pod, pod_class, slot):
            return False
        return not self.unread or not doubts_about(self, self.unread, pod.key, pod_class, self.node_at(slot))

    def _verdict(self, pod: Pod, node: str, *, as_replacement: bool, doubts: bool) -> Verdict:
        pod_class = self._judged(pod, as_replacement=as_replacement)
        slot = self.nodes.slots.get(node)
        findings = [Finding(Reason.NODE_ABSENT, node)] if slot is None else self._findings(pod_class, slot)
        if slot is not None and not findings:
            findings = self._beside_nominated(pod, pod_class, slot)
        if doubts and self.unread:
            doubtful = doubts_about(self, self.unread, pod.key, pod_class, node)
            lifted = frozenset[Reason]().union(*(doubt.lifts for doubt in doubtful))
            findings = [finding for finding in findings if finding.reason not in lifted]
            findings += [doubt.finding for doubt in doubtful]
        return Verdict.of(findings)

    def _findings(self, pod_class: PodClass, slot: int) -> list[Finding]:
        findings = list(pod_class.problems)
        for plugin in pod_class.plugins:
            findings += plugin.findings(slot, pod_class)
        return findings

    def _beside_nominated(self, pod: Pod, pod_class: PodClass, slot: int) -> list[Finding]:
        """Return the reasons against a node if the pods ran there that are nominated to it and come first.

        As for upstream, pods that are nominated to other nodes count nowhere.
        """
        if self.nominations is None:
            return []
        name = self.node_at(slot)
        ahead = [each for each in self.nominations.ahead_of(pod, name) if each.key not in self._node_of]
        if not ahead:
            return []
        with self.trial():
            for nominated in ahead:
                self._add_pod(nominated.key, nominated.pod_class, name, slot)
            return self._findings(pod_class, slot)
