"""Small clusters for the tests of this folder, written as manifests."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from typing import Any

import msgspec

from moorage.evictor import rules
from moorage.evictor.candidates import NodeVerdict, PodVerdict, Policy, View, judge
from moorage.kube.wire.lenient import decode_rest
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

Json = dict[str, Any]

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
OLD = "2025-12-31T12:00:00Z"
NAMESPACE = "shop"
_TYPES: dict[str, type[KubeObject]] = {
    "Node": Node,
    "Pod": Pod,
    "PodDisruptionBudget": PodDisruptionBudget,
    "Namespace": Namespace,
    "PersistentVolumeClaim": PersistentVolumeClaim,
    "PersistentVolume": PersistentVolume,
    "NodeClaim": KubeObject,
    "NodePool": NodePool,
}
_VERSIONS = {"Job": "batch/v1", "CronJob": "batch/v1", "ReplicationController": "v1", "Node": "v1"}


def merged(base: Json, change: Json) -> Json:
    """A manifest with changes: maps are merged, anything else is replaced, and None stays as null."""
    found = copy.deepcopy(base)
    for key, value in change.items():
        there = found.get(key)
        found[key] = merged(there, value) if isinstance(there, dict) and isinstance(value, dict) else value
    return found


def node(name: str = "n1", **change: Any) -> Json:
    """A node that may go; changes are merged into it."""
    return merged(
        {
            "kind": "Node",
            "metadata": {"name": name, "creationTimestamp": OLD, "labels": {}, "annotations": {}},
            "spec": {"taints": []},
            "status": {
                "conditions": [{"type": "Ready", "status": "True"}],
                "nodeInfo": {"kubeletVersion": "v1.36.3", "operatingSystem": "linux"},
            },
        },
        change,
    )


def owner(kind: str, name: str, api_version: str | None = None) -> Json:
    """A controller reference; the uid is that of ``controller``."""
    version = api_version or _VERSIONS.get(kind, "apps/v1")
    return {"apiVersion": version, "kind": kind, "name": name, "uid": f"uid-{name}", "controller": True}


def pod(name: str = "web-1-x", of: Json | None = None, on: str = "n1", **change: Any) -> Json:
    """A running pod without any wishes; ``of`` is its controller reference."""
    return merged(
        {
            "kind": "Pod",
            "metadata": {
                "name": name,
                "namespace": NAMESPACE,
                "uid": f"uid-{name}",
                "creationTimestamp": OLD,
                "labels": {"app": "web"},
                "annotations": {},
                "ownerReferences": [of] if of is not None else [],
            },
            "spec": {"nodeName": on, "schedulerName": "default-scheduler", "terminationGracePeriodSeconds": 30},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
        },
        change,
    )


def controller(kind: str, name: str, of: Json | None = None, **change: Any) -> Json:
    """A controller; ``of`` is the reference to the one above it."""
    base: Json = {"kind": kind, "metadata": {"name": name, "namespace": NAMESPACE, "uid": f"uid-{name}"}, "spec": {}}
    if of is not None:
        base["metadata"]["ownerReferences"] = [of]
    return merged(base, change)


def budget(name: str = "web", spec: Json | None = None, generation: int = 1, **status: Any) -> Json:
    """A budget over the pods with ``app: web``; three are healthy, two wanted, and one may go."""
    allows: Json = {
        "observedGeneration": 1,
        "disruptionsAllowed": 1,
        "currentHealthy": 3,
        "desiredHealthy": 2,
        "expectedPods": 3,
    }
    return {
        "kind": "PodDisruptionBudget",
        "metadata": {"name": name, "namespace": NAMESPACE, "generation": generation},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "maxUnavailable": 1} if spec is None else spec,
        "status": allows | status,
    }


def view(*manifests: Json, **more: Any) -> View:
    """What is known of a cluster with these objects, read as answers of an API server are; the namespace is there."""
    found: dict[str, dict[str, Any]] = {}
    unread: dict[str, dict[str, Unread]] = {}
    there = {"kind": "Namespace", "metadata": {"name": NAMESPACE}}
    for manifest in (there, *manifests):
        kind = manifest["kind"]
        decoder = msgspec.json.Decoder(_TYPES.get(kind, Workload))
        read, left_out = decode_rest(json.dumps(manifest).encode(), decoder)
        found.setdefault(kind, {})[read.key] = read
        if left_out:
            unread.setdefault(kind, {})[read.key] = Unread(read, f"{kind} {read.key}", left_out, ", ".join(left_out))
    return View(
        now=NOW,
        nodes=found.pop("Node", {}),
        pods=list(found.pop("Pod", {}).values()),
        budgets=found.pop("PodDisruptionBudget", {}),
        namespaces=found.pop("Namespace", {}),
        claims=found.pop("PersistentVolumeClaim", {}),
        volumes=found.pop("PersistentVolume", {}),
        node_claims=found.pop("NodeClaim", {}),
        node_pools=found.pop("NodePool", {}),
        workloads=found,
        unread=unread,
        **more,
    )


def policy(*entries: Json, **settings: Any) -> Policy:
    """Settings, and rules as they are written."""
    return Policy(rules=rules.read(entries, "evictionConfig"), **settings)


def judged(*manifests: Json, settings: Policy | None = None, **more: Any) -> NodeVerdict:
    """The verdict on ``n1``, which is added where it is not given."""
    nodes = [] if any(manifest["kind"] == "Node" for manifest in manifests) else [node()]
    return judge(view(*nodes, *manifests, **more), settings or Policy())["n1"]


def judged_pod(*manifests: Json, settings: Policy | None = None, **more: Any) -> PodVerdict:
    """The verdict on the only pod."""
    (found,) = judged(*manifests, settings=settings, **more).pods
    return found


def names(verdict: NodeVerdict | PodVerdict) -> list[str]:
    """The names of its reasons."""
    return [found.reason.name for found in verdict.findings]
