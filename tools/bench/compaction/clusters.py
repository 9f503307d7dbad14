"""Seeded clusters whose best compaction is known, because it was there first.

A node's worth of pods is a recipe: as many kinds of pods as add up to exactly what a node has. Every node that stays
is filled with one, then a part of its pods is taken off and put on nodes that were empty. So all nodes are about
equally full, and the nodes that were empty can be emptied again, whatever a program makes of it.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from moorage.evictor.candidates import View
from moorage.kube.compact import compact_pod
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

ZONE, HOST, POOL = "topology.kubernetes.io/zone", "kubernetes.io/hostname", "example.com/pool"
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
_OLD = "2025-12-31T12:00:00Z"
_ZONES = ("a", "b", "c")
_NAMESPACE = "shop"
_CPU, _MEMORY, _PODS = 16_000, 64 * 1024, 110
"""Thousandths of a core and MiB of a node; some are twice as large."""
_AGENT = (100, 256)
_RECIPES = 30
"""For each pool at most."""
_CPU_STEP, _MEMORY_STEP = 10, 16


class Item(NamedTuple):
    """A kind of pod: one of them belongs to each node of a recipe."""

    name: str
    cpu: int
    memory: int
    wish: str


@dataclass(slots=True)
class Site:
    """A node while the cluster is made."""

    name: str
    zone: str
    pool: str
    size: int
    cpu: int = 0
    memory: int = 0
    items: list[Item] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cpu, self.memory = _room(self.size)

    def put(self, item: Item) -> None:
        """Place a pod."""
        self.items.append(item)
        self.cpu -= item.cpu
        self.memory -= item.memory

    def takes(self, item: Item) -> bool:
        """Whether there is room for a pod, and none like it there already."""
        return item.cpu <= self.cpu and item.memory <= self.memory and item not in self.items


@dataclass(slots=True)
class Cluster:
    """All objects of a cluster.

    Attributes:
        planted: the nodes that can go together, as far as is known.
    """

    nodes: list[Node] = field(default_factory=list)
    pods: list[Pod] = field(default_factory=list)
    workloads: dict[str, dict[str, Workload]] = field(default_factory=dict)
    budgets: dict[str, PodDisruptionBudget] = field(default_factory=dict)
    planted: tuple[str, ...] = ()

    def view(self) -> View:
        """What the evictor knows of it."""
        namespace = Namespace(ObjectMeta(_NAMESPACE))
        nodes = {node.key: node for node in self.nodes}
        return View(NOW, nodes, self.pods, self.workloads, self.budgets, {_NAMESPACE: namespace})

    def snapshot(self) -> Snapshot:
        """What fit knows of it."""
        snapshot = Snapshot()
        things: list[KubeObject] = [Namespace(ObjectMeta(_NAMESPACE)), *self.nodes, *self.pods]
        for thing in things:
            snapshot.apply(thing)
        return snapshot


def planted(nodes: int, seed: int, *, mixed: bool = False, free: float = 0.4, pods: int = 30) -> Cluster:
    """A cluster of which a part can go.

    Args:
        nodes: how many nodes; a multiple of three.
        seed: what makes it this one.
        mixed: whether pods mind zones, nodes and each other, and some may not move.
        free: what part of the nodes was empty.
        pods: about how many pods fill a node.
    """
    chance = random.Random(f"{nodes} {seed} {mixed}")
    triples = nodes // 3
    stay = triples - round(triples * free)
    sites = []
    for number in range(nodes):
        pool, size = _kind(number // 3, mixed=mixed)
        sites.append(Site(f"node-{number:05}", _ZONES[number % 3], pool, size))
    recipes: dict[tuple[str, int], list[list[Item]]] = {}
    for triple in range(stay):
        pool, size = _kind(triple, mixed=mixed)
        known = recipes.setdefault((pool, size), [])
        if not known or (triple % 4 < 2 and len(known) < _RECIPES):
            known.append(_recipe(chance, f"{pool}-{size}-{len(known)}", size, pods * size, mixed=mixed))
        for site in sites[3 * triple : 3 * triple + 3]:
            for item in known[triple % len(known)]:
                site.put(item)
    empty = sites[3 * stay :]
    _scatter(chance, sites[: 3 * stay], empty, free)
    order = list(sites)
    chance.shuffle(order)
    cluster = _made(chance, order, mixed=mixed)
    cluster.planted = tuple(site.name for site in empty)
    return cluster


def _kind(triple: int, *, mixed: bool) -> tuple[str, int]:
    """The pool and the size of nodes."""
    return ("batch" if triple % 5 == 4 else "general", 1 + (triple % 7 in (1, 5))) if mixed else ("general", 1)


def _room(size: int) -> tuple[int, int]:
    """What a node has for pods."""
    return size * _CPU - _AGENT[0], size * _MEMORY - _AGENT[1]


def _recipe(chance: random.Random, name: str, size: int, pods: int, *, mixed: bool) -> list[Item]:
    """Kinds of pods that fill a node to the last core and byte."""
    count = chance.randint(pods * 2 // 3, pods * 4 // 3)
    cpu, memory = _room(size)
    cpus, memories = _parts(chance, cpu // _CPU_STEP, count), _parts(chance, memory // _MEMORY_STEP, count)
    wishes = chance.choices(("", "spread", "apart"), (75, 15, 10), k=count) if mixed else [""] * count
    return [
        Item(f"{name}-{place}", cpu * _CPU_STEP, memory * _MEMORY_STEP, wish)
        for place, (cpu, memory, wish) in enumerate(zip(cpus, memories, wishes, strict=True))
    ]


def _parts(chance: random.Random, whole: int, count: int) -> list[int]:
    """A number in parts of very different sizes, none of them nothing."""
    weights = [chance.lognormvariate(0, 0.9) for _ in range(count)]
    found = [1 + int((whole - count) * weight / sum(weights)) for weight in weights]
    found[chance.randrange(count)] += whole - sum(found)
    return found


def _scatter(chance: random.Random, full: list[Site], empty: list[Site], part: float) -> None:
    """Take a part of the pods off nodes, and put them on empty ones of the same zone and pool."""
    for site in full:
        for item in list(site.items):
            if chance.random() >= part:
                continue
            others = [other for other in empty if (other.zone, other.pool) == (site.zone, site.pool)]
            chance.shuffle(others)
            there = next((other for other in others if other.takes(item)), None)
            if there is not None:
                site.items.remove(item)
                there.put(item)


def _made(chance: random.Random, sites: list[Site], *, mixed: bool) -> Cluster:
    found = Cluster()
    count = Counter(item for site in sites for item in site.items)
    for site in sites:
        found.nodes.append(_node(site))
        found.pods.append(_pod(f"agent-{site.name}", site, Item("agent", *_AGENT, ""), "DaemonSet"))
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
        if mixed and chance.random() < 0.3:
            found.budgets[f"{_NAMESPACE}/{item.name}"] = _budget(item, replicas)
    return found


def _node(site: Site) -> Node:
    labels = {HOST: site.name, ZONE: site.zone, POOL: site.pool}
    cpu, memory = site.size * _CPU, site.size * _MEMORY
    room: dict[str, str | int] = {"cpu": f"{cpu}m", "memory": f"{memory}Mi", "pods": str(_PODS)}
    ready = (Condition("Ready", "True"),)
    info = NodeSystemInfo(kubelet_version="v1.36.3", operating_system="linux", architecture="amd64")
    status = NodeStatus(allocatable=room, capacity=room, conditions=ready, node_info=info)
    return Node(ObjectMeta(site.name, creation_timestamp=_OLD, labels=labels), NodeSpec(), status)


def _pod(name: str, site: Site, item: Item, kind: str) -> Pod:
    requests: dict[str, str | int] = {"cpu": f"{item.cpu}m", "memory": f"{item.memory}Mi"}
    container = Container(name="main", resources=ResourceRequirements(requests))
    selector = LabelSelector({"app": item.name})
    affinity: Affinity | None = None
    spread: tuple[TopologySpreadConstraint, ...] = ()
    if item.wish == "apart":
        term = PodAffinityTerm(label_selector=selector, topology_key=HOST)
        affinity = Affinity(pod_anti_affinity=PodAffinity((term,)))
    if item.wish == "spread":
        spread = (TopologySpreadConstraint(1, ZONE, "DoNotSchedule", selector),)
    spec = PodSpec(
        node_name=site.name,
        scheduler_name="default-scheduler",
        containers=(container,),
        affinity=affinity,
        topology_spread_constraints=spread,
        node_selector={POOL: site.pool} if site.pool != "general" else {},
    )
    status = PodStatus(phase="Running", conditions=(Condition("Ready", "True"),))
    meta = _meta(name, "Pod", _owner(kind, item.name), {"app": item.name})
    return compact_pod(Pod(meta, spec, status))  # as caches keep it: equal parts once


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
