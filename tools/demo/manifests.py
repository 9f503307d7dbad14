"""What the demo creates, as plain manifests; everything bears the demo's label, by which a later run finds it."""

from __future__ import annotations

import platform
from typing import Any

from .scenario import CAPACITY, MEMORY, App

NAMESPACE = "moorage-demo"
LABEL = "moorage.dev/demo"
LABELS = {LABEL: "true"}
SELECTOR = f"{LABEL}=true"
PREPARING = "scheduling.cast.ai/pod-pinning-preparing"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def namespace() -> dict[str, Any]:
    """The namespace of everything that has one."""
    return {"metadata": {"name": NAMESPACE, "labels": LABELS}}


def deployment(app: App) -> dict[str, Any]:
    """Managed pods that fit on the demo's own nodes only, of which there are none yet."""
    labels = {"app": app.name, **LABELS}
    return {
        "metadata": {"name": app.name, "namespace": NAMESPACE, "labels": LABELS},
        "spec": {
            "replicas": app.replicas,
            "selector": {"matchLabels": {"app": app.name}},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "terminationGracePeriodSeconds": 1,
                    "automountServiceAccountToken": False,
                    "nodeSelector": LABELS,
                    "tolerations": [{"key": LABEL, "operator": "Equal", "value": "true", "effect": "NoSchedule"}],
                    "containers": [
                        {
                            "name": app.name,
                            "image": f"registry.invalid/{app.name}:1",  # a hollow kubelet pulls nothing
                            "resources": {"requests": {"cpu": f"{app.cpu}m", "memory": "32Mi"}},
                        }
                    ],
                },
            },
        },
    }


def promise() -> dict[str, Any]:
    """What the plan promises of every machine, with a taint that keeps the rest of a cluster away from it."""
    return {
        "allocatable": {"cpu": f"{CAPACITY}m", "memory": MEMORY, "pods": "110"},
        "taints": [{"key": LABEL, "value": "true", "effect": "NoSchedule"}],
        "allowNewZone": True,  # no other node is in the demo's zones
    }


def node_labels(zone: str) -> dict[str, str]:
    """All labels of a node but for its hostname; the kubelet that adopts it brings none of the custom ones."""
    return {
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": _ARCHITECTURES.get(platform.machine(), platform.machine()),
        "node.kubernetes.io/instance-type": "demo.large",
        "topology.kubernetes.io/region": "demo",
        "topology.kubernetes.io/zone": zone,
        **LABELS,
    }
