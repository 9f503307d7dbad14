"""Pods that only the real scheduler can place: nominated to a machine that has just joined."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from moorage.kube import resources
from moorage.kube.client import Client
from moorage.objects import Node, Pod
from moorage.pinner.commands import cleanup
from moorage.pinner.names import PREPARING
from moorage.protocol import Outcome
from tests.kube import pinning
from tests.kube.support import eventually, node_where
from tools.localcluster import ClusterHandle

NodeName = Callable[..., str]
DEVICE = "nvidia.com/gpu"
WANTING = [
    {
        "name": "main",
        "image": "registry.invalid/main:1",
        "resources": {"requests": {"cpu": "10m"}, "limits": {DEVICE: "1"}},
    }
]
MOST = 0.95
"""How many of the pods, at least, start on the node that is meant."""
SELECTED_NODE = "volume.kubernetes.io/selected-node"
NOBODY = "moorage.test/nobody"
"""Makes volumes, and never comes: the scheduler waits for it with a pod that it has decided about."""


@pytest.fixture
async def client(cluster: ClusterHandle) -> AsyncIterator[Client]:
    async with pinning.connected(cluster) as connected:
        yield connected


def guarded(node: Node) -> bool:
    return any((taint.key, taint.effect) == (PREPARING, "NoSchedule") for taint in node.spec.taints)


async def publish(client: Client, name: str, devices: int) -> None:
    """Report a machine's devices, as its device plugin does after the kubelet has joined."""
    node = await client.get(resources.NODES, name)
    amount = {DEVICE: str(devices)}
    status = {"status": {"capacity": amount, "allocatable": amount}}
    await client.patch(resources.NODES, name, changes=status, uid=node.metadata.uid, subresource="status")


async def nominate(client: Client, pod: Pod, node: str) -> None:
    """Write a nomination of another program."""
    changes = {"status": {"nominatedNodeName": node}}
    meta = pod.metadata
    await client.patch(resources.PODS, meta.name, meta.namespace, changes=changes, uid=meta.uid, subresource="status")


async def there(client: Client, pods: Sequence[Pod]) -> list[Pod]:
    """The pods as they are now."""
    return [await client.get(resources.PODS, each.metadata.name, each.metadata.namespace) for each in pods]


async def wholly_started(client: Client, pods: Sequence[Pod]) -> list[Pod]:
    """These pods, once all of them run."""

    async def probe() -> list[Pod] | None:
        found = await there(client, pods)
        return found if all(each.status.phase == "Running" for each in found) else None

    return await eventually(probe, "every pod to run")


@pytest.mark.parametrize("gone", [False, True], ids=["somebody leads", "nobody leads any more"])
async def test_every_pod_starts_with_its_device_on_its_node_and_equal_competitors_wait(
    gone: bool, client: Client, cluster: ClusterHandle, namespace: str, node_name: NodeName
) -> None:
    names = [node_name("a"), node_name("b")]
    rivals = await pinning.replicas(client, "rival", namespace, 4, names[0], containers=WANTING)
    pods = await pinning.replicas(client, "ours", namespace, 8, names[0], containers=WANTING)
    plain = await pinning.replicas(client, "plain", namespace, 2, names[0])
    plan = {name: pods[index * 4 : index * 4 + 4] for index, name in enumerate(names)}
    meant = {each.metadata.uid: name for name, part in plan.items() for each in part}
    async with pinning.driver(client) as driver:
        pinned = {}
        for name, beside in zip(names, plain, strict=True):
            assert (await driver.do(pinning.promise(name, names[0]))).outcome is Outcome.APPLIED
            pinned[name] = driver.send(pinning.pin(name, [*plan[name], beside]))
        for name in names:
            await asyncio.to_thread(cluster.start_hollow_kubelet, name)
        for name in names:
            await pinning.reservation_where(
                client, name, lambda r: DEVICE in (r.status or {}).get("message", ""), "to wait for its devices"
            )
            joined = await node_where(client, name, lambda n: n.ready, "Ready")
            assert guarded(joined), "the scheduler would try, and fail"
        assert not any(each.status.nominated_node_name for each in await there(client, pods))
        await driver.kill()  # whoever leads next finds all of it in the reservations
        await driver.start()
        driver.resend()
        for name in names:
            await publish(client, name, 4)
        if gone:
            for name in names:
                await node_where(client, name, lambda n: not guarded(n), "open to the scheduler")
            await driver.kill()
        started = await wholly_started(client, [*pods, *plain])
        intended = sum(meant[each.metadata.uid] == each.spec.node_name for each in started[: len(pods)])
        assert intended >= MOST * len(pods)
        assert {each.spec.node_name for each in await there(client, rivals)} == {""}, "no device is left for them"
        if gone:
            return
        for name, beside in zip(names, plain, strict=True):
            found = pinning.outcomes(await driver.answer(pinned[name]))
            assert found.pop(beside.metadata.name) == (Outcome.APPLIED, "OK")
            if intended == len(pods):
                assert set(found.values()) == {(Outcome.APPLIED, "POD_NOMINATED")}
            await pinning.reservation_where(client, name, lambda r: not r.metadata.finalizers, "closed")
            assert not guarded(await client.get(resources.NODES, name))


def claiming(claim: str) -> dict[str, Any]:
    return {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}]}


@pytest.fixture
async def claims(client: Client, namespace: str) -> AsyncIterator[list[str]]:
    """Unbound claims of a class with WaitForFirstConsumer whose volumes are never created."""
    name = f"{namespace}-nobody"
    waits = {"metadata": {"name": name}, "provisioner": NOBODY, "volumeBindingMode": "WaitForFirstConsumer"}
    made = await client.create(resources.STORAGE_CLASSES, waits)
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": name,
        "resources": {"requests": {"storage": "1Mi"}},
    }
    for claim in ("one", "two"):
        await client.create(resources.CLAIMS, {"metadata": {"name": claim}, "spec": spec}, namespace)
    yield ["one", "two"]
    await client.delete(resources.STORAGE_CLASSES, name, uid=made.metadata.uid)


async def test_what_others_nominate_is_left_to_them_and_what_is_ours_is_taken_back(
    client: Client, cluster: ClusterHandle, namespace: str, node_name: NodeName, claims: list[str]
) -> None:
    name = node_name()
    # A node of its pool would wake the scheduler, which takes off what has failed, whoever wrote it.
    (foreign,) = await pinning.replicas(client, "foreign", namespace, 1, f"{name}-elsewhere", containers=WANTING)
    overwritten, ours = [
        (await pinning.replicas(client, f"web-{claim}", namespace, 1, name, **claiming(claim)))[0] for claim in claims
    ]
    async with pinning.driver(client) as driver:
        assert (await driver.do(pinning.promise(name))).outcome is Outcome.APPLIED
        await pinning.turned_down(client, foreign)
        await nominate(client, foreign, "theirs")
        await driver.sees(driver.caches.pods, (await there(client, [foreign]))[0])
        pinned = driver.send(pinning.pin(name, [foreign, overwritten, ours]))
        await asyncio.to_thread(cluster.start_hollow_kubelet, name)
        await node_where(client, name, lambda n: n.ready and not guarded(n), "open to the scheduler")

        async def decided() -> bool | None:
            found = [await client.get(resources.CLAIMS, claim, namespace) for claim in claims]
            return True if all(each.metadata.annotations.get(SELECTED_NODE) == name for each in found) else None

        await eventually(decided, "the scheduler to wait for both volumes, and to write nothing more")
        assert [each.status.nominated_node_name for each in await there(client, [overwritten, ours])] == [name, name]
        await nominate(client, overwritten, "theirs")

        async def noticed() -> bool | None:
            found = await client.get(resources.NODE_RESERVATIONS, name)
            return True if [each["uid"] for each in found.spec["nominations"]] == [ours.metadata.uid] else None

        await eventually(noticed, "the pinner to see that somebody else has nominated a pod")
        left = [each for each in await cleanup.find(client) if each.kind == "Pod"]
        assert [each.name for each in left if each.name.startswith(f"{namespace}/")] == [ours.key]
        reservation = await client.get(resources.NODE_RESERVATIONS, name)
        await client.delete(resources.NODE_RESERVATIONS, name, uid=reservation.metadata.uid)
        found = pinning.outcomes(await driver.answer(pinned))
        await pinning.reservation_gone(client, name)
    assert found[foreign.metadata.name] == found[overwritten.metadata.name] == (Outcome.REJECTED, "POD_NOMINATED")
    assert found[ours.metadata.name][0] is Outcome.FAILED
    values = [each.status.nominated_node_name for each in await there(client, [overwritten, ours])]
    assert values == ["theirs", ""]
    said = {(line["pod"], line["reason"]) for line in driver.lines.with_message("pod not pinned", node=name)}
    for each in (foreign, overwritten):
        assert "NotPinned" in driver.records.of(each.metadata.name)
        assert (each.key, "POD_NOMINATED") in said
    nominated = {line["pod"] for line in driver.lines.with_message("pod nominated", node=name)}
    assert nominated == {overwritten.key, ours.key}
    assert [line["pod"] for line in driver.lines.with_message("nomination taken back", node=name)] == [ours.key]
