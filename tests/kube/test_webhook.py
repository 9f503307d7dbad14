"""Pods that are pinned while a real API server creates them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from moorage.kube import resources
from moorage.kube.client import Client
from moorage.objects import Pod
from moorage.pinner.names import NOT_PINNED_ANNOTATION, PIN_ANNOTATION
from moorage.planner.instruction_store import InstructionStore
from moorage.protocol import ExpectPods, Owner, Slot
from tests.kube import pinning
from tests.kube.support import eventually
from tests.kube.webhooks import asked, deployment, pinner, pinning_works
from tools.localcluster import ClusterHandle

pytestmark = pytest.mark.cluster


@pytest.fixture
async def client(cluster: ClusterHandle) -> AsyncIterator[Client]:
    async with pinning.connected(cluster) as connected:
        yield connected


async def test_expected_pods_are_pinned_as_they_are_created(
    client: Client, cluster: ClusterHandle, namespace: str, node_name: Any
) -> None:
    node, board = node_name(), InstructionStore()
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
    node, board = node_name(), InstructionStore()
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
