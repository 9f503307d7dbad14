"""The charts grant exactly the rights that the code uses: no request is forbidden, and no right is unused.

The real planner, two replicas of the pod pinner and the evictor run as processes, with the accounts and the environment
of the installed charts. They run the demo, and then the functions that it does not use. The API server's audit log has
their requests.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml

from tests.e2e.helm.commands import INSTALL, NAMESPACE, RELEASE
from tests.e2e.helm.shell import Shell
from tests.e2e.helm.site import Site
from tests.e2e.rights import audit
from tests.e2e.rights.accounts import EVICTOR, PINNER, PLANNER, Installed, environment, kubeconfig, user
from tools.demo import manifests
from tools.demo.check import Outcome
from tools.demo.programs import ROOT
from tools.demo.scenario import App
from tools.demo.stage import Stage
from tools.demo.story import Story
from tools.demo.targets import OwnCluster, kept_environment
from tools.helmrepo import Repository
from tools.localcluster import ClusterError, ClusterHandle, LocalCluster
from tools.localcluster.api import ApiError

T = TypeVar("T")
PATIENCE = 90.0
LATE = App("late", 2, 100)
LATE_NODES = {"moorage.test/rights": "true"}
GREEDY = App("greedy", 2, 600)
GREEDY_NODES = {"moorage.test/rights": "greedy"}
DEVICE = "moorage.test/device"
TRAINER = App("trainer", 1, 100)
TRAINER_NODES = {"moorage.test/rights": "trainer"}
WAITS, FAILS, SMALL = "rights-waits", "rights-fails", "rights-small"
EXPECTS, TRAINS = "rights-expects", "rights-trains"
RESERVATIONS = "/apis/moorage.dev/v1alpha1/nodereservations"
SLOTS = "/apis/moorage.dev/v1alpha1/slotreservations"
CONFIGS = "/apis/autoscaling.cast.ai/v1alpha1/evictorconfigs"
CONFIG: dict[str, Any] = {
    "apiVersion": "autoscaling.cast.ai/v1alpha1",
    "kind": "EvictorConfig",
    "metadata": {"name": "evictor-config"},
    "spec": {"config": {"nodeGracePeriodMinutes": 0}},
}
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
KARPENTERS = [
    {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{kind.lower()}s.karpenter.sh",
            "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"},
        },
        "spec": {
            "group": "karpenter.sh",
            "scope": "Cluster",
            "names": {"plural": f"{kind.lower()}s", "singular": kind.lower(), "kind": kind},
            "versions": [
                {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
            ],
        },
    }
    for kind in ("NodeClaim", "NodePool")
]
"""The parts of Karpenter's definitions that are needed to watch its kinds."""
EVICTOR_RULES = f"/api/v1/namespaces/{NAMESPACE}/configmaps/{EVICTOR}-config"
LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/{RELEASE}-leader-election"
WEBHOOK = f"/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{RELEASE}.{NAMESPACE}"
NOBODY = {"namespace": manifests.NAMESPACE, "name": "nobody", "uid": "00000000-0000-0000-0000-000000000000"}


@dataclass(frozen=True)
class Played:
    """The rights of every account, and its requests."""

    granted: Mapping[str, list[audit.Grant]]
    asked: Mapping[str, list[audit.Request]]


@pytest.fixture(scope="module")
def own() -> Iterator[LocalCluster]:
    cluster = LocalCluster()
    try:
        cluster.start()
    except ClusterError as error:
        pytest.fail(f"no local cluster: {error}", pytrace=False)
    try:
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(scope="module")
def shell(own: LocalCluster, repository: Repository, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """All charts are installed. No node accepts their pods, and local processes replace them."""
    made = Site(own, repository, tmp_path_factory.mktemp("home")).shell()
    made(f"kubectl create namespace {NAMESPACE}")
    made(INSTALL)
    for chart in ("moorage-planner", EVICTOR):
        made(f"helm upgrade --install {chart} moorage/{chart} -n {NAMESPACE}")
    return made


@pytest.fixture(scope="module")
def played(own: LocalCluster, shell: Shell, tmp_path_factory: pytest.TempPathFactory) -> Played:
    folder = tmp_path_factory.mktemp("programs")
    programs = Installed(own, folder)
    try:
        make_evictor_complain_twice(own, programs)
        assert asyncio.run(play_the_demo(own, programs)).problems == ()
        Rest(own, programs).play()
        tester = run_helm_test(shell, own, folder, programs.mounted)
        programs.end()
        clean_up(own)
    finally:
        programs.end()
    accounts = {"pinner": PINNER, "planner": PLANNER, "evictor": EVICTOR, "helm test": tester}
    return Played(
        {who: audit.grants(own, NAMESPACE, account) for who, account in accounts.items()},
        {who: audit.requests(own.audit_log, user(account)) for who, account in accounts.items()},
    )


def make_evictor_complain_twice(cluster: ClusterHandle, programs: Installed) -> None:
    """The same mistake, made again: an Event, and by the time that the demo is over its second count."""
    for definition in KARPENTERS:
        cluster.api.request("POST", DEFINITIONS, definition)
    cluster.api.request("POST", CONFIGS, CONFIG)
    programs.start_evictor()
    for text, status in (("", "True"), ("[", "False"), ("", "True"), ("[", "False")):
        change = {"data": {"config.yaml": text}}
        cluster.api.request("PATCH", EVICTOR_RULES, change, "application/merge-patch+json")
        end = time.monotonic() + PATIENCE
        while _configuration_valid(cluster) != status:
            programs.check()
            assert time.monotonic() < end, f"the evictor does not say that {text!r} is valid: {status}"
            time.sleep(0.1)


def _configuration_valid(cluster: ClusterHandle) -> str:
    status = cluster.api.get(f"{CONFIGS}/{CONFIG['metadata']['name']}").get("status", {})
    return next((each["status"] for each in status.get("conditions", ()) if each["type"] == "ConfigurationValid"), "")


async def play_the_demo(cluster: LocalCluster, programs: Installed) -> Outcome:
    outcome = await Story(OwnCluster(cluster), Stage(), programs=programs).tell()
    await asyncio.sleep(0.3)  # TLS says goodbye after the connections were closed
    return outcome


# --- what the demo does not show ---


class Rest:
    """Leads the programs into everything else they have rights for."""

    def __init__(self, cluster: ClusterHandle, programs: Installed) -> None:
        self._handle = cluster
        self._programs = programs

    def play(self) -> None:
        """The steps in an order in which each has what it needs."""
        self._create_late_pods()
        self._serve(self._plan([WAITS, FAILS]))  # pods by owner: the planner must look at the cluster
        self._until(lambda: self._bound() == {WAITS, FAILS}, "both late pods to be pinned")
        self._serve({**self._plan([WAITS]), "delete": [FAILS]})  # a machine that never comes
        self._until(lambda: self._get(f"/api/v1/nodes/{FAILS}") is None, f"placeholder {FAILS} to be deleted")
        self._until(lambda: self._get(f"{RESERVATIONS}/{FAILS}") is None, f"reservation {FAILS} to be deleted")
        self._sweep_what_a_small_machine_refuses()
        self._nominate_what_wants_a_device()
        self._pin_a_pod_that_is_not_there()
        self._own_a_reservation()
        self._write_a_reservation_at_the_same_time()
        self._until(
            lambda: self._used(PINNER, "update", "leases", "kube-node-lease"), f"the Lease of {WAITS} to be renewed"
        )
        self._expect_a_pod()
        self._expect_a_pod_on_a_running_node()
        self._change_leaders()

    def _create_late_pods(self) -> None:
        self._create(LATE, LATE_NODES)  # the demo's machines have room left

    def _create(self, app: App, nodes: Mapping[str, str], limits: Mapping[str, str] | None = None) -> None:
        path = f"/apis/apps/v1/namespaces/{manifests.NAMESPACE}/deployments"
        deployment = manifests.deployment(app)
        deployment["spec"]["template"]["spec"]["nodeSelector"] = nodes
        deployment["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"] = dict(limits or {})
        self._handle.api.request("POST", path, deployment)

    def _sweep_what_a_small_machine_refuses(self) -> None:
        """A machine has half of the promised resources: one of its two pods fails, is deleted, and runs elsewhere."""
        self._create(GREEDY, GREEDY_NODES)
        self._fill(SMALL, GREEDY, GREEDY_NODES, cpu="2")
        self._until(lambda: self._placed(GREEDY) == [SMALL, SMALL], "both greedy pods to be pinned")
        self._handle.start_hollow_kubelet(SMALL)
        self._until(lambda: self._placed(GREEDY) == ["", SMALL], "what the machine refused to be swept")

    def _nominate_what_wants_a_device(self) -> None:
        self._create(TRAINER, TRAINER_NODES, {DEVICE: "1"})
        self._fill(TRAINS, TRAINER, TRAINER_NODES, **{DEVICE: "1"})
        self._until(lambda: self._get(f"/api/v1/nodes/{TRAINS}"), f"placeholder {TRAINS}")
        self._handle.start_hollow_kubelet(TRAINS, extended_resources={DEVICE: 1})
        self._until(lambda: self._placed(TRAINER) == [TRAINS], "the scheduler to follow a nomination")

    def _fill(self, name: str, app: App, nodes: Mapping[str, str], **room: str) -> None:
        """Plan one node for all pods of an app."""
        promise = manifests.promise()
        promise["allocatable"] |= room
        node = {"name": name, "template": "one", "labels": {"kubernetes.io/os": "linux", **nodes}}
        fill = {"namespace": manifests.NAMESPACE, "owner": f"Deployment/{app.name}", "perNode": app.replicas}
        self._serve({"plan": name, "templates": {"one": promise}, "nodes": [node], "fill": [fill]})

    def _plan(self, nodes: list[str], pods: list[dict[str, str]] | None = None) -> dict[str, Any]:
        room = {"template": "machine", "labels": {"kubernetes.io/os": "linux", **LATE_NODES}}
        return {
            "plan": "rights",
            "templates": {"machine": manifests.promise()},
            "nodes": [{"name": name, **room, "pods": pods or []} for name in nodes],
            "fill": [
                {"namespace": manifests.NAMESPACE, "owner": f"Deployment/{LATE.name}", "perNode": 1},
            ],
        }

    def _serve(self, plan: Mapping[str, Any]) -> None:
        draft = self._programs.plan.with_suffix(".draft")
        draft.write_text(yaml.safe_dump(dict(plan)))
        draft.replace(self._programs.plan)

    def _bound(self) -> set[str]:
        return set(self._placed(LATE))

    def _placed(self, app: App) -> list[str]:
        path = f"/api/v1/namespaces/{manifests.NAMESPACE}/pods?labelSelector=app%3D{app.name}"
        return sorted(pod["spec"].get("nodeName", "") for pod in self._handle.api.get(path)["items"])

    def _pin_a_pod_that_is_not_there(self) -> None:
        """The pinner asks for a pod that its cache does not know."""
        self._serve(self._plan([WAITS], [NOBODY]))
        self._until(lambda: self._used(PINNER, "get", "pods", name=NOBODY["name"]), "the unknown pod to be asked for")

    def _own_a_reservation(self) -> None:
        """A reservation with owners, of which we do not know all fields, is patched instead of replaced."""
        node = self._handle.api.get(f"/api/v1/nodes/{WAITS}")
        owner = {"apiVersion": "v1", "kind": "Node", "name": WAITS, "uid": node["metadata"]["uid"]}
        self._change_reservation({"ownerReferences": [owner]})
        self._serve(self._plan([WAITS]))
        self._until(lambda: self._used(PINNER, "patch", "nodereservations"), "the owned reservation to be changed")

    def _write_a_reservation_at_the_same_time(self) -> None:
        """Somebody else's write in between makes the pinner read the reservation again.

        The pod that is not there is refused again and again on the way: one Event with a count.
        """
        count = 0

        def met() -> bool:
            nonlocal count
            self._serve({**self._plan([WAITS], [NOBODY]), "plan": f"rights-{count}"})
            end = time.monotonic() + 2
            while time.monotonic() < end:
                count += 1
                self._change_reservation({"annotations": {"example.com/count": str(count)}})
            return self._used(PINNER, "get", "nodereservations")

        self._until(met, "a write to meet another one")

    def _expect_a_pod(self) -> None:
        """The webhook is registered, called through the Service, and removed."""
        slot = {"namespace": manifests.NAMESPACE, "owner": "Deployment/expected", "requests": {"cpu": "100m"}}
        plan = {**self._plan([EXPECTS]), "plan": "rights-expects", "fill": []}
        plan["nodes"][0]["expect"] = [slot]
        self._serve(plan)
        self._until(self._webhooks, "the API server to be told of the webhook")
        self._programs.put_behind_the_service()
        self._until(lambda: self._admitted_on() == EXPECTS, "an expected pod to be pinned as it is created")
        assert self._behind_the_service() == [self._leader()]
        self._serve({"plan": "rights-expects-nothing", "delete": [EXPECTS]})
        self._until(lambda: not self._webhooks(), "the API server to be told that nothing is expected")

    def _expect_a_pod_on_a_running_node(self) -> None:
        """As the evictor does: the leader says that the slots are counted."""
        node = self._handle.api.get(f"/api/v1/nodes/{TRAINS}")
        now = datetime.now(UTC)
        owner = {"kind": "Deployment", "namespace": manifests.NAMESPACE, "name": "expected"}
        spec = {
            "nodeUID": node["metadata"]["uid"],
            "by": "rights/test",
            "since": f"{now:%Y-%m-%dT%H:%M:%SZ}",
            "until": f"{now + timedelta(minutes=5):%Y-%m-%dT%H:%M:%SZ}",
            "slots": [{"owner": owner, "requests": {"cpu": "100m"}}],
        }
        body = {"apiVersion": "moorage.dev/v1alpha1", "kind": "SlotReservation", "metadata": {"name": TRAINS}}
        self._handle.api.request("POST", SLOTS, {**body, "spec": spec})
        self._until(
            lambda: self._handle.api.get(f"{SLOTS}/{TRAINS}").get("status", {}).get("served"), "slots to be served"
        )
        self._handle.api.request("DELETE", f"{SLOTS}/{TRAINS}")
        self._until(lambda: not self._webhooks(), "the API server to be told that nothing is expected any more")

    def _admitted_on(self) -> str:
        """The node of a pod of the expected Deployment, as a dry run creates it."""
        owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "expected-1", "uid": "none", "controller": True}
        app = App("expected", 1, 100)
        pod = manifests.deployment(app)["spec"]["template"]
        pod["metadata"]["generateName"] = "expected-1-"
        pod["metadata"]["labels"]["pod-template-hash"] = "1"
        pod["metadata"]["ownerReferences"] = [owner]
        pod["spec"]["nodeSelector"] = LATE_NODES
        made = self._handle.api.request("POST", f"/api/v1/namespaces/{manifests.NAMESPACE}/pods?dryRun=All", pod)
        return str(made["spec"].get("nodeName", ""))

    def _behind_the_service(self) -> list[str]:
        path = f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices"
        slices = self._handle.api.get(f"{path}?labelSelector=kubernetes.io%2Fservice-name%3D{RELEASE}-webhook")["items"]
        return [each["targetRef"]["name"] for one in slices for each in one["endpoints"] or ()]

    def _webhooks(self) -> list[object]:
        return list(self._handle.api.get(WEBHOOK).get("webhooks", ()))

    def _change_reservation(self, metadata: Mapping[str, Any]) -> None:
        path = f"{RESERVATIONS}/{WAITS}"
        self._handle.api.request("PATCH", path, {"metadata": metadata}, "application/merge-patch+json")

    def _change_leaders(self) -> None:
        leader = self._leader()
        self._programs.stop_one(leader)
        self._until(lambda: self._leader() not in ("", leader), "the other replica to lead")
        self._until(lambda: self._behind_the_service() == [self._leader()], "the Service to lead to the new leader")

    def _leader(self) -> str:
        holder = str(self._handle.api.get(LEASE)["spec"].get("holderIdentity") or "")
        return holder.partition("_")[0]

    def _used(self, account: str, verb: str, resource: str, namespace: str = "", name: str = "") -> bool:
        asked = audit.requests(self._handle.audit_log, user(account))
        used = (each for each in asked if (each.verb, each.resource) == (verb, resource))
        return any(each.namespace == (namespace or each.namespace) and name in ("", each.name) for each in used)

    def _get(self, path: str) -> object | None:
        try:
            return self._handle.api.get(path) or None
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def _until(self, probe: Callable[[], T | None], what: str) -> T:
        end = time.monotonic() + PATIENCE
        while not (answer := probe()):
            self._programs.check()
            assert time.monotonic() < end, f"waited {PATIENCE:g} s for {what}; logs {self._programs.folder}"
            time.sleep(0.2)
        return answer


def run_helm_test(shell: Shell, cluster: ClusterHandle, folder: Path, mounted: Mapping[str, str]) -> str:
    """Run the command of the `helm test` pod under its own account, which is returned."""
    hooks = [each for each in yaml.safe_load_all(shell(f"helm get hooks {RELEASE} -n {NAMESPACE}").out) if each]
    (pod,) = [each["spec"]["template"]["spec"] for each in hooks if each["kind"] == "Job"]
    rights = folder / "hooks.yaml"
    rights.write_text(yaml.safe_dump_all([each for each in hooks if each["kind"] != "Job"]))
    shell(f"kubectl apply -n {NAMESPACE} -f {rights}")
    account = str(pod["serviceAccountName"])
    given = {**kept_environment(), **environment(cluster, pod, "helm-test"), **mounted}
    given["MOORAGE_KUBECONFIG"] = str(kubeconfig(cluster, account, folder))
    (container,) = pod["containers"]
    words = [sys.executable, "-m", "moorage.cli", *container["args"]]
    done = subprocess.run(words, env=given, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    return account


def clean_up(cluster: ClusterHandle) -> None:
    """The administrator removes the rest, because no policy limits that account."""
    command = [sys.executable, "-m", "moorage.cli", "cleanup", "--yes"]
    given = {**kept_environment(), "MOORAGE_KUBECONFIG": str(cluster.kubeconfig)}
    done = subprocess.run(command, env=given, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert cluster.api.get(RESERVATIONS)["items"] == []
    assert WAITS not in {node["metadata"]["name"] for node in cluster.api.get("/api/v1/nodes")["items"]}


# --- what is asserted ---


WHO = ["pinner", "planner", "evictor", "helm test"]


@pytest.mark.parametrize("who", WHO)
def test_nothing_is_forbidden(played: Played, who: str) -> None:
    assert played.asked[who], "it has run"
    assert audit.refused(played.asked[who]) == []


@pytest.mark.parametrize("who", WHO)
def test_nothing_is_granted_and_never_used(played: Played, who: str) -> None:
    assert played.granted[who], "it has rights"
    assert audit.unused(played.granted[who], played.asked[who]) == []
