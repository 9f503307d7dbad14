"""Facts about Leases of placeholders (design 5.3 and 11), on a control plane with short grace periods."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from moorage.kube import credentials, resources
from moorage.kube.client import Client
from moorage.kube.http.transport import Transport
from moorage.objects import Node
from tests.kube.support import node_where, placeholder, renew_lease
from tools.localcluster import ClusterOptions, LocalCluster

UNREACHABLE = "node.kubernetes.io/unreachable"
GRACE = 8


@pytest.fixture(scope="module")
def impatient_kubeconfig() -> Iterator[Path]:
    """A cluster whose node-lifecycle controller gives up after seconds instead of a minute."""
    flags = {
        "node-startup-grace-period": f"{GRACE}s",
        "node-monitor-grace-period": f"{GRACE}s",
        "node-monitor-period": "1s",
    }
    with LocalCluster(options=ClusterOptions(scheduler=False, controller_manager_flags=flags)) as own:
        yield own.kubeconfig


@pytest.fixture
async def impatient(impatient_kubeconfig: Path) -> AsyncIterator[Client]:
    async with Transport(credentials.load(impatient_kubeconfig)) as transport:
        yield Client(transport)


def unreachable(node: Node) -> bool:
    return any(taint.key == UNREACHABLE for taint in node.spec.taints)


@asynccontextmanager
async def renewed(client: Client, node: Node) -> AsyncIterator[None]:
    """Renew the node's Lease every second, as long as the block lasts."""

    async def renew() -> None:
        while True:
            await renew_lease(client, node)
            await asyncio.sleep(1)

    task = asyncio.create_task(renew())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_admission_keeps_the_scheduler_off_every_new_node_until_a_controller_looks(impatient: Client) -> None:
    created = await impatient.create(resources.NODES, placeholder("fresh", taints=[]))
    assert [(taint.key, taint.effect) for taint in created.spec.taints] == [
        ("node.kubernetes.io/not-ready", "NoSchedule")
    ]


async def test_a_renewed_lease_keeps_a_placeholder_reachable_and_without_it_it_is_not(impatient: Client) -> None:
    held = await impatient.create(resources.NODES, placeholder("held"))
    async with renewed(impatient, held):
        # The second node is the clock of this test: when it is unreachable, the grace period has passed for both.
        await impatient.create(resources.NODES, placeholder("abandoned"))
        await node_where(impatient, "abandoned", unreachable, "unreachable")
        still = await impatient.get(resources.NODES, "held")
        assert not unreachable(still)
        assert still.status.conditions == ()


async def test_one_renewal_from_the_future_spoils_the_correct_ones_after_it(impatient: Client) -> None:
    node = await impatient.create(resources.NODES, placeholder("hasty"))
    await renew_lease(impatient, node, ahead_seconds=3600)
    # The controller must have seen the value: it looks every second.
    await impatient.create(resources.NODES, placeholder("reference"))
    await node_where(impatient, "reference", unreachable, "unreachable")
    async with renewed(impatient, node):
        await node_where(impatient, "hasty", unreachable, "unreachable in spite of correct renewals")
