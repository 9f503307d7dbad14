"""Helpers of the cluster tests: waiting for a state, and manifests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any, TypeVar

from moorage.kube import resources
from moorage.kube.client import Client
from moorage.objects import Node, Pod
from tools.localcluster import ClusterHandle

T = TypeVar("T")

PATIENCE = 90.0
SOONEST, SELDOM = 0.02, 0.2
"""Seconds between two looks: most of what is waited for comes at once, and what takes long is not asked for often."""
PREPARING = {"key": "scheduling.cast.ai/pod-pinning-preparing", "value": "true", "effect": "NoSchedule"}


async def eventually(probe: Callable[[], Awaitable[T | None]], what: str) -> T:
    """Call the probe until it returns neither None nor False. Fails with the text of what was waited for."""
    end, pause = time.monotonic() + PATIENCE, SOONEST
    while time.monotonic() < end:
        answer = await probe()
        if answer is not None and answer is not False:
            return answer
        await asyncio.sleep(pause)
        pause = min(SELDOM, 2 * pause)
    raise AssertionError(f"waited {PATIENCE:g} s for {what}")


def minor(cluster: ClusterHandle) -> int:
    """The minor version of the cluster's API server."""
    return int(cluster.api.get("/version")["minor"])


async def node_where(client: Client, name: str, condition: Callable[[Node], bool], what: str) -> Node:
    """The node once the condition holds."""

    async def probe() -> Node | None:
        node = await client.get(resources.NODES, name)
        return node if condition(node) else None

    return await eventually(probe, f"node {name}: {what}")


async def pod_where(client: Client, name: str, namespace: str, condition: Callable[[Pod], bool], what: str) -> Pod:
    """The pod once the condition holds."""

    async def probe() -> Pod | None:
        pod = await client.get(resources.PODS, name, namespace)
        return pod if condition(pod) else None

    return await eventually(probe, f"pod {namespace}/{name}: {what}")


def placeholder(
    name: str,
    *,
    cpu: str = "4",
    labels: Mapping[str, str] | None = None,
    taints: list[dict[str, str]] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """A Node that no kubelet has reported for, with its whole promise."""
    capacity = {"cpu": cpu, "memory": "8Gi", "pods": "110"}
    return {
        "metadata": {
            "name": name,
            "annotations": dict(annotations or {}),
            "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", **(labels or {})},
        },
        "spec": {"taints": [PREPARING] if taints is None else taints},
        "status": {"capacity": capacity, "allocatable": capacity},
    }


def pod(name: str, *, cpu: str = "100m", **spec: Any) -> dict[str, Any]:
    """A pod with one container; anything of its spec can be given."""
    return {
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": False,
            "containers": [
                {"name": "main", "image": "registry.invalid/main:1", "resources": {"requests": {"cpu": cpu}}}
            ],
            **spec,
        },
    }


async def unscheduled_pod(client: Client, name: str, namespace: str, **spec: Any) -> Pod:
    """A pod that no scheduler touches, because it names another one; it is bound by hand."""
    return await client.create(resources.PODS, pod(name, schedulerName="nobody", **spec), namespace)


async def renew_lease(client: Client, node: Node, *, ahead_seconds: float = 0.0) -> None:
    """Renew a node's Lease in server time, as the placeholder manager does."""
    name = node.metadata.name
    moment = client.transport.clock.now() + timedelta(seconds=ahead_seconds)
    await client.apply(
        resources.LEASES,
        name,
        "kube-node-lease",
        force=True,
        body={
            "metadata": {
                "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": name, "uid": node.metadata.uid}]
            },
            "spec": {
                "holderIdentity": name,
                "leaseDurationSeconds": 40,
                "renewTime": moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            },
        },
    )
