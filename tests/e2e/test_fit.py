"""Fit against the real scheduler: the unchanged pod, one node left open, and kube-scheduler's own decision.

Watch caches feed the snapshot, as in the product. For each pod, all nodes that it fits by our verdict are cordoned
except one (a change of nodes, never of the pod). Then the scheduler must choose that node. If our verdict is that it
fits nowhere, the scheduler must agree. Every pod stays on its node, so later cases run on a fuller cluster.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from moorage.kube import credentials, errors, resources
from moorage.kube.cache import Change, Kind, WatchCache
from moorage.kube.client import Client
from moorage.kube.http.transport import Transport
from moorage.kube.resource import Resource
from moorage.objects import KubeObject, Node, Pod
from moorage.scheduling import Snapshot
from tests.kube.support import eventually
from tools.bench.fit import workload
from tools.localcluster import ClusterOptions, LocalCluster

CASES = 50
NODES = 7
SEED = 43
KINDS: tuple[Resource[Any], ...] = (
    resources.NAMESPACES,
    resources.VOLUMES,
    resources.CLAIMS,
    resources.STORAGE_CLASSES,
    resources.CSI_NODES,
    resources.PODS,
)


@pytest.fixture(scope="module")
def quiet_kubeconfig() -> Iterator[Path]:
    """A cluster whose Nodes have no kubelets and no node controller: only the scheduler decides."""
    flags = {"controllers": "serviceaccount-token-controller,serviceaccount-controller"}
    with LocalCluster(options=ClusterOptions(controller_manager_flags=flags)) as own:
        yield own.kubeconfig


@dataclass(frozen=True)
class World:
    """A cluster, and a snapshot that follows it."""

    client: Client
    nodes: WatchCache[Node]
    snapshot: Snapshot

    async def close(self, names: list[str], *, closed: bool = True) -> None:
        """Cordon nodes, or open them again, and wait until the snapshot knows."""
        for name in names:
            node = await self.client.get(resources.NODES, name)
            changes = {"spec": {"unschedulable": closed or None}}
            await self.client.patch(resources.NODES, name, changes=changes, uid=node.metadata.uid)

        async def seen() -> bool | None:
            states = [node.spec.unschedulable for node in self.nodes if node.key in names]
            return True if states == [closed] * len(names) else None

        await eventually(seen, "the cordons in the cache")

    async def add_nodes(self) -> None:
        """Nodes as the benchmark makes them, ready, and without the taint that no controller here would remove."""
        for raw in workload.nodes(NODES, SEED):
            raw["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
            node = await self.client.create(resources.NODES, raw)
            taints = {"spec": {"taints": raw["spec"].get("taints")}}
            await self.client.patch(resources.NODES, node.key, changes=taints, uid=node.metadata.uid)

        async def seen() -> bool | None:
            untainted = [n for n in self.nodes if all("not-ready" not in t.key for t in n.spec.taints)]
            return True if len(untainted) == NODES else None

        await eventually(seen, "the nodes in the cache")

    async def as_stored(self, manifest: dict[str, Any], namespace: str) -> Pod:
        """The pod as the API server would store it, with all its defaults."""
        with suppress(errors.Conflict):
            await self.client.create(resources.NAMESPACES, {"metadata": {"name": namespace}})

        async def rehearse() -> Pod | None:
            try:
                return await self.client.create(resources.PODS, manifest, namespace, dry_run=True)
            except errors.Forbidden:  # the namespace has no service account yet
                return None

        return await eventually(rehearse, "the namespace to take pods")

    async def decision(self, pod: Pod) -> str | None:
        """The node that kube-scheduler chose for the pod. None if it reported that it fits nowhere."""

        async def decided() -> tuple[str | None] | None:
            seen = await self.client.get(resources.PODS, pod.metadata.name, pod.metadata.namespace)
            if seen.spec.node_name:
                return (seen.spec.node_name,)
            refused = any(c.type == "PodScheduled" and c.reason == "Unschedulable" for c in seen.status.conditions)
            return (None,) if refused else None

        return (await eventually(decided, f"a decision about {pod.key}"))[0]

    async def knows(self, pod: Pod, node: str | None) -> None:
        """Return once the snapshot has the pod there."""

        async def settled() -> bool | None:
            return True if self.snapshot.node_of(pod.key) == node else None

        await eventually(settled, f"{pod.key} on {node} in the snapshot")


@asynccontextmanager
async def following(kubeconfig: Path) -> AsyncIterator[World]:
    snapshot = Snapshot()

    def follow(change: Change[Any]) -> None:
        if change.kind is Kind.DELETED:
            snapshot.delete(type(change.object), change.object.key)
        else:
            snapshot.apply(change.object)

    async with AsyncExitStack() as stack:
        transport = await stack.enter_async_context(Transport(credentials.load(kubeconfig)))
        nodes = WatchCache(transport, resources.NODES)
        caches: list[WatchCache[Any]] = [nodes, *(WatchCache[KubeObject](transport, kind) for kind in KINDS)]
        for cache in caches:
            cache.subscribe(follow)
            stack.push_async_callback(_end, asyncio.create_task(cache.run()))
        for cache in caches:
            await cache.wait_synced()
        yield World(Client(transport), nodes, snapshot)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def manifests() -> list[dict[str, Any]]:
    """Pods as users create them; the API server mounts its own token volume."""
    raws = [raw for raw in workload.pods(1000, NODES, SEED) if "persistentVolumeClaim" not in str(raw)]
    random.Random(SEED).shuffle(raws)
    for raw in raws:
        raw["spec"]["volumes"] = [volume for volume in raw["spec"]["volumes"] if "projected" not in volume]
        del raw["status"]
    return raws[:CASES]


async def test_the_scheduler_chooses_the_one_node_that_is_left(quiet_kubeconfig: Path) -> None:
    chance = random.Random(SEED)
    placed = refused = single = 0
    async with following(quiet_kubeconfig) as world:
        await world.add_nodes()
        for number, manifest in enumerate(manifests()):
            namespace = manifest["metadata"]["namespace"]
            asked = await world.as_stored(manifest, namespace)
            fitting = world.snapshot.fitting(asked)
            closed = chance.sample(fitting, max(0, len(fitting) - 1))
            await world.close(closed)
            # A DaemonSet's pod tolerates cordons, so that for it closing nodes leaves as many as before.
            expected: list[str | None] = [*world.snapshot.fitting(asked)] or [None]
            said = {node.key: str(world.snapshot.verdict(asked, node.key)) for node in world.nodes}

            pod = await world.client.create(resources.PODS, manifest, namespace)
            chosen = await world.decision(pod)

            assert chosen in expected, f"case {number}, {pod.key}: {chosen}; we say {said}"
            placed, refused = placed + (chosen is not None), refused + (chosen is None)
            single += len(expected) == 1
            if chosen is None:
                await world.client.delete(resources.PODS, asked.metadata.name, namespace, uid=pod.metadata.uid)
            await world.knows(pod, chosen)
            await world.close(closed, closed=False)
    assert placed + refused == CASES
    assert single == CASES
    assert placed > CASES // 2
    assert refused > 0
