"""What the demo creates, as plain manifests."""

from __future__ import annotations

from typing import Any

NAMESPACE = "moorage-demo"
NODE = "demo-node-1"
PREPARING = "scheduling.cast.ai/pod-pinning-preparing"


def placeholder(name: str) -> dict[str, Any]:
    """A Node that promises a machine before it exists, with everything the kubelet will not bring."""
    return {
        "metadata": {
            "name": name,
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
                "topology.kubernetes.io/zone": "demo-a",
                "node.kubernetes.io/instance-type": "demo.large",
                # Keeps the node out of the node-lifecycle controller's zone health while nobody reports for it.
                "node.kubernetes.io/exclude-disruption": "true",
                "moorage.dev/demo": "true",
            },
        },
        "spec": {"taints": [{"key": PREPARING, "value": "true", "effect": "NoSchedule"}]},
        "status": {
            "capacity": {"cpu": "1", "memory": "3840Mi", "pods": "110"},
            "allocatable": {"cpu": "1", "memory": "3840Mi", "pods": "110"},
        },
    }


def lease(node: str, node_uid: str, renew_time: str) -> dict[str, Any]:
    """The heartbeat that keeps the placeholder from being called unreachable; the kubelet takes it over."""
    return {
        "metadata": {
            "name": node,
            "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": node, "uid": node_uid}],
        },
        "spec": {"holderIdentity": node, "leaseDurationSeconds": 40, "renewTime": renew_time},
    }


def deployment(name: str) -> dict[str, Any]:
    """One pod, managed, that fits nowhere until the placeholder is there."""
    labels = {"app": name}
    return {
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "terminationGracePeriodSeconds": 1,
                    "automountServiceAccountToken": False,
                    "containers": [
                        {
                            "name": "web",
                            "image": "registry.invalid/web:1",
                            "resources": {"requests": {"cpu": "500m", "memory": "256Mi"}},
                        }
                    ],
                },
            },
        },
    }
