"""The objects that the evictor's demo creates, as plain manifests."""

from __future__ import annotations

from collections.abc import Sequence

import yaml

from tools.demo.common.apps import Json, pod_template

from .scenario import INSTANCE_TYPE

NAMESPACE = "moorage-demo"
EVICTOR = "castai-evictor"
POOL = "default"
RULES, PRICES = f"{EVICTOR}-config", f"{EVICTOR}-prices"
CONFIG = "evictor-config"
GRACE_SECONDS = 2


def job(name: str, cpu: int) -> Json:
    """A Job whose only pod runs as long as the demo. It holds its node."""
    template = pod_template(name, cpu, grace=GRACE_SECONDS)
    template["spec"]["restartPolicy"] = "Never"
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {"template": template}}


def node_claim(number: int) -> Json:
    """A NodeClaim for one node of the NodePool, as Karpenter creates for pending pods."""
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
    """When Karpenter deletes nodes of the pool: only empty ones, all at once, after this time, or Never."""
    return {
        "consolidationPolicy": "WhenEmpty",
        "consolidateAfter": consolidate_after,
        "budgets": [{"nodes": "100%"}],
    }


def config() -> Json:
    """The EvictorConfig, without any rule. The evictor stores its evictions in its status."""
    kind = {"apiVersion": "autoscaling.cast.ai/v1alpha1", "kind": "EvictorConfig"}
    return {**kind, "metadata": {"name": CONFIG}, "spec": {}}


def prices(types: Sequence[tuple[str, float]]) -> Json:
    """The price list for the evictor: instance types and their prices per hour."""
    listed = [{"instanceType": name, "pricePerHour": price} for name, price in types]
    data = {"prices.yaml": yaml.safe_dump({"prices": listed})}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": PRICES}, "data": data}
