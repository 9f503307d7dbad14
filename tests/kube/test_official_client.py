"""The official client as an independent check: same kubeconfig, same server, same answers in its typed models."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from kubernetes import client as official
from kubernetes import config

from moorage.kube import resources
from moorage.kube.client import Client
from moorage.objects import Node, Pod
from tests.kube.support import node_where, placeholder, pod_where, unscheduled_pod
from tools.localcluster import ClusterHandle

NodeName = Callable[[], str]


def tolerations(pod: Any) -> list[tuple[str, str, str]]:
    return [(t.key or "", t.operator or "", t.effect or "") for t in pod.spec.tolerations or ()]


async def test_what_the_narrow_structs_say_is_what_the_official_models_say(
    client: Client, cluster: ClusterHandle, namespace: str, node_name: NodeName
) -> None:
    name = node_name()
    await client.create(resources.NODES, placeholder(name, labels={"pool": "witness"}))
    waiting = await unscheduled_pod(
        client,
        "witness",
        namespace,
        nodeSelector={"pool": "witness"},
        tolerations=[{"operator": "Exists"}, {"key": "a", "operator": "Equal", "value": "b", "effect": "NoSchedule"}],
    )
    await client.bind("witness", namespace, uid=waiting.metadata.uid, node=name)
    await asyncio.to_thread(cluster.start_hollow_kubelet, name)
    await node_where(client, name, lambda n: n.ready, "Ready")
    await pod_where(client, "witness", namespace, lambda p: p.status.phase == "Running", "Running")

    def witness() -> tuple[Any, Any]:
        with config.new_client_from_config(config_file=str(cluster.kubeconfig)) as api_client:
            api = official.CoreV1Api(api_client)
            return api.read_namespaced_pod("witness", namespace), api.read_node(name)

    their_pod, their_node = await asyncio.to_thread(witness)
    our_pod: Pod = await client.get(resources.PODS, "witness", namespace)
    our_node: Node = await client.get(resources.NODES, name)

    assert our_pod.metadata.uid == their_pod.metadata.uid
    assert our_pod.spec.node_name == their_pod.spec.node_name == name
    assert our_pod.spec.node_selector == their_pod.spec.node_selector
    assert tolerations(our_pod) == tolerations(their_pod)
    assert our_pod.spec.containers[0].resources.requests == their_pod.spec.containers[0].resources.requests
    assert our_pod.status.phase == their_pod.status.phase
    assert {c.type: c.status for c in our_pod.status.conditions} == {
        c.type: c.status for c in their_pod.status.conditions
    }
    assert our_node.metadata.labels == their_node.metadata.labels
    assert our_node.status.allocatable == their_node.status.allocatable
    assert our_node.status.node_info.kubelet_version == their_node.status.node_info.kubelet_version
    assert [(t.key, t.effect) for t in our_node.spec.taints] == [(t.key, t.effect) for t in their_node.spec.taints]
