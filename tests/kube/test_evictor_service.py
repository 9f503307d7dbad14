"""The evictor as a program on a real control plane: its outputs, and that it writes nothing else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY

from moorage.evictor import service
from moorage.kube import resources
from moorage.kube.client import Client
from moorage.kube.http.transport import Transport
from moorage.kube.lease import LeaderElection
from moorage.ops.parsing import Address
from moorage.ops.settings import EvictorSettings
from tests.kube.accounts import account
from tests.kube.support import PATIENCE, eventually, renew_lease
from tools.auditlog import Mark, events
from tools.charts.rights import rules
from tools.localcluster import ClusterHandle
from tools.localcluster.api import ApiError

CHART, LEASE, RULES, PRICES = "castai-evictor", "castai-evictor", "castai-evictor-config", "castai-evictor-prices"
CRD = Path(__file__).parents[2] / "schemas" / "crds" / "evictorconfigs.autoscaling.cast.ai.yaml"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
CONFIGS = "/apis/autoscaling.cast.ai/v1alpha1/evictorconfigs"
CONFIG = f"{CONFIGS}/evictor-config"
MERGE = "application/merge-patch+json"
READS = ("get", "list", "watch")
Json = dict[str, Any]


class Bed:
    """Six nodes, pods of one ReplicaSet on three of them, and an account with the chart's rights.

    Args:
        cluster: where.
        client: the administrator.
        namespace: of the pods, and of the evictor.
    """

    def __init__(self, cluster: ClusterHandle, client: Client, namespace: str) -> None:
        self.cluster, self.api, self.client, self.namespace = cluster, cluster.api, client, namespace
        self.user = f"{CHART}-{namespace}"
        self.nodes = [f"evictor-{number}-{namespace}" for number in range(6)]
        self.config_maps = f"/api/v1/namespaces/{namespace}/configmaps"

    # --- what people do ---

    def rights(self, *, without: str = "") -> list[Json]:
        """Those of the chart, perhaps without a kind."""
        found = rules(CHART, "clusterRules")
        return [{**rule, "resources": [each for each in rule["resources"] if each != without]} for rule in found]

    def account(self, folder: Path, *, without: str) -> Path:
        """A kubeconfig of the evictor."""
        names = {"leaseName": LEASE, "rulesConfigMap": RULES, "pricesConfigMap": PRICES}
        here = rules(CHART, "ownRules", names)
        everywhere = self.rights(without=without)
        return account(self.cluster, self.namespace, self.user, folder, everywhere=everywhere, here=here)

    def grant(self) -> None:
        """Give all rights."""
        path = f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{self.user}"
        self.api.request("PUT", path, {"metadata": {"name": self.user}, "rules": self.rights()})

    def define(self) -> None:
        """Define EvictorConfig, and make the one that counts, with an eviction of late in its status."""
        definition = yaml.safe_load(CRD.read_text())
        name = definition["metadata"]["name"]
        if name not in {each["metadata"]["name"] for each in self.api.get(DEFINITIONS)["items"]}:
            self.api.request("POST", DEFINITIONS, definition)
        deadline = time.monotonic() + PATIENCE
        while not _established(self.api.get(f"{DEFINITIONS}/{name}")):
            assert time.monotonic() < deadline, "EvictorConfig is not served"
            time.sleep(0.05)
        manifest = {"apiVersion": "autoscaling.cast.ai/v1alpha1", "kind": "EvictorConfig", "spec": {}}
        made = self.api.request("POST", CONFIGS, manifest | {"metadata": {"name": "evictor-config"}})
        lately = (self.client.transport.clock.now() - timedelta(minutes=5)).isoformat()
        self.api.request("PUT", f"{CONFIG}/status", {**made, "status": {"evictions": {"somebody": [lately]}}})

    async def populate(self) -> None:
        """Make nodes and pods, and have them run as far as the API says."""
        for name in self.nodes:
            labels = {"kubernetes.io/hostname": name, "of": self.namespace}
            manifest = {"metadata": {"name": name, "labels": labels}}
            self.api.request("POST", "/api/v1/nodes", manifest)
            self.api.request("PATCH", f"/api/v1/nodes/{name}/status", {"status": _status()}, MERGE)
        sets = f"/apis/apps/v1/namespaces/{self.namespace}/replicasets"
        owner = self.api.request("POST", sets, _replica_set(self.namespace))
        pods = await eventually(self._placed, "three pods on nodes")
        for name in pods:
            status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
            path = f"/api/v1/namespaces/{self.namespace}/pods/{name}/status"
            self.api.request("PATCH", path, {"status": status}, MERGE)
        assert owner["spec"]["replicas"] == len(pods)

    async def renew(self) -> None:
        """Renew the Leases of the nodes that are there, as their kubelets would."""
        while True:
            for node in await self.client.list(resources.NODES, labels=f"of={self.namespace}"):
                await renew_lease(self.client, node)
            await asyncio.sleep(10)

    async def _placed(self) -> list[str] | None:
        pods = await self.client.list(resources.PODS, self.namespace, labels="app=web")
        placed = [each.metadata.name for each in pods if each.spec.node_name]
        return placed if len(placed) == 3 else None

    def write_rules(self, text: str) -> None:
        """Write the ConfigMap."""
        manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": RULES}, "data": {"config.yaml": text}}
        path = f"{self.config_maps}/{RULES}?fieldManager=people&force=true"
        self.api.request("PATCH", path, manifest, "application/apply-patch+yaml")

    def remove(self) -> None:
        """Remove the cluster-scoped objects."""
        for path in (CONFIG, *(f"/api/v1/nodes/{name}" for name in self.nodes)):
            with suppress(ApiError):
                self.api.request("DELETE", path)

    # --- what people see ---

    async def status_with(self, holds: Callable[[Json], object], what: str) -> Json:
        """The status, once it is so."""

        async def probe() -> Json | None:
            status: Json = (await asyncio.to_thread(self.api.get, CONFIG)).get("status", {})
            return status if "lastCycle" in status and holds(status) else None

        return await eventually(probe, what)

    async def event(self, reason: str, about: str) -> Json:
        """An Event, once there is one."""

        async def probe() -> Json | None:
            found = (await asyncio.to_thread(self.api.get, "/apis/events.k8s.io/v1/events"))["items"]
            ours = (each for each in found if each["reason"] == reason and each["regarding"]["name"] == about)
            return next((each for each in ours if each["reportingController"] == "moorage-evictor"), None)

        return await eventually(probe, f"an Event {reason} on {about}")

    def chosen(self, status: Json) -> set[str]:
        """Which of our nodes could go."""
        return {each["node"] for each in status["lastCycle"]["chosen"]} & set(self.nodes)


def _established(definition: Json) -> bool:
    conditions = definition.get("status", {}).get("conditions") or ()
    return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)


def _status() -> Json:
    room = {"cpu": "4", "memory": "8Gi", "pods": "10"}
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": ""}
    info = ("machineID", "systemUUID", "bootID", "kernelVersion", "osImage", "containerRuntimeVersion")
    system = {"kubeletVersion": "v1.36.0", "kubeProxyVersion": "", "operatingSystem": "linux", "architecture": "amd64"}
    node_info = system | dict.fromkeys(info, "x")
    return {"capacity": room, "allocatable": room, "conditions": [ready], "nodeInfo": node_info}


def _replica_set(namespace: str) -> Json:
    container = {"name": "main", "image": "registry.invalid/main:1", "resources": {"requests": {"cpu": "1"}}}
    spec = {"nodeSelector": {"of": namespace}, "containers": [container], "automountServiceAccountToken": False}
    template = {"metadata": {"labels": {"app": "web"}}, "spec": spec}
    of = {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    return {"metadata": {"name": "web"}, "spec": of}


def condition(status: Json, kind: str) -> tuple[str, str, str]:
    """Status, reason and message of a condition."""
    (found,) = [each for each in status["conditions"] if each["type"] == kind]
    return found["status"], found["reason"], found["message"]


@pytest.fixture
async def bed(cluster: ClusterHandle, client: Client, namespace: str) -> AsyncIterator[Bed]:
    made = Bed(cluster, client, namespace)
    await client.get(resources.NAMESPACES, namespace)  # tells the time
    kubelets = asyncio.create_task(made.renew())
    try:
        yield made
        assert not kubelets.done()
    finally:
        kubelets.cancel()
        await asyncio.gather(kubelets, return_exceptions=True)
        made.remove()


@asynccontextmanager
async def running(kubeconfig: Path, namespace: str, pod_name: str = "our-pod") -> AsyncIterator[None]:
    """The evictor as its chart starts it, but with shorter waits."""
    settings = EvictorSettings(
        kubeconfig=kubeconfig,
        namespace=namespace,
        pod_name=pod_name,
        lease_name=LEASE,
        health_address=Address("127.0.0.1", 0),
        cycle_interval=1.0,
        quiet_period=0.0,
        node_grace_period_minutes=0,
    )
    task = asyncio.create_task(service.run(settings))
    try:
        yield
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def cycles() -> float:
    """How often the whole cluster has been looked at."""
    return REGISTRY.get_sample_value("moorage_evictor_cycles_total", {"result": "computed"}) or 0.0


async def test_what_could_go_is_said_and_nothing_else_is_written(
    bed: Bed, cluster: ClusterHandle, namespace: str, tmp_path: Path
) -> None:
    mark = Mark.now(cluster.audit_log)
    bed.define()
    await bed.populate()
    kubeconfig = bed.account(tmp_path, without="jobs")
    protected = f"evictionConfig: [{{nodeSelector: {{labelSelector: {{matchLabels: {{of: {namespace}}}}}}}, %s}}]"
    async with running(kubeconfig, namespace):
        # A kind that may not be seen keeps nobody from looking.
        status = await bed.status_with(bed.chosen, "nodes that could go")
        assert condition(status, "Ready")[:2] == ("True", "InForce")
        assert condition(status, "Computed") == (
            "True",
            "PartlySeen",
            "What cannot be seen holds nodes: Job: may not list jobs",
        )
        assert status["lastCycle"]["nodes"] >= len(bed.nodes)
        assert list(status["evictions"]) == ["somebody"]
        await bed.event("CouldBeEmptied", sorted(bed.chosen(status))[0])
        await bed.event("DryRun", "our-pod")
        bed.grant()
        await bed.status_with(lambda s: condition(s, "Computed")[1] == "Computed", "jobs to be seen")

        # Rules count from the next cycle; those that are wrong do not, and the ones before stay.
        bed.write_rules(protected % "settings: {removalDisabled: {enabled: true}}")
        status = await bed.status_with(lambda s: not bed.chosen(s), "rules that protect all")
        assert status["lastCycle"]["held"]["NODE_RULE_REMOVAL_DISABLED"] >= len(bed.nodes)
        bed.write_rules(protected % "settings: {removalDisabled: {enabled: maybe}}")
        status = await bed.status_with(lambda s: condition(s, "ConfigurationValid")[0] == "False", "a mistake")
        assert (
            f"ConfigMap {namespace}/{RULES}, line 1: evictionConfig[0].settings"
            in condition(status, "ConfigurationValid")[2]
        )
        assert condition(status, "Ready")[:2] == ("True", "LastGood")
        assert not bed.chosen(status)
        event = await bed.event("ConfigurationInvalid", RULES)
        assert event["note"].startswith("The last good one stays in force: ")
        bed.api.request("DELETE", f"{bed.config_maps}/{RULES}")
        before = await bed.status_with(bed.chosen, "no rules")
        assert condition(before, "ConfigurationValid")[0] == "True"

    # Another process finds what was written down, and writes the same not again.
    version, looked = bed.api.get(CONFIG)["metadata"]["resourceVersion"], cycles()
    async with running(kubeconfig, namespace):

        async def again() -> bool | None:
            return cycles() > looked or None

        await eventually(again, "a cycle after the restart")
        looked = cycles()
        bed.api.request("PATCH", f"/api/v1/nodes/{bed.nodes[0]}", {"metadata": {"labels": {"touched": "yes"}}}, MERGE)
        await eventually(again, "a cycle after a change that changes nothing")
        assert bed.api.get(CONFIG)["metadata"]["resourceVersion"] == version
        bed.write_rules(protected % "settings: {removalDisabled: {enabled: true}}")
        await bed.status_with(lambda s: not bed.chosen(s), "the next answer")
    written = [each for each in _asked(mark, bed.user) if each.verb not in READS]
    statuses = [each for each in written if each.resource == "evictorconfigs"]
    assert {(each.verb, each.subresource, each.name, each.code) for each in statuses} == {
        ("update", "status", "evictor-config", 200)
    }
    assert {each.resource for each in written} == {"evictorconfigs", "events", "leases"}
    final: Json = bed.api.get(CONFIG)
    assert final["status"]["evictions"] == before["evictions"]


def _asked(mark: Mark, user: str) -> list[events.Event]:
    return [each for each in events.read(mark.lines()) if each.account == user]


async def test_another_replica_is_told_at_once_when_the_leader_ends(
    bed: Bed, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand: dict[str, LeaderElection] = {}

    def hardly_ever(transport: Transport, where: str, name: str, identity: str) -> LeaderElection:
        """Whoever stands for election asks so seldom that only a watch tells it in time."""
        made = stand[identity] = LeaderElection(
            transport, where, name, identity, duration=9000.0, renew_deadline=8000.0, retry_period=3600.0
        )
        return made

    monkeypatch.setattr(service, "LeaderElection", hardly_ever)
    kubeconfig = bed.account(tmp_path, without="")

    async def leads(name: str) -> bool:
        return name in stand and stand[name].is_leader()

    async def seen() -> bool:
        return len(stand) == 2 and stand["second"].holder == stand["first"].identity

    async with AsyncExitStack() as later, AsyncExitStack() as now:
        await now.enter_async_context(running(kubeconfig, namespace, "first"))
        await eventually(lambda: leads("first"), "the first to lead")
        await later.enter_async_context(running(kubeconfig, namespace, "second"))
        await eventually(seen, "the second to have looked")
        await now.aclose()
        await eventually(lambda: leads("second"), "the second to lead")
