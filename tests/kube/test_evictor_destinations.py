"""Evictor and pod pinner together on a real control plane: replacements run on their simulated nodes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from prometheus_client import REGISTRY

from moorage.kube import resources
from moorage.kube.client import Client
from moorage.objects import Pod
from moorage.pinner.names import PIN_ANNOTATION
from moorage.planner.instruction_store import InstructionStore
from moorage.reservations import destinations
from tests.e2e.rights import audit
from tests.kube import pinning
from tests.kube.support import eventually, pod
from tests.kube.test_evictor_acts import (
    CHART,
    NAMESPACE,
    US,
    Watcher,
    acting,
    clear,
    client,
    deployment,
    in_phase,
    is_at_rest,
    kubeconfig,
    nodes_where,
    populate,
    status_where,
)
from tests.kube.test_evictor_service import condition
from tests.kube.webhooks import pinner
from tools.localcluster import LocalCluster, accounts

__all__ = ["client", "kubeconfig"]  # fixtures
OLD, BUSY, EMPTY = "kwok-0", "busy-0", "empty-0"
Json = dict[str, Any]


@asynccontextmanager
async def shop(cluster: LocalCluster, client: Client) -> AsyncIterator[None]:
    """Two pods on a node that could go, and two nodes that cannot, of which the fuller has room for both.

    The simulation puts both on the fuller one; the scheduler prefers the other one, and to spread them.
    """
    pinning.install(cluster)
    await populate(cluster, client, 1, deployment("web", 2, "500m"))
    for name, cpu in ((BUSY, "2"), (EMPTY, "100m")):
        cluster.create_kwok_nodes(1, cpu="4", memory="8Gi", prefix=name.removesuffix("-0"))
        await client.create(resources.PODS, pod(f"holds-{name}", cpu=cpu, nodeName=name), NAMESPACE)
    await nodes_where(client, lambda seen: all(node.ready and not node.spec.taints for node in seen.values()), "nodes")
    await all_running(client, 4)
    yield
    for name in (BUSY, EMPTY):
        found = await client.get(resources.PODS, f"holds-{name}", NAMESPACE)
        await client.delete(resources.PODS, found.metadata.name, NAMESPACE, uid=found.metadata.uid)
    await clear(cluster, client)


async def all_running(client: Client, count: int) -> list[Pod]:
    async def probe() -> list[Pod] | None:
        found = await client.list(resources.PODS, NAMESPACE)
        good = [each for each in found if each.status.phase == "Running" and not each.metadata.deletion_timestamp]
        return good if len(good) == len(found) == count else None

    return await eventually(probe, f"{count} pods that run")


async def web(client: Client) -> list[Pod]:
    """The Deployment's pods, once the node that could go is empty."""
    await nodes_where(client, lambda seen: OLD in in_phase(seen, "emptied"), "an emptied node")
    return [each for each in await all_running(client, 4) if each.metadata.labels["app"] == "web"]


async def reserved(client: Client) -> dict[str, destinations.SlotReservation]:
    return {each.metadata.name: each for each in await client.list(resources.SLOT_RESERVATIONS)}


def come() -> tuple[float, float]:
    """The number of replacements on their simulated node, and on other nodes."""
    as_simulated, elsewhere = (
        REGISTRY.get_sample_value("moorage_evictor_replacements_total", {"place": place}) or 0.0
        for place in ("as_simulated", "elsewhere")
    )
    return as_simulated, elsewhere


@asynccontextmanager
async def serving(cluster: LocalCluster, client: Client) -> AsyncIterator[None]:
    """A pod pinner beside."""
    board = InstructionStore()
    board.start("nothing", timedelta(hours=1))
    async with pinner(client, cluster, NAMESPACE, board):
        yield


async def test_without_a_pinner_the_scheduler_decides_and_the_status_says_so(
    own_cluster: LocalCluster, client: Client, kubeconfig: Any
) -> None:
    before = come()
    async with shop(own_cluster, client), acting(kubeconfig):
        assert EMPTY in {each.spec.node_name for each in await web(client)}
        status = await status_where(own_cluster, is_at_rest, "nothing more to go")
        assert condition(status, "Steering")[:2] == ("False", "NotServed")
        as_simulated, elsewhere = (now - then for now, then in zip(come(), before, strict=True))
        assert as_simulated + elsewhere == 2
        assert elsewhere > 0
        assert await reserved(client) == {}


async def test_with_a_pinner_replacements_go_where_the_simulation_has_put_them(
    own_cluster: LocalCluster, client: Client, kubeconfig: Any
) -> None:
    watcher, before = Watcher(client.transport, {"web": 1}), come()
    async with shop(own_cluster, client), watcher.watching(), serving(own_cluster, client), acting(kubeconfig):
        moved = await web(client)
        assert {each.spec.node_name for each in moved} == {BUSY}
        assert all(US in each.metadata.annotations[PIN_ANNOTATION] for each in moved)
        status = await status_where(own_cluster, is_at_rest, "nothing more to go")
        assert condition(status, "Steering")[:2] == ("True", "Served")
        assert come() == (before[0] + 2, before[1])
        assert await reserved(client) == {}, "nothing is expected any more"
    assert watcher.broken == []


async def test_those_of_others_stand_and_what_a_killed_evictor_leaves_is_taken_away_by_the_next(
    own_cluster: LocalCluster, client: Client, kubeconfig: Any
) -> None:
    async with shop(own_cluster, client), serving(own_cluster, client):
        theirs = await _reserve(client, EMPTY, "elsewhere/castai-evictor")
        await _reserve(client, BUSY, US)
        async with acting(kubeconfig):
            assert {each.spec.node_name for each in await web(client)} == {BUSY}
            await status_where(own_cluster, is_at_rest, "nothing more to go")
            left = await reserved(client)
        assert list(left) == [EMPTY]
        assert (left[EMPTY].metadata.uid, left[EMPTY].spec) == (theirs.metadata.uid, theirs.spec)
        await client.delete(resources.SLOT_RESERVATIONS, EMPTY, uid=theirs.metadata.uid)
    asked = audit.requests(own_cluster.audit_log, accounts.user(NAMESPACE, CHART))
    assert audit.refused(asked) == [], "in this test and in those before it"


async def _reserve(client: Client, node: str, by: str) -> destinations.SlotReservation:
    """Somebody has reserved a slot."""
    uid = (await client.get(resources.NODES, node)).metadata.uid
    now = client.transport.clock.now()
    since, until = (f"{each:%Y-%m-%dT%H:%M:%SZ}" for each in (now, now + timedelta(minutes=10)))
    owner = {"kind": "Deployment", "namespace": NAMESPACE, "name": "other"}
    spec = {"nodeUID": uid, "by": by, "since": since, "until": until, "slots": [{"owner": owner, "count": 1}]}
    return await client.create(resources.SLOT_RESERVATIONS, {"metadata": {"name": node}, "spec": spec})
