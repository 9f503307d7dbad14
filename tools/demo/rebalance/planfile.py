"""The demo's plan, as ``moorage planner`` reads it (schemas/plan/plan.schema.json)."""

from __future__ import annotations

from typing import Any

from tools.demo import manifests
from tools.demo.common.apps import POD_MEMORY
from tools.demo.scenario import CAPACITY, MEMORY

from .scenario import DEVICE, Scenario, Target

PLAN = "smaller"
DEADLINE = "5m"
_MACHINE = {
    "allocatable": {"cpu": f"{CAPACITY}m", "memory": MEMORY, "pods": "110"},
    "allowNewZone": True,  # no other node is in the demo's zones
}


def document(scenario: Scenario) -> dict[str, Any]:
    """The plan: the nodes to be emptied, the new nodes, and the pods that are expected on each new node."""
    return {
        "plan": PLAN,
        "kind": "rebalance",
        "deadline": DEADLINE,
        "drainDeadline": DEADLINE,
        "drain": list(scenario.old),
        "templates": {"machine": _MACHINE},
        "nodes": [_node(target, scenario) for target in scenario.targets],
    }


def _node(target: Target, scenario: Scenario) -> dict[str, Any]:
    """A node: room for pods that do not exist yet, and the pending pods that request its devices."""
    cpu = {app.name: app.cpu for app in scenario.apps}
    node: dict[str, Any] = {
        "name": target.name,
        "template": "machine",
        "labels": manifests.node_labels(target.zone),
        "expect": [
            {**_pods_of(name), "requests": {"cpu": f"{cpu[name]}m", "memory": POD_MEMORY}, "count": count}
            for name, count in target.slots.items()
        ],
    }
    if target.devices:
        node["allocatable"] = {DEVICE: target.devices}
        node["pods"] = [{**_pods_of(scenario.trainer.name), "count": target.devices}]
    return node


def _pods_of(app: str) -> dict[str, str]:
    return {"namespace": manifests.NAMESPACE, "owner": f"Deployment/{app}"}
