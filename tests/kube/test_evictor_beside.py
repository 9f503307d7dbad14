"""Other clients while the evictor acts: people, controllers, programs. Each has a node of its own, in one cycle."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from moorage.kube import credentials, errors, resources
from moorage.kube.client import Client
from moorage.kube.http.transport import Transport
from moorage.objects import Node, Pod
from tests.kube.support import eventually, pod
from tests.kube.test_evictor_acts import (
    MARK,
    NAMESPACE,
    TAINT,
    Watcher,
    acting,
    events,
    is_at_rest,
    status_where,
)
from tests.kube.test_evictor_acts import kubeconfig as kubeconfig
from tools.localcluster import LocalCluster

Json = dict[str, Any]
MERGE = "application/merge-patch+json"
SLOW, QUICK = 10, 1
"""minReadySeconds of workloads whose second pod is to be waiting when something is done, and of the others."""
LONGEST = 150.0
ROOM = "room"


@pytest.fixture
async def client(own_cluster: LocalCluster) -> AsyncIterator[Client]:
    async with Transport(credentials.load(own_cluster.kubeconfig)) as transport:
        yield Client(transport)


Deed = Callable[["Site"], Awaitable[None] | None]


class Site:
    """Nodes with one workload each, which runs there and fits on a node that stays.

    Args:
        cluster: where.
        client: the administrator.
    """

    def __init__(self, cluster: LocalCluster, client: Client) -> None:
        self.api, self.client, self._cluster = cluster.api, client, cluster

    # --- what there is ---

    async def populate(self, **kinds: Json) -> None:
        """A node of each name, with a taint that only the pods of its workload tolerate; then one with much room.

        Args:
            kinds: the special property of the workload on each.
        """
        self._cluster.start_kwok()
        there = {each.metadata.name for each in await self.client.list(resources.NODES)}
        if f"{ROOM}-0" in there:
            self.patch_node(f"{ROOM}-0", {"spec": {"unschedulable": True}})
        for name in kinds:
            taint = {"key": "kind", "value": name, "effect": "NoSchedule"}
            self._cluster.create_kwok_nodes(1, cpu="2", memory="4Gi", prefix=name, taints=[taint])
        await self.until(lambda _, nodes: all(nodes[f"{name}-0"].ready for name in kinds), "nodes that are ready")
        for name, special in kinds.items():
            kind, manifest, namespace = workload(name, **special)
            if namespace != NAMESPACE:
                self.api.request("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
            self.api.request("POST", kind.path(namespace), manifest)
        await self.until(lambda pods, _: len(_serving(pods, kinds)) == 2 * len(kinds), "pods that serve")
        if f"{ROOM}-0" not in there:
            self._cluster.create_kwok_nodes(1, cpu="64", memory="256Gi", prefix=ROOM)
        stays = {"annotations": {"autoscaling.cast.ai/removal-disabled": "true"}}
        self.patch_node(f"{ROOM}-0", {"metadata": stays, "spec": {"unschedulable": None}})
        await self.until(lambda _, nodes: nodes[f"{ROOM}-0"].ready and not nodes[f"{ROOM}-0"].spec.taints, "room")

    async def until(self, holds: Callable[[list[Pod], dict[str, Node]], object], what: str) -> dict[str, Node]:
        """Wait until something is so."""

        async def probe() -> dict[str, Node] | None:
            pods = [each for each in await self.client.list(resources.PODS) if "app" in each.metadata.labels]
            nodes = {each.metadata.name: each for each in await self.client.list(resources.NODES)}
            return nodes if holds(pods, nodes) else None

        return await eventually(probe, what)

    async def play(self, deeds: Mapping[str, tuple[str, Deed]]) -> dict[str, Node]:
        """Do something to each node once it is so far, until all of it is done and no drain is under way."""
        left, end = dict(deeds), asyncio.get_running_loop().time() + LONGEST
        while True:
            nodes = {each.metadata.name.removesuffix("-0"): each for each in await self.client.list(resources.NODES)}
            phases = {name: phase(node) for name, node in nodes.items()}
            for name in [name for name, (when, _) in left.items() if phases.get(name) == when]:
                done = left.pop(name)[1](self)
                if done is not None:
                    await done
            if not left and not {"chosen", "draining"} & set(phases.values()):
                return nodes
            marks = {name: node.metadata.annotations.get(MARK) for name, node in nodes.items()}
            assert asyncio.get_running_loop().time() < end, (sorted(left), marks)
            await asyncio.sleep(0.1)

    async def pods(self, name: str) -> list[Pod]:
        """Those of a workload."""
        return list(await self.client.list(resources.PODS, labels=f"app={name}"))

    # --- what somebody does ---

    def patch_node(self, name: str, changes: Json) -> None:
        self.api.request("PATCH", f"/api/v1/nodes/{name}", changes, MERGE)

    def patch_workload(self, name: str, changes: Json) -> None:
        self.api.request("PATCH", resources.DEPLOYMENTS.path(NAMESPACE, name), changes, MERGE)

    async def evict(self, name: str) -> None:
        """As kubectl drain does it."""
        for each in await self.pods(name):
            if each.spec.node_name == f"{name}-0" and each.metadata.deletion_timestamp is None:
                with suppress(errors.NotFound, errors.Conflict):
                    await self.client.evict(each.metadata.name, each.metadata.namespace, uid=each.metadata.uid)


def workload(
    name: str, *, min_ready: int = SLOW, namespace: str = NAMESPACE, stateful: bool = False, **meta: Any
) -> tuple[Any, Json, str]:
    """Two pods, and where they go: its kind, its manifest and its namespace."""
    toleration = {"key": "kind", "value": name}
    tolerations = meta.pop("tolerations", [toleration])
    template = {
        "metadata": {"labels": {"app": name}, **meta},
        "spec": pod(name, tolerations=tolerations)["spec"],
    }
    spec: Json = {"replicas": 2, "minReadySeconds": min_ready, "selector": {"matchLabels": {"app": name}}}
    spec["template"] = template
    if stateful:
        spec |= {"serviceName": name, "podManagementPolicy": "Parallel"}
    kind = resources.STATEFUL_SETS if stateful else resources.DEPLOYMENTS
    return kind, {"metadata": {"name": name}, "spec": spec}, namespace


def _serving(pods: list[Pod], apps: Collection[str]) -> list[Pod]:
    return [each for each in pods if each.metadata.labels["app"] in apps and _serves(each)]


def _serves(pod: Pod) -> bool:
    return any(each.type == "Ready" and each.status == "True" for each in pod.status.conditions)


def phase(node: Node) -> str:
    """How far a drain has come, whatever has become of its mark."""
    text = node.metadata.annotations.get(MARK, "")
    try:
        return str(msgspec.json.decode(text)["phase"]) if text else ""
    except msgspec.DecodeError:
        return "unreadable"


# --- one node each, one after the other in one cycle ---


def uncordon(site: Site) -> None:
    site.patch_node("uncordoned-0", {"spec": {"unschedulable": None}})


def untaint(site: Site) -> None:
    others = [{"key": "kind", "value": "untainted", "effect": "NoSchedule"}]
    site.patch_node("untainted-0", {"spec": {"taints": others}})


def unmark(site: Site) -> None:
    site.patch_node("unmarked-0", {"metadata": {"annotations": {MARK: None}}})


def garble(site: Site) -> None:
    site.patch_node("garbled-0", {"metadata": {"annotations": {MARK: "mine"}}})


def forbid(site: Site) -> None:
    site.api.request(
        "PATCH", resources.DISRUPTION_BUDGETS.path(NAMESPACE, "budget"), {"spec": {"maxUnavailable": 0}}, MERGE
    )


def fail(site: Site) -> None:
    """Its kubelet is dead: kwok plays it no more."""
    site.patch_node("failed-0", {"metadata": {"annotations": {"kwok.x-k8s.io/node": None}}})
    gone = {"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown"}
    path = "/api/v1/nodes/failed-0/status"
    site.api.request("PATCH", path, {"status": {"conditions": [gone]}}, "application/strategic-merge-patch+json")


def vanish(site: Site) -> None:
    site.api.request("DELETE", "/api/v1/nodes/vanished-0")


def scale_in(site: Site) -> None:
    site.patch_workload("scaled", {"spec": {"replicas": 1}})


def roll_out(site: Site) -> None:
    site.patch_workload("rolled", {"spec": {"template": {"metadata": {"annotations": {"version": "2"}}}}})


async def drain_by_hand(site: Site) -> None:
    site.patch_node("person-0", {"spec": {"unschedulable": True}})
    await site.evict("person")


async def evict_too(site: Site) -> None:
    await site.evict("evicted")


def delete_namespace(site: Site) -> None:
    site.api.request("DELETE", "/api/v1/namespaces/namespace")


DEEDS: dict[str, tuple[str, Deed]] = {
    "budget": ("draining", forbid),
    "evicted": ("draining", evict_too),
    "failed": ("draining", fail),
    "garbled": ("draining", garble),
    "namespace": ("draining", delete_namespace),
    "person": ("chosen", drain_by_hand),
    "rolled": ("draining", roll_out),
    "scaled": ("draining", scale_in),
    "uncordoned": ("draining", uncordon),
    "unmarked": ("draining", unmark),
    "untainted": ("draining", untaint),
    "vanished": ("draining", vanish),
}
ROLLED_BACK = {
    "budget": "its PodDisruptionBudget can never allow an eviction (budget: maxUnavailable: 0)",
    "failed": "the node is not ready",
    "finalizer": f"the node was not emptied in time ({SLOW} s; the pod is being deleted (default/finalizer-",
    "namespace": "its namespace is being deleted, so it would not be created again (namespace)",
    "person": "another party has cordoned the node",
    "scaled": "it is the only replica of its controller (ReplicaSet scaled-",
    "uncordoned": "the cordon was removed from the node",
    "untainted": "the taint was removed from the node",
}
LEFT_ALONE = {
    "garbled": "the mark of an earlier drain of the node cannot be read (moorage.dev/drain: JSON is malformed",
    "unmarked": "another party has cordoned the node",
}
EMPTIED = {"evicted", "rolled", "stateful"}
CORDON = {"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}
DISPOSABLE = {"autoscaling.cast.ai/disposable": "true"}


async def test_whatever_others_do_to_a_node_ends_its_drain_with_the_reason_and_breaks_no_floor(
    own_cluster: LocalCluster, client: Client, kubeconfig: Path
) -> None:
    site = Site(own_cluster, client)
    budget = {"selector": {"matchLabels": {"app": "budget"}}, "maxUnavailable": 2}
    path = resources.DISRUPTION_BUDGETS.path(NAMESPACE)
    site.api.request("POST", path, {"metadata": {"name": "budget"}, "spec": budget})
    special: dict[str, Json] = {
        "finalizer": {"min_ready": QUICK, "finalizers": ["moorage.dev/test"]},
        "namespace": {"namespace": "namespace"},
        "rolled": {"min_ready": QUICK},
        "stateful": {"min_ready": QUICK, "stateful": True, "annotations": DISPOSABLE},
        "tolerant": {"min_ready": QUICK, "tolerations": [{"key": "kind", "value": "tolerant"}, CORDON]},
    }
    await site.populate(**{**{name: {} for name in DEEDS}, **special})
    await asyncio.sleep(SLOW)  # all of them are available
    tolerant = {each.metadata.uid for each in await site.pods("tolerant")}
    others = {"failed", "namespace", "person", "scaled"}  # somebody else takes pods away at the same time
    kept = {*ROLLED_BACK, *LEFT_ALONE, "rolled", "tolerant"} - others
    watcher = Watcher(client.transport, dict.fromkeys(kept, 1))
    async with watcher.watching(), acting(kubeconfig, drain_timeout=float(SLOW), target_node_percentage=100):
        nodes = await site.play(DEEDS)
        status = await status_where(own_cluster, is_at_rest, "nothing more to go")
        told = {each: await events(client, each) for each in ("RolledBack", "LeftAlone", "Emptied")}
    assert watcher.broken == []
    assert {name for name, node in nodes.items() if phase(node) == "rolled-back"} == set(ROLLED_BACK)
    for name, why in ROLLED_BACK.items():
        assert why in nodes[name].metadata.annotations[MARK].replace("\\", ""), name
        assert why in told["RolledBack"][f"{name}-0"]
    assert set(told["LeftAlone"]) == {f"{name}-0" for name in LEFT_ALONE}
    for name, why in LEFT_ALONE.items():
        assert why in told["LeftAlone"][f"{name}-0"]
    assert {name for name, node in nodes.items() if phase(node) == "emptied"} == EMPTIED
    assert set(told["Emptied"]) == {f"{name}-0" for name in EMPTIED}
    assert {name for name, node in nodes.items() if node.spec.unschedulable} == {"person", *LEFT_ALONE}
    tainted = {name for name, node in nodes.items() if any(each.key == TAINT for each in node.spec.taints)}
    assert tainted == EMPTIED | set(LEFT_ALONE)
    assert "vanished" not in nodes
    assert {each.spec.node_name for each in await site.pods("stateful")} == {f"{ROOM}-0"}
    assert {each.metadata.uid for each in await site.pods("tolerant")} == tolerant
    assert status["lastCycle"]["held"]["TOLERATES_CORDON"] == 1
