"""Certificates are replaced while pods are created: no call fails. Foreign certificates are refused with a log line."""

from __future__ import annotations

import asyncio
import base64
import os
import ssl
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from moorage.controller import certificates
from moorage.controller.certificates import AUTHORITY, CERTIFICATE, CERTIFICATE_KEY, KEYS
from moorage.kube import resources
from moorage.kube.client import Client
from moorage.ops import compat
from moorage.pinner.names import WEBHOOK
from moorage.pinner.webhook import configuration, service
from moorage.planner.instruction_store import InstructionStore
from moorage.protocol import ExpectPods, Owner, Slot
from tests.kube import pinning, webhooks
from tests.kube.support import eventually, pod
from tests.kube.webhooks import POD, asked, expected_pod, failed_calls, pinners, pinning_works
from tools.localcluster import ClusterHandle
from tools.localcluster.ports import free_ports

NodeName = Callable[..., str]

ROTATIONS = int(os.environ.get("MOORAGE_WEBHOOK_ROTATIONS", "3"))
"""Of the authority; beside each the certificate alone is replaced once. `task test:webhook` has more of all."""
RATE = float(os.environ.get("MOORAGE_WEBHOOK_RATE", "50"))
"""Pods a second."""
REFRESH, PROPAGATION, OVERLAP = 0.2, 2.0, 6.0
"""Seconds, instead of those that leave time for many API servers."""


@pytest.fixture
async def client(cluster: ClusterHandle) -> AsyncIterator[Client]:
    async with pinning.connected(cluster) as connected:
        yield connected


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "REFRESH", REFRESH)
    monkeypatch.setattr(service, "PROPAGATION", PROPAGATION)
    monkeypatch.setattr(configuration, "OVERLAP", OVERLAP)
    monkeypatch.setattr(configuration, "REFRESH", REFRESH)


def board(namespace: str, node: str) -> InstructionStore:
    """A planner with expected pods on a placeholder."""
    made = InstructionStore()
    made.start("plan", timedelta(minutes=10))
    made.issue(pinning.promise(node))
    made.issue(ExpectPods(node, (Slot(Owner("Deployment", namespace, "web"), {"cpu": "100m"}, 2),)))
    return made


async def write(client: Client, namespace: str, name: str, data: dict[str, str | None]) -> None:
    """Change the data of a Secret; None: the key goes."""
    found = await client.get(resources.SECRETS, name, namespace)
    await client.patch(resources.SECRETS, name, namespace, changes={"data": data}, uid=found.metadata.uid)


async def shown(ports: list[int]) -> set[bytes]:
    """The certificates that the replicas show."""
    found = [await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", port), timeout=60) for port in ports]
    return {pem.strip().encode() for pem in found}


async def replaced(client: Client, namespace: str, name: str, ports: list[int], before: set[bytes]) -> set[bytes]:
    """Wait until all replicas serve the Secret's certificate, and it is a new one."""

    async def probe() -> set[bytes] | None:
        data = (await client.get(resources.SECRETS, name, namespace)).data
        now = await shown(ports)
        return now if now == {data.get(CERTIFICATE, b"").strip()} and now != before else None

    return await eventually(probe, "another certificate to be shown")


@asynccontextmanager
async def going_on(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Something that is done all the while, and does not fail."""
    task = asyncio.create_task(work)
    try:
        yield
        assert not task.done()
    finally:
        task.cancel()
        (result,) = await asyncio.gather(task, return_exceptions=True)
    if not isinstance(result, asyncio.CancelledError):
        assert result is None, result


class Creations:
    """Create pods at a steady rate as a dry run: the webhook is called for them as for others."""

    def __init__(self, client: Client, namespace: str, node: str) -> None:
        self._client, self._namespace, self._node = client, namespace, node
        self._body = expected_pod(namespace, "web", node)
        self.pinned, self.others = 0, 0

    async def run(self) -> None:
        """Create them until cancelled."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number in _counting():
                await asyncio.sleep(began + number / RATE - time.monotonic())
                group.create_task(self._create())

    async def _create(self) -> None:
        made = await self._client.create(resources.PODS, self._body, self._namespace, dry_run=True)
        if made.spec.node_name == self._node:
            self.pinned += 1
        else:
            self.others += 1


def _counting() -> Iterator[int]:
    number = 0
    while True:
        yield number
        number += 1


async def newcomers(client: Client, name: str) -> None:
    """Connect repeatedly as an API server that has just read the configuration: its CA bundle must match."""
    while True:
        (entry,) = (await client.get(resources.MUTATING_WEBHOOKS, name)).webhooks
        told = entry["clientConfig"]
        trust = ssl.create_default_context(cadata=base64.b64decode(told["caBundle"]).decode())
        port = int(told["url"].rpartition(":")[2].partition("/")[0])
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust)
        compat.abort(writer.transport)


async def test_not_one_call_fails_while_certificates_are_replaced(
    client: Client, cluster: ClusterHandle, namespace: str, node_name: NodeName
) -> None:
    node, ports = node_name(), free_ports(2)
    failed = await failed_calls(client, WEBHOOK)
    async with pinners(client, cluster, namespace, board(namespace, node), ports) as name:
        await asked(client, name, wanted=True)
        await pinning_works(client, namespace, "web", node)
        before = await replaced(client, namespace, name, ports, set())
        creations = Creations(client, namespace, node)
        async with going_on(creations.run()), going_on(newcomers(client, name)):
            for _ in range(ROTATIONS):
                for keys in ((CERTIFICATE, CERTIFICATE_KEY), KEYS):
                    await write(client, namespace, name, dict.fromkeys(keys))
                    before = await replaced(client, namespace, name, ports, before)
        assert creations.pinned
        assert not creations.others

        async def tidy() -> bool:
            (entry,) = (await client.get(resources.MUTATING_WEBHOOKS, name)).webhooks
            bundle = base64.b64decode(entry["clientConfig"]["caBundle"])
            return bundle.count(b"BEGIN CERTIFICATE") == 1

        await eventually(tidy, "authorities that were replaced to be believed no more")
        assert await failed_calls(client, WEBHOOK) == failed


def foreign() -> dict[str, bytes]:
    """A certificate of another CA, without the key of that CA."""
    data = certificates.fill(datetime.now(UTC), ["127.0.0.1"], "somebody else")
    return {key: data[key] for key in (AUTHORITY, CERTIFICATE, CERTIFICATE_KEY)}


async def test_an_expired_certificate_is_replaced_and_a_foreign_one_refused_with_an_event(
    client: Client, cluster: ClusterHandle, namespace: str, node_name: NodeName
) -> None:
    node, ports = node_name(), free_ports(1)
    await client.create(resources.PODS, pod(POD, schedulerName="nobody"), namespace)
    old = certificates.fill(datetime.now(UTC) - 2 * certificates.CERTIFICATE_LIFETIME, ["127.0.0.1"], "test")
    async with pinners(client, cluster, namespace, board(namespace, node), ports, secret=old) as name:
        await asked(client, name, wanted=True)
        await pinning_works(client, namespace, "web", node)
        before = await shown(ports)
        assert before != {old[CERTIFICATE].strip()}
        stored = (await client.get(resources.SECRETS, name, namespace)).data
        assert stored[AUTHORITY] == old[AUTHORITY]

        gone = dict.fromkeys(KEYS)
        await write(client, namespace, name, {**gone, **webhooks.encoded(foreign())})

        async def told() -> str | None:
            events = cluster.api.get(f"/apis/events.k8s.io/v1/namespaces/{namespace}/events")["items"]
            return next((each["note"] for each in events if each["reason"] == "WebhookCertificate"), None)

        assert f"Secret {namespace}/{name}: it has data, but no authority of ours" in await eventually(told, "an Event")
        assert await shown(ports) == before
        await pinning_works(client, namespace, "web", node)

        await write(client, namespace, name, {**gone})
        await replaced(client, namespace, name, ports, before)
        await pinning_works(client, namespace, "web", node)
