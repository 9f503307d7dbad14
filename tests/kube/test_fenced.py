"""The pinner with the account of its chart: the policies allow what it does, and it tries nothing else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from moorage.kube import credentials, resources
from moorage.kube.client import Client
from moorage.kube.clock import micro_time
from moorage.kube.http.transport import Transport
from moorage.objects import Node, Pod
from moorage.pinner.names import PREPARING, RENEWED_ANNOTATION
from moorage.pinner.node.leases import NAMESPACE
from moorage.protocol import DeletePlaceholder, Outcome
from tests.charts.fenced import Fenced, fenced
from tests.kube import pinning
from tests.kube.pinning import Driver
from tests.kube.support import eventually, node_where
from tools.localcluster import ClusterHandle
from tools.localcluster.kubeconfig import write_kubeconfig

NodeName = Callable[..., str]
REFUSED = "ValidatingAdmissionPolicy"


@pytest.fixture(scope="module")
def account(cluster: ClusterHandle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A kubeconfig of the pinner's account, with the rights and policies of the chart."""
    with fenced(cluster) as found:
        yield _kubeconfig(cluster, found, tmp_path_factory.mktemp("account"))


def _kubeconfig(cluster: ClusterHandle, found: Fenced, folder: Path) -> Path:
    ca = cluster.ca_file.read_bytes()
    return write_kubeconfig(folder / "kubeconfig", server=cluster.server, ca=ca, user="pinner", token=found.token)


@pytest.fixture
async def client(cluster: ClusterHandle) -> AsyncIterator[Client]:
    async with pinning.connected(cluster) as connected:
        yield connected


@pytest.fixture
async def writer(account: Path) -> AsyncIterator[Client]:
    """The pinner's own access."""
    async with Transport(credentials.load(account)) as transport:
        yield Client(transport)
    await asyncio.sleep(0.05)


@pytest.fixture
async def driver(client: Client, writer: Client) -> AsyncIterator[Driver]:
    """A pinner that watches as the administrator and acts as its account. No request may be refused."""
    made = Driver(client)
    await made.start(writer)
    try:
        yield made
    finally:
        await made.stop()
    lines = [vars(record) for record in made.lines.records]
    assert not [line for line in lines if REFUSED in f"{line.get('error', '')} {line.get('why', '')}"]


async def pinned(driver: Driver, client: Client, namespace: str, name: str, **spec: Any) -> list[Pod]:
    """A placeholder with two pods on it."""
    pods = await pinning.replicas(client, "web", namespace, 2, name, **spec)
    assert (await driver.do(pinning.promise(name))).outcome is Outcome.APPLIED
    assert (await driver.do(pinning.pin(name, pods))).outcome is Outcome.APPLIED
    return pods


async def test_a_machine_is_adopted_and_what_it_refuses_is_swept(
    driver: Driver, client: Client, cluster: ClusterHandle, namespace: str, node_name: NodeName
) -> None:
    name = node_name()
    pods = await pinning.replicas(client, "web", namespace, 4, name, cpu="400m")
    assert (await driver.do(pinning.promise(name, room={**pinning.ROOM, "cpu": "2"}))).outcome is Outcome.APPLIED
    assert (await driver.do(pinning.pin(name, pods))).outcome is Outcome.APPLIED
    await asyncio.to_thread(cluster.start_hollow_kubelet, name)  # it has one core: room for two of them
    await node_where(client, name, lambda n: n.ready and PREPARING not in {t.key for t in n.spec.taints}, "adopted")

    async def swept() -> bool | None:
        return True if len(driver.lines.with_message("pod deleted", node=name)) == 2 else None

    await eventually(swept, "two pods to be swept")


async def test_a_placeholder_is_removed_with_its_pods(
    driver: Driver, client: Client, namespace: str, node_name: NodeName
) -> None:
    name = node_name()
    pods = await pinned(driver, client, namespace, name, terminationGracePeriodSeconds=600)
    assert (await driver.do(DeletePlaceholder(name))).outcome is Outcome.APPLIED
    await pinning.node_gone(client, name)
    left = {p.metadata.uid for p in await client.list(resources.PODS, namespace)}
    assert not left & {p.metadata.uid for p in pods}, "without grace: no kubelet would ever have confirmed it"


async def test_a_kubelet_that_has_not_reported_yet_keeps_its_pods_grace_and_its_node(
    driver: Driver, client: Client, namespace: str, node_name: NodeName
) -> None:
    name = node_name()
    pods = await pinned(driver, client, namespace, name, terminationGracePeriodSeconds=600)

    async def held() -> bool | None:
        found = await client.list(resources.LEASES, NAMESPACE, fields=f"metadata.name={name}")
        return True if found and RENEWED_ANNOTATION in found[0].metadata.annotations else None

    await eventually(held, "its Lease")
    await renew_as_a_kubelet(client, name)
    driver.send(DeletePlaceholder(name))

    async def leaving() -> bool | None:
        found = [await client.get(resources.PODS, p.metadata.name, namespace) for p in pods]
        return True if all(p.metadata.deletion_timestamp is not None for p in found) else None

    await eventually(leaving, "the pods to be deleted with their grace")
    waits = await pinning.reservation_where(
        client, name, lambda r: "a kubelet is waited for" in (r.status or {}).get("message", ""), "to wait"
    )
    assert "somebody else has renewed its Lease" in waits.status["message"]
    assert not (await client.get(resources.NODES, name)).has_kubelet

    info = json.dumps({"status": {"nodeInfo": dict.fromkeys(pinning.NODE_INFO, "v1.36.3")}}).encode()
    path = resources.NODES.path("", name, "status")
    await client.transport.request("PATCH", path, body=info, content_type="application/merge-patch+json")
    await pinning.reservation_gone(client, name)
    node = await client.get(resources.NODES, name)
    assert PREPARING not in {taint.key for taint in node.spec.taints}
    for each in pods:
        assert (await client.get(resources.PODS, each.metadata.name, namespace)).metadata.uid == each.metadata.uid


async def renew_as_a_kubelet(client: Client, name: str) -> None:
    """What is on the Lease stays, and the time is the kubelet's own."""
    found = await client.get(resources.LEASES, name, NAMESPACE)
    changes = {"spec": {"renewTime": micro_time(client.transport.clock.now())}}
    await client.patch(resources.LEASES, name, NAMESPACE, changes=changes, uid=found.metadata.uid)


async def test_where_a_kubelet_has_been_pods_keep_their_grace_and_the_node_goes(
    driver: Driver, client: Client, namespace: str, node_name: NodeName
) -> None:
    name = node_name()
    pods = await pinned(driver, client, namespace, name, terminationGracePeriodSeconds=600)
    body = {"metadata": {"name": name}, "spec": {"drivers": []}}
    csi_node = await client.create(resources.CSI_NODES, body)
    try:
        assert (await driver.do(DeletePlaceholder(name))).outcome is Outcome.APPLIED
        assert await pinning.maybe(client, name) is None
        for each in pods:
            found = await client.get(resources.PODS, each.metadata.name, namespace)
            assert found.metadata.deletion_grace_period_seconds == 600
    finally:
        await client.delete(resources.CSI_NODES, name, uid=csi_node.metadata.uid)


async def test_a_machine_that_registered_anew_is_left_alone_and_told_of_once(
    driver: Driver, client: Client, writer: Client, cluster: ClusterHandle, namespace: str, node_name: NodeName
) -> None:
    name = node_name()
    await pinned(driver, client, namespace, name)
    made = await client.get(resources.NODES, name)
    await pinning.reservation_where(client, name, lambda r: r.spec.get("nodeUID") == made.metadata.uid, "its Node")
    await driver.kill()
    await client.delete(resources.NODES, name, uid=made.metadata.uid)
    await asyncio.to_thread(cluster.start_hollow_kubelet, name)

    async def registered() -> Node | None:
        found = await pinning.maybe(client, name)
        return found if found is not None and found.ready else None

    anew = await eventually(registered, "the machine to register anew")
    assert anew.metadata.uid != made.metadata.uid
    await driver.sees(driver.caches.nodes, anew)
    await driver.start(writer)

    shown = await pinning.reservation_where(client, name, lambda r: (r.status or {}).get("state") == "Foreign", "so")
    assert shown.metadata.finalizers == ()
    assert shown.spec["nodeUID"] == anew.metadata.uid
    assert shown.status["message"] == (
        f"a machine has node {name}, and no mark of ours is on it (any more): it is left as it is"
    )
    late = await pinning.replicas(client, "late", namespace, 1, name)
    acks = [await driver.do(pinning.promise(name)), await driver.do(pinning.pin(name, late))]
    assert [(ack.outcome, ack.reason.name) for ack in acks] == [
        (Outcome.REJECTED, "NODE_IS_REAL"),
        (Outcome.REJECTED, "SOFT_PIN_UNSUPPORTED"),
    ]
    assert driver.records.of(name).count("NodeLeftAlone") == 1
    assert len(driver.lines.with_message("node is a machine's without our marks, left alone", node=name)) == 1
    raw = json.loads(await client.transport.request("GET", resources.NODES.path("", name)))
    assert "moorage" not in {each["manager"] for each in raw["metadata"]["managedFields"]}
