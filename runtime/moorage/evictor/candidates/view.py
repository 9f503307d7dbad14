"""What is known of a cluster at one moment, and which kinds and objects cannot be read."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from moorage.objects import (
    KubeObject,
    Namespace,
    Node,
    NodePool,
    PersistentVolume,
    PersistentVolumeClaim,
    Pod,
    PodDisruptionBudget,
    Workload,
)
from moorage.scheduling.unread import Unread

_SAYS = ("metadata.labels", "metadata.annotations", "metadata.ownerReferences", "metadata.deletionTimestamp")
READ = {
    "Node": (*_SAYS, "spec.taints", "spec.unschedulable", "status.conditions", "status.nodeInfo"),
    "Pod": (
        *_SAYS,
        "spec.priority",
        "spec.priorityClassName",
        "spec.terminationGracePeriodSeconds",
        "spec.schedulerName",
        "spec.tolerations",
        "spec.resourceClaims",
        "spec.volumes",
        "status.phase",
        "status.conditions",
        "status.extendedResourceClaimStatus",
    ),
    "PodDisruptionBudget": ("metadata.generation", "spec", "status"),
    "Namespace": ("metadata.deletionTimestamp",),
    "PersistentVolumeClaim": ("spec.volumeName",),
    "PersistentVolume": ("spec",),
    "NodeClaim": ("metadata.deletionTimestamp",),
    "NodePool": ("metadata.deletionTimestamp", "spec"),
}
"""The fields that are read here, by kind; where only others are missing nothing is in doubt."""
_READ_OF_WORKLOADS = (*_SAYS, "spec", "status")


@dataclass(frozen=True, slots=True)
class View:
    """Objects by their key, ``namespace/name`` or the name alone.

    Attributes:
        now: the API server's time.
        nodes: all nodes.
        pods: all pods; those without a node are passed over.
        workloads: controllers by kind; see ``controllers.KINDS``.
        budgets: PodDisruptionBudgets.
        namespaces: all namespaces.
        claims: PersistentVolumeClaims.
        volumes: PersistentVolumes.
        node_claims: Karpenter's NodeClaims.
        node_pools: Karpenter's NodePools.
        unseen: kinds that could not be listed, each with the reason (``Job``: ``may not list jobs``).
        unread: objects of which not all can be read, by kind and key; what can be is above like all others.
    """

    now: datetime
    nodes: Mapping[str, Node]
    pods: Collection[Pod]
    workloads: Mapping[str, Mapping[str, Workload]] = field(default_factory=dict)
    budgets: Mapping[str, PodDisruptionBudget] = field(default_factory=dict)
    namespaces: Mapping[str, Namespace] = field(default_factory=dict)
    claims: Mapping[str, PersistentVolumeClaim] = field(default_factory=dict)
    volumes: Mapping[str, PersistentVolume] = field(default_factory=dict)
    node_claims: Mapping[str, KubeObject] = field(default_factory=dict)
    node_pools: Mapping[str, NodePool] = field(default_factory=dict)
    unseen: Mapping[str, str] = field(default_factory=dict)
    unread: Mapping[str, Mapping[str, Unread]] = field(default_factory=dict)

    def doubt(self, kind: str, key: str) -> str:
        """Return why the content of an object is not known; empty when it is known, or known not to exist.

        Args:
            kind: ``Job``.
            key: the object's.
        """
        if kind in self.unseen:
            return f"{kind} {key}: {self.unseen[kind]}"
        unread = self.unread.get(kind, {}).get(key)
        if unread is None or not unread.lacks(*READ.get(kind, _READ_OF_WORKLOADS)):
            return ""
        return f"{unread.what}: {unread.reason}"
