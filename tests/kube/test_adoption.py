"""Facts about kubelets that adopt placeholders (design 5 and 11): the real kubelet code with a fake runtime."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from moorage.kube import credentials, errors, resources
from moorage.kube.client import Client
from moorage.kube.http.transport import Transport
from tests.kube.support import PREPARING, node_where, placeholder, pod_where, unscheduled_pod
from tools.localcluster import ClusterHandle

NodeName = Callable[[], str]


async def test_pods_bound_before_the_kubelet_came_meet_its_real_admission(
    client: Client, cluster: ClusterHandle, namespace: str, node_name: NodeName
) -> None:
    name = node_name()
    node = await client.create(resources.NODES, placeholder(name, cpu="1000", labels={"pool": "web"}))
    assert node.status.allocatable["cpu"] == "1k"  # one POST carries the status: no right on nodes/status is needed
    assert not node.has_kubelet
    cases = {
        "fits": await unscheduled_pod(client, "fits", namespace),
        "elsewhere": await unscheduled_pod(client, "elsewhere", namespace, nodeSelector={"pool": "db"}),
        "too-big": await unscheduled_pod(client, "too-big", namespace, cpu="900"),
    }
    for pod_name, waiting in cases.items():
        await client.bind(pod_name, namespace, uid=waiting.metadata.uid, node=name)

    await asyncio.to_thread(cluster.start_hollow_kubelet, name)

    adopted = await node_where(client, name, lambda n: n.has_kubelet and n.ready, "adopted and Ready")
    assert adopted.metadata.uid == node.metadata.uid
    await pod_where(client, "fits", namespace, lambda p: p.status.phase == "Running", "Running")
    elsewhere = await pod_where(client, "elsewhere", namespace, lambda p: p.status.phase == "Failed", "Failed")
    assert elsewhere.status.reason == "NodeAffinity"
    too_big = await pod_where(client, "too-big", namespace, lambda p: p.status.phase == "Failed", "Failed")
    assert too_big.status.reason == "OutOfcpu"


async def test_an_adopting_kubelet_brings_neither_its_labels_nor_its_taints(
    client: Client, cluster: ClusterHandle, node_name: NodeName
) -> None:
    name = node_name()
    await client.create(resources.NODES, placeholder(name, labels={"custom": "ours"}))

    await asyncio.to_thread(
        cluster.start_hollow_kubelet,
        name,
        node_labels={"example.com/brought": "yes"},
        register_with_taints=["example.com/brought=yes:NoSchedule"],
    )

    adopted = await node_where(client, name, lambda n: n.has_kubelet and n.ready, "adopted and Ready")
    assert "example.com/brought" not in adopted.metadata.labels
    assert adopted.metadata.labels["custom"] == "ours"
    keys = {taint.key for taint in adopted.spec.taints}
    assert "example.com/brought" not in keys
    assert PREPARING["key"] in keys


async def test_a_kubelet_may_annotate_its_own_node_but_not_taint_it(
    client: Client, cluster: ClusterHandle, node_name: NodeName
) -> None:
    name = node_name()
    await client.create(resources.NODES, placeholder(name))
    await asyncio.to_thread(cluster.start_hollow_kubelet, name)
    node = await node_where(client, name, lambda n: n.has_kubelet, "adopted")

    async with Transport(credentials.load(cluster.hollow_kubeconfig(name))) as transport:
        as_kubelet = Client(transport)
        marks = {"metadata": {"annotations": {"moorage.dev/forged": "yes"}}}
        annotated = await as_kubelet.patch(resources.NODES, name, changes=marks, uid=node.metadata.uid)
        assert annotated.metadata.annotations["moorage.dev/forged"] == "yes"
        with pytest.raises(errors.Forbidden):
            await as_kubelet.patch(resources.NODES, name, changes={"spec": {"taints": None}}, uid=node.metadata.uid)
