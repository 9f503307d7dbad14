"""The objects of a cluster as the evictor's caches have them, from the pods on its nodes."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from moorage.evictor.candidates import View
from moorage.kube.compact import compact_node, compact_pod
from moorage.objects import (
    Condition,
    Container,
    KubeObject,
    Namespace,
    Node,
    NodeSpec,
    NodeStatus,
    NodeSystemInfo,
    ObjectMeta,
    OwnerReference,
    Pod,
    PodDisruptionBudget,
    PodSpec,
    PodStatus,
    ResourceRequirements,
    Workload,
)
from moorage.objects.pod import Affinity, PodAffinity, PodAffinityTerm, TopologySpreadConstraint
from moorage.objects.selectors import LabelSelector
from moorage.objects.workloads import DisruptionBudgetSpec, DisruptionBudgetStatus, WorkloadSpec, WorkloadStatus
from moorage.scheduling import Snapshot

from .sites import AGENT, APART, CPU, MEMORY, SPREAD, ZONAL, Item, Site

ZONE, HOST, POOL = "topology.kubernetes.io/zone", "kubernetes.io/hostname", "example.com/pool"
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
_OLD = "2025-12-31T12:00:00Z"
_NAMESPACE = "shop"
_PODS = 110
_BUDGETED = 0.3
"""The part of a mixed cluster's workloads with a PodDisruptionBudget."""


@dataclass(slots=True)
class Cluster:
    """All objects of a cluster.

    Attributes:
        planted: the nodes that can be emptied together, as far as known.
    """

    nodes: list[Node] = field(default_factory=list)
    pods: list[Pod] = field(default_factory=list)
    workloads: dict[str, dict[str, Workload]] = field(default_factory=dict)
    budgets: dict[str, PodDisruptionBudget] = field(default_factory=dict)
    planted: tuple[str, ...] = ()

    def view(self) -> View:
        """The evictor's view of it."""
        namespace = Namespace(ObjectMeta(_NAMESPACE))
        nodes = {node.key: node for node in self.nodes}
        return View(NOW, nodes, self.pods, self.workloads, self.budgets, {_NAMESPACE: namespace})

    def snapshot(self) -> Snapshot:
        """The snapshot of it."""
        snapshot = Snapshot()
        things: list[KubeObject] = [Namespace(ObjectMeta(_NAMESPACE)), *self.nodes, *self.pods]
        for thing in things:
            snapshot.apply(thing)
        return snapshot


def made(chance: random.Random, sites: Sequence[Site], *, mixed: bool) -> Cluster:
    """The objects of a cluster.

    Args:
        chance: decides which workloads have a budget.
        sites: the nodes with their pods, in the order in which they joined.
        mixed: whether there are PodDisruptionBudgets.
    """
    found = Cluster()
    count = Counter(item for site in sites for item in site.items)
    for site in sites:
        found.nodes.append(_node(site))
        found.pods.append(_pod(f"agent-{site.name}", site, Item("agent", *AGENT, ""), "DaemonSet"))
        for item in site.items:
            name = f"{item.name}-{len(found.pods):06}"
            found.pods.append(_pod(name, site, item, "ReplicaSet"))
    deployments, sets = found.workloads.setdefault("Deployment", {}), found.workloads.setdefault("ReplicaSet", {})
    found.workloads["DaemonSet"] = {f"{_NAMESPACE}/agent": Workload(_meta("agent", "DaemonSet"))}
    for item, replicas in sorted(count.items()):
        spec = WorkloadSpec(replicas=replicas)
        status = WorkloadStatus(replicas=replicas, updated_replicas=replicas, available_replicas=replicas)
        deployments[f"{_NAMESPACE}/{item.name}"] = Workload(_meta(item.name, "Deployment"), spec, status)
        owner = _owner("Deployment", item.name)
        sets[f"{_NAMESPACE}/{item.name}"] = Workload(_meta(item.name, "ReplicaSet", owner), spec, status)
        if mixed and chance.random() < _BUDGETED:
            found.budgets[f"{_NAMESPACE}/{item.name}"] = _budget(item, replicas)
    return found


def _node(site: Site) -> Node:
    labels = {HOST: site.name, ZONE: site.zone, POOL: site.pool}
    if site.kept:
        labels["autoscaling.cast.ai/removal-disabled"] = "true"
    cpu, memory = site.size * CPU, site.size * MEMORY
    offered: dict[str, str | int] = {"cpu": f"{cpu}m", "memory": f"{memory}Mi", "pods": str(_PODS)}
    ready = (Condition("Ready", "True"),)
    info = NodeSystemInfo(kubelet_version="v1.36.3", operating_system="linux", architecture="amd64")
    status = NodeStatus(allocatable=offered, capacity=offered, conditions=ready, node_info=info)
    return compact_node(Node(ObjectMeta(site.name, creation_timestamp=_OLD, labels=labels), NodeSpec(), status))


def _pod(name: str, site: Site, item: Item, kind: str) -> Pod:
    requests: dict[str, str | int] = {"cpu": f"{item.cpu}m", "memory": f"{item.memory}Mi"}
    container = Container(name="main", resources=ResourceRequirements(requests))
    selector = LabelSelector({"app": item.name})
    affinity: Affinity | None = None
    spread: tuple[TopologySpreadConstraint, ...] = ()
    if item.wish == APART:
        term = PodAffinityTerm(label_selector=selector, topology_key=HOST)
        affinity = Affinity(pod_anti_affinity=PodAffinity((term,)))
    if item.wish == SPREAD:
        spread = (TopologySpreadConstraint(1, ZONE, "DoNotSchedule", selector),)
    demands = {POOL: site.pool} if site.pool != "general" else {}
    spec = PodSpec(
        node_name=site.name,
        scheduler_name="default-scheduler",
        containers=(container,),
        affinity=affinity,
        topology_spread_constraints=spread,
        node_selector=demands | ({ZONE: site.zone} if item.wish == ZONAL else {}),
    )
    status = PodStatus(phase="Running", conditions=(Condition("Ready", "True"),))
    meta = _meta(name, "Pod", _owner(kind, item.name), {"app": item.name})
    return compact_pod(Pod(meta, spec, status))  # as in the caches: equal parts are shared


def _meta(
    name: str, kind: str, owner: OwnerReference | None = None, labels: dict[str, str] | None = None
) -> ObjectMeta:
    return ObjectMeta(
        name,
        _NAMESPACE,
        f"{kind} {name}",
        creation_timestamp=_OLD,
        labels=labels or {},
        owner_references=(owner,) if owner is not None else (),
    )


def _owner(kind: str, name: str) -> OwnerReference:
    return OwnerReference("apps/v1", kind, name, f"{kind} {name}", controller=True)


def _budget(item: Item, replicas: int) -> PodDisruptionBudget:
    allowed = max(1, replicas * 3 // 4)
    spec = DisruptionBudgetSpec(LabelSelector({"app": item.name}), max_unavailable=allowed)
    status = DisruptionBudgetStatus(0, allowed, replicas, replicas - allowed, replicas)
    return PodDisruptionBudget(_meta(item.name, "PodDisruptionBudget"), spec, status)
