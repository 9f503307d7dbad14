"""``moorage check`` on a real control plane, with few rights.

Its checks of the chart's objects are in tests/charts.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from moorage.cli import check as command
from moorage.kube import resources
from moorage.kube.client import Client
from moorage.kube.lease import LeaderElection
from tests.kube import pinning
from tests.kube.accounts import account
from tests.kube.support import eventually
from tools.localcluster import ClusterHandle

RESERVATIONS = [{"apiGroups": ["moorage.dev"], "resources": ["nodereservations"], "verbs": ["list"]}]
CHECK = [
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get"]},
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["create"]},
]


@pytest.fixture
async def client(cluster: ClusterHandle) -> AsyncIterator[Client]:
    async with pinning.connected(cluster) as connected:
        yield connected


@asynccontextmanager
async def leading(client: Client, namespace: str, lease: str) -> AsyncIterator[None]:
    """A replica holds the Lease."""
    election = LeaderElection(client.transport, namespace, lease, "pinner-1")
    task = asyncio.create_task(election.run())
    try:
        await election.became_leader.wait()
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def by_name(report: str) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in json.loads(report)["checks"]}


async def run(kubeconfig: Path, namespace: str, lease: str, *flags: str) -> int:
    arguments = command.parser("moorage check").parse_args(
        ["--kubeconfig", str(kubeconfig), "--namespace", namespace, "--lease-name", lease, *flags]
    )
    return await asyncio.to_thread(command.main, arguments)


async def test_an_installation_in_order_passes_where_pod_security_is_restricted_and_nothing_is_left(
    client: Client, cluster: ClusterHandle, namespace: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = await client.get(resources.NAMESPACES, namespace)
    restricted = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    await client.patch(resources.NAMESPACES, namespace, changes=restricted, uid=found.metadata.uid)
    kubeconfig = account(cluster, namespace, f"check-{namespace}", tmp_path, everywhere=RESERVATIONS, here=CHECK)
    async with leading(client, namespace, "pinner"):
        assert await run(kubeconfig, namespace, "pinner", "-o", "json") == 3, capsys.readouterr()
    checks = by_name(capsys.readouterr().out)
    assert {name: each["state"] for name, each in checks.items()} == {
        **dict.fromkeys(("reservations", "leader", "admission"), "ok"),
        **dict.fromkeys(("planner", "rights", "fence"), "unknown"),
    }
    assert "pinner-1_" in checks["leader"]["detail"]
    assert "needs the right to create subjectaccessreviews" in checks["rights"]["detail"]
    assert "not read admission policies, and whoever asks acts as somebody else already" in checks["fence"]["detail"]
    assert await client.list(resources.PODS, namespace) == ()


async def test_a_missing_leader_and_a_missing_right_are_named(
    client: Client, cluster: ClusterHandle, namespace: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kubeconfig = account(cluster, namespace, f"check-{namespace}", tmp_path, everywhere=RESERVATIONS, here=CHECK)

    async def elsewhere() -> bool | None:  # rights take a moment to count
        code = await run(kubeconfig, namespace, "pinner", "--timeout", "100ms")
        out = capsys.readouterr().out
        return True if code == 1 and "ok      reservations" in out and "FAILED  leader" in out else None

    assert await eventually(elsewhere, "a check that misses the leader alone")
    assert await run(kubeconfig, "default", "pinner", "--timeout", "100ms", "-o", "json") == 3
    checks = by_name(capsys.readouterr().out)
    assert [name for name, each in checks.items() if each["state"] == "ok"] == ["reservations"]
    assert "cannot create resource" in checks["admission"]["detail"]
    assert "cannot get resource" in checks["leader"]["detail"]


async def test_a_lease_that_was_given_up_is_nobodys(
    client: Client, cluster: ClusterHandle, namespace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with leading(client, namespace, "pinner"):
        pass
    assert await run(cluster.kubeconfig, namespace, "pinner", "--timeout", "100ms") == 1
    assert "is held by nobody" in capsys.readouterr().out
