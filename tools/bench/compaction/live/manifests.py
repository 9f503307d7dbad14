"""The objects of a seeded cluster as the API server accepts them. No I/O."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import msgspec

from moorage.objects import Node, Pod, Workload
from tools.bench.compaction.clusters import Cluster
from tools.bench.compaction.sites import CPU
from tools.localcluster.nodes import KWOK_ANNOTATION, Pace

Json = dict[str, Any]

POOL = "default"
FINALIZER = "karpenter.sh/termination"
GRACE = 10
"""Grace period of a pod, in seconds."""
PACE = Pace(ready=(5, 20), gone=GRACE)
"""As in all benchmarks, but with slower pods."""
_IMAGE = "registry.example/app:1"


def instance_type(node: Node) -> str:
    """The instance type of Karpenter's kwok provider with a node's size. Karpenter replaces a node of another size."""
    return f"m-{16 * size(node)}x-amd64-linux"


def size(node: Node) -> int:
    """A node's size as a multiple of the smallest."""
    return int(str(node.status.allocatable["cpu"]).removesuffix("m")) // CPU


def claim(node: Node) -> Json:
    """The NodeClaim of a node that Karpenter has bought."""
    labels = _bought(node)
    return {
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodeClaim",
        "metadata": {"name": node.metadata.name, "labels": labels, "finalizers": [FINALIZER]},
        "spec": {
            "nodeClassRef": {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": POOL},
            "requirements": [{"key": key, "operator": "In", "values": [value]} for key, value in labels.items()],
            "expireAfter": "Never",
        },
    }


def claim_status(node: Node, now: str) -> Json:
    """The status of a NodeClaim whose node has joined, as Karpenter writes it.

    Args:
        node: the node.
        now: the time, RFC 3339.
    """
    ready = [
        {"type": kind, "status": "True", "reason": kind, "lastTransitionTime": now, "observedGeneration": 1}
        for kind in ("Launched", "Registered", "Initialized", "Ready")
    ]
    offered = dict(node.status.allocatable)
    name = node.metadata.name
    return {
        "providerID": f"kwok://{name}",
        "nodeName": name,
        "capacity": offered,
        "allocatable": offered,
        "conditions": ready,
    }


def node(seeded: Node, uid: str) -> Json:
    """A kwok node that Karpenter owns.

    Args:
        seeded: the node.
        uid: of its NodeClaim.
    """
    name = seeded.metadata.name
    owner = {"apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "name": name, "uid": uid, "blockOwnerDeletion": True}
    state = {"karpenter.sh/registered": "true", "karpenter.sh/initialized": "true"}
    offered = dict(seeded.status.allocatable)
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {KWOK_ANNOTATION: "fake"},
            "labels": seeded.metadata.labels | _bought(seeded) | state,
            "finalizers": [FINALIZER],
            "ownerReferences": [owner],
        },
        "spec": {"providerID": f"kwok://{name}"},
        "status": {"capacity": offered, "allocatable": offered},
    }


def _bought(seeded: Node) -> dict[str, str]:
    """The provider ID by which Karpenter finds a node."""
    return {
        "karpenter.sh/nodepool": POOL,
        "karpenter.sh/capacity-type": "on-demand",
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/os": "linux",
        "node.kubernetes.io/instance-type": instance_type(seeded),
    }


def pods(cluster: Cluster) -> Iterator[Json]:
    """All pods except the DaemonSet's, each on its node, without an owner. Controllers adopt them."""
    for each in cluster.pods:
        owner = each.metadata.owner_references[0]
        if owner.kind != "DaemonSet":
            meta = {"name": each.metadata.name, "labels": {"app": owner.name}}
            yield {"metadata": meta, "spec": _spec(each) | {"nodeName": each.spec.node_name}}


def controllers(cluster: Cluster) -> Iterator[tuple[str, Json]]:
    """ReplicaSets, then their Deployments: resource and manifest.

    Deployments adopt the ReplicaSets, because both have the same template.
    """
    sibling = {each.metadata.owner_references[0].name: each for each in cluster.pods}
    for kind in ("replicasets", "deployments"):
        for workload in cluster.workloads["Deployment"].values():
            name = workload.metadata.name
            yield kind, _controller(workload, sibling[name])


def daemon_set(cluster: Cluster) -> Json:
    """The DaemonSet that has a pod on every node."""
    one = next(each for each in cluster.pods if each.metadata.owner_references[0].kind == "DaemonSet")
    name = one.metadata.owner_references[0].name
    return {"metadata": {"name": name}, "spec": _pods_of(name, one)}


def budgets(cluster: Cluster) -> Iterator[Json]:
    """The PodDisruptionBudgets."""
    for each in cluster.budgets.values():
        yield {"metadata": {"name": each.metadata.name}, "spec": msgspec.to_builtins(each.spec)}


def _controller(workload: Workload, sibling: Pod) -> Json:
    name = workload.metadata.name
    meta = {"name": name, "labels": {"app": name}}
    return {"metadata": meta, "spec": {"replicas": workload.spec.replicas, **_pods_of(name, sibling)}}


def _pods_of(name: str, sibling: Pod) -> Json:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": _spec(sibling)}
    return {"selector": {"matchLabels": labels}, "template": template}


def _spec(seeded: Pod) -> Json:
    """The template of a pod, without its node."""
    spec: Json = copy.deepcopy(msgspec.to_builtins(seeded.spec))
    spec.pop("nodeName", None)
    for container in spec["containers"]:
        container["image"] = _IMAGE
    for constraint in spec.get("topologySpreadConstraints", ()):
        constraint.setdefault("maxSkew", 1)  # the API server sets no default here
    return spec | {"terminationGracePeriodSeconds": GRACE, "automountServiceAccountToken": False}
