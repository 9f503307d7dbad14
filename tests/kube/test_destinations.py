"""Replacements that SlotReservations bring to running nodes, on a real API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from prometheus_client import REGISTRY

from moorage.kube import credentials, errors, resources
from moorage.kube.client import Client
from moorage.kube.http.transport import Transport
from moorage.objects import Pod
from moorage.pinner.names import PIN_ANNOTATION, STEERED_BY
from moorage.planner.instruction_store import InstructionStore
from moorage.reservations import SlotReservation, destinations
from tests.kube import pinning
from tests.kube.pinning import POOL
from tests.kube.support import eventually, pod, pod_where
from tests.kube.webhooks import asked, deployment, expected_pod, pinner
from tools.localcluster import ClusterHandle, LocalCluster

pytestmark = pytest.mark.cluster

Json = dict[str, Any]
SINCE, UNTIL = "2026-01-31T12:00:00Z", "2026-01-31T12:30:00Z"


@pytest.fixture
async def client(cluster: ClusterHandle) -> AsyncIterator[Client]:
    async with pinning.connected(cluster) as connected:
        yield connected


def reservation(node: str, *slots: Json, **spec: Any) -> Json:
    """A SlotReservation as it is written."""
    told = {"nodeUID": "u", "by": "ns/test", "since": SINCE, "until": UNTIL, "slots": list(slots), **spec}
    return {"metadata": {"name": node}, "spec": told}


def slot(app: str, namespace: str, count: int = 1, *, cpu: str = "100m") -> Json:
    """Room for pods of a Deployment."""
    owner = {"kind": "Deployment", "namespace": namespace, "name": app}
    return {"owner": owner, "requests": {"cpu": cpu}, "count": count}


# --- what the API server takes ---

SLOT = slot("web", "ns")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"until": "2026-01-31T13:00:01Z"}, "within an hour after since"),
        ({"until": SINCE}, "within an hour after since"),
        ({"until": "soon"}, "spec.until"),
        ({"until": None}, "spec.until"),
        ({"since": None}, "spec.since"),
        ({"nodeUID": ""}, "spec.nodeUID"),
        ({"by": None}, "spec.by"),
        ({"slots": [{**SLOT, "count": -1}]}, "greater than or equal to 0"),
        ({"slots": [{**SLOT, "count": 1001}]}, "less than or equal to 1000"),
        ({"slots": [SLOT] * 257}, "at most 256"),
        ({"slots": [{**SLOT, "owner": {"kind": "Deployment", "name": "web"}}]}, "namespace"),
        ({"slots": [{**SLOT, "requests": {"cpu": [1]}}]}, "requests"),
    ],
)
async def test_the_definition_refuses_nonsense(client: Client, node_name: Any, change: Json, words: str) -> None:
    body = reservation(node_name(), SLOT, **change)
    body["spec"] = {key: value for key, value in body["spec"].items() if value is not None}
    with pytest.raises(errors.Invalid) as refused:
        await client.create(resources.SLOT_RESERVATIONS, body)
    assert words in str(refused.value)


async def test_what_the_definition_takes_comes_back(client: Client, node_name: Any) -> None:
    body = reservation(node_name(), SLOT, later=True)
    made = await client.create(resources.SLOT_RESERVATIONS, body)
    try:
        assert made.spec == {key: value for key, value in body["spec"].items() if key != "later"}
        assert made.metadata.generation == 1
    finally:
        await client.delete(resources.SLOT_RESERVATIONS, made.metadata.name, uid=made.metadata.uid)


# --- where replacements go ---

NodeName = Callable[..., str]


class Shop:
    """Hollow nodes of one pool, and a Deployment on them.

    Args:
        client: the API server.
        cluster: where the nodes are.
        namespace: where the pods are.
        pool: of the nodes.
    """

    def __init__(self, client: Client, cluster: ClusterHandle, namespace: str, pool: str) -> None:
        self._client, self._cluster, self._namespace, self._pool = client, cluster, namespace, pool

    async def join(self, name: str, *, used: str = "") -> str:
        """A node joins; returns its uid. Of its one core so much is used, by a pod that runs already.

        A kubelet admits the pods of one second in any order: until it runs, another pod may take its room.
        """
        await asyncio.to_thread(self._cluster.start_hollow_kubelet, name, node_labels={POOL: self._pool})
        await asyncio.to_thread(self._cluster.wait_node_ready, name)
        found = await self._client.get(resources.NODES, name)
        if used:
            filler = await self._client.create(
                resources.PODS, pod(f"filler-{name}", cpu=used, nodeName=name), self._namespace
            )
            await pod_where(
                self._client, filler.metadata.name, self._namespace, lambda p: p.status.phase == "Running", "Running"
            )
        return found.metadata.uid

    async def open(self, count: int = 1) -> None:
        """Make the Deployment."""
        await self._client.create(resources.DEPLOYMENTS, deployment("web", count, self._pool), self._namespace)

    async def running(self, count: int = 1, *, but: frozenset[str] = frozenset()) -> list[Pod]:
        """So many of its pods, all running, and none of them known before."""

        async def probe() -> list[Pod] | None:
            found = await self._client.list(resources.PODS, self._namespace, labels="app=web")
            good = [each for each in found if each.status.phase == "Running" and not each.metadata.deletion_timestamp]
            return good if len(good) == count and not {each.metadata.uid for each in good} & but else None

        return await eventually(probe, f"{count} new pods to run")

    async def waiting(self) -> Pod:
        """Its only pod, which has no node."""

        async def probe() -> Pod | None:
            found = await self._client.list(resources.PODS, self._namespace, labels="app=web")
            return found[0] if len(found) == 1 and not found[0].spec.node_name else None

        return await eventually(probe, "one pod to wait")

    async def moved(self, pods: list[Pod]) -> list[Pod]:
        """Pods are evicted; returns those that come in their place."""
        for each in pods:
            await self._client.evict(each.metadata.name, self._namespace, uid=each.metadata.uid)
        return await self.running(len(pods), but=frozenset(each.metadata.uid for each in pods))


def now(client: Client, minutes: float = 0.0) -> str:
    """The API server's time, or some minutes later."""
    return f"{client.transport.clock.now() + timedelta(minutes=minutes):%Y-%m-%dT%H:%M:%SZ}"


async def expected(client: Client, node: str, uid: str, *slots: Json, **spec: Any) -> SlotReservation:
    """Pods are expected on a node from now on."""
    told = {"nodeUID": uid, "since": now(client), "until": now(client, 5), **spec}
    return await client.create(resources.SLOT_RESERVATIONS, reservation(node, *slots, **told))


async def says(client: Client, node: str, what: str, condition: Callable[[Json], bool]) -> SlotReservation:
    """The reservation of a node, once its status says something."""

    async def probe() -> SlotReservation | None:
        found = await client.get(resources.SLOT_RESERVATIONS, node)
        return found if condition(found.status or {}) else None

    return await eventually(probe, f"the slots of {node} to say {what}")


async def served(client: Client, node: str) -> None:
    """Wait for what the evictor waits for; then ``takes``, because here any second may be a long one."""

    async def probe() -> bool:
        return destinations.is_served(await client.get(resources.SLOT_RESERVATIONS, node))

    await eventually(probe, f"the slots of {node} to be served")


async def test_a_replacement_goes_where_it_is_expected_and_not_where_the_scheduler_would_put_it(
    client: Client, cluster: ClusterHandle, namespace: str, node_name: NodeName
) -> None:
    old, busy, empty, board = node_name("o"), node_name("b"), node_name("e"), InstructionStore()
    shop = Shop(client, cluster, namespace, old)
    async with pinner(client, cluster, namespace, board) as configuration:
        await shop.join(old)
        await shop.open()
        first = await shop.running()
        uid = await shop.join(busy, used="500m")
        await shop.join(empty)
        node = await client.get(resources.NODES, old)
        await client.patch(resources.NODES, old, changes={"spec": {"unschedulable": True}}, uid=node.metadata.uid)
        by_scheduler = await shop.moved(first)
        assert [each.spec.node_name for each in by_scheduler] == [empty], "it prefers the emptier one"

        await expected(client, busy, uid, slot("web", namespace))
        await served(client, busy)
        await takes(client, namespace, busy, pool=old)
        steered = await shop.moved(by_scheduler)
        assert [each.spec.node_name for each in steered] == [busy]
        assert steered[0].metadata.annotations[PIN_ANNOTATION] == STEERED_BY + "ns/test"
        await says(client, busy, "that it has come", lambda status: status.get("filled") == "1/1")
        await asked(client, configuration, wanted=False)

        assert [each.spec.node_name for each in await shop.moved(steered)] == [empty]


async def test_without_a_pinner_the_scheduler_places_and_the_next_one_goes_on(
    client: Client, cluster: ClusterHandle, namespace: str, node_name: NodeName
) -> None:
    busy, empty, board = node_name("b"), node_name("e"), InstructionStore()
    shop = Shop(client, cluster, namespace, busy)
    uid = await shop.join(busy, used="500m")
    await shop.join(empty)
    await expected(client, busy, uid, slot("web", namespace))
    await shop.open()
    pods = await shop.running()
    assert [each.spec.node_name for each in pods] == [empty]
    async with pinner(client, cluster, namespace, board):
        await served(client, busy)
    pods = await shop.moved(pods)
    assert [each.spec.node_name for each in pods] == [empty], "nobody waits for a pinner that is gone"
    async with pinner(client, cluster, namespace, board) as configuration:
        await asked(client, configuration, wanted=True)
        await takes(client, namespace, busy)
        assert [each.spec.node_name for each in await shop.moved(pods)] == [busy]


async def takes(client: Client, namespace: str, node: str, *, pool: str = "") -> None:
    """Wait until the API server asks: it learns of the configuration by a watch of its own."""

    async def probe() -> bool:
        body = expected_pod(namespace, "web", pool or node)
        made = await client.create(resources.PODS, body, namespace, dry_run=True)
        return made.spec.node_name == node or made.spec.affinity is not None

    await eventually(probe, f"pods to be put on {node}")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nodeUID": "another"}, "another is meant"),
        ({"since": "2026-01-31T12:00:00Z", "until": "2026-01-31T12:30:00Z"}, "it is over"),
    ],
)
async def test_what_does_not_count_changes_nothing(
    client: Client, cluster: ClusterHandle, namespace: str, node_name: NodeName, change: Json, message: str
) -> None:
    busy, empty, board = node_name("b"), node_name("e"), InstructionStore()
    shop = Shop(client, cluster, namespace, busy)
    async with pinner(client, cluster, namespace, board) as configuration:
        uid = await shop.join(busy, used="500m")
        await shop.join(empty)
        await expected(client, busy, uid, slot("web", namespace), **change)
        found = await says(client, busy, message, lambda status: message in status.get("message", ""))
        assert not destinations.is_served(found)
        await asked(client, configuration, wanted=False)
        await shop.open()
        assert [each.spec.node_name for each in await shop.running()] == [empty]


async def test_softly_it_is_a_preference_and_devices_are_always_only_preferred(
    client: Client, cluster: ClusterHandle, namespace: str, node_name: NodeName
) -> None:
    busy, board = node_name("b"), InstructionStore()
    shop = Shop(client, cluster, namespace, busy)
    async with pinner(client, cluster, namespace, board, destinations="soft"):
        uid = await shop.join(busy)
        await expected(client, busy, uid, slot("web", namespace))
        await served(client, busy)
        await takes(client, namespace, busy)
        await shop.open()
        (found,) = await shop.running()
        assert PIN_ANNOTATION not in found.metadata.annotations
        affinity = found.spec.affinity
        assert affinity is not None
        assert affinity.node_affinity is not None
        (term,) = affinity.node_affinity.preferred_during_scheduling_ignored_during_execution
        assert term.weight == 100
        await says(client, busy, "that it has come", lambda status: status.get("filled") == "1/1")


async def test_what_a_kubelet_refuses_is_deleted_and_made_again(
    client: Client, cluster: ClusterHandle, namespace: str, node_name: NodeName
) -> None:
    """Somebody was faster than our watch: the node has no room left when the pod that we have put there comes."""
    node, board = node_name("n"), InstructionStore()
    shop = Shop(client, cluster, namespace, node)
    async with pinner(client, cluster, namespace, board):
        await shop.join(node, used="950m")
        await shop.open()
        waiting = await shop.waiting()
        before = swept()
        meta = waiting.metadata
        (owner,) = meta.owner_references
        made = expected_pod(namespace, "web", node, cpu="100m")
        made["metadata"] |= {"generateName": "late-", "annotations": {PIN_ANNOTATION: STEERED_BY + "ns/test"}}
        made["metadata"] |= {"labels": meta.labels, "ownerReferences": [msgspec.to_builtins(owner)]}
        made["spec"]["nodeName"] = node
        late = await client.create(resources.PODS, made, namespace)

        async def gone() -> bool:
            found = await client.list(resources.PODS, namespace, labels="app=web")
            there = [each for each in found if each.metadata.uid == late.metadata.uid]
            return swept() > before and all(each.metadata.deletion_timestamp for each in there)

        await eventually(gone, "the pod to be swept")
        assert (await shop.waiting()).spec.node_name == "", "it is made again, and the scheduler's"


def swept() -> float:
    """How many pods were swept, so far and in all tests."""
    return REGISTRY.get_sample_value("moorage_pinner_swept_pods_total") or 0.0


async def test_without_the_definition_all_is_as_before_and_later_whatever_is_in_it(
    own_cluster: LocalCluster, node_name: NodeName
) -> None:
    namespace, busy, empty, board = node_name("slots"), node_name("b"), node_name("e"), InstructionStore()
    own_cluster.api.request("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
    pinning.define(own_cluster, "nodereservations")
    async with Transport(credentials.load(own_cluster.kubeconfig)) as transport:
        client = Client(transport)
        shop = Shop(client, own_cluster, namespace, busy)
        async with pinner(client, own_cluster, namespace, board) as configuration:
            uid = await shop.join(busy, used="500m")
            await shop.join(empty)
            await shop.open()
            first = await shop.running()
            assert [each.spec.node_name for each in first] == [empty]

            pinning.define(own_cluster, "slotreservations", without_schema)
            await says(client, "a", "that it cannot be read", await rubbish(client, "a", {"slots": "many"}))
            await says(client, "b", "that it cannot be read", await rubbish(client, "b", None))
            many = {**reservation("c", slot("web", namespace, 100_000))["spec"], "nodeUID": uid}
            await says(client, "c", "that it cannot be read", await rubbish(client, "c", many))
            await expected(client, busy, uid, slot("web", namespace))
            await served(client, busy)
            await asked(client, configuration, wanted=True)
            await takes(client, namespace, busy)
            assert [each.spec.node_name for each in await shop.moved(first)] == [busy]


def without_schema(definition: Json) -> None:
    """Whoever changed it so lets anything pass."""
    (version,) = definition["spec"]["versions"]
    anything = {"x-kubernetes-preserve-unknown-fields": True}
    version["schema"]["openAPIV3Schema"] = {"type": "object", "properties": {"spec": anything, "status": anything}}
    version["schema"]["openAPIV3Schema"] |= anything


async def rubbish(client: Client, name: str, spec: Any) -> Callable[[Json], bool]:
    """Something that no version of the definition takes; returns how it is answered."""
    await client.create(resources.SLOT_RESERVATIONS, {"metadata": {"name": name}, "spec": spec})
    return lambda status: bool(status.get("problems")) and "cannot be read" in status["message"]
