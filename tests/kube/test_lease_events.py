"""Leader election and Events with the real API server. A leader is a process that SIGKILL ends."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import msgspec
import pytest

from moorage.kube import credentials, resources
from moorage.kube.client import Client
from moorage.kube.events import EventRecorder, ObjectRef
from moorage.kube.http.transport import Transport
from moorage.kube.lease import LeaderElection
from moorage.objects.coordination import Lease
from tests.kube.support import eventually, placeholder, unscheduled_pod
from tools.localcluster import ClusterHandle

LEASE = "election"
PATIENCE = 60.0

# Prints its identity once it leads, and ends with the process that holds its standard input.
ELECTOR = """
import asyncio, os, pathlib, sys, threading
from moorage.kube import credentials
from moorage.kube.lease import LeaderElection
from moorage.kube.http.transport import Transport

async def main():
    async with Transport(credentials.load(pathlib.Path(sys.argv[1]))) as transport:
        election = LeaderElection(transport, sys.argv[2], sys.argv[3], "process",
                                  duration=6.0, renew_deadline=4.0, retry_period=0.5)
        run = asyncio.create_task(election.run())
        await election.became_leader.wait()
        print(election.identity, flush=True)
        await run

threading.Thread(target=lambda: (sys.stdin.read(), os._exit(1)), daemon=True).start()
asyncio.run(main())
"""


@asynccontextmanager
async def process(cluster: ClusterHandle, namespace: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """An elector in a process of its own, once it leads; and its identity."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        ELECTOR,
        str(cluster.kubeconfig),
        namespace,
        LEASE,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert child.stdout is not None
    try:
        identity = (await asyncio.wait_for(child.stdout.readline(), PATIENCE)).decode().strip()
        assert identity, "the elector ended before it led"
        yield child, identity
    finally:
        if child.returncode is None:
            child.kill()
        await child.communicate()


@asynccontextmanager
async def elector(
    cluster: ClusterHandle, namespace: str, *, duration: float = 6.0, renew_deadline: float = 4.0
) -> AsyncIterator[LeaderElection]:
    """A running elector in this process; leaving stops it cleanly."""
    async with Transport(credentials.load(cluster.kubeconfig)) as transport:
        election = LeaderElection(
            transport,
            namespace,
            LEASE,
            "test",
            duration=duration,
            renew_deadline=renew_deadline,
            retry_period=0.5,
            labels={"app": "moorage"},
        )
        run = asyncio.create_task(election.run())
        try:
            yield election
        finally:
            run.cancel()
            with suppress(asyncio.CancelledError):
                await run


async def lease(client: Client, namespace: str) -> Lease:
    return await client.get(resources.LEASES, LEASE, namespace)


async def leads(election: LeaderElection) -> None:
    await asyncio.wait_for(election.became_leader.wait(), PATIENCE)
    assert election.is_leader()


async def test_another_takes_over_when_the_leader_is_killed(
    cluster: ClusterHandle, client: Client, namespace: str
) -> None:
    async with process(cluster, namespace) as (child, identity), elector(cluster, namespace) as successor:
        await eventually(lambda: _true(successor.holder == identity), "the successor sees who leads")
        assert not successor.is_leader()
        child.kill()
        await child.wait()
        await leads(successor)
        spec = (await lease(client, namespace)).spec
        assert spec.holder_identity == successor.identity
        assert spec.lease_transitions == 1
        assert spec.lease_duration_seconds == 6


async def test_a_clean_stop_hands_over_without_waiting_for_expiry(
    cluster: ClusterHandle, client: Client, namespace: str
) -> None:
    async with AsyncExitStack() as later, AsyncExitStack() as now:
        # Only a release can end the wait for this Lease.
        first = await now.enter_async_context(elector(cluster, namespace, duration=3600.0, renew_deadline=60.0))
        await leads(first)
        assert (await lease(client, namespace)).metadata.labels == {"app": "moorage"}
        second = await later.enter_async_context(elector(cluster, namespace, duration=3600.0, renew_deadline=60.0))
        await eventually(lambda: _true(second.holder == first.identity), "the second sees who leads")
        await now.aclose()
        assert first.lost.is_set()
        await leads(second)
        assert (await lease(client, namespace)).spec.lease_transitions == 1
    assert not (await lease(client, namespace)).spec.holder_identity


async def test_a_deleted_lease_ends_the_term(cluster: ClusterHandle, client: Client, namespace: str) -> None:
    async with elector(cluster, namespace) as election:
        await leads(election)
        await client.delete(resources.LEASES, LEASE, namespace, uid=(await lease(client, namespace)).metadata.uid)
        await asyncio.wait_for(election.lost.wait(), PATIENCE)
        await leads(election)
        assert (await lease(client, namespace)).spec.lease_transitions == 0  # a new Lease


async def test_renewals_survive_other_writers(cluster: ClusterHandle, client: Client, namespace: str) -> None:
    async with elector(cluster, namespace) as election:
        await leads(election)
        before = (await lease(client, namespace)).spec.renew_time or ""
        for i in range(10):
            await client.apply(
                resources.LEASES, LEASE, namespace, body={"metadata": {"annotations": {"tests/touched": str(i)}}}
            )

        async def renewed() -> bool | None:
            return ((await lease(client, namespace)).spec.renew_time or "") > before or None

        await eventually(renewed, "a renewal after the other writes")
        assert election.is_leader()
        found = await lease(client, namespace)
        assert found.metadata.annotations == {"tests/touched": "9"}


async def events(client: Client, namespace: str, about: str) -> list[dict[str, Any]]:
    """The recorder's; the node controller tells of Nodes, too."""
    body = await client.transport.request("GET", f"/apis/events.k8s.io/v1/namespaces/{namespace}/events")
    found = [e for e in msgspec.json.decode(body)["items"] if e["regarding"]["name"] == about]
    return [e for e in found if e.get("reportingController") == "moorage-pod-pinner"]


@asynccontextmanager
async def recorder(client: Client) -> AsyncIterator[EventRecorder]:
    """A running recorder; leaving closes it."""
    recording = EventRecorder(client.transport, instance="moorage-test-0")
    run = asyncio.create_task(recording.run())
    try:
        yield recording
    finally:
        await recording.close(PATIENCE)
        await run


async def test_events_about_a_pod_and_its_series(client: Client, namespace: str) -> None:
    pod = await unscheduled_pod(client, "web", namespace)
    about = ObjectRef.to("v1", "Pod", pod)
    node = ObjectRef("v1", "Node", "somewhere", uid="somewhere")
    async with recorder(client) as recording:
        for _ in range(3):
            recording.record(
                about, type="Normal", reason="Pinned", action="Pin", note="pinned to somewhere", related=node
            )

        async def written() -> list[dict[str, Any]] | None:
            return await events(client, namespace, "web") or None

        await eventually(written, "the first write")
        recording.record(about, type="Normal", reason="Pinned", action="Pin", note="pinned to somewhere", related=node)
        recording.record(about, type="Warning", reason="NoRoom", action="Pin", note="ö" * 2000)
    found = {e["reason"]: e for e in await events(client, namespace, "web")}
    assert set(found) == {"Pinned", "NoRoom"}
    pinned = found["Pinned"]
    assert pinned["series"]["count"] == 4
    assert pinned["regarding"]["uid"] == pod.metadata.uid
    assert pinned["related"]["name"] == "somewhere"
    assert (pinned["reportingController"], pinned["reportingInstance"]) == ("moorage-pod-pinner", "moorage-test-0")
    assert len(found["NoRoom"]["note"].encode()) == 1023  # 510 letters of two bytes and the ellipsis


@pytest.mark.parametrize("forgotten", [False, True])
async def test_events_about_a_node_live_in_default(client: Client, node_name: Any, forgotten: bool) -> None:
    name = node_name()
    node = await client.create(resources.NODES, placeholder(name))
    about = ObjectRef.to("v1", "Node", node)
    async with recorder(client) as recording:
        recording.record(about, type="Normal", reason="Created", action="Create", note="placeholder")

        async def written() -> dict[str, Any] | None:
            return next(iter(await events(client, "default", name)), None)

        first = await eventually(written, "the event about the node")
        if forgotten:  # as the API server does after an hour
            path = f"/apis/events.k8s.io/v1/namespaces/default/events/{first['metadata']['name']}"
            await client.transport.request("DELETE", path)
        recording.record(about, type="Normal", reason="Created", action="Create", note="placeholder")
    [last] = await events(client, "default", name)
    assert last["series"]["count"] == 2
    assert (last["metadata"]["name"] == first["metadata"]["name"]) != forgotten


async def _true(value: bool) -> bool | None:
    return value or None
