"""Two replicas of the pod pinner: one leads, the other takes over, and the last one leaves nothing behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from moorage.kube import errors, resources
from moorage.kube.client import Client
from moorage.kube.resource import Resource
from moorage.ops.parsing import Address
from moorage.ops.settings import PinnerSettings
from moorage.pinner import service
from moorage.pinner.names import PIN_ANNOTATION
from moorage.planner.instruction_store import InstructionStore
from moorage.planner.server import PlannerServer, ServerSettings
from moorage.protocol import PinPods
from tests.kube import pinning
from tests.kube.support import eventually
from tools.localcluster import ClusterHandle

NodeName = Callable[..., str]
OURS = "our-pinner"
"""Name of the Deployment, of the Lease and of the replicas."""


@pytest.fixture
async def client(cluster: ClusterHandle) -> AsyncIterator[Client]:
    async with pinning.connected(cluster) as connected:
        yield connected


class Replicas:
    """Replicas of one pinner, beside a planner."""

    def __init__(self, client: Client, settings: PinnerSettings) -> None:
        self.client, self._settings = client, settings
        self._running: dict[str, asyncio.Task[None]] = {}

    def start(self, name: str) -> None:
        self._running[name] = asyncio.create_task(service.run(replace(self._settings, pod_name=name)))

    async def end(self, name: str) -> None:
        """As SIGTERM does."""
        task = self._running.pop(name)
        assert not task.done(), task
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def end_all(self) -> None:
        for name in [*self._running]:
            await self.end(name)

    async def leader(self, name: str) -> None:
        """Wait until this one leads."""

        async def leads() -> bool:
            found = await self.client.list(resources.LEASES, self._settings.namespace)
            return [(each.spec.holder_identity or "").partition("_")[0] for each in found] == [name]

        await eventually(leads, f"{name} to lead")


@asynccontextmanager
async def replicas(
    client: Client, cluster: ClusterHandle, namespace: str, board: InstructionStore
) -> AsyncIterator[Replicas]:
    async with AsyncExitStack() as stack:
        server = PlannerServer(board, ServerSettings(address=Address("127.0.0.1", 0)))
        await server.start()
        stack.push_async_callback(server.stop)
        made = Replicas(
            client,
            PinnerSettings(
                kubeconfig=Path(cluster.kubeconfig),
                planner_address=Address("127.0.0.1", server.port),
                planner_plaintext=True,
                namespace=namespace,
                lease_name=OURS,
                deployment=OURS,
                health_address=Address("127.0.0.1", 0),
            ),
        )
        stack.push_async_callback(made.end_all)
        yield made


async def deployed(client: Client, namespace: str, wanted: int) -> None:
    """Our Deployment, scaled. Its pods never run, because no node runs its image."""
    labels = {"app": OURS}
    template = {**pinning.template(OURS, "nowhere"), "metadata": {"labels": labels}}
    spec = {"replicas": wanted, "selector": {"matchLabels": labels}, "template": template}
    await client.create(resources.DEPLOYMENTS, {"metadata": {"name": OURS}, "spec": spec}, namespace)


async def pinned(client: Client, app: str, namespace: str, node: str, count: int) -> None:
    """Wait until so many pods are on a node, by us."""

    async def probe() -> bool:
        pods = [each for each in await client.list(resources.PODS, namespace) if each.metadata.labels["app"] == app]
        ours = [each for each in pods if PIN_ANNOTATION in each.metadata.annotations and each.spec.node_name == node]
        return len(ours) == count

    await eventually(probe, f"{count} pods of {app} on {node}")


async def exists(client: Client, node: str) -> bool:
    """Whether a placeholder and its reservation exist."""
    kinds: tuple[Resource[Any], ...] = (resources.NODES, resources.NODE_RESERVATIONS)
    there = []
    for kind in kinds:
        try:
            await client.get(kind, node)
        except errors.NotFound:
            continue
        there.append(kind)
    assert len(there) != 1, there
    return bool(there)


async def test_another_replica_goes_on_where_the_leader_ended(
    client: Client, cluster: ClusterHandle, namespace: str, node_name: NodeName
) -> None:
    node, board = node_name(), InstructionStore()
    board.start("plan", timedelta(minutes=10))
    await deployed(client, namespace, 2)
    first = await pinning.replicas(client, "first", namespace, 2, node)
    later = await pinning.replicas(client, "later", namespace, 2, node)
    async with replicas(client, cluster, namespace, board) as ours:
        ours.start("a")
        await ours.leader("a")
        ours.start("b")
        board.issue(pinning.promise(node))
        board.issue(PinPods(node, pinning.refs(first)))
        await pinned(client, "first", namespace, node, 2)
        before = await client.get(resources.NODES, node)

        await ours.end("a")
        await ours.leader("b")
        board.issue(PinPods(node, pinning.refs(later)))
        await pinned(client, "later", namespace, node, 2)
        await pinned(client, "first", namespace, node, 2)
        assert (await client.get(resources.NODES, node)).metadata.uid == before.metadata.uid


@pytest.mark.parametrize(("wanted", "stays"), [(2, True), (None, True), (0, False)])
async def test_only_where_none_is_wanted_nothing_is_left_behind(
    wanted: int | None,
    stays: bool,
    client: Client,
    cluster: ClusterHandle,
    namespace: str,
    node_name: NodeName,
) -> None:
    node, board = node_name(), InstructionStore()
    board.start("plan", timedelta(minutes=10))
    if wanted is not None:
        await deployed(client, namespace, wanted)
    pods = await pinning.replicas(client, "web", namespace, 2, node)
    async with replicas(client, cluster, namespace, board) as ours:
        ours.start("a")
        board.issue(pinning.promise(node))
        board.issue(PinPods(node, pinning.refs(pods)))
        await pinned(client, "web", namespace, node, 2)
        await ours.end("a")
        assert await exists(client, node) is stays
        await pinned(client, "web", namespace, node, 2 if stays else 0)
