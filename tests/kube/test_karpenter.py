"""Beside the real Karpenter: the nodes that the pinner refuses, and the deletion of an emptied node."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from moorage.evictor.candidates import Policy
from moorage.evictor.compaction import History, Settings
from moorage.evictor.configuration import Configuration
from moorage.evictor.evaluation import Evaluation, evaluate
from moorage.evictor.sources import live
from moorage.evictor.sources.result import ConfigMaps
from moorage.kube import credentials, resources
from moorage.kube.client import Client
from moorage.kube.http.transport import Transport
from moorage.objects import Node, Pod
from tests.kube.support import eventually, pod
from tools.auditlog import Mark, events
from tools.localcluster import LocalCluster
from tools.localcluster.karpenter import NODE_CLAIMS

APP, NAMESPACE = "web", "default"
WHOLE, HALF = 12, 6
"""Pods that fill three nodes, and as many as leave room on each for those of another one."""
INSTANCE_TYPE, CPU = "c-4x-amd64-linux", "900m"
ANY_AGE = Configuration(policy=Policy(node_grace_period=timedelta(0)), choice=Settings(quiet_period=timedelta(0)))
MERGE = "application/merge-patch+json"


@pytest.fixture
async def client(own_cluster: LocalCluster) -> AsyncIterator[Client]:
    async with Transport(credentials.load(own_cluster.kubeconfig)) as transport:
        yield Client(transport)


def replica_set() -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": APP}}, "spec": pod(APP, cpu=CPU)["spec"]}
    return {
        "metadata": {"name": APP},
        "spec": {"replicas": WHOLE, "selector": {"matchLabels": {"app": APP}}, "template": template},
    }


async def running(client: Client, count: int) -> list[Pod]:
    """So many pods, all of them running and none being deleted."""

    async def probe() -> list[Pod] | None:
        pods = await client.list(resources.PODS, NAMESPACE)
        good = all(each.status.phase == "Running" and not each.metadata.deletion_timestamp for each in pods)
        return list(pods) if good and len(pods) == count else None

    return await eventually(probe, f"{count} running pods")


async def half(cluster: LocalCluster, client: Client, pods: list[Pod]) -> list[Pod]:
    """Half of the pods of each node: those that are cheap to delete go."""
    on: dict[str, list[Pod]] = defaultdict(list)
    for each in pods:
        on[each.spec.node_name].append(each)
    for there in on.values():
        for each in there[::2]:
            cheap = {"metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "-1"}}}
            cluster.api.request("PATCH", resources.PODS.path(NAMESPACE, each.metadata.name), cheap, MERGE)
    fewer = {"spec": {"replicas": HALF}}
    cluster.api.request("PATCH", resources.REPLICA_SETS.path(NAMESPACE, APP), fewer, MERGE)
    return await running(client, HALF)


async def nodes(client: Client) -> dict[str, Node]:
    return {each.metadata.name: each for each in await client.list(resources.NODES)}


async def claimed(cluster: LocalCluster, names: set[str]) -> None:
    """These nodes, and no others, belong to a NodeClaim: one outlives its Node by a moment."""

    async def probe() -> bool:
        claims = cluster.api.get(NODE_CLAIMS)["items"]
        return sorted(each["status"].get("nodeName", "") for each in claims) == sorted(names)

    await eventually(probe, f"NodeClaims of {', '.join(sorted(names))} alone")


async def seen(client: Client) -> Evaluation:
    """The evictor's look at the cluster, however young its nodes are."""
    gathered = await live.gather(client.transport, ConfigMaps(NAMESPACE, "", ""))
    assert gathered.inventory.unseen == {}
    return evaluate(gathered.inventory, ANY_AGE, History())


async def emptied(cluster: LocalCluster, client: Client, name: str, pods: list[Pod]) -> list[Pod]:
    """A cordoned node loses its pods to evictions, all at once; returns the pods once as many run as before."""
    cluster.api.request("PATCH", resources.NODES.path(name=name), {"spec": {"unschedulable": True}}, MERGE)
    for each in pods:
        if each.spec.node_name == name:
            await client.evict(each.metadata.name, NAMESPACE, uid=each.metadata.uid)
    return await running(client, len(pods))


async def gone(client: Client, name: str) -> None:
    async def probe() -> bool | None:
        return None if name in await nodes(client) else True

    await eventually(probe, f"Karpenter to delete {name}")


def refused(found: Evaluation) -> dict[str, list[str]]:
    """Why nodes may not go, by their names."""
    return {name: [str(each) for each in verdict.findings] for name, verdict in found.cluster.verdicts.items()}


async def test_nodes_that_karpenter_bought_go_only_beside_when_empty_and_then_really(
    own_cluster: LocalCluster, client: Client
) -> None:
    own_cluster.start_karpenter()
    own_cluster.apply_node_pool(
        consolidation_policy="WhenEmptyOrUnderutilized", consolidate_after="1h", instance_types=[INSTANCE_TYPE]
    )
    await client.create(resources.REPLICA_SETS, replica_set(), NAMESPACE)
    pods = await running(client, WHOLE)
    bought = await nodes(client)
    before = await half(own_cluster, client, pods)
    assert sorted(Counter(each.spec.node_name for each in before).items()) == [(name, 2) for name in sorted(bought)]
    assert len(bought) == 3

    found = await seen(client)
    why = (
        "Karpenter itself empties nodes of its NodePool, and would move the same pods "
        "(NodePool default: consolidationPolicy: WhenEmptyOrUnderutilized)"
    )
    assert refused(found) == {name: [why] for name in bought}
    assert found.plan.chosen == ()

    own_cluster.apply_node_pool(consolidate_after="5s", instance_types=[INSTANCE_TYPE])
    found = await seen(client)
    assert refused(found) == {name: [] for name in bought}
    (chosen,) = found.plan.chosen
    assert {move.node for move in chosen.moves} <= set(bought) - {chosen.name}

    mark = Mark.now(own_cluster.audit_log)
    others = set(bought) - {chosen.name}
    after = await emptied(own_cluster, client, chosen.name, before)
    assert {each.spec.node_name for each in after} == others
    await gone(client, chosen.name)
    assert set(await nodes(client)) == others
    await claimed(own_cluster, others)
    said = {(each.verb, each.resource, each.name, each.agent.partition("/")[0]) for each in events.read(mark.lines())}
    assert [each for each in said if each[:2] == ("create", "nodeclaims")] == []
    assert [each for each in said if each[:2] == ("delete", "nodes")] == [("delete", "nodes", chosen.name, "karpenter")]
