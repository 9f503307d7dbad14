"""A rebalancing on a real control plane, with real controllers, scheduler, webhook and rights.

kwok runs the old nodes and their pods. The new nodes are placeholders that real kubelets adopt.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from moorage.cli import main
from moorage.kube import credentials, errors, resources
from moorage.kube.client import Client
from moorage.kube.http.transport import Transport
from moorage.ops.parsing import Address
from moorage.ops.settings import PinnerSettings
from moorage.pinner import service as pinner_service
from moorage.pinner.names import CLAIM_ANNOTATION, PREPARING
from moorage.planner.service import Planner
from moorage.planner.settings import PlannerSettings
from tests.charts.fenced import KINDS
from tests.charts.paths import collection
from tests.charts.rendering import PLANNER, render
from tests.e2e.rights import audit
from tests.kube import pinning
from tests.kube.support import eventually
from tests.kube.test_evictor_acts import TAINT, Watcher, budget, clear, deployment, events, in_phase, mark, nodes_where
from tests.kube.test_karpenter import running
from tools.charts.rights import rules
from tools.localcluster import LocalCluster, accounts
from tools.localcluster.ports import free_ports

NAMESPACE, US = "default", "default/moorage-planner"
WEBHOOK = "moorage"
OLD, NEW = [f"old-{number}" for number in range(4)], ["new-1", "new-2"]
_FOR_REBALANCING = [*rules(PLANNER, "rebalancingRules"), *rules(PLANNER, "nodeEventRules")]
PLAN = """\
kind: rebalance
deadline: {deadline}
drain: [old-0, old-1, old-2, old-3]
nodes:
- name: new-{{}}
  count: 2
  allocatable: {{cpu: 1, memory: 3840Mi, pods: 110}}
  labels: {{kubernetes.io/os: linux, kubernetes.io/arch: amd64}}
  expect: [{{namespace: default, owner: Deployment/web, requests: {{cpu: 100m}}, count: 4}}]
"""


@pytest.fixture
async def client(own_cluster: LocalCluster) -> AsyncIterator[Client]:
    async with Transport(credentials.load(own_cluster.kubeconfig)) as transport:
        yield Client(transport)


@pytest.fixture(scope="module")
def kubeconfig(own_cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The planner's, with rights and policies of its chart; NodeReservations are defined, and the webhook's objects."""
    pinning.install(own_cluster)
    for each in render(PLANNER, {"rebalancing": {"enabled": True}}, namespace=NAMESPACE).objects:
        if each["kind"] in KINDS:
            own_cluster.api.request("POST", collection(each), each)
    webhooks = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
    named = {"metadata": {"name": WEBHOOK}}
    own_cluster.api.request("POST", webhooks, {**named, "webhooks": []})
    own_cluster.api.request("POST", f"/api/v1/namespaces/{NAMESPACE}/secrets", named)
    return accounts.token(own_cluster, NAMESPACE, PLANNER, tmp_path_factory.mktemp("planner"))


@asynccontextmanager
async def planning(kubeconfig: Path, plan: Path, port: int, **changes: Any) -> AsyncIterator[asyncio.Task[int]]:
    """The planner as its chart starts it, but on loopback."""
    settings = PlannerSettings(
        plan=plan,
        listen=Address("127.0.0.1", port),
        kubeconfig=kubeconfig,
        namespace=NAMESPACE,
        leader_election=True,
        output="json",
        **changes,
    )
    task = asyncio.create_task(Planner(settings).run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def pinning_beside(cluster: LocalCluster, port: int) -> AsyncIterator[None]:
    """A pod pinner with its webhook, which follows whoever plans on a port."""
    (own,) = free_ports(1)
    settings = PinnerSettings(
        kubeconfig=Path(cluster.kubeconfig),
        planner_address=Address("127.0.0.1", port),
        planner_plaintext=True,
        namespace=NAMESPACE,
        pod_name="our-pod",
        health_address=Address("127.0.0.1", 0),
        webhook=True,
        webhook_address=Address("127.0.0.1", own),
        webhook_url=f"https://127.0.0.1:{own}/mutate",
        webhook_configuration=WEBHOOK,
        webhook_secret=WEBHOOK,
        webhook_timeout=30,  # a busy machine is no reason to create pods unchanged here
    )
    task = asyncio.create_task(pinner_service.run(settings))
    try:
        yield
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def populate(cluster: LocalCluster, client: Client) -> None:
    """Four nodes with a Deployment of which one pod at a time may be missing."""
    await asyncio.to_thread(cluster.start_kwok)
    await asyncio.to_thread(cluster.create_kwok_nodes, len(OLD), cpu="1", memory="3840Mi", prefix="old")
    await nodes_where(client, lambda seen: all(each.ready and not each.spec.taints for each in seen.values()), "nodes")
    await client.create(resources.DISRUPTION_BUDGETS, budget("web", maxUnavailable=1), NAMESPACE)
    await client.create(resources.DEPLOYMENTS, deployment("web", 8, "100m"), NAMESPACE)
    await running(client, 8)


def stages(out: str) -> list[str]:
    events = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    return [each["stage"] for each in events if each["event"] == "rebalancing"]


async def expected(cluster: LocalCluster, capsys: pytest.CaptureFixture[str], left: dict[str, int]) -> None:
    """Wait until ``moorage pins`` shows so many free slots on each node."""

    async def shown() -> bool:
        capsys.readouterr()
        command = ["pins", "-o", "json", "--kubeconfig", str(cluster.kubeconfig)]
        assert await asyncio.to_thread(main, command) == 0
        lines = capsys.readouterr().out.splitlines()
        found = json.loads(
            "\n".join(line for line in lines if not line.startswith('{"time"'))
        )  # those are the planner's
        return {each["node"]: sum(slot["left"] for slot in each["slots"]) for each in found["nodes"]} == left

    await eventually(shown, f"free slots: {left}")


async def done(task: asyncio.Task[int]) -> int:
    async def ended() -> bool:
        return task.done()

    await eventually(ended, "the planner to be done")
    return task.result()


async def test_four_nodes_are_replaced_by_two_by_two_planners_and_no_floor_is_broken(
    own_cluster: LocalCluster, client: Client, kubeconfig: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan, (port,) = tmp_path / "smaller.yaml", free_ports(1)
    plan.write_text(PLAN.format(deadline="5m"))
    await populate(own_cluster, client)
    watcher = Watcher(client.transport, {"web": 7})
    us = accounts.user(NAMESPACE, PLANNER)
    async with pinning_beside(own_cluster, port):
        async with watcher.watching():
            async with planning(kubeconfig, plan, port):
                nodes = await nodes_where(client, lambda seen: {*NEW} <= seen.keys(), "the placeholders")
                assert not in_phase(nodes, "chosen", "draining")
                await expected(own_cluster, capsys, dict.fromkeys(NEW, 4))
                for name in NEW:
                    await asyncio.to_thread(own_cluster.start_hollow_kubelet, name)
                await nodes_where(client, lambda seen: in_phase(seen, "draining"), "a node that is emptied")
            nodes = await nodes_where(client, lambda seen: not in_phase(seen, "chosen", "draining"), "nodes given back")
            assert not any(nodes[name].spec.unschedulable for name in OLD), "whoever is stopped gives back"
            capsys.readouterr()
            async with planning(kubeconfig, plan, port, once=True) as task:
                assert await done(task) == 0
            assert stages(capsys.readouterr().out) == ["emptying", "done"]
            pods = await running(client, 8)
            assert {each.spec.node_name for each in pods} == {*NEW}
            assert any(CLAIM_ANNOTATION in each.metadata.annotations for each in pods), "the webhook has steered some"
            emptied = await events(client, "Emptied")
            assert {*emptied} == {*OLD}
            assert {*await events(client, "Draining")} == {*OLD}
            nodes = await nodes_where(client, lambda seen: in_phase(seen, "emptied") == {*OLD}, "emptied nodes")
            assert {mark(nodes[name])["by"] for name in OLD} == {US}
            assert {name for name, node in nodes.items() if any(t.key == TAINT for t in node.spec.taints)} == {*OLD}
            asked = audit.requests(own_cluster.audit_log, us)
            async with planning(kubeconfig, plan, port, once=True) as task:
                assert await done(task) == 0
        again = audit.requests(own_cluster.audit_log, us)[len(asked) :]
        written = {each.resource for each in again if each.verb in ("patch", "create", "update")}
        assert written == {"leases"}, "there is nothing left to be done"
        assert watcher.broken == []
        await clear(own_cluster, client)
        for name in NEW:
            await asyncio.to_thread(own_cluster.stop_hollow_kubelet, name)
            await pinning.reservation_gone(client, name)
    assert audit.refused([*asked, *again]) == []
    granted = audit.grants(own_cluster, NAMESPACE, PLANNER)
    to_act = [each for each in granted if any(_is_of(each, rule) for rule in _FOR_REBALANCING)]
    unused = {each.rpartition(": ")[2] for each in audit.unused(to_act, asked)}
    rare = {"get nodes", "get pods", "patch events.events.k8s.io"}
    assert unused <= rare, "what a lost answer was about is read again, and an Event that is repeated gets a count"


def _is_of(grant: audit.Grant, rule: dict[str, Any]) -> bool:
    return grant.resource in rule["resources"] and grant.verb in rule["verbs"]


async def test_new_nodes_that_never_come_leave_everything_as_it_was(
    own_cluster: LocalCluster, client: Client, kubeconfig: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan, (port,) = tmp_path / "never.yaml", free_ports(1)
    plan.write_text(PLAN.format(deadline="5s"))
    await populate(own_cluster, client)
    before = {each.key for each in await running(client, 8)}
    async with pinning_beside(own_cluster, port), planning(kubeconfig, plan, port, once=True) as task:
        await nodes_where(client, lambda seen: {*NEW} <= seen.keys(), "the placeholders")
        assert await done(task) == 1
        out = capsys.readouterr().out
        assert stages(out) == ["withdrawn"]
        (trouble,) = [each for each in json.loads(out.splitlines()[-1])["trouble"] if "taken back" in each]
        assert "node new-" in trouble
        for name in NEW:
            await pinning.node_gone(client, name)
            await pinning.reservation_gone(client, name)
    assert {each.key for each in await running(client, 8)} == before
    for node in (await nodes_where(client, bool, "nodes")).values():
        assert not node.spec.taints
        assert mark(node) == {}
    with pytest.raises(errors.NotFound):
        await client.get(resources.NODES, NEW[0])
    await clear(own_cluster, client)


async def test_nodes_that_machines_bring_along_take_the_pods_once_all_have_come(
    own_cluster: LocalCluster, client: Client, kubeconfig: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan, (port,) = tmp_path / "late.yaml", free_ports(1)
    late = "  profile: late\n  matchLabels: {moorage.test/batch: late}\n"
    plan.write_text(PLAN.format(deadline="5m").replace("new-", "late-").replace("  expect:", f"{late}  expect:"))
    await populate(own_cluster, client)
    watcher, names = Watcher(client.transport, {"web": 7}), ["late-1", "late-2"]
    async with pinning_beside(own_cluster, port):
        async with watcher.watching(), planning(kubeconfig, plan, port, once=True) as task:
            await expected(own_cluster, capsys, dict.fromkeys(names, 4))
            for machine in NEW:
                labels = {"moorage.test/batch": "late"}
                taints = [f"{PREPARING}=true:NoSchedule"]
                await asyncio.to_thread(
                    own_cluster.start_hollow_kubelet, machine, node_labels=labels, register_with_taints=taints
                )
            assert await done(task) == 0
            assert stages(capsys.readouterr().out) == ["emptying", "done"], "after what was read on the way"
        assert {each.spec.node_name for each in await running(client, 8)} == {*NEW}
        assert watcher.broken == []
        kept = [await client.get(resources.NODE_RESERVATIONS, name) for name in names]
        assert sorted(each.spec["nodeName"] for each in kept) == NEW
        await clear(own_cluster, client)
        for machine, name in zip(NEW, names, strict=True):
            await asyncio.to_thread(own_cluster.stop_hollow_kubelet, machine)
            await pinning.reservation_gone(client, name)
