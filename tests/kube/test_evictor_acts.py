"""The acting evictor on a real control plane: real controllers and scheduler, nodes and pods of kwok."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from moorage.controller import process
from moorage.evictor import service
from moorage.evictor.kinds import EVICTOR_CONFIGS
from moorage.kube import credentials, errors, resources
from moorage.kube.cache import Change, WatchCache
from moorage.kube.client import Client
from moorage.kube.http.transport import Transport
from moorage.kube.resource import Resource
from moorage.objects import Node, Pod
from moorage.ops.parsing import Address
from moorage.ops.settings import EvictorSettings
from tests.charts.fenced import KINDS
from tests.charts.paths import collection
from tests.charts.rendering import render
from tests.e2e.rights import audit
from tests.kube.support import eventually, pod
from tests.kube.test_evictor_service import CONFIG, CONFIGS, CRD, DEFINITIONS, condition
from tests.kube.test_karpenter import HALF, INSTANCE_TYPE, WHOLE, gone, half, replica_set, running
from tools.charts.rights import rules
from tools.localcluster import LocalCluster, accounts

CHART, NAMESPACE, US = "castai-evictor", "default", "default/castai-evictor"
MARK, TAINT = "moorage.dev/drain", "evictor.cast.ai/evicted"
POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
BINDINGS = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"
Json = dict[str, Any]


@pytest.fixture
async def client(own_cluster: LocalCluster) -> AsyncIterator[Client]:
    async with Transport(credentials.load(own_cluster.kubeconfig)) as transport:
        yield Client(transport)


@pytest.fixture(scope="module")
def kubeconfig(own_cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The evictor's, with a definition of its resource, and with rights and policies of the chart as one that acts."""
    definition = yaml.safe_load(CRD.read_text())
    own_cluster.api.request("POST", DEFINITIONS, definition)
    deadline = time.monotonic() + 60
    while not own_cluster.api.answers_ok(CONFIGS):
        assert time.monotonic() < deadline, "EvictorConfig is not served"
        time.sleep(0.05)
    manifest = {"apiVersion": "autoscaling.cast.ai/v1alpha1", "kind": "EvictorConfig", "spec": {}}
    own_cluster.api.request("POST", CONFIGS, manifest | {"metadata": {"name": "evictor-config"}})
    for each in render(CHART, {"dryRun": False}, namespace=NAMESPACE).objects:
        if each["kind"] in KINDS:
            own_cluster.api.request("POST", collection(each), each)
    return accounts.token(own_cluster, NAMESPACE, CHART, tmp_path_factory.mktemp("evictor"))


@asynccontextmanager
async def acting(kubeconfig: Path, **changes: Any) -> AsyncIterator[None]:
    """The evictor as its chart starts it with ``dryRun: false``, but with shorter waits."""
    given: dict[str, Any] = {
        "leader_election": False,
        "dry_run": False,
        "cycle_interval": 1.0,
        "quiet_period": 0.0,
        "node_grace_period_minutes": 0,
        **changes,
    }
    settings = EvictorSettings(
        kubeconfig=kubeconfig,
        namespace=NAMESPACE,
        pod_name=f"{CHART}-1-x",
        health_address=Address("127.0.0.1", 0),
        **given,
    )
    task = asyncio.create_task(service.run(settings))
    try:
        yield
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class Watcher:
    """Sees every revision of every pod, and how many of a workload are ready in each."""

    def __init__(self, transport: Transport, floors: Mapping[str, int]) -> None:
        self.broken: list[str] = []
        self._floors = floors
        self._full: set[str] = set()
        self._pods: WatchCache[Pod] = WatchCache(transport, resources.PODS)
        self._pods.subscribe(self._look)

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._pods.run())
        await self._pods.wait_synced()
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _look(self, change: Change[Pod]) -> None:
        seen = change.new or change.old
        app = seen.metadata.labels.get("app", "") if seen is not None else ""
        if app not in self._floors:
            return
        ready = sum(1 for each in self._pods if each.metadata.labels.get("app") == app and _serves(each))
        if ready > self._floors[app]:
            self._full.add(app)
        elif ready < self._floors[app] and app in self._full:
            self.broken.append(f"{app}: {ready} ready")


def _serves(pod: Pod) -> bool:
    ready = any(each.type == "Ready" and each.status == "True" for each in pod.status.conditions)
    return ready and pod.metadata.deletion_timestamp is None


def deployment(name: str, replicas: int, cpu: str, *, min_ready: int = 0) -> Json:
    template = {"metadata": {"labels": {"app": name}}, "spec": pod(name, cpu=cpu)["spec"]}
    spec = {"replicas": replicas, "minReadySeconds": min_ready, "selector": {"matchLabels": {"app": name}}}
    return {"metadata": {"name": name}, "spec": {**spec, "template": template}}


def budget(name: str, **spec: Any) -> Json:
    return {"metadata": {"name": name}, "spec": {"selector": {"matchLabels": {"app": name}}, **spec}}


async def populate(cluster: LocalCluster, client: Client, count: int, *deployments: Json) -> list[str]:
    """Nodes, and on them the pods of some Deployments, spread as the scheduler spreads them."""
    cluster.start_kwok()
    names = cluster.create_kwok_nodes(count, cpu="4", memory="8Gi")
    await nodes_where(client, lambda seen: all(map(_takes_pods, seen.values())), "nodes that take pods")
    for each in deployments:
        await client.create(resources.DEPLOYMENTS, each, NAMESPACE)
    await running(client, sum(each["spec"]["replicas"] for each in deployments))
    return names


def _takes_pods(node: Node) -> bool:
    return node.ready and not node.spec.taints


async def clear(cluster: LocalCluster, client: Client) -> None:
    """Nothing of a test is left."""
    kinds: tuple[Resource[Any], ...] = (resources.DEPLOYMENTS, resources.REPLICA_SETS, resources.DISRUPTION_BUDGETS)
    for kind in kinds:
        for each in await client.list(kind, NAMESPACE):
            with suppress(errors.NotFound):  # with its owner
                await client.delete(kind, each.metadata.name, NAMESPACE, uid=each.metadata.uid)
    await running(client, 0)
    for node in await client.list(resources.NODES):
        await client.delete(resources.NODES, node.metadata.name, uid=node.metadata.uid)


def mark(node: Node) -> Json:
    text = node.metadata.annotations.get(MARK)
    found: Json = msgspec.json.decode(text) if text else {}
    return found


async def nodes_where(client: Client, holds: Callable[[dict[str, Node]], object], what: str) -> dict[str, Node]:
    async def probe() -> dict[str, Node] | None:
        found = {each.metadata.name: each for each in await client.list(resources.NODES)}
        return found if holds(found) else None

    return await eventually(probe, what)


def in_phase(nodes: Mapping[str, Node], *phases: str) -> set[str]:
    return {name for name, node in nodes.items() if mark(node).get("phase") in phases}


async def status_where(cluster: LocalCluster, holds: Callable[[Json], object], what: str) -> Json:
    async def probe() -> Json | None:
        status: Json = (await asyncio.to_thread(cluster.api.get, CONFIG)).get("status", {})
        return status if "lastCycle" in status and holds(status) else None

    return await eventually(probe, what)


async def events(client: Client, reason: str) -> dict[str, str]:
    """The notes of our Events with a reason, by the names of their objects."""
    found = await client.transport.request("GET", "/apis/events.k8s.io/v1/events")
    items = msgspec.json.decode(found)["items"]
    return {each["regarding"]["name"]: each["note"] for each in items if each["reason"] == reason}


async def test_what_was_promised_is_emptied_by_two_terms_and_no_floor_is_broken(
    own_cluster: LocalCluster, client: Client, kubeconfig: Path
) -> None:
    web, api = deployment("web", 4, "900m", min_ready=3), deployment("api", 3, "700m")
    await client.create(resources.DISRUPTION_BUDGETS, budget("web", maxUnavailable=1), NAMESPACE)
    names = await populate(own_cluster, client, 4, web, api, deployment("solo", 1, "500m"))
    watcher = Watcher(client.transport, {"web": 3, "api": 2, "solo": 1})
    async with watcher.watching():
        async with acting(kubeconfig, stop_grace=0.0):  # it is killed, and has no time to give anything back
            nodes = await nodes_where(client, lambda seen: in_phase(seen, "draining"), "a node that is drained")
            (begun,) = in_phase(nodes, "draining")
            assert mark(nodes[begun])["by"] == US
            assert nodes[begun].spec.unschedulable
        left = {each.metadata.name: each for each in await client.list(resources.NODES)}
        assert in_phase(left, "draining", "emptied"), "whoever is killed leaves its mark"
        async with acting(kubeconfig):
            status = await status_where(own_cluster, is_at_rest, "nothing more to go")
            nodes = await nodes_where(client, lambda seen: not in_phase(seen, "chosen", "draining"), "no drains")
    emptied = in_phase(nodes, "emptied")
    assert len(emptied) == 2, "the pods of four nodes fit on two"
    pods = await client.list(resources.PODS, NAMESPACE)
    assert {each.spec.node_name for each in pods} == set(names) - emptied
    assert not any(node.spec.unschedulable for node in nodes.values())
    assert {name for name, node in nodes.items() if any(t.key == TAINT for t in node.spec.taints)} == emptied
    assert watcher.broken == []
    assert condition(status, "Acting")[:2] == ("True", "Idle")
    assert sum(map(len, status["evictions"].values())) >= 2
    assert set(await events(client, "Emptied")) >= emptied
    await clear(own_cluster, client)


def is_at_rest(status: Json) -> bool:
    return status["lastCycle"]["going"] == 0 and condition(status, "Acting")[1] == "Idle"


def denial(name: str) -> tuple[Json, Json]:
    """A policy that refuses every eviction, as a webhook may."""
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods/eviction"]}
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [rule]},
        "validations": [{"expression": "false", "message": "nobody is evicted today"}],
    }
    bound = {"policyName": name, "validationActions": ["Deny"]}
    return {"metadata": {"name": name}, "spec": spec}, {"metadata": {"name": name}, "spec": bound}


async def test_evictions_that_are_refused_for_ever_end_with_the_reason_and_without_a_cordon(
    own_cluster: LocalCluster, client: Client, kubeconfig: Path
) -> None:
    policy, binding = denial("no-evictions")
    own_cluster.api.request("POST", POLICIES, policy)
    own_cluster.api.request("POST", BINDINGS, binding)
    await populate(own_cluster, client, 2, deployment("web", 2, "900m"))
    before = {each.key for each in await client.list(resources.PODS, NAMESPACE)}
    async with acting(kubeconfig, drain_timeout=4.0, pod_eviction_failure_back_off=1.0):
        nodes = await nodes_where(client, lambda seen: in_phase(seen, "rolled-back"), "a node that was given back")
        (name,) = in_phase(nodes, "rolled-back")
        assert not nodes[name].spec.unschedulable
        await nodes_where(client, lambda seen: not seen[name].spec.taints, "the API server's own taint to follow")
        reason = mark(nodes[name])["reason"]
        assert reason.startswith("the node was not emptied in time (4 s; its eviction is refused (default/web-")
        assert "nobody is evicted today" in reason
        await status_where(
            own_cluster, lambda seen: "NODE_RESTING" in seen["lastCycle"]["held"], "the next cycle leaves it alone"
        )
        assert (await events(client, "RolledBack"))[name].endswith(reason)
    assert {each.key for each in await client.list(resources.PODS, NAMESPACE)} == before
    for path in (POLICIES, BINDINGS):
        own_cluster.api.request("DELETE", f"{path}/no-evictions")
    await clear(own_cluster, client)


class Troubled(Transport):
    """A connection to the API server with faults, once each: another client is faster, or an answer is lost.

    Attributes:
        admin: the other client's access.
        to_come: the faults that have not happened yet.
    """

    admin: Client
    to_come: list[str]

    async def request(self, method: str, path: str, **more: Any) -> bytes:
        """Send it, unless it is its turn to get lost on the way."""
        if path.endswith("/eviction") and self._happens("the first eviction is lost"):
            raise errors.ConnectionLost("the connection ended before anything was sent")
        if path.endswith("/status") and self._happens("the first status meets another write"):
            await self._change(EVICTOR_CONFIGS, "evictor-config")
        write_of_a_node = method == "PATCH" and path.startswith("/api/v1/nodes/")
        if write_of_a_node and self._happens("the first node meets another write"):
            await self._change(resources.NODES, path.rpartition("/")[2])
        answer = await super().request(method, path, **more)
        if write_of_a_node and self._happens("the first answer about a node is lost"):
            raise errors.ConnectionLost("the connection ended before there was an answer")
        return answer

    def _happens(self, what: str) -> bool:
        if what not in self.to_come:
            return False
        self.to_come.remove(what)
        return True

    async def _change(self, kind: Resource[Any], name: str) -> None:
        found = await self.admin.get(kind, name)
        changes = {"metadata": {"annotations": {"example.com/seen": "now"}}}
        await self.admin.patch(kind, name, changes=changes, uid=found.metadata.uid)


async def test_nothing_is_forbidden_and_no_right_to_act_is_granted_and_never_used(
    own_cluster: LocalCluster, client: Client, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "Transport", Troubled)
    troubles = [
        "the first eviction is lost",
        "the first status meets another write",
        "the first node meets another write",
        "the first answer about a node is lost",
    ]
    monkeypatch.setattr(Troubled, "admin", client, raising=False)
    monkeypatch.setattr(Troubled, "to_come", troubles, raising=False)
    await populate(own_cluster, client, 2, deployment("web", 2, "900m"))
    watcher = Watcher(client.transport, {"web": 1})
    async with watcher.watching(), acting(kubeconfig, leader_election=True, pod_eviction_failure_back_off=1.0):
        await nodes_where(client, lambda seen: len(in_phase(seen, "emptied")) == 1, "a node that was emptied")
        await status_where(own_cluster, is_at_rest, "nothing more to go")
    assert (troubles, watcher.broken) == ([], [])
    asked = audit.requests(own_cluster.audit_log, accounts.user(NAMESPACE, CHART))
    assert audit.refused(asked) == [], "in this test and in those before it"
    granted = audit.grants(own_cluster, NAMESPACE, CHART)
    to_act = [each for each in granted if any(_is_of(each, rule) for rule in rules(CHART, "actingRules"))]
    assert {each.verb for each in to_act} == {"get", "patch", "create"}
    assert audit.unused(to_act, asked) == []
    await clear(own_cluster, client)


async def test_whoever_has_its_token_changes_nothing_of_a_configuration_but_its_status(
    own_cluster: LocalCluster, kubeconfig: Path
) -> None:
    before = own_cluster.api.get(CONFIG)
    metadata = {**before["metadata"], "labels": {"a": "b"}, "annotations": {"a": "b"}, "finalizers": ["example.com/f"]}
    body = {**before, "metadata": metadata, "spec": {"enabled": False}, "status": {"evictions": {}}}
    async with Transport(credentials.load(kubeconfig)) as transport:
        await transport.request("PUT", f"{CONFIG}/status", body=msgspec.json.encode(body))
        with pytest.raises(errors.Forbidden):
            await transport.request("PUT", CONFIG, body=msgspec.json.encode(body))
    after = own_cluster.api.get(CONFIG)
    assert after["status"] == {"evictions": {}}
    for each in (before, after):
        for key in ("resourceVersion", "managedFields"):
            del each["metadata"][key]
        each.pop("status", None)
    assert after == before


def _is_of(grant: audit.Grant, rule: Json) -> bool:
    return grant.resource in rule["resources"] and grant.verb in rule["verbs"]


async def test_beside_karpenter_an_emptied_node_is_really_deleted(
    own_cluster: LocalCluster, client: Client, kubeconfig: Path
) -> None:
    own_cluster.start_karpenter()
    own_cluster.apply_node_pool(consolidate_after="5s", instance_types=[INSTANCE_TYPE])
    await client.create(resources.REPLICA_SETS, replica_set(), NAMESPACE)
    bought = {each.spec.node_name for each in await half(own_cluster, client, await running(client, WHOLE))}
    watcher = Watcher(client.transport, {"web": HALF - 1})
    async with watcher.watching(), acting(kubeconfig):
        nodes = await nodes_where(client, lambda seen: in_phase(seen, "emptied") or len(seen) < len(bought), "emptied")
        (emptied,) = in_phase(nodes, "emptied") or bought - set(nodes)
        await gone(client, emptied)
        left = {each.metadata.name for each in await client.list(resources.NODES)}
        assert left == bought - {emptied}
        assert {each.spec.node_name for each in await running(client, HALF)} == left
    assert watcher.broken == []
