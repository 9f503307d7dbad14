"""The objects of the API server for a measurement: nodes or none, pending pods, running pods."""

from __future__ import annotations

import asyncio
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import msgspec
import yaml

from tools.bench.common import world
from tools.bench.common.errors import BenchError
from tools.bench.common.store import Store, in_parallel
from tools.bench.common.world import Json
from tools.localcluster import ClusterHandle
from tools.localcluster.api import ApiError

NAMESPACE = world.NAMESPACE
HOME = "castai-agent"
"""Namespace of the pinner's Lease."""
_CRDS = Path(__file__).parents[3] / "schemas" / "crds"
_CRD_PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
_RESERVATIONS = "moorage.dev/nodereservations/"
_CLEARED = (f"pods/{NAMESPACE}/", "minions/", "leases/kube-node-lease/", f"leases/{HOME}/", _RESERVATIONS)
_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
_SEEN = (_PODS, "/api/v1/nodes", "/apis/moorage.dev/v1alpha1/nodereservations", _LEASES)
_ROOT = uuid.UUID("0a6a4a5e-55a3-4b39-8f0c-1f5d1f2f9f6b")
_PATIENCE = 60.0
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Target:
    """A pending pod, and its planned node."""

    name: str
    uid: str
    node: str


class Scene:
    """Creates and removes the objects of the API server.

    Args:
        cluster: the control plane.
        store: its etcd.
    """

    def __init__(self, cluster: ClusterHandle, store: Store) -> None:
        self._cluster = cluster
        self._api = cluster.api
        self._store = store
        self._templates: list[Json] = []

    async def prepare(self) -> None:
        """Create what stays: custom resource definitions, namespaces, ReplicaSets, and a pod of each as a template."""
        for path in sorted(_CRDS.glob("*.yaml")):
            await self._define(yaml.safe_load(path.read_text()))
        for namespace in (NAMESPACE, HOME):
            self._api.request("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
        self._cluster.wait_service_account(NAMESPACE)
        for index in range(world.CONTROLLERS):
            manifest = plain_pod(index)
            owner = self._api.request(
                "POST", f"/apis/apps/v1/namespaces/{NAMESPACE}/replicasets", replica_set(manifest)
            )
            manifest["metadata"]["ownerReferences"][0]["uid"] = owner["metadata"]["uid"]
            self._api.request("POST", _PODS, manifest)
            self._templates.append(self._api.get(f"{_PODS}/{manifest['metadata']['name']}"))

    async def fill(self, *, waiting: int, over: int, nodes: int = 0, running: int = 0) -> list[Target]:
        """Remove the objects of the measurement before, and create those of this one.

        Args:
            waiting: number of pods without a node.
            over: number of planned nodes, in turn; their names are `node_name`.
            nodes: number of Ready nodes with the same names; 0 if there will be placeholders.
            running: number of pods that run on additional Ready nodes, 30 on each.

        Returns:
            The pending pods.
        """
        for prefix in _CLEARED:
            await self._store.delete_all(prefix)
        await self._counted(_SEEN, 0)
        others = -(-running // 30)
        await in_parallel(range(nodes), lambda index: self._put_node(node_name(index), index))
        await in_parallel(range(others), lambda index: self._put_node(world.node_name(index), index))
        await in_parallel(range(running), lambda index: self._put_running(index, others))
        targets = await self.add(waiting=waiting, over=over)
        await self._counted((_PODS,), waiting + running)
        await self._store.compact()  # clients must not process the removal during a measurement
        return targets

    async def add(self, *, waiting: int, over: int, first: int = 0) -> list[Target]:
        """Create additional pending pods. ``first`` is the number of pods before."""
        targets = [target(index, over) for index in range(first, first + waiting)]
        await in_parallel(range(waiting), lambda index: self._put_waiting(first + index, targets[index]))
        return targets

    async def clear_pods(self) -> None:
        """Remove all pods, and only these."""
        await self._store.delete_all(f"pods/{NAMESPACE}/")
        await self._counted((_PODS,), 0)

    async def leases(self, count: int) -> None:
        """Wait until this many nodes have their Lease: the pinner creates the first ones in the background."""
        await self._counted((_LEASES,), count)

    def placed(self) -> dict[str, str]:
        """Node of each pod that was pending, empty for those that still are."""
        pods = self._api.get(f"{_PODS}?labelSelector=moorage.dev/bench=waiting")["items"]
        return {pod["metadata"]["name"]: pod["spec"].get("nodeName", "") for pod in pods}

    async def _put_node(self, name: str, index: int) -> None:
        node = ready_node(name, index)
        await self._store.put(f"minions/{name}", _encode(node))

    async def _put_waiting(self, index: int, wanted: Target) -> None:
        template = self._templates[index % world.CONTROLLERS]
        metadata = template["metadata"] | {"name": wanted.name, "uid": wanted.uid}
        metadata["labels"] = metadata["labels"] | {"moorage.dev/bench": "waiting"}
        del metadata["resourceVersion"]
        await self._store.put(f"pods/{NAMESPACE}/{wanted.name}", _encode(template | {"metadata": metadata}))

    async def _put_running(self, index: int, nodes: int) -> None:
        pod = world.stored_pod(index, 0, nodes, self._templates[index % world.CONTROLLERS])
        await self._store.put(f"pods/{NAMESPACE}/{world.pod_name(index)}", _encode(pod))

    async def _counted(self, paths: tuple[str, ...], count: int) -> None:
        """Wait until the API server shows this many objects: it reads etcd through a watch."""
        deadline = time.monotonic() + _PATIENCE
        for path in paths:
            while (found := self._count(path)) != count:
                if time.monotonic() > deadline:
                    raise BenchError(f"the API server shows {found} objects instead of {count}: {path}")
                await asyncio.sleep(0.1)

    def _count(self, path: str) -> int:
        """The number of objects: a list with one item also has the number of the remaining ones."""
        answer = self._api.get(f"{path}?limit=1")
        return len(answer["items"]) + int(answer["metadata"].get("remainingItemCount", 0))

    async def _define(self, manifest: Json) -> None:
        self._api.request("POST", _CRD_PATH, manifest)
        path = f"/apis/{manifest['spec']['group']}/v1alpha1/{manifest['spec']['names']['plural']}"
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                self._api.get(path)
                return
            except ApiError as error:
                if time.monotonic() > deadline:
                    raise BenchError(f"the API server does not serve {path}: {error}") from error
            await asyncio.sleep(0.1)


def node_name(index: int) -> str:
    """The name of a node for bindings."""
    return f"pin-{index:04}.eu-west-1.compute.internal"


def target(index: int, over: int) -> Target:
    """The planned node of a pod, of this many nodes."""
    name = f"w-{world.pod_name(index)}"
    return Target(name, str(uuid.uuid5(_ROOT, name)), node_name(index % over))


def promise(index: int) -> Json:
    """The promise of a node as in a plan file. It equals `ready_node`."""
    node = ready_node(node_name(index), index)
    return {
        "allocatable": {key: str(value) for key, value in node["status"]["allocatable"].items()},
        "labels": node["metadata"]["labels"],
        "providerID": node["spec"]["providerID"],
    }


def ready_node(name: str, index: int) -> Json:
    """A Ready node without taints, as etcd stores it."""
    node = world.node(index)
    metadata = node["metadata"] | {
        "name": name,
        "uid": str(uuid.uuid5(_ROOT, f"node {name}")),
        "creationTimestamp": "2026-01-01T00:00:00Z",
    }
    metadata["labels"] = metadata["labels"] | {"kubernetes.io/hostname": name}
    return {"apiVersion": "v1", "kind": "Node", **node, "metadata": metadata}


def plain_pod(index: int) -> Json:
    """A pending pod without a node's name, and without affinity or spread constraints, which slow a scheduler down."""
    manifest = world.pod(index, 1)
    for key in ("nodeName", "affinity", "topologySpreadConstraints"):
        manifest["spec"].pop(key, None)
    return manifest


def replica_set(pod: Json) -> Json:
    """The ReplicaSet that owns a pod."""
    name = pod["metadata"]["ownerReferences"][0]["name"]
    labels = pod["metadata"]["labels"]
    chosen = {key: labels[key] for key in ("app.kubernetes.io/name", "pod-template-hash")}
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": chosen},
            "template": {"metadata": {"labels": labels}, "spec": pod["spec"]},
        },
    }
