"""A placeholder beside pods of others that are spread over hosts and zones, and its own pods, with real kubelets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from moorage.kube import resources
from moorage.kube.client import Client
from moorage.pinner.names import HOSTNAME, PREPARING
from moorage.protocol import Outcome, ReasonCode
from tests.kube import pinning
from tests.kube.support import eventually, node_where, pod, pod_where
from tools.localcluster import ClusterHandle

NodeName = Callable[..., str]
GROUP = "moorage.test/group"
"""On the placeholder and on the node beside it."""
ZONE = "topology.kubernetes.io/zone"
DEPLOYMENTS = "/apis/apps/v1/namespaces/{}/deployments"


@pytest.fixture
async def client(cluster: ClusterHandle) -> AsyncIterator[Client]:
    async with pinning.connected(cluster) as connected:
        yield connected


def spread(app: str, over: str = HOSTNAME, **more: str) -> list[dict[str, Any]]:
    """Over hosts, as in most charts, or over something else."""
    constraint = {"maxSkew": 1, "topologyKey": over, "whenUnsatisfiable": "DoNotSchedule", **more}
    return [{**constraint, "labelSelector": {"matchLabels": {"app": app}}}]


def deploy(cluster: ClusterHandle, namespace: str, app: str, group: str, replicas: int = 1, **spreading: str) -> None:
    """A Deployment that is spread over the hosts of a group, or over something else."""
    made = pod(app, nodeSelector={GROUP: group}, topologySpreadConstraints=spread(app, **spreading))
    template = {"metadata": {"labels": {"app": app}}, "spec": made["spec"]}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": app}}, "template": template}
    cluster.api.request("POST", DEPLOYMENTS.format(namespace), {"metadata": {"name": app}, "spec": spec})


def change(cluster: ClusterHandle, namespace: str, app: str, **spec: Any) -> None:
    """Scale or roll a Deployment."""
    path = f"{DEPLOYMENTS.format(namespace)}/{app}"
    cluster.api.request("PATCH", path, {"spec": spec}, "application/merge-patch+json")


async def running(client: Client, namespace: str, app: str, count: int, **labels: str) -> None:
    """Wait until exactly so many pods run, perhaps of a revision."""

    async def up() -> bool:
        pods = [p for p in await client.list(resources.PODS, namespace) if p.metadata.labels.get("app") == app]
        run = [p for p in pods if p.status.phase == "Running" and p.metadata.labels.items() >= labels.items()]
        return len(pods) == len(run) == count

    await eventually(up, f"{count} pods of {app} to run")


async def test_others_scale_and_roll_beside_it(
    client: Client, cluster: ClusterHandle, namespace: str, node_name: NodeName
) -> None:
    """And of the pods meant for it, only those that select by host wait for the machine.

    An empty zone holds others up, so it is refused; where it is allowed, only `nodeTaintsPolicy` helps them.
    """
    name, worker = node_name("new"), node_name("worker")
    cluster.start_hollow_kubelet(worker, node_labels={GROUP: name, ZONE: "a"})
    own = await pinning.replicas(client, "own", namespace, 2, name, topologySpreadConstraints=spread("own"))
    term = {"matchExpressions": [{"key": HOSTNAME, "operator": "In", "values": [name]}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    choosy = await pinning.replicas(client, "choosy", namespace, 1, name, affinity={"nodeAffinity": required})
    await asyncio.to_thread(cluster.wait_node_ready, worker)
    deploy(cluster, namespace, "others", name)
    async with pinning.driver(client) as driver:
        labels = {GROUP: name, HOSTNAME: name, ZONE: name}
        beside = await client.get(resources.NODES, worker)
        await driver.sees(driver.caches.nodes, beside)
        assert (await driver.do(pinning.promise(name, labels=labels))).reason is ReasonCode.NEW_ZONE
        made = await driver.do(pinning.promise(name, labels=labels, allow_new_zone=True))
        assert made.outcome is Outcome.APPLIED
        deploy(cluster, namespace, "zoned", name, 2, over=ZONE)
        deploy(cluster, namespace, "honoring", name, 2, over=ZONE, nodeTaintsPolicy="Honor")
        assert HOSTNAME not in (await client.get(resources.NODES, name)).metadata.labels
        assert (await driver.do(pinning.pin(name, own))).outcome is Outcome.APPLIED
        (refused,) = (await driver.do(pinning.pin(name, choosy))).pods
        assert refused.reason is ReasonCode.DOES_NOT_FIT
        assert f"the pod selects by {HOSTNAME}, a label that a placeholder does not have" in refused.sentence
        await running(client, namespace, "others", 1)
        change(cluster, namespace, "others", replicas=3)
        await running(client, namespace, "others", 3)
        change(cluster, namespace, "others", template={"metadata": {"labels": {"revision": "2"}}})
        await running(client, namespace, "others", 3, revision="2")
        await running(client, namespace, "honoring", 2)
        await eventually(lambda: _held_up(client, namespace, "zoned"), "one pod to wait for the zone")
        assert not (await client.get(resources.NODES, name)).has_kubelet, "all of that was beside a placeholder"

        await asyncio.to_thread(cluster.start_hollow_kubelet, name)
        joined = await node_where(
            client, name, lambda n: n.ready and PREPARING not in {t.key for t in n.spec.taints}, "Ready and open"
        )
        assert joined.metadata.labels[HOSTNAME] == name
        for each in (*own, *choosy):
            ran = await pod_where(client, each.metadata.name, namespace, lambda p: p.status.phase == "Running", "runs")
            assert (ran.spec.node_name, ran.metadata.uid) == (name, each.metadata.uid)
        told = {reason for kind, about, reason, _ in driver.records.seen if (kind, about) == ("Node", name)}
        assert told == {"PlaceholderCreated", "PlaceholderAdopted"}, "nothing is missed"


async def _held_up(client: Client, namespace: str, app: str) -> bool:
    pods = [p for p in await client.list(resources.PODS, namespace) if p.metadata.labels.get("app") == app]
    said = [c.message for p in pods for c in p.status.conditions if c.type == "PodScheduled" and not p.spec.node_name]
    return any("topology spread constraints" in message for message in said)


@pytest.mark.filterwarnings("ignore:Attribute's length")  # of the subject of its kubelet's certificate
async def test_a_name_too_long_for_a_label(client: Client, cluster: ClusterHandle, node_name: NodeName) -> None:
    """A kubelet joins under it with the hostname that it is started with, and only such a one is promised."""
    name = node_name("x" * 40)
    assert len(name) > 63
    async with pinning.driver(client) as driver:
        refused = await driver.do(pinning.promise(name, "long"))
        assert refused.reason is ReasonCode.INVALID_NODE_NAME
        assert f"the node's name has {len(name)} characters: its kubelet could not register" in refused.sentence
        made = await driver.do(pinning.promise(name, "long", labels={HOSTNAME: "short"}))
        assert made.outcome is Outcome.APPLIED
        await asyncio.to_thread(cluster.start_hollow_kubelet, name, node_labels={HOSTNAME: "short"})
        joined = await node_where(client, name, lambda n: n.ready, "Ready")
        assert joined.metadata.labels[HOSTNAME] == "short"
