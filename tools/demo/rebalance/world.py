"""Creates the cluster of the rebalancing demo: hollow nodes, Deployments on them, and one that waits for devices."""

from __future__ import annotations

from moorage.kube import resources
from moorage.kube.client import Client
from tools.demo import manifests, world
from tools.demo.common.apps import budget, deployment
from tools.localcluster import LocalCluster

from .scenario import DEVICE, Scenario, Target
from .settings import WEBHOOK

_GRACE, _MIN_READY = 1, 2
"""Seconds until a pod is gone, and until a new pod counts as ready: long enough to show the drains."""


async def prepare(client: Client) -> None:
    """Create what Moorage needs: its definitions, the namespace, and the webhook's empty configuration and Secret."""
    await world.prepare(client)
    named = {"metadata": {"name": WEBHOOK}}
    await client.create(resources.SECRETS, named, manifests.NAMESPACE)
    await client.create(resources.MUTATING_WEBHOOKS, {**named, "webhooks": []})


async def populate(client: Client, scenario: Scenario) -> None:
    """Create the Deployments and their budgets."""
    for app in scenario.apps:
        if app.budget is not None:
            await client.create(resources.DISRUPTION_BUDGETS, budget(app), manifests.NAMESPACE)
    for app in (*scenario.apps, scenario.trainer):
        devices = {DEVICE: "1"} if app == scenario.trainer else None
        wanted = deployment(app, grace=_GRACE, min_ready=_MIN_READY, devices=devices)
        await client.create(resources.DEPLOYMENTS, wanted, manifests.NAMESPACE)


def switch_on(cluster: LocalCluster, target: Target) -> None:
    """Start the machine of a node of the plan. Blocks until its kubelet serves."""
    devices = {DEVICE: target.devices} if target.devices else None
    cluster.start_hollow_kubelet(target.name, extended_resources=devices)
