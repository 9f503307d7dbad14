"""Faults that hit placeholders, and their outcome (design 5), on a real control plane with real kubelets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from moorage.kube import resources
from moorage.kube.client import Client
from moorage.kube.clock import micro_time
from moorage.objects import Lease, Pod
from moorage.pinner.names import PREPARING
from moorage.pinner.node.leases import NAMESPACE
from moorage.protocol import ExpectPods, Outcome, Owner, Release, Slot
from tests.kube import pinning
from tests.kube.pinning import Driver
from tests.kube.support import eventually, node_where, pod_where
from tools.localcluster import ClusterHandle

NodeName = Callable[..., str]


@pytest.fixture
async def client(cluster: ClusterHandle) -> AsyncIterator[Client]:
    async with pinning.connected(cluster) as connected:
        yield connected


@pytest.fixture
async def driver(client: Client) -> AsyncIterator[Driver]:
    async with pinning.driver(client) as running:
        yield running


async def pinned_node(
    driver: Driver, client: Client, namespace: str, name: str, count: int = 2, seconds: float = 120.0
) -> list[Pod]:
    """A placeholder with this many pods."""
    pods = await pinning.replicas(client, "web", namespace, count, name)
    created = driver.send(pinning.promise(name), seconds=seconds)
    pinned = driver.send(pinning.pin(name, pods), seconds=seconds)
    assert (await driver.answer(created)).outcome is Outcome.APPLIED
    assert (await driver.answer(pinned)).outcome is Outcome.APPLIED
    return pods


async def recreated(client: Client, namespace: str, old: list[Pod]) -> list[Pod]:
    """The pods that took the place of these, unbound."""
    uids = {p.metadata.uid for p in old}

    async def replaced() -> list[Pod] | None:
        found = await client.list(resources.PODS, namespace, labels="app=web")
        fresh = [p for p in found if p.metadata.uid not in uids]
        return fresh if len(fresh) == len(old) == len(found) else None

    return await eventually(replaced, f"{len(old)} new pods in place of the old ones")


async def test_a_placeholder_that_a_cloud_controller_deletes_is_given_up_and_its_pods_are_free_again(
    driver: Driver, client: Client, namespace: str, node_name: NodeName
) -> None:
    name = node_name()
    pods = await pinned_node(driver, client, namespace, name)
    node = await client.get(resources.NODES, name)

    await client.delete(resources.NODES, name, uid=node.metadata.uid)

    fresh = await recreated(client, namespace, pods)
    assert [p.spec.node_name for p in fresh] == ["", ""]
    await pinning.reservation_gone(client, name)
    assert await pinning.maybe(client, name) is None
    assert "PinnedPodDeleted" in driver.records.of(pods[0].metadata.name)
    assert "somebody else deleted the placeholder" in driver.records.note(pods[0].metadata.name, "PinnedPodDeleted")


async def test_at_the_deadline_the_pods_go_elsewhere_and_the_placeholder_goes(
    driver: Driver, client: Client, namespace: str, node_name: NodeName
) -> None:
    name, elsewhere = node_name(), node_name("elsewhere")
    pods = await pinned_node(driver, client, namespace, name, seconds=4)

    await pinning.node_gone(client, name)
    await pinning.reservation_gone(client, name)
    fresh = await recreated(client, namespace, pods)

    assert len(driver.lines.with_message("node placeholder deleted", node=name)) == 1
    assert "did not join" in driver.records.note(name, "PlaceholderDeleted")
    # They can be planned anew, and another node of their pool takes them.
    assert (await driver.do(pinning.promise(elsewhere, name))).outcome is Outcome.APPLIED
    assert (await driver.do(pinning.pin(elsewhere, fresh))).outcome is Outcome.APPLIED


async def test_a_machine_with_less_than_promised_keeps_what_fits_and_the_rest_is_swept(
    driver: Driver, client: Client, cluster: ClusterHandle, namespace: str, node_name: NodeName
) -> None:
    name = node_name()
    pods = await pinning.replicas(client, "web", namespace, 6, name, cpu="300m")
    larger = pinning.promise(name, room={**pinning.ROOM, "cpu": "2"})
    assert (await driver.do(larger)).outcome is Outcome.APPLIED
    assert (await driver.do(pinning.pin(name, pods))).outcome is Outcome.APPLIED

    await asyncio.to_thread(cluster.start_hollow_kubelet, name)  # it has one core

    async def sorted_out() -> list[Pod] | None:
        found = await client.list(resources.PODS, namespace, labels="app=web")
        running = [p for p in found if p.status.phase == "Running"]
        failed = [p for p in found if p.status.phase == "Failed"]
        waiting = [p for p in found if not p.spec.node_name]
        return waiting if (len(running), len(failed), len(waiting)) == (3, 0, 3) else None

    waiting = await eventually(sorted_out, "three pods to run and three new ones to wait")
    await node_where(client, name, lambda n: PREPARING not in {t.key for t in n.spec.taints}, "adopted")
    assert not {p.metadata.uid for p in waiting} & {p.metadata.uid for p in pods}
    assert "cpu: 2000m promised, 1000m there" in driver.records.note(name, "NodeDiffers")
    swept = [line for line in driver.lines.with_message("pod deleted") if "OutOfcpu" in line["why"]]
    assert len(swept) == 3
    again = await driver.do(pinning.pin(name, waiting))  # "not pinned again": nothing is left of the placeholder
    assert {reason for _, reason in pinning.outcomes(again).values()} == {"SOFT_PIN_UNSUPPORTED"}


async def test_a_controller_whose_pods_fail_again_and_again_is_left_to_the_scheduler(
    client: Client, cluster: ClusterHandle, namespace: str, node_name: NodeName
) -> None:
    name, other = node_name(), node_name("other")
    async with pinning.driver(client, replace(pinning.QUICK, most_ends=1)) as driver:
        pods = await pinning.replicas(client, "web", namespace, 2, name, cpu="600m")
        assert (await driver.do(pinning.promise(name, room={**pinning.ROOM, "cpu": "2"}))).outcome is Outcome.APPLIED
        assert (await driver.do(pinning.pin(name, pods))).outcome is Outcome.APPLIED
        await asyncio.to_thread(cluster.start_hollow_kubelet, name)  # it has one core: one pod too many

        async def replaced() -> Pod | None:
            found = await client.list(resources.PODS, namespace, labels="app=web")
            running = [p for p in found if p.status.phase == "Running"]
            fresh = [p for p in found if not p.spec.node_name]
            return fresh[0] if (len(found), len(running), len(fresh)) == (2, 1, 1) else None

        fresh = await eventually(replaced, "the failed pod to be swept and replaced")
        assert (await driver.do(pinning.promise(other, name))).outcome is Outcome.APPLIED
        ack = await driver.do(pinning.pin(other, [fresh]))

    assert pinning.outcomes(ack) == {fresh.metadata.name: (Outcome.REJECTED, "OWNER_CAPPED")}


async def test_a_lease_from_the_future_is_reported_and_neither_moved_back_nor_further(
    driver: Driver, client: Client, node_name: NodeName
) -> None:
    name, other = node_name(), node_name("other")
    assert (await driver.do(pinning.promise(name))).outcome is Outcome.APPLIED
    assert (await driver.do(pinning.promise(other))).outcome is Outcome.APPLIED
    held = await eventually(lambda: lease_of(client, name), "its first Lease")
    assert held.spec.holder_identity == name
    assert held.metadata.owner_references[0].name == name
    future = micro_time(client.transport.clock.now() + timedelta(hours=1))

    async def spoil() -> None:
        found = await client.get(resources.LEASES, name, NAMESPACE)
        changes = {"spec": {"renewTime": future}}
        await client.patch(resources.LEASES, name, NAMESPACE, changes=changes, uid=found.metadata.uid)

    await spoil()

    async def complained() -> bool | None:
        return True if "LeaseAhead" in driver.records.of(name) else None

    await eventually(complained, "an Event about it")
    before = pinning.lease_time(await client.get(resources.LEASES, other, NAMESPACE))

    async def renewed_twice() -> bool | None:
        now = pinning.lease_time(await client.get(resources.LEASES, other, NAMESPACE))
        assert now <= client.transport.clock.now() + client.transport.clock.uncertainty()
        return True if now > before + timedelta(seconds=2) else None

    await eventually(renewed_twice, "the other Lease to be renewed meanwhile")
    assert (await client.get(resources.LEASES, name, NAMESPACE)).spec.renew_time == future


async def lease_of(client: Client, name: str) -> Lease | None:
    found = await client.list(resources.LEASES, NAMESPACE, fields=f"metadata.name={name}")
    return found[0] if found else None


async def test_what_others_write_into_a_lease_stays_and_one_that_they_delete_comes_back(
    driver: Driver, client: Client, node_name: NodeName
) -> None:
    name = node_name()
    assert (await driver.do(pinning.promise(name))).outcome is Outcome.APPLIED
    made = await eventually(lambda: lease_of(client, name), "its first Lease")

    async def renewed_since(before: Lease) -> Lease | None:
        found = await lease_of(client, name)
        same = found is not None and found.metadata.uid == before.metadata.uid
        return found if found is not None and same and pinning.lease_time(found) > pinning.lease_time(before) else None

    await eventually(lambda: renewed_since(made), "a renewal")
    theirs = {"metadata": {"labels": {"a": "b"}}, "spec": {"leaseTransitions": 7}}
    other = Client(client.transport, field_manager="somebody-else")
    changed = await other.apply(resources.LEASES, name, NAMESPACE, body=theirs)
    renewed = await eventually(lambda: renewed_since(changed), "a renewal of what was changed")
    assert renewed.metadata.labels == {"a": "b"}
    assert renewed.spec.lease_transitions == 7
    assert renewed.metadata.owner_references == made.metadata.owner_references
    raw = json.loads(await client.transport.request("GET", resources.LEASES.path(NAMESPACE, name)))
    assert "somebody-else" in {each["manager"] for each in raw["metadata"]["managedFields"]}

    await client.delete(resources.LEASES, name, NAMESPACE, uid=made.metadata.uid)

    async def another() -> Lease | None:
        found = await lease_of(client, name)
        return found if found is not None and found.metadata.uid != made.metadata.uid else None

    again = await eventually(another, "another Lease")
    await eventually(lambda: renewed_since(again), "its renewal")


async def test_the_lease_is_the_kubelets_once_it_has_joined(
    driver: Driver, client: Client, cluster: ClusterHandle, node_name: NodeName
) -> None:
    name = node_name()
    assert (await driver.do(pinning.promise(name))).outcome is Outcome.APPLIED
    await eventually(lambda: lease_of(client, name), "its first Lease")
    await asyncio.to_thread(cluster.start_hollow_kubelet, name)
    await node_where(client, name, lambda n: n.ready and PREPARING not in {t.key for t in n.spec.taints}, "adopted")
    await asyncio.to_thread(cluster.kill_hollow_kubelet, name)
    silent = await client.get(resources.LEASES, name, NAMESPACE)
    await asyncio.sleep(3 * pinning.QUICK.lease_interval)  # three times as long as we would have waited
    assert (await client.get(resources.LEASES, name, NAMESPACE)).spec.renew_time == silent.spec.renew_time


async def test_a_machine_that_joins_and_is_never_ready_keeps_its_node_and_loses_its_pods_and_our_taint(
    driver: Driver, client: Client, namespace: str, node_name: NodeName
) -> None:
    name = node_name()
    pods = await pinned_node(driver, client, namespace, name, seconds=6)
    info = dict.fromkeys(pinning.NODE_INFO, "v1.36.3")
    path = resources.NODES.path("", name, "status")
    body = json.dumps({"status": {"nodeInfo": info}}).encode()
    await client.transport.request("PATCH", path, body=body, content_type="application/merge-patch+json")

    node = await node_where(
        client, name, lambda n: PREPARING not in {t.key for t in n.spec.taints}, "without our taint"
    )
    assert node.has_kubelet
    for each in pods:
        left = await client.get(resources.PODS, each.metadata.name, namespace)
        assert left.metadata.deletion_timestamp is not None  # with its own grace: a kubelet is to confirm it
        await client.delete(resources.PODS, each.metadata.name, namespace, uid=each.metadata.uid, grace_seconds=0)
    closed = await pinning.reservation_where(client, name, lambda r: not r.metadata.finalizers, "closed")
    assert not closed.spec.get("pins")


async def test_a_pod_deleted_on_a_placeholder_does_not_hang_there(
    driver: Driver, client: Client, namespace: str, node_name: NodeName
) -> None:
    name = node_name()
    pods = await pinned_node(driver, client, namespace, name)
    scale = {"spec": {"replicas": 1}}
    owner = await client.get(resources.REPLICA_SETS, "web", namespace)
    await client.patch(resources.REPLICA_SETS, "web", namespace, changes=scale, uid=owner.metadata.uid)

    left = await pinning.pods_of(client, "web", namespace, 1)

    assert left[0].metadata.uid in {p.metadata.uid for p in pods}
    await pinning.reservation_where(client, name, lambda r: len(r.spec["pins"]) == 1, "one pin")
    shown = await pinning.reservation_where(
        client, name, lambda r: (r.status or {}).get("pinned") == "1/1", "to say 1/1"
    )
    assert shown.status["state"] == "Placeholder"


async def test_a_person_who_deletes_a_reservation_gets_rid_of_its_placeholder_and_pods(
    driver: Driver, client: Client, namespace: str, node_name: NodeName
) -> None:
    name = node_name()
    pods = await pinned_node(driver, client, namespace, name)
    reservation = await client.get(resources.NODE_RESERVATIONS, name)

    await client.delete(resources.NODE_RESERVATIONS, name, uid=reservation.metadata.uid)

    await pinning.node_gone(client, name)
    await pinning.reservation_gone(client, name)
    await recreated(client, namespace, pods)


async def test_nonsense_in_a_reservation_is_named_and_destroys_nothing(
    driver: Driver, client: Client, namespace: str, node_name: NodeName
) -> None:
    name = node_name()
    pods = await pinned_node(driver, client, namespace, name)
    reservation = await client.get(resources.NODE_RESERVATIONS, name)
    uid = reservation.metadata.uid
    nonsense = {"spec": {"intent": "Delete", "deadline": "whenever"}}
    await client.patch(resources.NODE_RESERVATIONS, name, changes=nonsense, uid=uid)

    stopped = await pinning.reservation_where(
        client, name, lambda r: (r.status or {}).get("state") == "Stopped", "to say it stopped"
    )
    assert stopped.status["problems"] == ["spec.deadline: 'whenever' is not a time (example: 2026-01-31T12:00:00Z)"]
    assert (await client.get(resources.PODS, pods[0].metadata.name, namespace)).spec.node_name == name
    regarding = [each for each in driver.records.seen if each[:2] == ("NodeReservation", name)]
    assert "whenever" in regarding[0][3]

    repaired = {"spec": {"intent": "Hold", "deadline": reservation.spec["deadline"]}}
    await client.patch(resources.NODE_RESERVATIONS, name, changes=repaired, uid=uid)
    await pinning.reservation_where(client, name, lambda r: (r.status or {}).get("state") == "Placeholder", "to go on")
    assert (await client.get(resources.NODES, name)).metadata.name == name


async def test_slots_keep_the_node_less_wanted_until_they_are_filled_or_released(
    driver: Driver, client: Client, cluster: ClusterHandle, namespace: str, node_name: NodeName
) -> None:

    name = node_name()
    assert (await driver.do(pinning.promise(name))).outcome is Outcome.APPLIED
    slots = (Slot(Owner("ReplicaSet", namespace, "later"), {"cpu": "100m"}, 2),)
    assert (await driver.do(ExpectPods(name, slots))).outcome is Outcome.APPLIED
    await asyncio.to_thread(cluster.start_hollow_kubelet, name)
    await node_where(
        client,
        name,
        lambda n: {(t.key, t.effect) for t in n.spec.taints if t.key == PREPARING} == {(PREPARING, "PreferNoSchedule")},
        "prepared, and less wanted",
    )
    await pinning.reservation_where(client, name, lambda r: (r.status or {}).get("state") == "Preparing", "Preparing")
    assert (await driver.do(Release(name))).outcome is Outcome.APPLIED
    await node_where(client, name, lambda n: PREPARING not in {t.key for t in n.spec.taints}, "open to everybody")


async def test_pods_that_filled_their_slots_end_the_preparation(
    driver: Driver, client: Client, cluster: ClusterHandle, namespace: str, node_name: NodeName
) -> None:

    name = node_name()
    assert (await driver.do(pinning.promise(name))).outcome is Outcome.APPLIED
    slots = (Slot(Owner("ReplicaSet", namespace, "web"), {"cpu": "100m"}, 1),)
    assert (await driver.do(ExpectPods(name, slots))).outcome is Outcome.APPLIED
    await asyncio.to_thread(cluster.start_hollow_kubelet, name)
    await node_where(client, name, lambda n: n.ready and bool(n.spec.taints), "prepared")
    await pinning.replicas(client, "web", namespace, 1, name)
    await node_where(client, name, lambda n: PREPARING not in {t.key for t in n.spec.taints}, "open to everybody")
    (only,) = await pinning.pods_of(client, "web", namespace, 1)
    await pod_where(client, only.metadata.name, namespace, lambda p: p.spec.node_name == name, "there")
