"""An API server that stops and comes back, and other tests that need a control plane of their own: they share one.

A control plane costs as much as several of these tests. Each test uses unique names.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from pathlib import Path

import pytest

from moorage.kube import credentials, errors, resources
from moorage.kube.cache import Change, Kind, WatchCache
from moorage.kube.client import Client
from moorage.kube.http.transport import Transport
from moorage.kube.watch import ListWatch, Selection
from moorage.kube.wire.as_protobuf import ProtobufDecoder
from moorage.objects import Namespace
from moorage.protocol import Outcome
from tests.kube import pinning
from tests.kube.pinning import Driver
from tests.kube.support import eventually, pod
from tests.kube.test_protobuf import IN_JSON, PROTOBUF, refusal
from tools.bench.common import store
from tools.localcluster import ClusterError, ClusterHandle, LocalCluster
from tools.localcluster.api import ApiClient, ApiError
from tools.localcluster.components import API_SERVER, ETCD


def test_two_clusters_side_by_side(cluster: ClusterHandle, own_cluster: LocalCluster, namespace: str) -> None:
    with pytest.raises(ApiError) as missing:
        own_cluster.api.get(f"/api/v1/namespaces/{namespace}")
    assert missing.value.status == 404
    with pytest.raises(ApiError) as foreign:
        ApiClient(own_cluster.server, own_cluster.ca_file, cluster.admin_token).get("/api/v1/namespaces")
    assert foreign.value.status == 401


def test_killed_api_server_comes_back_with_its_state(own_cluster: LocalCluster) -> None:
    own_cluster.api.request("POST", "/api/v1/namespaces", {"metadata": {"name": "kept"}})
    server, pid = own_cluster.server, own_cluster.component_pid(API_SERVER)
    own_cluster.kill(API_SERVER)
    assert not own_cluster.api.answers_ok("/livez")
    with pytest.raises(ClusterError, match=f"{API_SERVER} of cluster .* does not run; log .*{API_SERVER}.log"):
        own_cluster.component_pid(API_SERVER)
    own_cluster.restart(API_SERVER)
    assert own_cluster.server == server
    assert own_cluster.component_pid(API_SERVER) != pid
    assert own_cluster.api.get("/api/v1/namespaces/kept")["metadata"]["name"] == "kept"


async def test_the_cache_survives_the_api_server_being_killed(own_cluster: LocalCluster) -> None:
    async with Transport(credentials.load(own_cluster.kubeconfig)) as transport:
        client = Client(transport)
        cache = WatchCache(transport, resources.NAMESPACES)
        task = asyncio.create_task(cache.run())
        await asyncio.wait_for(cache.wait_synced(), 30)
        told: list[Change[Namespace]] = []
        cache.subscribe(told.append)
        await asyncio.to_thread(own_cluster.kill, "kube-apiserver")
        await asyncio.to_thread(own_cluster.restart, "kube-apiserver")
        await client.create(resources.NAMESPACES, {"metadata": {"name": "after-restart"}})

        async def seen() -> Namespace | None:
            return cache.get("after-restart")

        await eventually(seen, "a namespace created after the restart")
        task.cancel()
        with pytest.raises(errors.Gone):  # the new server has no history from before its start
            async with ListWatch(transport, resources.NAMESPACES, Selection()).watch("1") as events:
                await anext(events)
        added = [change.object.key for change in told if change.kind is Kind.ADDED]
        assert sorted(added) == sorted(set(added)), "nobody is told twice"
        assert not [change for change in told if change.kind is Kind.DELETED]


async def test_410(own_cluster: LocalCluster) -> None:
    async with Transport(credentials.load(own_cluster.kubeconfig)) as transport:
        client = Client(transport)
        await asyncio.to_thread(own_cluster.wait_service_account, "default")
        for name in ("a", "b"):
            await client.create(resources.PODS, pod(name, schedulerName="nobody"), "default")
        path, query = resources.PODS.path("default"), {"limit": "1"}
        first = await transport.read(path, query=query, accept=PROTOBUF, timeout=30)
        assert first.content_type == PROTOBUF
        meta, _ = ProtobufDecoder(resources.PODS, path).page(first.body)
        label = {"metadata": {"labels": {"a": "b"}}}
        changed = await client.get(resources.PODS, "a", "default")
        changed = await client.patch(resources.PODS, "a", "default", uid=changed.metadata.uid, changes=label)
        # What the API server still has in memory it serves although etcd has forgotten it.
        async with store.connect(store.address(own_cluster), own_cluster.ca_file.parent) as etcd:
            await etcd._ask("compaction", {"revision": changed.metadata.resource_version})
        await asyncio.to_thread(own_cluster.kill, "kube-apiserver")
        await asyncio.to_thread(own_cluster.restart, "kube-apiserver")
        for accept in (PROTOBUF, "application/json"):
            with pytest.raises(errors.Gone, match="continue parameter is too old") as gone:
                await transport.read(path, query={**query, "continue": meta.continue_}, accept=accept, timeout=30)
            assert gone.value.status.reason == "Expired"
        for resource in (resources.PODS, IN_JSON):
            found = await refusal(transport, resource, "watch")
            assert isinstance(found, errors.Gone)
            assert found.status.reason == "Expired"
            assert "too old resource version" in found.status.message


async def test_an_api_server_that_goes_away_in_the_middle_loses_nothing(own_cluster: LocalCluster) -> None:
    own_cluster.api.request("POST", "/api/v1/namespaces", {"metadata": {"name": "away"}})
    own_cluster.wait_service_account("away")
    async with pinning.connected(own_cluster) as client:
        pods = await pinning.replicas(client, "web", "away", 40, "node-a")
        plan = {f"node-{letter}": pods[index * 10 : index * 10 + 10] for index, letter in enumerate("abcd")}
        driver = Driver(client)
        await driver.start()
        try:
            sent = []
            for name, planned in plan.items():
                sent.append(driver.send(pinning.promise(name, "node-a")))
                sent.append(driver.send(pinning.pin(name, planned)))

            async def begun() -> bool | None:
                return True if driver.lines.with_message("pod pinned") else None

            await eventually(begun, "the first pod to be pinned")
            own_cluster.kill(API_SERVER)
            await asyncio.to_thread(own_cluster.restart, API_SERVER)

            for instruction in sent:
                assert (await driver.answer(instruction)).outcome is Outcome.APPLIED
            for name, planned in plan.items():
                for each in planned:
                    found = await client.get(resources.PODS, each.metadata.name, "away")
                    assert (found.metadata.uid, found.spec.node_name) == (each.metadata.uid, name)
        finally:
            await driver.stop()


async def test_a_restored_backup_is_noticed_at_once(
    own_cluster: LocalCluster, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Last: what runs on the cluster besides us has seen a future that never was."""
    caplog.set_level(logging.INFO, logger="moorage.kube.cache")
    data, backup = own_cluster.directory / "etcd", tmp_path / "backup"
    await asyncio.to_thread(own_cluster.kill, ETCD)
    await asyncio.to_thread(shutil.copytree, data, backup)
    await asyncio.to_thread(own_cluster.restart, ETCD)
    async with Transport(credentials.load(own_cluster.kubeconfig)) as transport:
        client = Client(transport)
        cache = WatchCache(transport, resources.NAMESPACES)
        task = asyncio.create_task(cache.run())
        await asyncio.wait_for(cache.wait_synced(), 30)
        # The restored server itself writes when it starts. It must not count past us before we look.
        names = ({"metadata": {"name": f"filler-{n}"}} for n in range(300))
        await asyncio.gather(*(client.create(resources.LEASES, each, "default") for each in names))
        await client.create(resources.NAMESPACES, {"metadata": {"name": "lost"}})

        async def known() -> Namespace | None:
            return cache.get("lost")

        await eventually(known, "what the backup does not hold")
        await asyncio.to_thread(own_cluster.kill, ETCD)
        await asyncio.to_thread(shutil.rmtree, data)
        await asyncio.to_thread(shutil.copytree, backup, data)
        await asyncio.to_thread(own_cluster.restart, ETCD)
        await asyncio.to_thread(own_cluster.kill, API_SERVER)
        await asyncio.to_thread(own_cluster.restart, API_SERVER)

        async def forgotten() -> bool:
            return cache.get("lost") is None

        await eventually(forgotten, "what the backup does not hold to be forgotten")
        await client.create(resources.NAMESPACES, {"metadata": {"name": "after-restore"}})

        async def seen() -> Namespace | None:
            return cache.get("after-restore")

        await eventually(seen, "a namespace created after the restore")
        task.cancel()
    assert "resource version went back, listing again" in caplog.messages
