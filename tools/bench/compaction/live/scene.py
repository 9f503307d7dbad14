"""A seeded cluster on a control plane: real controllers and scheduler, nodes that kwok plays and Karpenter owns."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from moorage.kube import credentials, resources
from moorage.kube.cache import Change, WatchCache
from moorage.kube.transport import Transport
from moorage.objects import Node, Pod
from tools.bench.common.errors import BenchError
from tools.bench.compaction.clusters import Cluster
from tools.localcluster import LocalCluster
from tools.localcluster.karpenter import NODE_CLAIMS

from . import manifests
from .manifests import Json
from .tally import Tally, floors

NAMESPACE = "shop"
_APPS = f"/apis/apps/v1/namespaces/{NAMESPACE}"
_CORE = f"/api/v1/namespaces/{NAMESPACE}"
_BUDGETS = f"/apis/policy/v1/namespaces/{NAMESPACE}/poddisruptionbudgets"
_AT_ONCE = 8
_PATIENCE = 180.0
_BUDGET = [{"nodes": "100%", "reasons": ["Empty"]}, {"nodes": "0", "reasons": ["Drifted", "Underutilized"]}]
"""Every empty node may go at once, and nothing else."""

Say = Callable[[str], None]


class Scene:
    """The cluster while contenders work on it, watched from before they begin.

    Args:
        cluster: the control plane, with nothing on it.
        seeded: what is to be on it.
    """

    def __init__(self, cluster: LocalCluster, seeded: Cluster) -> None:
        self.cluster = cluster
        self.seeded = seeded
        self.tally = Tally(floors(seeded))
        self.first: dict[str, Node] = {node.metadata.name: node for node in seeded.nodes}
        self.gone: dict[str, float] = {}
        self.bought: dict[str, Node] = {}
        self.pods_on: dict[str, int] = {}
        self.changed = time.monotonic()
        """When something was last done to the cluster."""

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Follow all pods and nodes."""
        async with Transport(credentials.load(self.cluster.kubeconfig)) as transport:
            pods: WatchCache[Pod] = WatchCache(transport, resources.PODS)
            nodes: WatchCache[Node] = WatchCache(transport, resources.NODES)
            pods.subscribe(self._on_pod)
            nodes.subscribe(self._on_node)
            tasks = [asyncio.create_task(pods.run()), asyncio.create_task(nodes.run())]
            try:
                await pods.wait_synced()
                await nodes.wait_synced()
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    def _on_pod(self, change: Change[Pod]) -> None:
        self.tally.see(change.object, time.monotonic(), gone=change.new is None)
        if change.old is None or change.new is None or change.old.spec.node_name != change.new.spec.node_name:
            self.changed = time.monotonic()

    def _on_node(self, change: Change[Node]) -> None:
        name = change.object.metadata.name
        if change.new is None:
            self.changed = self.gone[name] = time.monotonic()
        elif name not in self.first:
            self.bought[name] = change.new
        elif change.old is not None and change.old.spec != change.new.spec:
            self.changed = time.monotonic()

    async def build(self, say: Say) -> None:
        """Put everything on the cluster, and return once all pods are ready and all controllers content.

        Args:
            say: told of progress.
        """
        await asyncio.to_thread(self._nodes)
        say(f"{len(self.first)} nodes, each with a NodeClaim")
        await self._until(self._all_nodes_ready, "nodes that are ready")
        await asyncio.to_thread(self._pods)
        wanted = len(self.seeded.pods) - len(self.first)
        say(f"{wanted} pods on their nodes; waiting until they are ready")
        await self._until(lambda: self.tally.ready == wanted, f"{wanted} ready pods")
        await asyncio.to_thread(self._controllers)
        await self._until(self._content, "controllers that have adopted everything")
        await asyncio.to_thread(self.cluster.start_karpenter)
        if self.tally.ready != wanted or self.tally.evictions or self.gone:
            raise BenchError("the cluster is not as it was made: a controller has replaced pods, or Karpenter nodes")
        self.pods_on = {name: self.tally.on([name]) for name in self.first}
        say("all pods are ready, all controllers content, Karpenter runs")

    # --- pieces, in threads ---

    def _nodes(self) -> None:
        stages = self.cluster.directory / "stages.yaml"
        stages.write_text(manifests.stages())
        self.cluster.start_kwok(stages)
        self.cluster.define_karpenter()
        self.cluster.apply_node_pool(consolidate_after="10s", budgets=_BUDGET, most_cpu=0)
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

        def join(node: Node) -> None:
            made = self.cluster.api.request("POST", NODE_CLAIMS, manifests.claim(node))
            status = made | {"status": manifests.claim_status(node, now)}
            self.cluster.api.request("PUT", f"{NODE_CLAIMS}/{node.metadata.name}/status", status)
            self.cluster.api.request("POST", "/api/v1/nodes", manifests.node(node, made["metadata"]["uid"]))

        _in_parallel(join, self.seeded.nodes)

    def _pods(self) -> None:
        self.cluster.api.request("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        self.cluster.wait_service_account(NAMESPACE)
        self.cluster.api.request("POST", f"{_APPS}/daemonsets", manifests.daemon_set(self.seeded))
        _in_parallel(lambda pod: self.cluster.api.request("POST", f"{_CORE}/pods", pod), manifests.pods(self.seeded))

    def _controllers(self) -> None:
        """ReplicaSets adopt the pods, and only then Deployments the ReplicaSets."""
        made = list(manifests.controllers(self.seeded))
        for kind in ("replicasets", "deployments"):
            path = f"{_APPS}/{kind}"
            _in_parallel(
                lambda thing, path=path: self.cluster.api.request("POST", path, thing),  # type: ignore[misc]
                [manifest for which, manifest in made if which == kind],
            )
            deadline = time.monotonic() + _PATIENCE
            while not all(map(_is_full, self.cluster.api.get(path)["items"])):
                if time.monotonic() > deadline:
                    raise BenchError(f"{kind} have not got all of their pods within {_PATIENCE:g} s")
                time.sleep(0.5)
        _in_parallel(lambda thing: self.cluster.api.request("POST", _BUDGETS, thing), manifests.budgets(self.seeded))

    def _content(self) -> bool:
        budgets = self.cluster.api.get(_BUDGETS)["items"]
        daemons = self.cluster.api.get(f"{_APPS}/daemonsets")["items"]
        return all(each.get("status", {}).get("disruptionsAllowed", 0) > 0 for each in budgets) and all(
            each.get("status", {}).get("numberReady") == len(self.first) for each in daemons
        )

    def _all_nodes_ready(self) -> bool:
        nodes = self.cluster.api.get("/api/v1/nodes")["items"]
        return len(nodes) == len(self.first) and not any(each["spec"].get("taints") for each in nodes)

    async def _until(self, holds: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not await asyncio.to_thread(holds):
            if time.monotonic() > deadline:
                raise BenchError(f"waited {_PATIENCE:g} s for {what}; logs in {self.cluster.logs}")
            await asyncio.sleep(0.5)


def _is_full(thing: Json) -> bool:
    """Whether a ReplicaSet or Deployment has as many available pods as it wants, all of the newest template."""
    status, wanted = thing.get("status", {}), thing["spec"]["replicas"]
    newest = status.get("updatedReplicas", status.get("fullyLabeledReplicas"))
    return bool(status.get("availableReplicas") == wanted == newest == status.get("replicas"))


def _in_parallel(work: Callable[[Any], Any], things: Iterable[Any]) -> None:
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for done in [pool.submit(work, thing) for thing in things]:
            done.result()
