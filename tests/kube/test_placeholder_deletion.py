"""Facts about deletion on and of placeholders (design 5.6 and 11)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from moorage.kube import errors, resources
from moorage.kube.client import Client
from moorage.objects import Pod
from tests.kube.support import eventually, placeholder, pod, pod_where, unscheduled_pod

NodeName = Callable[[], str]


async def bound_pod(client: Client, name: str, namespace: str, node: str) -> Pod:
    waiting = await unscheduled_pod(client, name, namespace)
    await client.bind(name, namespace, uid=waiting.metadata.uid, node=node)
    return waiting


async def gone(client: Client, name: str, namespace: str) -> bool | None:
    try:
        await client.get(resources.PODS, name, namespace)
    except errors.NotFound:
        return True
    return None


async def test_only_grace_zero_removes_a_pod_from_a_placeholder(
    client: Client, namespace: str, node_name: NodeName
) -> None:
    node = await client.create(resources.NODES, placeholder(node_name()))
    polite = await bound_pod(client, "polite", namespace, node.metadata.name)
    firm = await bound_pod(client, "firm", namespace, node.metadata.name)

    await client.delete(resources.PODS, "polite", namespace, uid=polite.metadata.uid, grace_seconds=1)
    await client.delete(resources.PODS, "firm", namespace, uid=firm.metadata.uid, grace_seconds=0)

    assert await gone(client, "firm", namespace)
    clock = client.transport.clock

    async def grace_is_long_over() -> bool | None:
        left = await client.get(resources.PODS, "polite", namespace)
        assert left.metadata.deletion_timestamp is not None
        over = datetime.fromisoformat(left.metadata.deletion_timestamp) + timedelta(seconds=5)
        return True if clock.now() > over else None

    await eventually(grace_is_long_over, "its grace to be over by 5 s")
    assert await gone(client, "polite", namespace) is None
    await client.delete(resources.PODS, "polite", namespace, uid=polite.metadata.uid, grace_seconds=0)
    assert await gone(client, "polite", namespace)


async def test_deleting_needs_the_object_that_was_meant(client: Client, namespace: str, node_name: NodeName) -> None:
    node = await client.create(resources.NODES, placeholder(node_name()))
    name, other = node.metadata.name, "00000000-0000-0000-0000-000000000000"

    with pytest.raises(errors.Conflict) as refused:
        await client.delete(resources.NODES, name, uid=other)
    assert refused.value.cause is errors.ConflictCause.UID

    seen = await client.get(resources.NODES, name)
    await client.patch(resources.NODES, name, uid=seen.metadata.uid, changes={"metadata": {"labels": {"touched": "1"}}})
    with pytest.raises(errors.Conflict) as refused:
        await client.delete(
            resources.NODES, name, uid=seen.metadata.uid, resource_version=seen.metadata.resource_version
        )
    assert refused.value.cause is errors.ConflictCause.RESOURCE_VERSION

    await client.delete(resources.NODES, name, uid=seen.metadata.uid)
    with pytest.raises(errors.NotFound):
        await client.get(resources.NODES, name)


async def test_deleting_a_bound_pod_fails_a_job_that_may_not_retry(
    client: Client, namespace: str, node_name: NodeName
) -> None:
    node = await client.create(resources.NODES, placeholder(node_name()))
    template = pod("worker", schedulerName="nobody", restartPolicy="Never")
    del template["metadata"]["name"]
    job = {"metadata": {"name": "once"}, "spec": {"backoffLimit": 0, "template": template}}
    await client.create(resources.JOBS, job, namespace)

    async def worker() -> Pod | None:
        found = await client.list(resources.PODS, namespace, labels="batch.kubernetes.io/job-name=once")
        return found[0] if found else None

    first = await eventually(worker, "the Job's pod")
    await client.bind(first.metadata.name, namespace, uid=first.metadata.uid, node=node.metadata.name)
    await client.delete(resources.PODS, first.metadata.name, namespace, uid=first.metadata.uid, grace_seconds=0)

    async def failed() -> bool | None:
        state = await client.get(resources.JOBS, "once", namespace)
        return True if any(c.type == "Failed" and c.status == "True" for c in state.status.conditions) else None

    assert await eventually(failed, "the Job to fail")


async def test_a_no_execute_taint_on_a_placeholder_ends_pods_that_do_not_tolerate_it(
    client: Client, namespace: str, node_name: NodeName
) -> None:
    taint = {"key": "example.com/dedicated", "value": "x", "effect": "NoExecute"}
    node = await client.create(resources.NODES, placeholder(node_name(), taints=[taint]))
    await bound_pod(client, "intolerant", namespace, node.metadata.name)

    await pod_where(
        client, "intolerant", namespace, lambda p: p.metadata.deletion_timestamp is not None, "being deleted"
    )
