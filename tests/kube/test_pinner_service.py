"""The pinner as a program on a real control plane: a dry run writes nothing, and its messages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from moorage.kube import errors, resources
from moorage.kube.client import Client
from moorage.ops.parsing import Address
from moorage.ops.settings import PinnerSettings
from moorage.pinner import service
from moorage.planner.instruction_store import InstructionStore
from moorage.planner.server import PlannerServer, ServerSettings
from moorage.protocol import Ack, Instruction, Outcome, PinPods, PodRef, ReasonCode
from tests.kube import identity, pinning
from tests.kube.accounts import account
from tests.kube.support import eventually, pod
from tools.localcluster import ClusterHandle

NodeName = Callable[..., str]
LEASE = "of-the-tests"
KINDS = {
    "": ["nodes", "pods", "namespaces", "persistentvolumes", "persistentvolumeclaims"],
    "apps": ["daemonsets"],
    "moorage.dev": ["nodereservations"],
    "storage.k8s.io": ["storageclasses", "csinodes", "volumeattachments"],
}
READ = [{"apiGroups": [group], "resources": kinds, "verbs": ["get", "list", "watch"]} for group, kinds in KINDS.items()]
WRITE = [
    {
        "apiGroups": ["coordination.k8s.io"],
        "resources": ["leases"],
        "verbs": ["get", "list", "watch", "create", "update"],
    },
    {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"]},
]


@pytest.fixture
async def client(cluster: ClusterHandle) -> AsyncIterator[Client]:
    async with pinning.connected(cluster) as connected:
        yield connected


@asynccontextmanager
async def running(board: InstructionStore, kubeconfig: Path, namespace: str, **changes: Any) -> AsyncIterator[None]:
    """A planner, and a pinner that follows it."""
    server = PlannerServer(board, ServerSettings(address=Address("127.0.0.1", 0)))
    await server.start()
    values: dict[str, Any] = {
        "kubeconfig": kubeconfig,
        "planner_address": Address("127.0.0.1", server.port),
        "planner_plaintext": True,
        "namespace": namespace,
        "lease_name": LEASE,
        "pod_name": "our-pod",
        "health_address": Address("127.0.0.1", 0),
    }
    settings = PinnerSettings(**{**values, **changes})
    task = asyncio.create_task(service.run(settings))
    try:
        yield
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await server.stop()


def answers(code: str) -> float:
    """How often the API server has answered us with this status."""
    verbs = ("GET", "POST", "PUT", "PATCH", "DELETE")
    name = "moorage_api_requests_total"
    return sum(REGISTRY.get_sample_value(name, {"verb": verb, "code": code}) or 0.0 for verb in verbs)


async def events_with(cluster: ClusterHandle, namespace: str, reason: str) -> list[dict[str, Any]]:
    """All Events of a namespace, once one has this reason."""

    async def told() -> list[dict[str, Any]] | None:
        found = cluster.api.get(f"/apis/events.k8s.io/v1/namespaces/{namespace}/events")["items"]
        return found if any(each["reason"] == reason for each in found) else None

    return await eventually(told, f"an Event {reason}")


async def test_a_whole_plan_is_judged_and_nothing_is_written(
    client: Client, cluster: ClusterHandle, namespace: str, node_name: NodeName, tmp_path: Path
) -> None:
    name = node_name()
    pods = await pinning.replicas(client, "web", namespace, 3, name, cpu="400m")
    board, acks = InstructionStore(), dict[str, Ack]()

    def record(_cluster: str, instruction: Instruction, ack: Ack) -> None:
        if ack.outcome.final:
            acks[type(instruction.action).__name__] = ack

    board.on_ack(record)
    board.start("plan", timedelta(minutes=10))
    board.issue(pinning.promise(name))
    absent = PodRef(namespace, "absent", "u")
    board.issue(PinPods(name, (*pinning.refs(pods), absent)))
    refused, allowed = answers("403"), answers("201")
    async with running(
        board,
        account(cluster, namespace, f"pod-pinner-{namespace}", tmp_path, everywhere=READ, here=WRITE),
        namespace,
        dry_run=True,
        webhook=True,  # in vain: it would fill a Secret, and label a pod
    ):

        async def answered() -> dict[str, Ack] | None:
            return acks if len(acks) == 2 else None

        await eventually(answered, "both answers")

        events = await events_with(cluster, namespace, "DryRun")
    created, pinned = acks["CreatePlaceholder"], acks["PinPods"]
    assert (created.outcome, created.reason) == (Outcome.REJECTED, ReasonCode.DRY_RUN)
    assert f"placeholder {name} would be created" in created.sentence
    reasons = sorted(result.reason.name for result in pinned.pods)
    assert reasons == ["DRY_RUN", "DRY_RUN", "NODE_FULL", "POD_NOT_FOUND"]
    assert pinned.sentence.startswith(f"2 of 4 pods would be on node {name}; ")
    assert board.clusters
    assert not any(board.reports.of(each) for each in board.clusters), "a planner would go on from a report"

    with pytest.raises(errors.NotFound):
        await client.get(resources.NODES, name)
    with pytest.raises(errors.NotFound):
        await client.get(resources.NODE_RESERVATIONS, name)
    for each in await client.list(resources.PODS, namespace):
        assert each.spec.node_name == ""
    ours = [each for each in events if each["reportingController"] == "moorage-pod-pinner"]
    assert {each["regarding"]["name"] for each in ours} == {"our-pod"}
    assert answers("201") > allowed  # the Lease, at least
    assert answers("403") == refused


async def test_a_cluster_controller_beside_a_managed_installation_is_warned_of_by_the_pods_uid(
    client: Client, cluster: ClusterHandle, namespace: str
) -> None:
    controller = {
        "metadata": {"name": "castai-cluster-controller"},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": "c"}},
            "template": pinning.template("c", "nowhere") | {"metadata": {"labels": {"app": "c"}}},
        },
    }
    ours = await client.create(resources.PODS, pod("our-pod", schedulerName="nobody"), namespace)
    board = InstructionStore()
    board.start("plan", timedelta(minutes=10))
    await client.create(resources.DEPLOYMENTS, controller, namespace)
    async with running(board, identity.pinner(cluster, namespace=namespace, lease=LEASE), namespace, managed=True):
        events = await events_with(cluster, namespace, "ManagedByCastAI")
    (event,) = [each for each in events if each["reason"] == "ManagedByCastAI"]
    assert event["type"] == "Warning"
    assert "managedByCASTAI=false" in event["note"]
    assert event["regarding"]["uid"] == ours.metadata.uid


@pytest.mark.parametrize("may_look", [True, False])
async def test_nobody_is_warned_where_there_is_none_or_nobody_may_look(
    may_look: bool, client: Client, cluster: ClusterHandle, namespace: str, tmp_path: Path
) -> None:
    board = InstructionStore()
    board.start("plan", timedelta(minutes=10))
    kubeconfig, refused = (
        account(cluster, namespace, f"pod-pinner-{namespace}", tmp_path, everywhere=READ, here=WRITE),
        answers("403"),
    )
    if may_look:
        kubeconfig = identity.pinner(cluster, namespace=namespace, lease=LEASE)
    async with running(board, kubeconfig, namespace, managed=True, dry_run=True):
        events = await events_with(cluster, namespace, "DryRun")
        if not may_look:
            await eventually(_true_when(lambda: answers("403") > refused), "the question about the Deployment")
    assert {each["reason"] for each in events} == {"DryRun"}


async def test_nobody_leads_who_cannot_follow_the_cluster(
    client: Client, cluster: ClusterHandle, namespace: str, tmp_path: Path
) -> None:
    """A replica that may not list one kind would hold the Lease and do nothing. Another one could lead."""
    board = InstructionStore()
    board.start("plan", timedelta(minutes=10))
    user = f"blind-{namespace}"
    rules = [{**rule, "resources": [kind for kind in rule["resources"] if kind != "csinodes"]} for rule in READ]
    kubeconfig, refused = account(cluster, namespace, user, tmp_path, everywhere=rules, here=WRITE), answers("403")

    async def lease() -> Any:
        found = await client.list(resources.LEASES, namespace)
        return next((each for each in found if each.spec.holder_identity), None)

    async with running(board, kubeconfig, namespace, lease_name="pinner"):
        await eventually(_true_when(lambda: answers("403") >= refused + 4), "csinodes to be asked for in vain")
        assert await lease() is None
        role = f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{user}"
        cluster.api.request("PUT", role, {"metadata": {"name": user}, "rules": READ})
        held = await eventually(lease, "the Lease to be taken once the cluster can be followed")
        assert held.spec.holder_identity.startswith("our-pod_")


def _true_when(condition: Callable[[], bool]) -> Callable[[], Awaitable[bool | None]]:
    async def probe() -> bool | None:
        return condition() or None

    return probe
