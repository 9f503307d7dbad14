"""Nodes that real kubelets register with our taint (profile late), and their match with the plan."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from moorage.kube import credentials, errors, resources
from moorage.kube.client import Client
from moorage.kube.http.transport import Transport
from moorage.objects import Node, Taint
from moorage.pinner.names import PREPARING
from moorage.protocol import BindWhen, CreatePlaceholder, Outcome
from tests.kube import pinning
from tests.kube.support import eventually
from tests.kube.test_nominations import WANTING, guarded, publish, there
from tools.localcluster import ClusterHandle

NodeName = Callable[..., str]
BATCH = "moorage.test/batch"
TAINT = f"{PREPARING}=true:NoSchedule"


@pytest.fixture
async def client(cluster: ClusterHandle) -> AsyncIterator[Client]:
    async with pinning.connected(cluster) as connected:
        yield connected


def late(name: str) -> CreatePlaceholder:
    """The promise of a node that is known by its batch."""
    return pinning.promise(name, profile="late", match_labels={BATCH: name})


async def join(cluster: ClusterHandle, machine: str, batch: str, *taints: str) -> None:
    """A machine registers its own Node."""
    labels = {BATCH: batch, pinning.POOL: batch}
    await asyncio.to_thread(
        cluster.start_hollow_kubelet, machine, node_labels=labels, register_with_taints=taints or (TAINT,)
    )


async def registered(client: Client, machine: str, condition: Callable[[Node], bool]) -> Node:
    """The Node once it is there and the condition holds."""

    async def probe() -> Node | None:
        found = await pinning.maybe(client, machine)
        return found if found is not None and condition(found) else None

    return await eventually(probe, f"node {machine}")


async def test_plain_pods_are_bound_and_pods_with_devices_nominated_to_the_node_that_a_kubelet_registers(
    client: Client, cluster: ClusterHandle, namespace: str, node_name: NodeName
) -> None:
    name, machine, other = node_name(), node_name("m"), node_name("o")
    plain = await pinning.replicas(client, "plain", namespace, 2, name)
    wanting = await pinning.replicas(client, "wanting", namespace, 3, name, containers=WANTING)
    async with pinning.driver(client) as driver:
        created, pinned = driver.send(late(name)), driver.send(pinning.pin(name, [*plain, *wanting]))
        await join(cluster, machine, name)
        await pinning.reservation_where(client, name, lambda r: r.spec.get("nodeName") == machine, "to learn its Node")
        await join(cluster, other, name)
        await pinning.reservation_where(
            client, name, lambda r: "nvidia.com/gpu" in (r.status or {}).get("message", ""), "to wait for devices"
        )
        assert guarded(await registered(client, machine, lambda n: n.ready))
        assert {each.spec.node_name for each in await there(client, plain)} == {machine}
        await driver.kill()
        await driver.start()
        driver.resend()
        await publish(client, machine, 3)
        found = pinning.outcomes(await driver.answer(pinned))
        assert (await driver.answer(created)).outcome is Outcome.APPLIED
        assert {found[each.metadata.name] for each in plain} == {(Outcome.APPLIED, "OK")}
        assert {found[each.metadata.name] for each in wanting} == {(Outcome.APPLIED, "POD_NOMINATED")}
        await registered(client, machine, lambda n: n.ready and not guarded(n))

        async def started() -> bool:
            now = await there(client, [*plain, *wanting])
            return {(each.spec.node_name, each.status.phase) for each in now} == {(machine, "Running")}

        await eventually(started, "every pod to run on the machine")
        assert guarded(await registered(client, other, lambda n: n.ready)), "the second that matches"
        assert driver.lines.with_message("node placeholder created", node=name) == []


async def test_pods_are_bound_once_a_startup_taint_is_gone_where_the_promise_says_so(
    client: Client, cluster: ClusterHandle, namespace: str, node_name: NodeName
) -> None:
    name, machine, agent = node_name(), node_name("m"), "moorage.test/agent-not-ready"
    pods = await pinning.replicas(client, "web", namespace, 2, name)
    starts = (Taint(key=agent, value="true", effect="NoSchedule"),)
    wanted = replace(late(name).promise, startup_taints=starts, bind_when=BindWhen.STARTUP_TAINTS_GONE)
    async with pinning.driver(client) as driver:
        driver.send(CreatePlaceholder(wanted))
        pinned = driver.send(pinning.pin(name, pods))
        await join(cluster, machine, name, TAINT, f"{agent}=true:NoSchedule")
        await pinning.reservation_where(
            client, name, lambda r: f"still has the taint {agent}" in (r.status or {}).get("message", ""), "to wait"
        )
        joined = await registered(client, machine, lambda n: n.ready)
        assert guarded(joined)
        assert {each.spec.node_name for each in await there(client, pods)} == {""}
        kept = [msgspec.to_builtins(taint) for taint in joined.spec.taints if taint.key != agent]
        await client.patch(resources.NODES, machine, changes={"spec": {"taints": kept}}, uid=joined.metadata.uid)
        assert set(pinning.outcomes(await driver.answer(pinned)).values()) == {(Outcome.APPLIED, "OK")}
        assert {each.spec.node_name for each in await there(client, pods)} == {machine}
        await registered(client, machine, lambda n: not guarded(n))


async def test_a_kubelet_that_registers_without_the_taint_is_left_to_the_scheduler(
    client: Client, cluster: ClusterHandle, namespace: str, node_name: NodeName
) -> None:
    name, machine = node_name(), node_name("m")
    pods = await pinning.replicas(client, "web", namespace, 2, name, cpu="700m")
    async with pinning.driver(client) as driver:
        created, pinned = driver.send(late(name)), driver.send(pinning.pin(name, pods))
        await join(cluster, machine, name, "moorage.test/other=true:PreferNoSchedule")
        answer = await driver.answer(created)
        assert (answer.outcome, answer.reason.name) == (Outcome.REJECTED, "NODE_IS_REAL")
        assert machine in answer.sentence
        assert PREPARING in answer.sentence
        outcomes = {outcome for outcome, _ in pinning.outcomes(await driver.answer(pinned)).values()}
        assert outcomes <= {Outcome.REJECTED, Outcome.APPLIED}, "the scheduler may have been faster"

        async def placed() -> bool:
            return [each.spec.node_name for each in await there(client, pods)].count(machine) == 1

        await eventually(placed, "the scheduler to place the pod that fits")
        found = await client.get(resources.NODES, machine)
        assert [each.key for each in found.spec.taints] == ["moorage.test/other"]
        assert not [key for key in found.metadata.annotations if key.startswith("moorage.dev/")]
        assert driver.records.of(machine) == ["NodeLearned", "NodeLeftAlone"]


async def test_when_nothing_comes_the_pods_are_given_up_and_who_comes_later_is_nobodys(
    client: Client, cluster: ClusterHandle, namespace: str, node_name: NodeName
) -> None:
    name, machine = node_name(), node_name("m")
    pods = await pinning.replicas(client, "web", namespace, 2, name)
    async with pinning.driver(client) as driver:
        created, pinned = driver.send(late(name), seconds=6), driver.send(pinning.pin(name, pods), seconds=6)
        for each in (created, pinned):
            answer = await driver.answer(each)
            assert (answer.outcome, answer.reason.name) == (Outcome.FAILED, "NODE_FAILED")
            assert f"{BATCH}={name}" in answer.sentence
        await pinning.reservation_gone(client, name)
        await join(cluster, machine, name)
        await registered(client, machine, lambda n: n.ready)
        assert {each.spec.node_name for each in await there(client, pods)} == {""}
        assert await pinning.maybe(client, name) is None


async def test_what_a_kubelet_can_claim_of_its_own_node(
    client: Client, cluster: ClusterHandle, node_name: NodeName
) -> None:
    """What SECURITY.md says of stolen nodes."""
    machine = node_name()
    await join(cluster, machine, machine, "moorage.test/other=true:PreferNoSchedule")
    node = await registered(client, machine, lambda n: n.ready)
    taint = {"key": PREPARING, "value": "true", "effect": "NoSchedule"}
    owner = {"apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "name": "c", "uid": "c"}
    restricted, plain = {"node-restriction.kubernetes.io/batch": "b"}, {BATCH: "b"}
    claims: list[dict[str, Any]] = [
        {"spec": {"taints": [taint]}},
        {"metadata": {"ownerReferences": [owner]}},
        {"metadata": {"labels": restricted}},
    ]
    async with Transport(credentials.load(cluster.hollow_kubeconfig(machine))) as transport:
        kubelet = Client(transport)
        for claim in claims:
            with pytest.raises(errors.Forbidden, match="not allowed to"):
                await kubelet.patch(resources.NODES, machine, changes=claim, uid=node.metadata.uid)
        await kubelet.patch(resources.NODES, machine, changes={"metadata": {"labels": plain}}, uid=node.metadata.uid)

        await asyncio.to_thread(cluster.kill_hollow_kubelet, machine)
        await client.delete(resources.NODES, machine, uid=node.metadata.uid)
        await pinning.node_gone(client, machine)
        body = {"metadata": {"name": machine, "labels": restricted}, "spec": {"taints": [taint]}}
        with pytest.raises(errors.Forbidden, match="not allowed to set the following labels"):
            await kubelet.create(resources.NODES, body)
        body = {
            "metadata": {"name": machine, "labels": plain, "ownerReferences": [owner]},
            "spec": {"taints": [taint], "providerID": "gce://p/z/somebody-elses"},
        }
        anew = await kubelet.create(resources.NODES, body)
    assert [each.key for each in anew.spec.taints if each.key == PREPARING] == [PREPARING]
    assert [each.name for each in anew.metadata.owner_references] == ["c"]
    assert anew.spec.provider_id == "gce://p/z/somebody-elses"
    await client.delete(resources.NODES, machine, uid=anew.metadata.uid)
