"""What the API server holds for one measurement: nodes or none, pods that wait, pods that run."""

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
    """A pod that waits, and the node it is meant for."""

    name: str
    uid: str
    node: str


class Scene:
    """Clears and fills the API server.

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
        """Create, once, what stays: custom resources, namespaces, ReplicaSets; and a pod of each to copy from."""
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
        """Remove everything of the measurement before, and put there what this one needs.

        Args:
            waiting: pods without a node.
            over: how many nodes they are meant for, in turn; their names are `node_name`.
            nodes: Ready nodes, of the same names; none when placeholders will take them.
            running: pods that run on further Ready nodes, 30 on each.

        Returns:
            The pods that wait.
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
        await self._store.compact()  # what was removed is not to be dealt with while somebody is measured
        return targets

    async def add(self, *, waiting: int, over: int, first: int = 0) -> list[Target]:
        """Put pods there that wait, beside what is there; ``first`` is how many did before."""
        targets = [target(index, over) for index in range(first, first + waiting)]
        await in_parallel(range(waiting), lambda index: self._put_waiting(first + index, targets[index]))
        return targets

    async def clear_pods(self) -> None:
        """Remove all pods, and nothing else."""
        await self._store.delete_all(f"pods/{NAMESPACE}/")
        await self._counted((_PODS,), 0)

    async def leases(self, count: int) -> None:
        """Wait until so many nodes have their Lease: the first ones come in the background."""
        await self._counted((_LEASES,), count)

    def placed(self) -> dict[str, str]:
        """Node of each pod that was waiting, empty for those that still do."""
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
        """Wait until the API server shows so many objects: it follows etcd by watching."""
        deadline = time.monotonic() + _PATIENCE
        for path in paths:
            while (found := self._count(path)) != count:
                if time.monotonic() > deadline:
                    raise BenchError(f"the API server shows {found} objects instead of {count}: {path}")
                await asyncio.sleep(0.1)

    def _count(self, path: str) -> int:
        """How many there are; a list of one tells how many more there would be."""
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
    """The name of a node that pods are bound to."""
    return f"pin-{index:04}.eu-west-1.compute.internal"


def target(index: int, over: int) -> Target:
    """Where the pod of an index is meant to go, of so many nodes."""
    name = f"w-{world.pod_name(index)}"
    return Target(name, str(uuid.uuid5(_ROOT, name)), node_name(index % over))


def promise(index: int) -> Json:
    """What is promised of a node, as a plan file says it: what `ready_node` will be."""
    node = ready_node(node_name(index), index)
    return {
        "allocatable": {key: str(value) for key, value in node["status"]["allocatable"].items()},
        "labels": node["metadata"]["labels"],
        "providerID": node["spec"]["providerID"],
    }


def ready_node(name: str, index: int) -> Json:
    """A Ready node as etcd holds it, untainted."""
    node = world.node(index)
    metadata = node["metadata"] | {
        "name": name,
        "uid": str(uuid.uuid5(_ROOT, f"node {name}")),
        "creationTimestamp": "2026-01-01T00:00:00Z",
    }
    metadata["labels"] = metadata["labels"] | {"kubernetes.io/hostname": name}
    return {"apiVersion": "v1", "kind": "Node", **node, "metadata": metadata}


def plain_pod(index: int) -> Json:
    """A pod that waits for any node: without a name for one, and without wishes that slow a scheduler down."""
    manifest = world.pod(index, 1)
    for key in ("nodeName", "affinity", "topologySpreadConstraints"):
        manifest["spec"].pop(key, None)
    return manifest


def replica_set(pod: Json) -> Json:
    """The ReplicaSet that a pod names as its owner."""
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
