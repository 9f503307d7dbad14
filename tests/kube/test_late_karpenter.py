"""Pods on nodes of the real Karpenter: pinned when the Node registers, to the plan's NodeClaim."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import pytest

from moorage.kube import credentials, resources
from moorage.kube.client import Client
from moorage.kube.http.transport import Transport
from moorage.objects import Pod
from moorage.pinner.names import PIN_ANNOTATION, PREPARING
from moorage.protocol import Outcome
from moorage.reservations import NodeReservation
from tests.charts.fenced import Fenced, fenced
from tests.kube import pinning
from tests.kube.pinning import Driver
from tests.kube.support import eventually, pod
from tools.auditlog import Mark, events
from tools.localcluster import LocalCluster, karpenter
from tools.localcluster.karpenter import NODE_CLAIMS
from tools.localcluster.kubeconfig import write_kubeconfig

NAMESPACE = "default"
INSTANCE_TYPE, CPU, EACH = "c-4x-amd64-linux", "900m", 4
"""A machine of 4 cores, and pods of which so many fill it."""
ROOM = {"cpu": "3800m", "memory": "6Gi", "pods": "100"}
BATCH = "node-restriction.kubernetes.io/batch"
STARTUP = {"key": PREPARING, "value": "true", "effect": "NoSchedule"}


@pytest.fixture(scope="module")
def account(own_cluster: LocalCluster) -> Iterator[Fenced]:
    with fenced(own_cluster) as found:
        own_cluster.start_karpenter()
        yield found


@pytest.fixture
async def client(own_cluster: LocalCluster) -> AsyncIterator[Client]:
    async with pinning.connected(own_cluster) as connected:
        yield connected


@pytest.fixture
async def driver(client: Client, own_cluster: LocalCluster, account: Fenced, tmp_path: Any) -> AsyncIterator[Driver]:
    """A pinner with the account and the policies of its chart."""
    path = write_kubeconfig(
        tmp_path / "kubeconfig",
        server=own_cluster.server,
        ca=own_cluster.ca_file.read_bytes(),
        user="pinner",
        token=account.token,
    )
    async with Transport(credentials.load(path)) as transport:
        made = Driver(client)
        await made.start(Client(transport))
        try:
            yield made
        finally:
            await made.stop()


async def waiting_pods(client: Client, app: str, count: int, selector: dict[str, str]) -> list[Pod]:
    """Pods of a ReplicaSet that only nodes with some labels take."""
    made = pod(app, cpu=CPU, nodeSelector=selector)
    template = {"metadata": {"labels": {"app": app}}, "spec": made["spec"]}
    spec = {"replicas": count, "selector": {"matchLabels": {"app": app}}, "template": template}
    await client.create(resources.REPLICA_SETS, {"metadata": {"name": app}, "spec": spec}, NAMESPACE)
    return await pinning.pods_of(client, app, NAMESPACE, count)


async def running(client: Client, pods: Sequence[Pod]) -> list[Pod]:
    """These very pods, once all of them run."""

    async def probe() -> list[Pod] | None:
        found = {each.metadata.uid: each for each in await client.list(resources.PODS, NAMESPACE)}
        same = [found[each.metadata.uid] for each in pods if each.metadata.uid in found]
        return same if len(same) == len(pods) and all(each.status.phase == "Running" for each in same) else None

    return await eventually(probe, "the pods to run")


async def closed(client: Client, name: str) -> NodeReservation:
    return await pinning.reservation_where(client, name, lambda r: not r.metadata.finalizers, "closed")


def claims(cluster: LocalCluster) -> dict[str, dict[str, Any]]:
    """The NodeClaims, by the names of their Nodes."""
    return {each["status"].get("nodeName", ""): each for each in cluster.api.get(NODE_CLAIMS)["items"]}


async def initialized(cluster: LocalCluster, node: str) -> None:
    """Karpenter is content with a node: its startup taints are gone."""

    async def probe() -> bool:
        found = await asyncio.to_thread(claims, cluster)
        conditions = found.get(node, {}).get("status", {}).get("conditions", ())
        return any((each["type"], each["status"]) == ("Initialized", "True") for each in conditions)

    await eventually(probe, f"the NodeClaim of {node} to be initialized")


async def test_pods_end_where_the_plan_says_on_machines_that_karpenter_buys_for_them(
    client: Client, driver: Driver, own_cluster: LocalCluster, account: Fenced
) -> None:
    mark = Mark.now(own_cluster.audit_log)
    batch = {BATCH: "friday"}
    pods = await waiting_pods(client, "web", 3 * EACH, batch)
    names = [f"late-{number}" for number in range(3)]
    parts = {name: pods[index * EACH : (index + 1) * EACH] for index, name in enumerate(names)}
    created, pinned = {}, {}
    for name, part in parts.items():
        promise = pinning.promise(name, room=ROOM, profile="late", match_labels=batch)
        created[name] = driver.send(promise)
        pinned[name] = driver.send(pinning.pin(name, part))

    async def stored() -> bool:
        found = await client.list(resources.NODE_RESERVATIONS)
        return [len(each.spec.get("pins", ())) for each in found] == [EACH] * 3

    await eventually(stored, "the promises and their pins to be stored")
    own_cluster.apply_node_pool(instance_types=[INSTANCE_TYPE], labels=batch, startup_taints=[STARTUP])

    found = await running(client, pods)
    nodes: dict[str, str] = {}
    for name in names:
        for each in (created[name], pinned[name]):
            answer = await driver.answer(each)
            assert answer.outcome is Outcome.APPLIED, answer
        nodes[name] = (await closed(client, name)).spec["nodeName"]
    by_uid = {each.metadata.uid: each for each in found}
    where = {name: {by_uid[each.metadata.uid].spec.node_name for each in part} for name, part in parts.items()}
    assert where == {name: {node} for name, node in nodes.items()}
    assert all(PIN_ANNOTATION in each.metadata.annotations for each in found)
    assert Counter(each.spec.node_name for each in found) == dict.fromkeys(nodes.values(), EACH)
    for node in nodes.values():
        await initialized(own_cluster, node)
        there = await client.get(resources.NODES, node)
        assert [taint.key for taint in there.spec.taints] == []
        assert [each.kind for each in there.metadata.owner_references] == ["NodeClaim"]
    assert len(await client.list(resources.NODES)) == 3

    ours = f"system:serviceaccount:{account.namespace}:"
    said = [e for e in events.read(mark.lines()) if e.account.startswith(ours) and e.stored and e.code < 300]
    written = Counter((e.verb, e.resource) for e in said if e.verb not in ("get", "list", "watch"))
    assert written[("patch", "nodes")] == 3
    assert not {each for each in written if each[1] in ("nodes", "leases")} - {("patch", "nodes")}


async def test_a_node_claim_of_our_own_is_known_by_its_name(
    client: Client, driver: Driver, own_cluster: LocalCluster
) -> None:
    own, name = {"moorage.test/own": "true"}, "late-claim"
    pods = await waiting_pods(client, "own", 2, own)
    promise = pinning.promise(name, room=ROOM, profile="late", node_claim="ours")
    created, pinned = driver.send(promise), driver.send(pinning.pin(name, pods))
    await asyncio.to_thread(karpenter.create_class, own_cluster.api, "ours")
    requirements = {
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/os": "linux",
        "karpenter.sh/capacity-type": "on-demand",
        "node.kubernetes.io/instance-type": INSTANCE_TYPE,
    }
    claim = {
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodeClaim",
        "metadata": {"name": "ours", "labels": own},
        "spec": {
            "nodeClassRef": {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": "ours"},
            "requirements": [{"key": key, "operator": "In", "values": [value]} for key, value in requirements.items()],
            "startupTaints": [STARTUP],
            "expireAfter": "Never",
        },
    }
    await asyncio.to_thread(own_cluster.api.request, "POST", NODE_CLAIMS, claim)
    for each in (created, pinned):
        answer = await driver.answer(each)
        assert answer.outcome is Outcome.APPLIED, answer
    node = (await closed(client, name)).spec["nodeName"]
    assert claims(own_cluster)[node]["metadata"]["name"] == "ours"
    assert {each.spec.node_name for each in await running(client, pods)} == {node}
    await pinning.reservation_where(client, name, lambda r: (r.status or {}).get("state") == "Ready", "told to people")
