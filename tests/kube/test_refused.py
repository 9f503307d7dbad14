"""What a real kubelet refuses, and a machine that registers under another name than was promised."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from moorage.kube import resources
from moorage.kube.client import Client
from moorage.objects import Pod
from moorage.protocol import Outcome
from tests.kube import pinning
from tests.kube.support import eventually, node_where
from tools.localcluster import ClusterHandle

NodeName = Callable[..., str]
UNSAFE = {"sysctls": [{"name": "net.core.somaxconn", "value": "1024"}]}


@pytest.fixture
async def client(cluster: ClusterHandle) -> AsyncIterator[Client]:
    async with pinning.connected(cluster) as connected:
        yield connected


async def replaced(client: Client, pod: Pod, namespace: str, app: str) -> Pod:
    """The pod that a controller has made in place of one that is gone."""

    async def fresh() -> Pod | None:
        found = await client.list(resources.PODS, namespace, labels=f"app={app}")
        return found[0] if len(found) == 1 and found[0].metadata.uid != pod.metadata.uid else None

    return await eventually(fresh, f"another pod of {app}")


async def test_what_only_a_kubelet_refuses_is_known_before_or_swept(
    client: Client, cluster: ClusterHandle, namespace: str, node_name: NodeName
) -> None:
    name = node_name()
    (tuned,) = await pinning.replicas(client, "tuned", namespace, 1, name, securityContext=UNSAFE)
    (other,) = await pinning.replicas(client, "other", namespace, 1, name, os={"name": "windows"})
    volumes = {"attachable-volumes-csi-ebs.csi.aws.com": "25"}
    async with pinning.driver(client) as driver:
        promised = await driver.do(pinning.promise(name, room={**pinning.ROOM, **volumes}))
        assert promised.outcome is Outcome.APPLIED
        found = pinning.outcomes(await driver.do(pinning.pin(name, [tuned, other])))
        assert found == {
            tuned.metadata.name: (Outcome.APPLIED, "OK"),
            other.metadata.name: (Outcome.REJECTED, "DOES_NOT_FIT"),
        }
        node = await client.get(resources.NODES, name)
        assert volumes.items() <= node.status.allocatable.items()
        # The scheduler would give the node one replacement after the other, and the kubelet would refuse each.
        cordon = {"spec": {"unschedulable": True}}
        await client.patch(resources.NODES, name, changes=cordon, uid=node.metadata.uid)
        await asyncio.to_thread(cluster.start_hollow_kubelet, name)
        fresh = await replaced(client, tuned, namespace, "tuned")
        assert fresh.spec.node_name == ""
        (why,) = [line["why"] for line in driver.lines.with_message("pod deleted") if line["pod"] == tuned.key]
        assert why.startswith("the kubelet refused the pod: SysctlForbidden")
        await node_where(client, name, lambda n: n.ready, "Ready")
        differs = driver.lines.with_message("node differs from its promise", node=name)
        assert not [line for line in differs if "attachable" in str(line["differences"])]


async def test_a_machine_that_registers_under_another_name_ends_its_placeholder(
    client: Client, cluster: ClusterHandle, namespace: str, node_name: NodeName
) -> None:
    name, machine = node_name(), node_name("m")
    instance = f"kubemark://{machine}"  # as a hollow kubelet says of itself
    (pod,) = await pinning.replicas(client, "web", namespace, 1, name)
    async with pinning.driver(client) as driver:
        assert (await driver.do(pinning.promise(name, provider_id=instance))).outcome is Outcome.APPLIED
        assert (await driver.do(pinning.pin(name, [pod]))).outcome is Outcome.APPLIED
        twice = await driver.do(pinning.promise(node_name("twice"), provider_id=instance))
        assert (twice.outcome, twice.reason.name) == (Outcome.REJECTED, "DUPLICATE_NODE")
        await asyncio.to_thread(cluster.start_hollow_kubelet, machine)
        await pinning.node_gone(client, name)
        await pinning.reservation_gone(client, name)
        assert f"has registered as node {machine}" in driver.records.note(name, "PlaceholderDeleted")
        await replaced(client, pod, namespace, "web")
