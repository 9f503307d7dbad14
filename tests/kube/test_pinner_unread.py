"""Real API servers store and serve null: it is read, and the limit in the same object counts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from moorage.kube import resources
from moorage.kube.client import Client
from moorage.objects import PersistentVolumeClaim
from moorage.protocol import Outcome
from tests.kube import pinning
from tests.kube.pinning import Driver
from tests.kube.support import eventually
from tools.localcluster import ClusterHandle

NodeName = Callable[..., str]
DRIVER = "nfs.csi.k8s.io"
CSI_NODES = "/apis/storage.k8s.io/v1/csinodes"


@pytest.fixture
async def client(cluster: ClusterHandle) -> AsyncIterator[Client]:
    async with pinning.connected(cluster) as connected:
        yield connected


@pytest.fixture
async def driver(client: Client) -> AsyncIterator[Driver]:
    async with pinning.driver(client) as made:
        yield made


async def bound_claim(client: Client, driver: Driver, namespace: str, name: str) -> PersistentVolumeClaim:
    """A volume of our driver, and a claim that is bound to it, both seen by the pinner."""
    common = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
    csi = {"driver": DRIVER, "volumeHandle": name}
    volume = {"capacity": {"storage": "1Gi"}, "csi": csi, "persistentVolumeReclaimPolicy": "Retain", **common}
    await client.create(resources.VOLUMES, {"metadata": {"name": name}, "spec": volume})
    wanted = {"volumeName": name, "resources": {"requests": {"storage": "1Gi"}}, **common}
    await client.create(resources.CLAIMS, {"metadata": {"name": name}, "spec": wanted}, namespace)

    async def bound() -> PersistentVolumeClaim | None:
        found = await client.get(resources.CLAIMS, name, namespace)
        return found if found.status.phase == "Bound" else None

    claim = await eventually(bound, f"claim {name} to be bound")
    await driver.sees(driver.caches.claims, claim)
    stored = await client.get(resources.VOLUMES, name)
    await driver.sees(driver.caches.volumes, stored)
    return claim


async def test_a_csi_node_without_topology_limits_its_volumes(
    driver: Driver, client: Client, cluster: ClusterHandle, namespace: str, node_name: NodeName
) -> None:
    name = node_name()
    csi: dict[str, Any] = {"name": DRIVER, "nodeID": name, "topologyKeys": None, "allocatable": {"count": 2}}
    cluster.api.request("POST", CSI_NODES, {"metadata": {"name": name}, "spec": {"drivers": [csi]}})
    (served,) = cluster.api.get(f"{CSI_NODES}/{name}")["spec"]["drivers"]
    assert served["topologyKeys"] is None, "a real server says so"
    seen = await client.get(resources.CSI_NODES, name)
    await driver.sees(driver.caches.csi_nodes, seen)
    assert [each.allocatable.count for each in seen.drivers if each.allocatable is not None] == [2]
    claims = [await bound_claim(client, driver, namespace, f"{name}-{number}") for number in range(6)]
    pods = []
    for number, claim in enumerate(claims):
        volume = {"name": "data", "persistentVolumeClaim": {"claimName": claim.metadata.name}}
        pods += await pinning.replicas(client, f"web-{number}", namespace, 1, name, volumes=[volume])
    for each in pods:
        await driver.sees(driver.caches.pods, each)
    assert (await driver.do(pinning.promise(name))).outcome is Outcome.APPLIED

    ack = await driver.do(pinning.pin(name, pods))

    results = sorted((result.outcome.name, result.reason.name) for result in ack.pods)
    assert results == [("APPLIED", "OK")] * 2 + [("REJECTED", "DOES_NOT_FIT")] * 4
    assert all("limit 2" in result.sentence for result in ack.pods if result.outcome is Outcome.REJECTED)
    bound = [each for each in await client.list(resources.PODS, namespace) if each.spec.node_name == name]
    assert len(bound) == 2
    assert driver.caches.csi_nodes.unreadable == {}
    cluster.api.request("DELETE", f"{CSI_NODES}/{name}")
