"""The access layer against the real API server, which causes every kind of error."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from moorage.kube import credentials, errors, resources
from moorage.kube.cache import Change, Kind, WatchCache
from moorage.kube.client import Client
from moorage.kube.http.transport import Transport
from moorage.kube.indexes import by_controller, by_node
from moorage.kube.watch import PAGE_SIZE, Selection
from moorage.objects import Pod
from tests.kube.support import eventually, placeholder, pod, unscheduled_pod
from tools.localcluster import ClusterHandle

NodeName = Callable[[], str]


@asynccontextmanager
async def following(*caches: WatchCache[Pod]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(cache.run()) for cache in caches]
    try:
        await asyncio.wait_for(asyncio.gather(*(cache.wait_synced() for cache in caches)), 30)
        yield
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def test_the_cache_follows_creation_binding_and_deletion_with_its_indexes(
    client: Client, namespace: str, node_name: NodeName
) -> None:
    node = await client.create(resources.NODES, placeholder(node_name()))
    changes: list[Change[Pod]] = []
    cache = WatchCache(
        client.transport,
        resources.PODS,
        selection=Selection(namespace=namespace),
        indexes={"node": by_node, "controller": by_controller},
    )
    async with following(cache):
        cache.subscribe(changes.append)
        waiting = await unscheduled_pod(client, "seen", namespace)
        await client.bind("seen", namespace, uid=waiting.metadata.uid, node=node.metadata.name)

        async def bound() -> Pod | None:
            found = cache.by("node", node.metadata.name)
            return found[0] if found else None

        assert (await eventually(bound, "the binding in the cache")).metadata.uid == waiting.metadata.uid
        assert cache.by("node", "") == ()
        await client.delete(resources.PODS, "seen", namespace, uid=waiting.metadata.uid, grace_seconds=0)

        async def empty() -> bool | None:
            return True if len(cache) == 0 else None

        await eventually(empty, "the deletion in the cache")
        assert cache.by("node", node.metadata.name) == ()
    assert changes[0].kind is Kind.ADDED
    assert changes[-1].kind is Kind.DELETED


async def test_a_list_longer_than_a_page_is_complete(client: Client, namespace: str) -> None:
    wanted = {f"lease-{i:04}" for i in range(PAGE_SIZE + 20)}
    gate = asyncio.Semaphore(32)

    async def create(name: str) -> None:
        async with gate:
            await client.create(resources.LEASES, {"metadata": {"name": name}}, namespace)

    await asyncio.gather(*(create(name) for name in wanted))
    assert {lease.metadata.name for lease in await client.list(resources.LEASES, namespace)} == wanted
    cache = WatchCache(client.transport, resources.LEASES, selection=Selection(namespace=namespace))
    task = asyncio.create_task(cache.run())
    await asyncio.wait_for(cache.wait_synced(), 30)
    task.cancel()
    assert {lease.metadata.name for lease in cache} == wanted


async def test_names_taken_stale_versions_and_invalid_objects_are_told_apart(client: Client, namespace: str) -> None:
    created = await unscheduled_pod(client, "once", namespace)
    with pytest.raises(errors.Conflict) as taken:
        await unscheduled_pod(client, "once", namespace)
    assert taken.value.cause is errors.ConflictCause.ALREADY_EXISTS

    label = {"metadata": {"labels": {"a": "b"}}}
    await client.patch(resources.PODS, "once", namespace, uid=created.metadata.uid, changes=label)
    with pytest.raises(errors.Conflict) as stale:
        await client.patch(
            resources.PODS,
            "once",
            namespace,
            uid=created.metadata.uid,
            resource_version=created.metadata.resource_version,
            changes={"metadata": {"labels": {"a": "c"}}},
        )
    assert stale.value.cause is errors.ConflictCause.RESOURCE_VERSION
    with pytest.raises(errors.Conflict) as other:
        await client.patch(resources.PODS, "once", namespace, uid="0" * 8, changes=label)
    assert other.value.cause is errors.ConflictCause.UID

    with pytest.raises(errors.Invalid) as invalid:
        await client.create(resources.PODS, pod("Not_A_Name"), namespace)
    assert any(cause.field == "metadata.name" for cause in invalid.value.causes)
    with pytest.raises(errors.NotFound):
        await client.get(resources.PODS, "never", namespace)


async def test_a_spent_disruption_budget_is_told_from_flow_control(
    client: Client, namespace: str, node_name: NodeName
) -> None:
    node = await client.create(resources.NODES, placeholder(node_name()))
    guarded = await unscheduled_pod(client, "guarded", namespace)
    await client.bind("guarded", namespace, uid=guarded.metadata.uid, node=node.metadata.name)
    # Pending pods are outside every budget; this one must count as running.
    await client.transport.request(
        "PATCH",
        resources.PODS.path(namespace, "guarded", "status"),
        body=b'{"status":{"phase":"Running"}}',
        content_type="application/merge-patch+json",
    )
    with pytest.raises(errors.Conflict) as wrong:
        await client.evict("guarded", namespace, uid="0" * 8)
    assert wrong.value.cause is errors.ConflictCause.UID
    budget = {
        "metadata": {"name": "all"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "guarded"}}},
    }
    await client.create(resources.DISRUPTION_BUDGETS, budget, namespace)

    async def refused() -> errors.TooManyRequests | None:
        try:
            await client.evict("guarded", namespace, uid=guarded.metadata.uid)
        except errors.TooManyRequests as error:
            return error
        raise AssertionError("evicted in spite of the budget")

    error = await eventually(refused, "the budget to refuse")
    assert error.cause is errors.ThrottleCause.DISRUPTION_BUDGET
    second = {**budget, "metadata": {"name": "again"}}
    await client.create(resources.DISRUPTION_BUDGETS, second, namespace)

    async def for_good() -> errors.ServerError | None:
        try:
            await client.evict("guarded", namespace, uid=guarded.metadata.uid)
        except errors.ServerError as error:
            return error
        except errors.TooManyRequests:
            return None
        raise AssertionError("evicted in spite of two budgets")

    assert (await eventually(for_good, "two budgets to be refused for good")).several_budgets


class Stranger:
    """Sends a token that does not exist, and no client certificate."""

    def __init__(self, ca: Path) -> None:
        self._tls = ssl.create_default_context(cafile=str(ca))

    async def headers(self) -> dict[str, str]:
        return {"Authorization": "Bearer made-up"}

    def ssl_context(self) -> ssl.SSLContext:
        return self._tls

    async def refused(self) -> bool:
        return False


async def test_unknown_credentials_are_refused_as_such(cluster: ClusterHandle) -> None:
    access = credentials.load(cluster.kubeconfig)
    async with Transport(replace(access, authenticator=Stranger(cluster.ca_file))) as transport:
        with pytest.raises(errors.Unauthorized):
            await Client(transport).list(resources.PODS)


async def test_the_servers_time_is_learnt_and_not_ahead(client: Client) -> None:
    await client.get(resources.NAMESPACES, "default")
    now = client.transport.clock.now()
    # Server and test share this machine's clock, so the true value is known.
    assert now <= datetime.now(UTC)
    assert datetime.now(UTC) - now < timedelta(seconds=5)


async def test_several_groups_are_impersonated(cluster: ClusterHandle, tmp_path: Path) -> None:
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    extra = {"example.com/reason": ["night", "day"]}
    for each in config["users"]:
        each["user"] |= {"as": "jane", "as-uid": "u-1", "as-groups": ["dev", "system:masters"], "as-user-extra": extra}
    file = tmp_path / "kubeconfig"
    file.write_text(yaml.safe_dump(config))
    async with Transport(credentials.load(file)) as transport:
        kind = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        said = json.loads(await transport.request("POST", path, body=json.dumps(kind).encode()))["status"]["userInfo"]
    assert (said["username"], said["uid"]) == ("jane", "u-1")
    assert {"dev", "system:masters"} < {*said["groups"]}
    assert {*said["extra"]["example.com/reason"]} == {"night", "day"}
