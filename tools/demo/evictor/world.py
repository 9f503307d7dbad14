"""Creates the cluster of the evictor's demo: nodes that Karpenter buys, and Deployments that need 40 % of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from moorage.kube.client import Client
from tools.demo.common.apps import App, budget, deployment
from tools.localcluster import LocalCluster, accounts, karpenter
from tools.localcluster.nodes import Pace

from . import manifests
from .manifests import NAMESPACE
from .scenario import INSTANCE_TYPE, KEPT

PACE = Pace(ready=(2, 5), gone=2)
CRD = Path(__file__).resolve().parents[3] / "schemas" / "crds" / "evictorconfigs.autoscaling.cast.ai.yaml"
_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
CONFIGS = "/apis/autoscaling.cast.ai/v1alpha1/evictorconfigs"
NODES = "/api/v1/nodes"
_APPS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
_JOBS = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
_BUDGETS = f"/apis/policy/v1/namespaces/{NAMESPACE}/poddisruptionbudgets"
_CONFIG_MAPS = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
_MERGE = "application/merge-patch+json"
JOB, _JOB_CPU = "report", 500


def start(cluster: LocalCluster) -> None:
    """Start kwok and Karpenter, with a NodePool that keeps its nodes at first."""
    cluster.start_kwok(PACE)
    cluster.start_karpenter()
    set_pool(cluster, "Never")
    accounts.namespace(cluster, NAMESPACE)
    cluster.wait_service_account(NAMESPACE)


def set_pool(cluster: LocalCluster, consolidate_after: str) -> None:
    """Set the time after which Karpenter deletes empty nodes."""
    karpenter.create_pool(cluster.api, manifests.POOL, manifests.disruption(consolidate_after), [INSTANCE_TYPE])


async def order(client: Client, nodes: int) -> None:
    """Have Karpenter buy this many nodes."""
    await _create(client, *((karpenter.NODE_CLAIMS, manifests.node_claim(number + 1)) for number in range(nodes)))


async def populate(client: Client, apps: Sequence[App]) -> None:
    """Create the Deployments, their budgets, and a Job."""
    deployments = ((_APPS, deployment(app, grace=manifests.GRACE_SECONDS)) for app in apps)
    budgets = ((_BUDGETS, budget(app)) for app in apps if app.budget is not None)
    await _create(client, *deployments, *budgets, (_JOBS, manifests.job(JOB, _JOB_CPU)))


async def _create(client: Client, *wanted: tuple[str, Mapping[str, Any]]) -> None:
    """Create objects at their paths, all at the same time."""
    requests = (client.transport.request("POST", path, body=json.dumps(body).encode()) for path, body in wanted)
    await asyncio.gather(*requests)


def prepare(cluster: LocalCluster, prices: Mapping[str, float], kept: str) -> None:
    """Create the objects that the evictor reads and writes, and protect one node from removal.

    Args:
        cluster: the control plane.
        prices: per hour, by instance type.
        kept: the node with the annotation that forbids its removal.
    """
    definition: dict[str, Any] = yaml.safe_load(CRD.read_text())
    cluster.api.request("POST", _DEFINITIONS, definition)
    accounts.apply(cluster, _CONFIG_MAPS, manifests.prices(sorted(prices.items())))
    annotated = {"metadata": {"annotations": {KEPT: "true"}}}
    cluster.api.request("PATCH", f"{NODES}/{kept}", annotated, _MERGE)


def configure(cluster: LocalCluster) -> None:
    """Create the EvictorConfig, once its definition is served."""
    cluster.api.request("POST", CONFIGS, manifests.config())


def is_served(cluster: LocalCluster) -> bool:
    """Whether the EvictorConfig can be created."""
    return cluster.api.answers_ok(CONFIGS)


def status(cluster: LocalCluster) -> dict[str, Any]:
    """The status of the EvictorConfig."""
    found: dict[str, Any] = cluster.api.get(f"{CONFIGS}/{manifests.CONFIG}").get("status") or {}
    return found
