"""Creates a seeded cluster on a control plane: real controllers and scheduler, kwok nodes that Karpenter owns.

Controllers would place pods themselves, and Karpenter would buy nodes. So nodes and pods are created first and adopted:
pods by ReplicaSets, ReplicaSets by Deployments, and nodes by Karpenter, because each has a launched NodeClaim.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

import msgspec

from moorage.kube.errors import KubeError
from moorage.objects import Node
from tools.bench.common.errors import BenchError
from tools.localcluster.karpenter import NODE_CLAIMS

from . import manifests
from .manifests import Json
from .scene import Scene

NAMESPACE = "shop"
_NODES, _NAMESPACES = "/api/v1/nodes", "/api/v1/namespaces"
_PODS = f"{_NAMESPACES}/{NAMESPACE}/pods"
_APPS = f"/apis/apps/v1/namespaces/{NAMESPACE}"
_BUDGETS = f"/apis/policy/v1/namespaces/{NAMESPACE}/poddisruptionbudgets"
_IN_FLIGHT = 16
_PATIENCE = 600.0
_EMPTY_ONLY = [{"nodes": "100%", "reasons": ["Empty"]}, {"nodes": "0", "reasons": ["Drifted", "Underutilized"]}]
"""Karpenter may delete all empty nodes at once, and only these."""

Say = Callable[[str], None]
T = TypeVar("T")


async def build(scene: Scene, say: Say) -> None:
    """Create everything, and return once all pods are ready and all controllers have adopted them.

    Args:
        scene: the cluster, with its watches.
        say: receives the progress.

    Raises:
        BenchError: that did not happen in time, or a controller replaced an object that it should adopt.
    """
    builder = _Builder(scene)
    wanted = len(scene.seeded.pods) - len(scene.seeded.nodes)
    try:
        await builder.nodes()
        say(f"{len(scene.seeded.nodes)} nodes, each with a NodeClaim")
        await builder.pods()
        say(f"{wanted} pods on their nodes; waiting until they are ready")
        await builder.until(lambda: _at_once(scene.tally.ready == wanted), f"{wanted} ready pods")
        await builder.controllers()
    except* KubeError as errors:
        raise BenchError(f"the cluster was not made: {errors.exceptions[0]}") from errors
    if scene.tally.ready != wanted or scene.tally.evictions or scene.gone:
        raise BenchError("the cluster is not as it was made: a controller has replaced pods")
    await asyncio.to_thread(scene.cluster.start_karpenter)
    say("all pods are ready and adopted, Karpenter runs")


class _Builder:
    """The steps of the creation.

    Args:
        scene: the cluster.
    """

    def __init__(self, scene: Scene) -> None:
        self._scene, self._seeded = scene, scene.seeded

    async def nodes(self) -> None:
        """Create nodes that are ready, each with a NodeClaim."""
        cluster = self._scene.cluster
        await asyncio.to_thread(cluster.start_kwok, manifests.PACE)
        await asyncio.to_thread(cluster.define_karpenter)
        cluster.apply_node_pool(consolidate_after="10s", budgets=_EMPTY_ONLY, most_cpu=0)
        await _in_parallel(self._join, self._seeded.nodes)
        await self.until(self._all_nodes_ready, "nodes that are ready")

    async def _join(self, seeded: Node) -> None:
        claim = await self._create(NODE_CLAIMS, manifests.claim(seeded))
        status = {"status": manifests.claim_status(seeded, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))}
        await self._ask("PUT", f"{NODE_CLAIMS}/{seeded.metadata.name}/status", claim | status)
        await self._create(_NODES, manifests.node(seeded, claim["metadata"]["uid"]))

    async def _all_nodes_ready(self) -> bool:
        return not any(each["spec"].get("taints") for each in await self._items(_NODES))

    async def pods(self) -> None:
        """Create pods on their nodes, and a DaemonSet."""
        await self._create(_NAMESPACES, {"metadata": {"name": NAMESPACE}})
        await asyncio.to_thread(self._scene.cluster.wait_service_account, NAMESPACE)
        await self._create(f"{_APPS}/daemonsets", manifests.daemon_set(self._seeded))
        await _in_parallel(partial(self._create, _PODS), manifests.pods(self._seeded))

    async def controllers(self) -> None:
        """Create ReplicaSets that adopt the pods, Deployments that adopt the ReplicaSets, and budgets."""
        made = list(manifests.controllers(self._seeded))
        for kind in ("replicasets", "deployments"):
            path = f"{_APPS}/{kind}"
            await _in_parallel(partial(self._create, path), [manifest for which, manifest in made if which == kind])
            await self.until(partial(self._all, path, _is_full), f"{kind} that have all of their pods")
        await _in_parallel(partial(self._create, _BUDGETS), manifests.budgets(self._seeded))
        await self.until(partial(self._all, _BUDGETS, _allows), "PodDisruptionBudgets that know their pods")
        await self.until(partial(self._all, f"{_APPS}/daemonsets", _is_everywhere), "a DaemonSet that is everywhere")

    async def until(self, holds: Callable[[], Coroutine[Any, Any, bool]], what: str) -> None:
        """Wait for a condition.

        Args:
            holds: the condition.
            what: the condition in words, for the error.

        Raises:
            BenchError: it did not become true in time.
        """
        deadline = time.monotonic() + _PATIENCE
        while not await holds():
            if time.monotonic() > deadline:
                raise BenchError(f"waited {_PATIENCE:g} s for {what}; logs in {self._scene.cluster.logs}")
            await asyncio.sleep(0.5)

    async def _all(self, path: str, holds: Callable[[Json], bool]) -> bool:
        return all(map(holds, await self._items(path)))

    async def _items(self, path: str) -> list[Json]:
        found: list[Json] = (await self._ask("GET", path))["items"]
        return found

    async def _create(self, path: str, manifest: Json) -> Json:
        return await self._ask("POST", path, manifest)

    async def _ask(self, method: str, path: str, body: Json | None = None) -> Json:
        content = None if body is None else msgspec.json.encode(body)
        found: Json = msgspec.json.decode(await self._scene.transport.request(method, path, body=content))
        return found


def _is_full(thing: Json) -> bool:
    """Whether a ReplicaSet or Deployment has all its pods available, all of the newest template."""
    status, wanted = thing.get("status", {}), thing["spec"]["replicas"]
    newest = status.get("updatedReplicas", status.get("fullyLabeledReplicas"))
    return bool(status.get("availableReplicas") == wanted == newest == status.get("replicas"))


def _allows(budget: Json) -> bool:
    return bool(budget.get("status", {}).get("disruptionsAllowed", 0) > 0)


def _is_everywhere(daemons: Json) -> bool:
    status = daemons.get("status", {})
    return bool(status.get("numberReady", 0) == status.get("desiredNumberScheduled") != 0)


async def _at_once(answer: bool) -> bool:
    return answer


async def _in_parallel(work: Callable[[T], Coroutine[Any, Any, object]], things: Iterable[T]) -> None:
    """Run a coroutine for each item, with a limit of concurrent ones."""
    turn = asyncio.Semaphore(_IN_FLIGHT)

    async def one(thing: T) -> None:
        async with turn:
            await work(thing)

    async with asyncio.TaskGroup() as group:
        for thing in things:
            group.create_task(one(thing))
