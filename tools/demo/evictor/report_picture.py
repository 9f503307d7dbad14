"""README's picture of the evictor: the report of the real code on a small cluster. It is the same each time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
from rich.text import Text

from moorage.evictor import report
from moorage.evictor.compaction import History
from moorage.evictor.configuration import Configuration
from moorage.evictor.evaluation import evaluate
from moorage.evictor.inventory import Inventory
from moorage.evictor.kinds import KINDS
from moorage.objects import KubeObject
from tools.demo.common.drawing import WIDTH, drawn

Json = dict[str, Any]

_COMMAND = "moorage evictor --once"
_NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
_OLD = "2025-12-31T12:00:00Z"
_TYPES = {each.kind: each.type for each in KINDS}
_NODES, _CORES, _MEMORY = 14, 8, 32
_LARGE = 10
"""Nodes from this index on are twice as large."""


class Kind(NamedTuple):
    """Pods of one controller."""

    kind: str
    namespace: str
    name: str
    cpu: str
    memory: str
    on: tuple[int, ...]


WORKLOADS = (
    Kind("ReplicaSet", "shop", "web", "1", "2Gi", (0, 0, 1, 2, 2, 3, 4, 5, 6, 7, 10, 10, 10, 11, 11, 12)),
    Kind("ReplicaSet", "shop", "api", "1500m", "4Gi", (0, 1, 3, 5, 8, 10, 11, 12, 12, 13)),
    Kind("ReplicaSet", "shop", "search", "2", "8Gi", (0, 2, 4, 10, 11, 13)),
    Kind("StatefulSet", "shop", "cache", "500m", "6Gi", (4, 5, 13)),
    Kind("ReplicaSet", "ops", "admin", "250m", "512Mi", (6,)),
    Kind("ReplicaSet", "ops", "grafana", "500m", "1Gi", (7,)),
    Kind("Job", "data", "report", "1", "4Gi", (8,)),
    Kind("", "data", "debug", "100m", "256Mi", (6,)),
)


def svg() -> str:
    """Draw what ``moorage evictor --once`` shows of the cluster."""
    found = evaluate(cluster(), Configuration(), History())
    shown = report.as_table(report.build(found, "a small cluster"), colour=True, width=WIDTH)
    return drawn(Text.from_ansi(f"\x1b[32m$\x1b[0m {_COMMAND}\n\n{shown}"), _COMMAND, "moorage-evictor")


def cluster() -> Inventory:
    """The cluster."""
    found: dict[str, dict[str, KubeObject]] = {}
    for manifest in (*map(_node, range(_NODES)), *_pods(), *_others()):
        thing = msgspec.convert(manifest, _TYPES[manifest["kind"]])
        found.setdefault(manifest["kind"], {})[thing.key] = thing
    return Inventory(_NOW, found)


def _node(number: int) -> Json:
    size = 2 if number >= _LARGE else 1
    offered = {"cpu": f"{size * _CORES}", "memory": f"{size * _MEMORY}Gi", "pods": "58"}
    labels = {"node.kubernetes.io/instance-type": f"m5.{2 * size}xlarge", "kubernetes.io/hostname": f"worker-{number}"}
    marks = {"autoscaling.cast.ai/removal-disabled": "true"} if number == 9 else {}
    return {
        "kind": "Node",
        "metadata": {"name": f"worker-{number}", "creationTimestamp": _OLD, "labels": labels, "annotations": marks},
        "status": {
            "allocatable": offered,
            "capacity": offered,
            "conditions": [{"type": "Ready", "status": "True"}],
            "nodeInfo": {"kubeletVersion": "v1.36.3", "operatingSystem": "linux", "architecture": "amd64"},
        },
    }


def _pods() -> Iterator[Json]:
    for one in WORKLOADS:
        for place, node in enumerate(one.on):
            yield _pod(one, f"{one.name}-{place}", node)
    for node in range(_NODES):
        yield _pod(Kind("DaemonSet", "ops", "agent", "100m", "256Mi", ()), f"agent-{node}", node)


def _pod(one: Kind, name: str, node: int) -> Json:
    version = "batch/v1" if one.kind == "Job" else "apps/v1"
    owner = {"apiVersion": version, "kind": one.kind, "name": one.name, "uid": one.name, "controller": True}
    return {
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": one.namespace,
            "uid": name,
            "creationTimestamp": _OLD,
            "labels": {"app": one.name},
            "ownerReferences": [owner] if one.kind else [],
        },
        "spec": {
            "nodeName": f"worker-{node}",
            "schedulerName": "default-scheduler",
            "containers": [
                {"name": "main", "resources": {"requests": {"cpu": one.cpu, "memory": one.memory}}},
            ],
        },
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    }


def _others() -> Iterator[Json]:
    for namespace in ("shop", "ops", "data"):
        yield {"kind": "Namespace", "metadata": {"name": namespace}}
    for one in WORKLOADS:
        if one.kind:
            meta = {"name": one.name, "namespace": one.namespace, "uid": one.name}
            replicas = len(one.on)
            status = {"replicas": replicas, "updatedReplicas": replicas, "availableReplicas": replicas}
            yield {"kind": one.kind, "metadata": meta, "spec": {"replicas": replicas}, "status": status}
