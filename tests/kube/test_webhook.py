"""Pods that are pinned while a real API server creates them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from moorage.kube import resources
from moorage.kube.client import Client
from moorage.objects import Pod
from moorage.ops.parsing import Address
from moorage.ops.settings import PinnerSettings
from moorage.pinner import service
from moorage.pinner.names import NOT_PINNED_ANNOTATION, PIN_ANNOTATION
from moorage.planner.board import Board
from moorage.planner.server import PlannerServer, ServerSettings
from moorage.protocol import ExpectPods, Owner, Slot
from tests.kube import pinning
from tests.kube.support import eventually
from tools.localcluster import ClusterHandle
from tools.localcluster.ports import free_ports

pytestmark = pytest.mark.cluster


@pytest.fixture
async def client(cluster: ClusterHandle) -> AsyncIterator[Client]:
    async with pinning.connected(cluster) as connected:
        yield connected


@asynccontextmanager
async def pinner(client: Client, cluster: ClusterHandle, namespace: str, board: Board) -> AsyncIterator[str]:
    """A pod pinner with its webhook, beside a planner; yields the name of the webhook configuration."""
    server = PlannerServer(board, ServerSettings(address=Address("127.0.0.1", 0)))
    await server.start()
    (port,) = free_ports(1)
    name = f"moorage-{namespace}"
    await client.create(resources.SECRETS, {"metadata": {"name": name}}, namespace)
    made = await client.create(resources.MUTATING_WEBHOOKS, {"metadata": {"name": name}, "webhooks": []})
    settings = PinnerSettings(
        kubeconfig=Path(cluster.kubeconfig),
        planner_address=Address("127.0.0.1", server.port),
        planner_plaintext=True,
        namespace=namespace,
        pod_name="our-pod",
        health_address=Address("127.0.0.1", 0),
        webhook=True,
        webhook_address=Address("127.0.0.1", port),
        webhook_url=f"https://127.0.0.1:{port}/mutate",
        webhook_configuration=name,
        webhook_secret=name,
        webhook_timeout=30,  # a busy machine is no reason to create pods unchanged here
    )
    task = asyncio.create_task(service.run(settings))
    try:
        yield name
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await server.stop()
        await client.delete(resources.MUTATING_WEBHOOKS, name, uid=made.metadata.uid)


def deployment(name: str, count: int, pool: str, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": {
            "replicas": count,
            "selector": {"matchLabels": {"app": name}},
            "template": pinning.template(name, pool, **spec),
        },
    }


async def pinning_works(client: Client, namespace: str, app: str, pool: str) -> None:
    """Wait until the API server asks: it learns of the configuration by a watch of its own."""
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"{app}-1", "uid": "none", "controller": True}
    template = pinning.template(app, pool)
    labels = {**template["metadata"]["labels"], "pod-template-hash": "1"}
    body = {**template, "metadata": {"generateName": f"{app}-1-", "labels": labels, "ownerReferences": [owner]}}

    async def pinned() -> bool:
        made = await client.create(resources.PODS, body, namespace, dry_run=True)
        return bool(made.spec.node_name)

    await eventually(pinned, "pods to be pinned")


async def asked(client: Client, name: str, *, wanted: bool) -> None:
    """Wait until the API server is told to ask, or not to."""

    async def found() -> bool:
        made = await client.get(resources.MUTATING_WEBHOOKS, name)
        return bool(made.webhooks) is wanted

    await eventually(found, f"webhook configuration {name}: {wanted}")


async def test_expected_pods_are_pinned_as_they_are_created(
    client: Client, cluster: ClusterHandle, namespace: str, node_name: Any
) -> None:
    node, board = node_name(), Board()
    board.start("plan", timedelta(minutes=10))
    async with pinner(client, cluster, namespace, board) as configuration:
        board.issue(pinning.promise(node))
        board.issue(ExpectPods(node, (Slot(Owner("Deployment", namespace, "web"), {"cpu": "100m"}, 3),)))
        await asked(client, configuration, wanted=True)
        await pinning_works(client, namespace, "web", node)

        await client.create(resources.DEPLOYMENTS, deployment("web", 5, node), namespace)
        pods = await pinning.pods_of(client, "web", namespace, 5)
        pinned = [pod for pod in pods if PIN_ANNOTATION in pod.metadata.annotations]
        assert [pod.spec.node_name for pod in pinned] == [node] * 3
        assert all(not pod.spec.node_name for pod in pods if pod not in pinned)
        assert not any(NOT_PINNED_ANNOTATION in pod.metadata.annotations for pod in pods)

        async def written_down() -> bool:
            found = await client.get(resources.NODE_RESERVATIONS, node)
            return len(found.spec.get("pins", [])) == 3

        await eventually(written_down, "the pins to be written down")
        await asked(client, configuration, wanted=False)


async def test_a_pod_that_does_not_fit_is_left_with_the_reason(
    client: Client, cluster: ClusterHandle, namespace: str, node_name: Any
) -> None:
    node, board = node_name(), Board()
    board.start("plan", timedelta(minutes=10))
    async with pinner(client, cluster, namespace, board) as configuration:
        board.issue(pinning.promise(node))
        board.issue(ExpectPods(node, (Slot(Owner("Deployment", namespace, "big"), {"cpu": "100m"}, 1),)))
        await asked(client, configuration, wanted=True)
        await pinning_works(client, namespace, "big", node)
        await client.create(resources.DEPLOYMENTS, deployment("big", 1, node, cpu="64"), namespace)
        (pod,) = await pinning.pods_of(client, "big", namespace, 1)
        assert isinstance(pod, Pod)
        assert not pod.spec.node_name
        assert "cpu" in pod.metadata.annotations[NOT_PINNED_ANNOTATION]
