"""What the evictor's demo creates, as plain manifests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from .scenario import INSTANCE_TYPE, App

NAMESPACE = "moorage-demo"
EVICTOR = "castai-evictor"
POOL = "default"
RULES, PRICES = f"{EVICTOR}-config", f"{EVICTOR}-prices"
CONFIG = "evictor-config"
_GRACE_SECONDS = 2

Json = dict[str, Any]


def deployment(app: App) -> Json:
    """The pods of one app, which run anywhere."""
    selector = {"matchLabels": {"app": app.name}}
    spec = {"replicas": app.replicas, "selector": selector, "template": _template(app.name, app.cpu)}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": app.name}, "spec": spec}


def budget(app: App) -> Json:
    """The PodDisruptionBudget of an app that has one."""
    spec = {"maxUnavailable": app.budget, "selector": {"matchLabels": {"app": app.name}}}
    return {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": app.name}, "spec": spec}


def job(name: str, cpu: int) -> Json:
    """A Job whose only pod goes on for as long as the demo does; it holds its node."""
    template = _template(name, cpu)
    template["spec"]["restartPolicy"] = "Never"
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {"template": template}}


def _template(name: str, cpu: int) -> Json:
    requests = {"cpu": f"{cpu}m", "memory": "128Mi"}
    container = {"name": name, "image": f"registry.invalid/{name}:1", "resources": {"requests": requests}}
    spec = {
        "terminationGracePeriodSeconds": _GRACE_SECONDS,
        "automountServiceAccountToken": False,
        "containers": [container],
    }
    return {"metadata": {"labels": {"app": name}}, "spec": spec}


def node_claim(number: int) -> Json:
    """An order for one node of the NodePool, as Karpenter makes them itself for pods that wait."""
    wanted = {"node.kubernetes.io/instance-type": INSTANCE_TYPE, "karpenter.sh/capacity-type": "on-demand"}
    return {
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodeClaim",
        "metadata": {"name": f"node-{number:02}", "labels": {"karpenter.sh/nodepool": POOL}},
        "spec": {
            "requirements": [{"key": key, "operator": "In", "values": [value]} for key, value in wanted.items()],
            "nodeClassRef": {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": POOL},
            "expireAfter": "Never",
        },
    }


def disruption(consolidate_after: str) -> Json:
    """When Karpenter deletes nodes of the pool: empty ones only, all at once; after so long, or Never."""
    return {
        "consolidationPolicy": "WhenEmpty",
        "consolidateAfter": consolidate_after,
        "budgets": [{"nodes": "100%"}],
    }


def config() -> Json:
    """The evictor's own resource, without any rule: there it writes what it is about to do."""
    kind = {"apiVersion": "autoscaling.cast.ai/v1alpha1", "kind": "EvictorConfig"}
    return {**kind, "metadata": {"name": CONFIG}, "spec": {}}


def prices(types: Sequence[tuple[str, float]]) -> Json:
    """What nodes cost, for the evictor: instance types and their prices an hour."""
    listed = [{"instanceType": name, "pricePerHour": price} for name, price in types]
    data = {"prices.yaml": yaml.safe_dump({"prices": listed})}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": PRICES}, "data": data}
