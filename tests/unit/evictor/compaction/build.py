"""Small clusters to choose from, written as manifests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moorage.evictor.candidates import judge
from moorage.evictor.compaction import Cluster, History, Plan, Settings, choose
from moorage.objects import Pod
from moorage.scheduling import Snapshot
from tests.unit.evictor.build import Json, controller, merged, node, owner, pod, policy, view

ALL = Settings(most=None, percentage=100, utilisation=1.0)
"""Everything that can go."""


def room(name: str, cpu: str = "4", **change: Any) -> Json:
    """A node that has so many cores."""
    offered = {"cpu": cpu, "memory": "8Gi", "pods": "10"}
    labels = {"kubernetes.io/hostname": name}
    base = node(name, metadata={"labels": labels}, status={"allocatable": offered, "capacity": offered})
    return merged(base, change)


def replica(name: str, on: str, cpu: str = "1", of: str = "web-1", **change: Any) -> Json:
    """A pod of a ReplicaSet."""
    containers = [{"name": "main", "resources": {"requests": {"cpu": cpu}}}]
    return merged(pod(name, of=owner("ReplicaSet", of), on=on, spec={"containers": containers}), change)


def replica_set(name: str = "web-1", replicas: int = 3, **change: Any) -> Json:
    """The ReplicaSet."""
    return controller("ReplicaSet", name, spec={"replicas": replicas}, **change)


def cluster(*manifests: Json, templates: Mapping[str, Pod] | None = None, **settings: Any) -> Cluster:
    """What is chosen from."""
    seen = view(*manifests)
    snapshot = Snapshot()
    for kind in (seen.namespaces, seen.claims, seen.volumes, seen.nodes):
        for thing in kind.values():
            snapshot.apply(thing)
    for one in seen.pods:
        snapshot.apply(one)
    return Cluster(snapshot, seen, judge(seen, policy(**settings)), templates or {})


def chosen(*manifests: Json, settings: Settings = ALL, history: History | None = None, **more: Any) -> Plan:
    """The plan for a cluster."""
    return choose(cluster(*manifests, **more), settings, history or History())


def moves(plan: Plan) -> dict[str, dict[str, str]]:
    """Where the pods of each chosen node would go, by their names."""
    return {one.name: {move.pod.rpartition("/")[2]: move.node for move in one.moves} for one in plan.chosen}


def why(plan: Plan, name: str) -> list[str]:
    """The names of the reasons for which a node stays."""
    return [found.reason.name for found in plan.kept[name]]
