"""Facts about ``pods/binding`` that pinning relies on (design 11)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from moorage.kube import errors, resources
from moorage.kube.client import Client
from tests.kube.support import minor, placeholder, pod, unscheduled_pod
from tools.localcluster import ClusterHandle

NodeName = Callable[[], str]
COPIES_ZONES = 35
"""From this minor version on a Binding copies the zone and region of the Node (PodTopologyLabelsAdmission)."""


async def test_binding_takes_a_pending_pod_onto_a_placeholder_past_its_taints(
    client: Client, namespace: str, node_name: NodeName
) -> None:
    node = await client.create(resources.NODES, placeholder(node_name()))
    waiting = await unscheduled_pod(client, "waiting", namespace)

    await client.bind("waiting", namespace, uid=waiting.metadata.uid, node=node.metadata.name)

    bound = await client.get(resources.PODS, "waiting", namespace)
    assert bound.spec.node_name == node.metadata.name
    assert any(c.type == "PodScheduled" and c.status == "True" for c in bound.status.conditions)


async def test_annotations_of_a_binding_and_zone_of_the_node_reach_the_pod_in_the_same_write(
    client: Client, cluster: ClusterHandle, namespace: str, node_name: NodeName
) -> None:
    topology = {"topology.kubernetes.io/zone": "z-1", "topology.kubernetes.io/region": "r-1", "other": "stays"}
    node = await client.create(resources.NODES, placeholder(node_name(), labels=topology))
    waiting = await unscheduled_pod(client, "marked", namespace)

    await client.bind(
        "marked",
        namespace,
        uid=waiting.metadata.uid,
        node=node.metadata.name,
        annotations={"moorage.dev/plan": "p-7"},
    )

    bound = await client.get(resources.PODS, "marked", namespace)
    assert bound.metadata.annotations["moorage.dev/plan"] == "p-7"
    copied = {"topology.kubernetes.io/zone": "z-1", "topology.kubernetes.io/region": "r-1"}
    found = {key: value for key, value in bound.metadata.labels.items() if key in topology}
    assert found == (copied if minor(cluster) >= COPIES_ZONES else {})


async def test_a_wrong_uid_binds_nothing(client: Client, namespace: str, node_name: NodeName) -> None:
    node = await client.create(resources.NODES, placeholder(node_name()))
    await unscheduled_pod(client, "other", namespace)

    with pytest.raises(errors.Conflict) as refused:
        await client.bind("other", namespace, uid="00000000-0000-0000-0000-000000000000", node=node.metadata.name)

    assert refused.value.cause is errors.ConflictCause.UID
    assert (await client.get(resources.PODS, "other", namespace)).spec.node_name == ""


async def test_a_bound_pod_answers_with_the_node_it_is_on(client: Client, namespace: str, node_name: NodeName) -> None:
    first = await client.create(resources.NODES, placeholder(node_name()))
    second = await client.create(resources.NODES, placeholder(node_name()))
    waiting = await unscheduled_pod(client, "twice", namespace)
    await client.bind("twice", namespace, uid=waiting.metadata.uid, node=first.metadata.name)

    for target in (first, second):
        with pytest.raises(errors.Conflict) as refused:
            await client.bind("twice", namespace, uid=waiting.metadata.uid, node=target.metadata.name)
        assert refused.value.cause is errors.ConflictCause.ALREADY_BOUND
        assert f'"{first.metadata.name}"' in refused.value.status.message


async def test_a_gated_pod_cannot_be_bound(client: Client, namespace: str, node_name: NodeName) -> None:
    node = await client.create(resources.NODES, placeholder(node_name()))
    gated = await client.create(resources.PODS, pod("gated", schedulingGates=[{"name": "example.com/wait"}]), namespace)

    with pytest.raises(errors.Conflict) as refused:
        await client.bind("gated", namespace, uid=gated.metadata.uid, node=node.metadata.name)

    assert refused.value.cause is errors.ConflictCause.GATED


async def test_a_terminating_pod_cannot_be_bound(client: Client, namespace: str, node_name: NodeName) -> None:
    node = await client.create(resources.NODES, placeholder(node_name()))
    manifest = pod("leaving", schedulerName="nobody")
    manifest["metadata"]["finalizers"] = ["example.com/hold"]
    leaving = await client.create(resources.PODS, manifest, namespace)
    await client.delete(resources.PODS, "leaving", namespace, uid=leaving.metadata.uid, grace_seconds=0)

    with pytest.raises(errors.Conflict) as refused:
        await client.bind("leaving", namespace, uid=leaving.metadata.uid, node=node.metadata.name)

    assert refused.value.cause is errors.ConflictCause.TERMINATING
    await client.patch(
        resources.PODS, "leaving", namespace, uid=leaving.metadata.uid, changes={"metadata": {"finalizers": None}}
    )


async def test_a_dry_run_binds_nothing(client: Client, namespace: str, node_name: NodeName) -> None:
    node = await client.create(resources.NODES, placeholder(node_name()))
    waiting = await unscheduled_pod(client, "rehearsed", namespace)

    await client.bind("rehearsed", namespace, uid=waiting.metadata.uid, node=node.metadata.name, dry_run=True)

    assert (await client.get(resources.PODS, "rehearsed", namespace)).spec.node_name == ""
