"""What never depends on other pods: labels, name, taints and declared features of a node, decided once and kept.

Pods that ask for the same share one facet, and a facet keeps its answer for all nodes; only nodes that changed since
are decided again.
"""

from __future__ import annotations

import numpy as np

from moorage.objects.pod import Pod, PodSpec

from ..nodes import ALL, Bools, NodeRecord, NodeTable, Rows
from ..reasons import Finding, Reason
from . import node_affinity, taint_toleration
from .node_affinity import Placement

_REGISTERED = (
    "ExtendWebSocketsToKubelet",
    "InPlacePodLevelResourcesVerticalScaling",
    "InPlacePodVerticalScalingInitContainers",
    "RestartAllContainersOnContainerExits",
    "UserNamespacesHostNetworkSupport",
)


class Kept:
    """An answer per node that is kept until nodes change."""

    def __init__(self) -> None:
        self._mask: Bools | None = None
        self._seen = -1

    def rows(self, nodes: NodeTable, rows: Rows) -> Bools:
        """Decide for the nodes of ``rows``."""
        raise NotImplementedError

    def mask(self, nodes: NodeTable) -> Bools:
        """The answer for all slots; not to be changed by the caller."""
        mask = self._mask
        if mask is None or len(mask) != nodes.capacity:
            mask = self._mask = self.rows(nodes, ALL)
        elif self._seen != nodes.clock:
            stale = np.flatnonzero(nodes.changed > self._seen)
            mask[stale] = self.rows(nodes, stale)
        self._seen = nodes.clock
        return mask

    def forget(self) -> None:
        """Free the memory; the answer is worked out again when asked for."""
        self._mask = None


class LabelFacet(Kept):
    """Node selector and affinity alone: what volumes ask, and what topology spread counts by."""

    def __init__(self, placement: Placement) -> None:
        super().__init__()
        self.placement = placement

    def rows(self, nodes: NodeTable, rows: Rows) -> Bools:
        """Decide for the nodes of ``rows``."""
        return self.placement.rows(nodes, rows)


class StaticFacet(Kept):
    """Everything of a pod that only the node itself decides."""

    def __init__(self, spec: PodSpec) -> None:
        super().__init__()
        self.placement = node_affinity.of_pod(spec.node_selector, spec.affinity)
        self.tolerations = taint_toleration.read(spec.tolerations)
        self.features = required_features(spec)

    def rows(self, nodes: NodeTable, rows: Rows) -> Bools:
        """Decide for the nodes of ``rows``."""
        result = self.placement.rows(nodes, rows)
        result &= taint_toleration.rows(self.tolerations, nodes, rows)
        if self.features:
            table = nodes.features.table(lambda declared: not missing_features(self.features, declared or ()))
            result &= table[nodes.features.ids[rows]]
        return result

    def findings(self, record: NodeRecord) -> list[Finding]:
        """Why a node does not match; empty when it does."""
        found = taint_toleration.findings(self.tolerations, record.fence)
        found += self.placement.findings(record.name, record.labels)
        missing = missing_features(self.features, record.features)
        if missing:
            found.append(Finding(Reason.FEATURE, "node status.declaredFeatures", ", ".join(missing)))
        return found


def facet_source(pod: Pod) -> tuple[object, ...]:
    """The fields a facet is made of; pods with equal ones share it."""
    spec = pod.spec
    node = spec.affinity.node_affinity if spec.affinity else None
    required = node.required_during_scheduling_ignored_during_execution if node else None
    return (spec.node_selector, required, spec.tolerations, required_features(spec))


def required_features(spec: PodSpec) -> tuple[str, ...]:
    """Kubelet features a pod cannot do without (``k8s.io/component-helpers/nodedeclaredfeatures/features``)."""
    needed = []
    for container in (*spec.containers, *spec.init_containers):
        if any(rule.action == "RestartAllContainers" for rule in container.restart_policy_rules):
            needed.append("RestartAllContainersOnContainerExits")
            break
    if spec.host_network and spec.host_users is False:
        needed.append("UserNamespacesHostNetworkSupport")
    return tuple(needed)


def missing_features(needed: tuple[str, ...], declared: tuple[str, ...]) -> tuple[str, ...]:
    """Needed features that are not declared; the list is read as sorted, as upstream's TryMap does."""
    if not needed:
        return ()
    known = set()
    place = 0
    for name in _REGISTERED:
        while place < len(declared) and declared[place] < name:
            place += 1
        if place < len(declared) and declared[place] == name:
            known.add(name)
            place += 1
    return tuple(name for name in needed if name not in known)
