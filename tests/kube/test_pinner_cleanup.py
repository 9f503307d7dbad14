"""The cleanup finds and removes what a removed pinner has left, and nothing that runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

import pytest

from moorage.controller import certificates
from moorage.kube import errors, resources
from moorage.kube.client import Client
from moorage.pinner.commands import cleanup
from moorage.pinner.names import PREPARING
from moorage.pinner.webhook import configuration
from moorage.protocol import ExpectPods, Outcome, Owner, Slot
from tests.kube import pinning
from tests.kube.support import node_where, placeholder, pod_where
from tools.localcluster import ClusterHandle

NodeName = Callable[..., str]
NOBODY = {"matchLabels": {"kubernetes.io/metadata.name": "no-such-namespace"}}
"""Namespaces in which the API server would ask: other tests create pods meanwhile."""
AUTHORITY = certificates.fill(datetime.now(UTC), ["nobody"], "tests")["ca.crt"]


@pytest.fixture
async def client(cluster: ClusterHandle) -> AsyncIterator[Client]:
    async with pinning.connected(cluster) as connected:
        yield connected


async def test_what_runs_stays_and_the_rest_goes(
    client: Client, cluster: ClusterHandle, namespace: str, node_name: NodeName
) -> None:
    waiting, running, foreign = node_name("waiting"), node_name("running"), node_name("foreign")
    await client.create(resources.NODES, placeholder(foreign, taints=[]))
    stuck = await pinning.replicas(client, "stuck", namespace, 2, waiting)
    works = await pinning.replicas(client, "works", namespace, 1, running)
    async with pinning.driver(client) as driver:
        for name, pods in ((waiting, stuck), (running, works)):
            assert (await driver.do(pinning.promise(name))).outcome is Outcome.APPLIED
            assert (await driver.do(pinning.pin(name, pods))).outcome is Outcome.APPLIED
        slots = (Slot(Owner("Deployment", namespace, "never"), {"cpu": "1m"}, 1),)
        assert (await driver.do(ExpectPods(running, slots))).outcome is Outcome.APPLIED
        await asyncio.to_thread(cluster.start_hollow_kubelet, running)
        await node_where(client, running, lambda n: n.ready and len(n.spec.taints) == 1, "prepared, and less wanted")
        await pod_where(client, works[0].metadata.name, namespace, lambda p: p.status.phase == "Running", "Running")

    mine = {waiting, running, foreign, *(p.key for p in (*stuck, *works))}
    found = [each for each in await cleanup.find(client) if each.name in mine]
    assert {(each.kind, each.name, each.action) for each in found} == {
        ("Pod", stuck[0].key, "delete"),
        ("Pod", stuck[1].key, "delete"),
        ("Node", waiting, "delete"),
        ("Node", running, "clean"),
        ("NodeReservation", waiting, "delete"),
        ("NodeReservation", running, "delete"),
    }
    for each in found:
        await cleanup.remove(client, each)
        await cleanup.remove(client, each)  # what is gone already, or clean already, is no error

    await pinning.node_gone(client, waiting)
    for name in (waiting, running):
        await pinning.reservation_gone(client, name)
    node = await client.get(resources.NODES, running)
    assert PREPARING not in {taint.key for taint in node.spec.taints}
    kept = await client.get(resources.PODS, works[0].metadata.name, namespace)
    assert (kept.metadata.uid, kept.metadata.deletion_timestamp) == (works[0].metadata.uid, None)
    assert (await client.get(resources.NODES, foreign)).metadata.name == foreign


async def test_slots_that_a_killed_evictor_has_reserved_go(client: Client, node_name: NodeName) -> None:
    name, owner = node_name("target"), {"kind": "Deployment", "namespace": "shop", "name": "web"}
    times = {"since": "2026-01-31T12:00:00Z", "until": "2026-01-31T12:03:00Z"}
    spec = {"nodeUID": "u", "by": "castai-agent/castai-evictor", **times, "slots": [{"owner": owner, "count": 1}]}
    await client.create(resources.SLOT_RESERVATIONS, {"metadata": {"name": name}, "spec": spec})
    (found,) = [each for each in await cleanup.find(client) if each.name == name]
    assert (found.kind, found.action) == ("SlotReservation", "delete")
    assert found.detail == "slots reserved by castai-agent/castai-evictor"
    for _ in range(2):
        await cleanup.remove(client, found)
    assert name not in {each.metadata.name for each in await client.list(resources.SLOT_RESERVATIONS)}


async def test_nobody_is_asked_any_more(client: Client, namespace: str) -> None:
    """The chart's object stays, and so do other clients' parts of it."""
    target = configuration.Target(namespace, {"url": "https://127.0.0.1:1/mutate"}, 1)
    ours = {**configuration.webhook(target, AUTHORITY), "namespaceSelector": NOBODY}
    theirs = {**ours, "name": "theirs.example.com"}
    made = await client.create(resources.MUTATING_WEBHOOKS, {"metadata": {"name": namespace}, "webhooks": [theirs]})
    assert [each for each in await cleanup.find(client) if each.name == namespace] == []
    both = {"webhooks": [theirs, ours]}
    await client.patch(resources.MUTATING_WEBHOOKS, namespace, changes=both, uid=made.metadata.uid)
    try:
        (found,) = [each for each in await cleanup.find(client) if each.name == namespace]
        await cleanup.remove(client, found)
        left = await client.get(resources.MUTATING_WEBHOOKS, namespace)
        assert [each["name"] for each in left.webhooks] == ["theirs.example.com"]
        with pytest.raises(errors.Conflict):
            await cleanup.remove(client, found)
    finally:
        await client.delete(resources.MUTATING_WEBHOOKS, namespace, uid=made.metadata.uid)


async def test_a_machine_that_joins_meanwhile_stays(
    client: Client, cluster: ClusterHandle, node_name: NodeName
) -> None:
    name = node_name()
    async with pinning.driver(client) as driver:
        assert (await driver.do(pinning.promise(name))).outcome is Outcome.APPLIED
    (node,) = [each for each in await cleanup.find(client) if (each.kind, each.name) == ("Node", name)]
    await asyncio.to_thread(cluster.start_hollow_kubelet, name)
    await node_where(client, name, lambda n: n.has_kubelet, "joined")
    with pytest.raises(errors.Conflict, match="look again"):
        await cleanup.remove(client, node)
    assert (await client.get(resources.NODES, name)).has_kubelet
