"""descheduler beside a pod pinner: its chart's policy evicts pinned pods, and the policy of our page does not.

Whose pods are evicted again and again is left to the scheduler.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from moorage.kube import resources
from moorage.kube.client import Client
from moorage.objects import Pod
from moorage.pinner.names import PLACEHOLDER_LABEL
from moorage.protocol import Outcome
from tests.kube import pinning
from tests.kube.support import PREPARING, eventually, node_where, placeholder, pod
from tools.localcluster import LocalCluster
from tools.localcluster.binaries import binaries
from tools.localcluster.ports import free_ports
from tools.localcluster.process import ManagedProcess

NAMESPACE = "default"
PAGE = Path(__file__).resolve().parents[2] / "docs/providers.md"
OTHER = {"key": "example.com/other", "value": "true", "effect": "NoSchedule"}
PLUGIN = "RemovePodsViolatingNodeTaints"
ITS_OWN = {
    "apiVersion": "descheduler/v1alpha2",
    "kind": "DeschedulerPolicy",
    "profiles": [
        {
            "name": "default",
            "pluginConfig": [{"name": "DefaultEvictor"}, {"name": PLUGIN}],
            "plugins": {"deschedule": {"enabled": [PLUGIN]}},
        }
    ],
}
"""What the chart of v0.36.0 says about taints (charts/descheduler/values.yaml)."""


@pytest.fixture
async def client(own_cluster: LocalCluster) -> AsyncIterator[Client]:
    async with pinning.connected(own_cluster) as connected:
        yield connected


@contextmanager
def descheduler(cluster: LocalCluster, policy: dict[str, Any], folder: Path) -> Iterator[None]:
    """The real one, which looks every second."""
    file = folder / "policy.yaml"
    file.write_text(yaml.safe_dump(policy))
    command = [
        str(binaries(["descheduler"])["descheduler"]),
        f"--kubeconfig={cluster.kubeconfig}",
        f"--policy-config-file={file}",
        "--descheduling-interval=1s",
        "--bind-address=127.0.0.1",
        f"--secure-port={free_ports(1)[0]}",
        f"--cert-dir={folder}",
    ]
    process = ManagedProcess("descheduler", command, log=folder / "descheduler.log", env={}, cwd=folder)
    process.start()
    try:
        yield
    finally:
        process.kill()


async def node(client: Client, name: str, taint: dict[str, str], *, joined: bool) -> None:
    """A Node with one taint and no other obstacle for pods: a placeholder, or one whose machine has joined."""
    body = placeholder(name, labels={} if joined else {PLACEHOLDER_LABEL: "true"}, taints=[taint])
    if joined:
        body["status"]["conditions"] = [{"type": "Ready", "status": "True", "reason": "KubeletReady"}]
    await client.create(resources.NODES, body)
    await node_where(
        client, name, lambda n: [each.key for each in n.spec.taints] == [taint["key"]], "with its own taint only"
    )


async def pods_on(client: Client, app: str, where: str, count: int) -> Sequence[Pod]:
    """Pods of a ReplicaSet, bound to a node as a pod pinner binds them."""
    made = pod(app, schedulerName="nobody", terminationGracePeriodSeconds=600)
    template = {"metadata": {"labels": {"app": app}}, "spec": made["spec"]}
    spec = {"replicas": count, "selector": {"matchLabels": {"app": app}}, "template": template}
    await client.create(resources.REPLICA_SETS, {"metadata": {"name": app}, "spec": spec}, NAMESPACE)
    found = await pinning.pods_of(client, app, NAMESPACE, count)
    for each in found:
        await client.bind(each.metadata.name, NAMESPACE, uid=each.metadata.uid, node=where)
    return found


async def evicted(client: Client, pods: Sequence[Pod]) -> list[str]:
    """Those of them that are on their way out, or gone."""
    found = {each.metadata.uid: each for each in await client.list(resources.PODS, NAMESPACE)}
    there = {uid for uid, each in found.items() if each.metadata.deletion_timestamp is None}
    return [each.metadata.name for each in pods if each.metadata.uid not in there]


async def test_pinned_pods_stay_with_the_policy_of_our_page_and_not_with_its_own(
    client: Client, own_cluster: LocalCluster, tmp_path: Path
) -> None:
    (shown,) = re.findall(r"```yaml\n(apiVersion: descheduler.*?)```", PAGE.read_text(), re.DOTALL)
    for name, taint, joined in (("promised", PREPARING, False), ("joined", PREPARING, True), ("other", OTHER, True)):
        await node(client, name, taint, joined=joined)
    pinned = [*await pods_on(client, "pinned", "promised", 2), *await pods_on(client, "adopted", "joined", 2)]

    with descheduler(own_cluster, yaml.safe_load(shown), tmp_path):
        for round_ in ("first", "second"):  # by the second it has looked at every node
            others = await pods_on(client, round_, "other", 1)

            async def gone(pods: Sequence[Pod] = others) -> bool:
                return len(await evicted(client, pods)) == len(pods)

            await eventually(gone, "descheduler to evict from the other node")
    assert await evicted(client, pinned) == []

    with descheduler(own_cluster, ITS_OWN, tmp_path):

        async def all_gone() -> bool:
            return len(await evicted(client, pinned)) == len(pinned)

        await eventually(all_gone, "descheduler to evict every pinned pod")


async def test_with_its_own_policy_an_owner_is_pinned_three_times_and_then_left_alone(
    client: Client, own_cluster: LocalCluster, tmp_path: Path
) -> None:
    """44 pods in 90 s were made, pinned and evicted before pins were counted by whoever ends them."""
    replicas, seen, applied, refused = 2, set[str](), list[str](), list[str]()
    await node(client, "second", OTHER, joined=True)  # with one alone it does nothing
    async with pinning.driver(client, replace(pinning.QUICK, settle_delay=1.0)) as driver:
        made = await pinning.replicas(client, "again", NAMESPACE, replicas, "again", terminationGracePeriodSeconds=600)
        assert (await driver.do(pinning.promise("again"), seconds=600)).outcome is Outcome.APPLIED

        async def plan() -> bool:
            """Pin every pod that waits, once, until each one that is there was refused."""
            found = await client.list(resources.PODS, NAMESPACE, labels="app=again")
            living = [each for each in found if each.metadata.deletion_timestamp is None]
            fresh = [each for each in living if not each.spec.node_name and each.metadata.uid not in seen]
            seen.update(each.metadata.uid for each in fresh)
            ack = await driver.do(pinning.pin("again", fresh), seconds=600) if fresh else None
            for outcome, reason in pinning.outcomes(ack).values() if ack is not None else ():
                (applied if outcome is Outcome.APPLIED else refused).append(reason)
            return len(refused) >= replicas and len(living) == replicas

        with descheduler(own_cluster, ITS_OWN, tmp_path):
            await eventually(plan, "the owner to be left to the scheduler")
    assert set(refused) == {"OWNER_CAPPED"}
    assert replicas < len(applied) <= 3 * replicas
    assert len(made) == replicas
    assert "ended by EvictionByEvictionAPI" in driver.records.note("again", "PinsSuspended")
