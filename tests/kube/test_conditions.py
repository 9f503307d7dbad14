"""Conditions of reservations on a real API server: valid ones, `kubectl wait`, and an older definition."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from typing import Any

import pytest
import yaml

from moorage.kube import errors, resources
from moorage.kube.client import Client
from moorage.protocol import ExpectPods, Outcome, Owner, Slot
from tests.kube import pinning
from tests.kube.pinning import CRDS, connected
from tests.kube.support import eventually
from tools.localcluster import LocalCluster
from tools.localcluster.binaries import binaries

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
PLURAL = "nodereservations"
SLOTS = (Slot(Owner("ReplicaSet", "default", "web"), {"cpu": "100m"}, 1),)

pytestmark = pytest.mark.cluster


def without_conditions(definition: dict[str, Any]) -> None:
    """The definition of an earlier version."""
    (version,) = definition["spec"]["versions"]
    del version["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]["conditions"]


@pytest.fixture
async def client(own_cluster: LocalCluster) -> AsyncIterator[Client]:
    """Administrator's access to the module's own cluster, which begins with the older definition."""
    pinning.define(own_cluster, PLURAL, without_conditions)
    async with connected(own_cluster) as found:
        yield found


def upgrade(cluster: LocalCluster) -> None:
    """Bring the definition of this version, as Helm does before the pinner's."""
    wanted = yaml.safe_load((CRDS / f"{PLURAL}.moorage.dev.yaml").read_text())
    name = wanted["metadata"]["name"]
    wanted["metadata"]["resourceVersion"] = cluster.api.get(f"{DEFINITIONS}/{name}")["metadata"]["resourceVersion"]
    cluster.api.request("PUT", f"{DEFINITIONS}/{name}", wanted)


async def kubectl(cluster: LocalCluster, *words: str) -> str:
    """What kubectl says.

    Raises:
        AssertionError: it has failed.
    """
    command = [str(binaries(["kubectl"])["kubectl"]), *words]
    environment = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig)}
    ended = await asyncio.to_thread(
        subprocess.run, command, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


async def wait_for(cluster: LocalCluster, condition: str, name: str) -> str:
    """The output of `kubectl wait` once a condition holds."""
    return await kubectl(cluster, "wait", f"--for=condition={condition}", f"{PLURAL}/{name}", "--timeout=50s")


async def refuses(client: Client, name: str, **odd: str) -> bool:
    """Whether the API server refuses a condition (dry run: nothing is written)."""
    time = f"{client.transport.clock.now():%Y-%m-%dT%H:%M:%SZ}"
    one = {"type": "Odd", "status": "True", "reason": "Odd", "message": "", "lastTransitionTime": time, **odd}
    uid = (await client.get(resources.NODE_RESERVATIONS, name)).metadata.uid
    changes = {"status": {"conditions": [one]}}
    try:
        await client.patch(
            resources.NODE_RESERVATIONS, name, changes=changes, uid=uid, subresource="status", dry_run=True
        )
    except errors.Invalid:
        return True
    return False


async def test_kubectl_waits_for_a_node_before_and_after_the_definition_is_upgraded(
    client: Client, own_cluster: LocalCluster
) -> None:
    old, new = "conditions-old", "conditions-new"
    async with pinning.driver(client) as driver:
        assert (await driver.do(pinning.promise(old))).outcome is Outcome.APPLIED
        found = await pinning.reservation_where(client, old, lambda r: bool(r.status), "a status")
        assert "conditions" not in found.status, "they are pruned, and the rest is kept"
        upgrade(own_cluster)

        await eventually(lambda: refuses(client, old, status="Perhaps"), "the new definition to count")
        assert await refuses(client, old, reason="")
        assert not await refuses(client, old)
        waiting = asyncio.create_task(wait_for(own_cluster, "Ready", old))
        for name in (new, old):
            if name == new:
                assert (await driver.do(pinning.promise(name))).outcome is Outcome.APPLIED
                await wait_for(own_cluster, "PlaceholderCreated", name)
                await driver.do(ExpectPods(name, SLOTS))  # another generation, and the same conditions
                await wait_for(own_cluster, "PlaceholderCreated", name)
                await wait_for(own_cluster, "Ready=False", name)
            await asyncio.to_thread(own_cluster.start_hollow_kubelet, name)
        await wait_for(own_cluster, "Adopted", new)
        assert "condition met" in await waiting
        shown = await kubectl(own_cluster, "get", PLURAL, new)
        assert shown.splitlines()[0].split()[:5] == ["NAME", "NODE", "STATE", "READY", "PINNED"]
        assert "MESSAGE" in shown.splitlines()[0]
        assert "True" in shown.splitlines()[1]
