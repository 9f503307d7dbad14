"""Pinned pods that others end, on a real control plane: who waits for that, and how often they are pinned again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from moorage.kube import resources
from moorage.kube.client import Client
from moorage.objects import Pod
from moorage.protocol import Outcome
from tests.kube import pinning
from tests.kube.pinning import Driver
from tests.kube.support import eventually, node_where
from tools.localcluster import ClusterHandle

NodeName = Callable[..., str]

PATIENT = {"terminationGracePeriodSeconds": 600}
TOLERANT = {**PATIENT, "tolerations": [{"operator": "Exists"}]}


@pytest.fixture
async def client(cluster: ClusterHandle) -> AsyncIterator[Client]:
    async with pinning.connected(cluster) as connected:
        yield connected


@pytest.fixture
async def driver(client: Client) -> AsyncIterator[Driver]:
    async with pinning.driver(client) as running:
        yield running


def workload(app: str, pool: str, **more: Any) -> dict[str, Any]:
    """A Deployment or DaemonSet for nodes of a pool."""
    tolerant = "updateStrategy" in more
    template = pinning.template(app, pool, **(TOLERANT if tolerant else PATIENT))
    return {
        "metadata": {"name": app},
        "spec": {"selector": {"matchLabels": {"app": app}}, "template": template, **more},
    }


async def replaced(client: Client, app: str, namespace: str, old: Sequence[Pod]) -> None:
    """Wait until there are as many other pods, and none of the old ones."""
    uids = {pod.metadata.uid for pod in old}

    async def others_only() -> bool:
        found = await client.list(resources.PODS, namespace, labels=f"app={app}")
        return len(found) == len(uids) and not uids & {pod.metadata.uid for pod in found}

    await eventually(others_only, f"new pods of {app} in place of the old ones")


async def test_rollouts_do_not_wait_for_the_grace_of_pods_that_never_started(
    driver: Driver, client: Client, namespace: str, node_name: NodeName
) -> None:
    """Each pod has ten minutes; nobody waits for so long here."""
    name, revised = node_name(), {"spec": {"template": {"metadata": {"annotations": {"revision": "2"}}}}}
    await client.create(resources.DEPLOYMENTS, workload("web", name, strategy={"type": "Recreate"}), namespace)
    web = await pinning.pods_of(client, "web", namespace, 1)
    assert (await driver.do(pinning.promise(name), seconds=600)).outcome is Outcome.APPLIED
    assert (await driver.do(pinning.pin(name, web), seconds=600)).outcome is Outcome.APPLIED
    await client.create(
        resources.DAEMON_SETS, workload("agent", name, updateStrategy={"type": "RollingUpdate"}), namespace
    )

    async def on_the_placeholder() -> list[Pod] | None:
        found = await client.list(resources.PODS, namespace, labels="app=agent")
        return list(found) if [pod.spec.node_name for pod in found] == [name] else None

    agent = await eventually(on_the_placeholder, "the DaemonSet's pod on the placeholder")
    for kind, app in ((resources.DEPLOYMENTS, "web"), (resources.DAEMON_SETS, "agent")):
        found = await client.get(kind, app, namespace)
        await client.patch(kind, app, namespace, uid=found.metadata.uid, changes=revised)

    await replaced(client, "web", namespace, web)
    await replaced(client, "agent", namespace, agent)
    assert driver.records.of(web[0].metadata.name)[-1] == "DeletionFinished"
    lines = driver.lines.with_message("pod deleted", node=name)
    assert {line["reason"] for line in lines} == {"POD_TERMINATING"}
    assert sorted(line["pod"] for line in lines) == sorted(pod.key for pod in (*web, *agent))


HASTY = [
    {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 2}
    for key in ("not-ready", "unreachable")
]


async def reports(client: Client, name: str, *, ready: bool) -> None:
    """A machine says how it is, as its kubelet would."""
    info = dict.fromkeys(pinning.NODE_INFO, "") | {"kubeletVersion": "v1.36.3"}
    condition = {"type": "Ready", "status": str(ready), "reason": "Kubelet", "message": "it says so"}
    found = await client.get(resources.NODES, name)
    changes = {"status": {"nodeInfo": info, "conditions": [condition]}}
    await client.patch(resources.NODES, name, uid=found.metadata.uid, changes=changes, subresource="status")


async def test_what_the_taint_manager_takes_from_a_machine_that_is_not_ready_is_pinned_when_it_is(
    driver: Driver, client: Client, namespace: str, node_name: NodeName
) -> None:
    """24 pods were made and pinned within 40 s."""
    name = node_name()
    pods = await pinning.replicas(client, "web", namespace, 2, name, tolerations=HASTY)
    assert (await driver.do(pinning.promise(name), seconds=300)).outcome is Outcome.APPLIED
    assert (await driver.do(pinning.pin(name, pods), seconds=300)).outcome is Outcome.APPLIED

    await reports(client, name, ready=False)

    async def fresh() -> list[Pod] | None:
        found = await client.list(resources.PODS, namespace, labels="app=web")
        living = [pod for pod in found if pod.metadata.deletion_timestamp is None]
        others = [pod for pod in living if pod.metadata.uid not in {each.metadata.uid for each in pods}]
        return others if len(living) == len(others) == len(pods) else None

    others = await eventually(fresh, "the taint manager to remove both, and two new pods")
    pinned = driver.send(pinning.pin(name, others), seconds=300)
    patient = await pinning.replicas(client, "patient", namespace, 1, name)
    assert (await driver.do(pinning.pin(name, patient))).outcome is Outcome.APPLIED, "it has its five minutes"
    assert not any(ack.outcome.final for ack in driver.acks if ack.instruction_id == pinned)

    await reports(client, name, ready=True)

    assert (await driver.answer(pinned)).outcome is Outcome.APPLIED


async def test_nothing_is_pinned_to_a_machine_whose_node_is_being_deleted(
    driver: Driver, client: Client, namespace: str, node_name: NodeName
) -> None:
    name = node_name()
    pods = await pinning.replicas(client, "web", namespace, 1, name)
    assert (await driver.do(pinning.promise(name), seconds=300)).outcome is Outcome.APPLIED
    await reports(client, name, ready=False)
    node = await client.get(resources.NODES, name)
    held = {"metadata": {"finalizers": ["example.com/hold"]}}
    await client.patch(resources.NODES, name, uid=node.metadata.uid, changes=held)
    await client.delete(resources.NODES, name, uid=node.metadata.uid)
    try:
        leaving = await node_where(client, name, lambda n: n.metadata.deletion_timestamp is not None, "being deleted")
        await driver.sees(driver.caches.nodes, leaving)

        ack = await driver.do(pinning.pin(name, pods))

        assert pinning.outcomes(ack) == {pods[0].metadata.name: (Outcome.REJECTED, "NODE_TERMINATING")}
        assert "finalizers hold it: example.com/hold" in driver.records.note(pods[0].metadata.name, "NotPinned")
    finally:
        free = {"metadata": {"finalizers": None}}
        await client.patch(resources.NODES, name, uid=node.metadata.uid, changes=free)
