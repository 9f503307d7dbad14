"""The whole path on a real cluster: instruction, placeholder, pins, machines that join, adoption."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from moorage.kube import resources
from moorage.kube.client import Client
from moorage.pinner.names import JOINING_LABELS, PIN_ANNOTATION, PREPARING
from moorage.protocol import Outcome, PinPods
from tests.kube import pinning
from tests.kube.support import node_where, pod_where
from tools.localcluster import ClusterHandle

NodeName = Callable[..., str]


@pytest.fixture
async def client(cluster: ClusterHandle) -> AsyncIterator[Client]:
    async with pinning.connected(cluster) as connected:
        yield connected


async def test_three_placeholders_and_twelve_pods_end_running_where_they_were_planned(
    client: Client, cluster: ClusterHandle, namespace: str, node_name: NodeName
) -> None:
    names = [node_name(str(index)) for index in range(3)]
    pods = await pinning.replicas(client, "web", namespace, 12, names[0])
    plan = {name: pods[index * 4 : index * 4 + 4] for index, name in enumerate(names)}
    async with pinning.driver(client) as driver:
        for name in names:
            created = driver.send(pinning.promise(name, names[0]))
            pinned = driver.send(pinning.pin(name, plan[name]))
            assert (await driver.answer(created)).outcome is Outcome.APPLIED
            ack = await driver.answer(pinned)
            assert ack.outcome is Outcome.APPLIED
            assert {result.node for result in ack.pods} == {name}

        held = await client.get(resources.NODES, names[0])
        assert not held.has_kubelet
        assert {t.key for t in held.spec.taints} >= {PREPARING}
        assert held.metadata.labels.items() >= JOINING_LABELS.items()
        bound = await client.get(resources.PODS, plan[names[1]][0].metadata.name, namespace)
        assert bound.spec.node_name == names[1]
        assert bound.metadata.annotations[PIN_ANNOTATION] == "i-4"
        shown = await pinning.reservation_where(client, names[2], lambda r: bool(r.status), "a status")
        assert (shown.status["state"], shown.status["pinned"]) == ("Placeholder", "4/4")

        for name in names:
            await asyncio.to_thread(cluster.start_hollow_kubelet, name)
        for name in names:
            adopted = await node_where(
                client,
                name,
                lambda n: n.ready and PREPARING not in {t.key for t in n.spec.taints},
                "Ready and open to the scheduler",
            )
            assert not adopted.metadata.labels.keys() & JOINING_LABELS.keys()
            settled = await pinning.reservation_where(
                client, name, lambda r: r.status["state"] == "Ready" and not r.metadata.finalizers, "Ready and closed"
            )
            assert settled.status["pinned"] == "4/4"
            assert settled.spec["nodeUID"] == adopted.metadata.uid
        for name, planned in plan.items():
            for each in planned:
                ran = await pod_where(
                    client, each.metadata.name, namespace, lambda p: p.status.phase == "Running", "Running"
                )
                assert (ran.spec.node_name, ran.metadata.uid) == (name, each.metadata.uid)

        created_lines = driver.lines.with_message("node placeholder created")
        assert {line["node"] for line in created_lines} >= set(names)
        assert all(line["instruction"] for line in created_lines)
        pinned_lines = driver.lines.with_message("pod pinned")
        assert {(line["node"], line["pod"]) for line in pinned_lines} == {
            (name, each.key) for name, planned in plan.items() for each in planned
        }
        assert "Pinned" in driver.records.of(pods[0].metadata.name)
        assert {"PlaceholderCreated", "PlaceholderAdopted"} <= set(driver.records.of(names[0]))

        # All of it again, as a planner that has forgotten everything would send it: nothing changes, all is applied.
        again = [await driver.do(pinning.promise(names[0], names[0]), id="again-1")]
        again.append(await driver.do(PinPods(names[0], pinning.refs(plan[names[0]])), id="again-2"))
        assert [ack.outcome for ack in again] == [Outcome.APPLIED, Outcome.APPLIED]
