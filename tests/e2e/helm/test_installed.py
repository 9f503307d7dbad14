"""A real installation: after the published commands our image runs in real containers and pins a pod.

The tests are the steps of one story on one cluster. Each names the earlier step that it needs.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from moorage.controller import certificates
from moorage.pinner.names import CLAIM_ANNOTATION, LEADER, ROLE_LABEL
from tests import containers
from tests.e2e.helm import commands
from tests.e2e.helm.commands import NAMESPACE, RELEASE
from tests.e2e.helm.inventory import changed, inventory
from tests.e2e.helm.site import AGENT, APPS, Site, cleanup
from tests.e2e.helm.takeover import WEBHOOKS
from tests.e2e.real.probes import probe_image, probe_spec
from tools import image
from tools.helmrepo import Repository
from tools.localcluster import ClusterHandle

SHOP = "shop"
EVICTOR = "castai-evictor"
CONFIGS = "evictorconfigs.autoscaling.cast.ai"
CONFIG = {
    "apiVersion": "autoscaling.cast.ai/v1alpha1",
    "kind": "EvictorConfig",
    "metadata": {"name": "evictor-config"},
    "spec": {"config": {"nodeGracePeriodMinutes": 0, "cycleInterval": "1s"}},
}
POOL = {"moorage.test/pool": "pinned"}
MACHINES = ("pinned-1", "pinned-2", "pinned-3")
CONFIGURATION = f"{WEBHOOKS}/{RELEASE}.{NAMESPACE}"
LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/{RELEASE}-leader-election"


@pytest.fixture(scope="module")
def site(
    real_cluster: ClusterHandle, repository: Repository, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    containers.require("image")
    real_cluster.load_image(image.ensure())
    real_cluster.load_image(probe_image(tmp_path_factory.mktemp("probe")))
    made = Site(real_cluster, repository, tmp_path_factory.mktemp("installed"))
    yield made
    clear(made)


def clear(site: Site) -> None:
    """Wherever the story has ended, the cluster is as before for those who use it next."""
    shell = site.shell()
    for release in (RELEASE, "moorage-planner", EVICTOR):
        shell.run(f"helm uninstall {release} -n {NAMESPACE}")
    cleanup(site.cluster)
    switch_off(site)
    shell.run(
        f"kubectl delete crd nodereservations.moorage.dev slotreservations.moorage.dev {CONFIGS} --ignore-not-found"
    )
    shell.run(f"kubectl delete namespace {NAMESPACE} {SHOP} --ignore-not-found --wait=false")


def switch_off(site: Site) -> None:
    """Take the machines away again, as whoever bought them does."""
    for machine in MACHINES:
        if machine in site.cluster.real_nodes:
            site.cluster.stop_real_node(machine)
        if machine in site.cluster.hollow_kubelets:
            site.cluster.stop_hollow_kubelet(machine)
        site.shell().run(f"kubectl delete node {machine} --ignore-not-found")


@pytest.fixture(autouse=True)
def in_order(request: pytest.FixtureRequest, site: Site) -> Iterator[None]:
    """A step has nothing to stand on when an earlier one has failed."""
    if site.broken:
        pytest.fail(f"an earlier step failed: {site.broken}", pytrace=False)
    failed = request.session.testsfailed
    yield
    if request.session.testsfailed > failed:
        site.broken = request.node.name


# --- what is looked at ---


def lines(site: Site, pod: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The log of a pod."""
    said = site.shell()(f"kubectl logs -n {NAMESPACE} {pod['metadata']['name']}").out
    return [json.loads(line) for line in said.splitlines()]


def restarts(site: Site) -> list[int]:
    return [status["restartCount"] for pod in site.pods() for status in pod["status"]["containerStatuses"]]


def uids(site: Site) -> set[str]:
    return {pod["metadata"]["uid"] for pod in site.pods()}


def existing_credentials(site: Site, *, cluster: str) -> None:
    """The planner's key in a Secret of the user's own, and the cluster's name in a ConfigMap."""
    shell = site.shell()
    found = site.cluster.api.get(f"{AGENT}/secrets/moorage-planner-client")["data"]["API_KEY"]
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "existing-key"}, "data": {"API_KEY": found}}
    shell(f"kubectl apply -n {NAMESPACE} -f {site.file('existing-key.json', secret)}")
    shell(f"kubectl create configmap existing-cluster -n {NAMESPACE} --from-literal=CLUSTER_ID={cluster}")


def intent(item: Mapping[str, Any]) -> object:
    """The desired state of an object, without status and metadata of Kubernetes."""
    meta = item["metadata"]
    return meta["uid"], meta.get("labels"), item.get("spec"), item.get("data")


def plan(site: Site, machines: tuple[str, ...]) -> Path:
    """Values of the planner: each machine takes one pod of Deployment web."""
    machine = {
        "allocatable": {"cpu": "1", "memory": "3840Mi", "pods": "110"},
        "labels": {"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64", **POOL},
    }
    return site.file(
        "plan.json",
        {
            "plan": {
                "plan": "first-pods",
                "templates": {"machine": machine},
                "nodes": [{"name": name, "template": "machine"} for name in machines],
                "fill": [{"namespace": SHOP, "owner": "Deployment/web"}],
            }
        },
    )


def expecting(site: Site, machine: str) -> Path:
    """Values of the planner: a machine on which one more pod of Deployment web is expected."""
    values = json.loads(plan(site, (machine,)).read_text())
    slot = {"namespace": SHOP, "owner": "Deployment/web", "requests": {"cpu": "600m"}}
    values["plan"] |= {"plan": "expected", "fill": []}
    values["plan"]["nodes"][0]["expect"] = [slot]
    return site.file("expecting.json", values)


def of_web() -> dict[str, Any]:
    """A pod as Deployment web's ReplicaSets make them."""
    template = web(1)["spec"]["template"]
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": "none", "controller": True}
    labels = {**template["metadata"]["labels"], "pod-template-hash": "1"}
    return {**template, "metadata": {"generateName": "web-1-", "labels": labels, "ownerReferences": [owner]}}


def web(replicas: int) -> dict[str, Any]:
    """A Deployment whose pods fit on planned machines only, one on each."""
    alone = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "web"}}}
    spec = probe_spec(
        nodeSelector=POOL,
        affinity={"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [alone]}},
        securityContext={"runAsUser": 65532},  # a hollow kubelet's images name no user
    )
    spec["containers"][0]["resources"] = {"requests": {"cpu": "600m"}}
    del spec["containers"][0]["readinessProbe"]  # on a hollow kubelet nobody answers
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": SHOP},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": spec},
        },
    }


def pinned(site: Site, count: int) -> dict[str, str]:
    """Node by pod, once so many pods of the shop have one."""

    def bound() -> dict[str, str] | None:
        pods = site.cluster.api.get(f"/api/v1/namespaces/{SHOP}/pods")["items"]
        found = {pod["metadata"]["name"]: pod["spec"].get("nodeName", "") for pod in pods}
        return found if len([node for node in found.values() if node]) == count else None

    return site.until(bound, f"{count} pods to be pinned")


def join(site: Site, machine: str, switch_on: Callable[[str], object]) -> None:
    """Start a machine, and wait until its pod runs and its placeholder is adopted."""
    before = site.cluster.api.get(f"/api/v1/nodes/{machine}")
    assert not before["status"].get("nodeInfo", {}).get("kubeletVersion"), "no machine has this name yet"
    switch_on(machine)

    def runs() -> bool:
        pods = site.cluster.api.get(f"/api/v1/namespaces/{SHOP}/pods?fieldSelector=spec.nodeName%3D{machine}")["items"]
        return [pod["status"]["phase"] for pod in pods] == ["Running"]

    site.until(runs, f"the pod on {machine} to run")

    def adopted() -> bool:
        node = site.cluster.api.get(f"/api/v1/nodes/{machine}")
        assert node["metadata"]["uid"] == before["metadata"]["uid"], "adopted, not replaced"
        return not any("pod-pinning" in taint["key"] for taint in node["spec"].get("taints", ()))

    site.until(adopted, f"{machine} to be adopted")


# --- the story ---


@pytest.fixture(scope="module")
def before(site: Site) -> Mapping[tuple[str, str, str], Mapping[str, Any]]:
    """Everything that was there before the first command."""
    shell = site.shell()
    shell(f"kubectl create namespace {NAMESPACE}")
    shell(f"kubectl create namespace {SHOP}")
    site.cluster.wait_service_account(NAMESPACE)
    site.cluster.wait_service_account(SHOP)
    shell(f"kubectl apply -f {site.file('web.json', web(1))}")
    site.until(
        lambda: site.cluster.api.get(f"/api/v1/namespaces/{SHOP}/pods")["items"], "the first pod of Deployment web"
    )
    site.until(site.nodes_have_leases, "the Leases of the nodes")
    return inventory(site.cluster)


def test_the_published_commands_install_two_ready_replicas(site: Site, before: object) -> None:
    shell = site.shell()  # helm repo add, helm repo update
    said = shell(commands.PUBLISHED_INSTALL).out
    assert "moorage-planner" in said, "NOTES name the next command"
    site.until_ready(2)
    listed = shell(commands.LIST).row(RELEASE)
    assert listed[1] == NAMESPACE
    assert listed[-3:] == ["deployed", f"{RELEASE}-2.0.0", "2.0.0"]
    assert {pod["metadata"]["labels"]["charts.cast.ai/managed"] for pod in site.pods()} == {"true"}


def test_without_a_planner_it_says_once_what_is_missing_and_harms_nothing(
    site: Site, before: Mapping[tuple[str, str, str], Mapping[str, Any]]
) -> None:
    site.until(lambda: (site.get(LEASE) or {}).get("spec", {}).get("holderIdentity"), "a leader")

    def complaints() -> list[list[dict[str, Any]]]:
        return [[line for line in lines(site, pod) if line["level"] in ("warning", "error")] for pod in site.pods()]

    site.until(lambda: any(complaints()), "the leader to say what is missing")
    for said in complaints():
        assert len(said) <= 1, "once, not again and again"
        assert all("moorage-planner" in json.dumps(line) for line in said)
    events = site.cluster.api.get(f"{AGENT}/events?fieldSelector=reason%3DStreamCredentials")["items"]
    assert {event["involvedObject"]["kind"] for event in events} == {"Pod"}, "kubectl describe shows it, too"
    assert restarts(site) == [0, 0]
    now = inventory(site.cluster)
    ours = {key for key in now if key not in before}
    touched = [key for key in changed(before, now, intent) if key not in ours and key[0] not in ("Lease", "APIService")]
    assert touched == [], "nothing of others was changed"
    assert not [key for key in ours if key[0] in ("Node", "NodeReservation")]


def test_with_a_planner_a_pod_is_pinned_before_its_machine_exists(site: Site) -> None:
    replicas = uids(site)
    shell = site.shell()
    shell(commands.PLANNER.format(values=plan(site, MACHINES[:1])))
    site.until_ready(1, "moorage-planner")
    assert list(pinned(site, 1).values()) == [MACHINES[0]]
    join(site, MACHINES[0], site.cluster.start_real_node)
    assert shell(f"kubectl logs -n {SHOP} deployment/web").out == "probe serves\n", "a container of a real kubelet"
    assert uids(site) == replicas, "the running replicas have found the planner"
    assert restarts(site) == [0, 0]


def test_the_webhook_has_a_certificate_and_its_service_leads_to_the_leader(site: Site) -> None:
    data = site.cluster.api.get(f"{AGENT}/secrets/{RELEASE}-webhook")["data"]
    assert set(data) == set(certificates.KEYS), "the pods have filled it"
    leader = str(site.cluster.api.get(LEASE)["spec"]["holderIdentity"]).partition("_")[0]
    leads = [pod["metadata"]["name"] for pod in site.pods() if pod["metadata"]["labels"].get(ROLE_LABEL) == LEADER]
    assert leads == [leader]
    slices = f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices"
    selected = f"{slices}?labelSelector=kubernetes.io%2Fservice-name%3D{RELEASE}-webhook"

    def behind() -> list[str]:
        found = [each for one in site.cluster.api.get(selected)["items"] for each in one["endpoints"] or ()]
        return [each["targetRef"]["name"] for each in found if each["conditions"]["ready"]]

    site.until(lambda: behind() == [leader], "the leader, and nobody else, to be behind the Service")
    assert not site.cluster.api.get(CONFIGURATION).get("webhooks"), "nothing is expected: the API server asks nobody"


def test_helm_test_passes(site: Site) -> None:
    said = site.shell()(f"helm test {RELEASE} -n {NAMESPACE}").out
    assert "Succeeded" in said


def test_status_shows_all_of_it_from_a_shell(site: Site) -> None:
    flags = ["status", "-o", "json", "--kubeconfig", str(site.cluster.kubeconfig), "--namespace", NAMESPACE]
    done = subprocess.run([sys.executable, "-m", "moorage.cli", *flags], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    parts = json.loads(done.stdout)["parts"]
    pinner, planner = parts["pod pinner"], parts["planner"]
    assert pinner["summary"] == f"{RELEASE}: 2 of 2 replicas Ready"
    leader = str(site.cluster.api.get(LEASE)["spec"]["holderIdentity"]).partition("_")[0]
    assert pinner["facts"]["leader"].startswith(f"{leader}, renewed ")
    assert pinner["facts"]["planner"] == "connected", "as the leader's metrics say"
    assert pinner["facts"]["webhook"].startswith("idle")
    assert planner["facts"]["pod pinners"] == "1 connected"
    assert parts["evictor"]["state"] == "not installed"


def test_values_are_overridden_and_self_managed_is_a_label_on_deployment_and_pods(site: Site) -> None:
    shell = site.shell()
    shell(commands.PUBLISHED_SELF_MANAGED)
    assert site.deployment()["metadata"]["labels"]["charts.cast.ai/managed"] == "false"
    chosen = {
        "log": {"level": "debug"},
        "podAnnotations": {"example.com/team": "pay"},
        "castai": {"apiKeySecretRef": "existing-key", "clusterIdConfigMapKeyRef": {"name": "existing-cluster"}},
    }
    existing_credentials(site, cluster="blue")
    shell(f"{commands.PUBLISHED_SELF_MANAGED_UPGRADE} -f {site.file('values.json', chosen)}")
    site.until_ready(2)
    assert site.deployment()["metadata"]["labels"]["charts.cast.ai/managed"] == "false"
    assert {pod["metadata"]["labels"]["charts.cast.ai/managed"] for pod in site.pods()} == {"false"}
    assert {pod["metadata"]["annotations"]["example.com/team"] for pod in site.pods()} == {"pay"}
    assert {"name": "MOORAGE_LOG_LEVEL", "value": "debug"} in site.container()["env"]
    (planner,) = site.pods("app.kubernetes.io/name%3Dmoorage-planner")

    def connected() -> bool:
        met = [line for line in lines(site, planner) if line.get("message") == "pinner connected"]
        return "blue" in {line["cluster"] for line in met}

    site.until(connected, "a pinner with the existing key and the existing cluster id")


def test_a_wrong_value_is_refused_before_anything_is_changed(site: Site) -> None:
    shell, generation = site.shell(), site.deployment()["metadata"]["generation"]
    said = shell.fails(f"{commands.PUBLISHED_INSTALL} --set replicas=two")
    assert "replicas" in said
    assert site.deployment()["metadata"]["generation"] == generation
    assert shell(commands.LIST).row(RELEASE)[-3] == "deployed"


def test_scaled_to_zero_by_hand_and_upgraded(site: Site) -> None:
    shell = site.shell()
    shell(f"kubectl scale deployment {RELEASE} -n {NAMESPACE} --replicas=0")
    site.until(lambda: not site.pods(), "no replica to run")
    shell(commands.PUBLISHED_INSTALL)
    assert site.deployment()["spec"]["replicas"] == 2, "the chart's number again"

    shell(f"kubectl patch deployment {RELEASE} -n {NAMESPACE} -p '{json.dumps({'spec': {'replicas': 0}})}'")
    site.until(lambda: not site.pods(), "no replica to run")
    said = shell.fails(commands.PUBLISHED_INSTALL)
    assert "conflict with" in said, "Helm 4 does not overrule another manager unasked"
    assert ".spec.replicas" in said
    shell(f"{commands.PUBLISHED_INSTALL} --force-conflicts")
    site.until_ready(2)
    assert shell(commands.LIST).row(RELEASE)[-3] == "deployed"


def test_rollback(site: Site) -> None:
    shell = site.shell()
    shell(f"helm rollback {RELEASE} 1 -n {NAMESPACE}")
    site.until_ready(2)
    shell(f"kubectl delete secret/existing-key configmap/existing-cluster -n {NAMESPACE}")
    assert {pod["metadata"]["labels"]["charts.cast.ai/managed"] for pod in site.pods()} == {"true"}


def test_a_failed_upgrade_leaves_the_old_replicas_serving(site: Site) -> None:
    shell, replicas = site.shell(), uids(site)
    shell.fails(f"{commands.PUBLISHED_INSTALL} --set image.tag=does-not-exist --wait --timeout 8s")
    assert shell(commands.LIST + " --failed").row(RELEASE)[-3] == "failed"
    ready = {
        pod["metadata"]["uid"]
        for pod in site.pods()
        for condition in pod["status"]["conditions"]
        if condition["type"] == "Ready" and condition["status"] == "True"
    }
    assert ready == replicas

    shell(f"kubectl scale deployment web -n {SHOP} --replicas=2")
    shell(commands.PLANNER.format(values=plan(site, MACHINES[:2])))
    assert set(pinned(site, 2).values()) == set(MACHINES[:2]), "they still pin"
    join(site, MACHINES[1], site.cluster.start_hollow_kubelet)

    shell(commands.PUBLISHED_INSTALL)
    site.until_ready(2)
    assert uids(site) == replicas, "nothing was wrong with them"


def test_the_evictor_beside_it_reports_and_touches_nothing(site: Site) -> None:
    shell = site.shell()
    said = shell(f"helm upgrade --install {EVICTOR} moorage/{EVICTOR} -n {NAMESPACE}").out
    assert "moorage evictor --once" in said, "NOTES say how to see it"
    site.until_ready(1, EVICTOR)
    before = {node["metadata"]["name"]: node["spec"] for node in site.cluster.api.get("/api/v1/nodes")["items"]}
    shell(f"kubectl apply -f {site.file('config.json', CONFIG)}")

    def looked() -> dict[str, Any] | None:
        found: dict[str, Any] = json.loads(shell("kubectl get evictorconfig evictor-config -o json").out)
        status = found.get("status", {})
        return status if status.get("lastCycle", {}).get("nodes") == len(before) else None

    status = site.until(looked, "a cycle to be told of")
    assert {each["type"]: each["status"] for each in status["conditions"]}["Ready"] == "True"
    lines = shell(f"kubectl logs -l app.kubernetes.io/name=castai-evictor -n {NAMESPACE} --tail=-1").out.splitlines()
    assert json.loads(lines[0])["message"] == "this is a dry run, nothing is evicted"
    after = {node["metadata"]["name"]: node["spec"] for node in site.cluster.api.get("/api/v1/nodes")["items"]}
    assert after == before, "no cordon, no taint"

    shell(f"helm uninstall {EVICTOR} -n {NAMESPACE}")
    site.until(lambda: site.gone(f"app.kubernetes.io/name%3D{EVICTOR}"), "its pod to be gone")
    shell(f"kubectl delete crd {CONFIGS}")
    shell(f"kubectl delete lease {EVICTOR} -n {NAMESPACE}")


def test_a_pod_that_is_expected_is_pinned_as_it_is_created(site: Site) -> None:
    """A pod on a placeholder whose machine never joins."""
    shell, pods = site.shell(), f"/api/v1/namespaces/{SHOP}/pods"
    shell(commands.PLANNER.format(values=expecting(site, MACHINES[2])))
    site.until(lambda: site.cluster.api.get(CONFIGURATION).get("webhooks"), "the API server to be told of the webhook")

    def asked() -> bool:
        made = site.cluster.api.request("POST", f"{pods}?dryRun=All", of_web())
        return bool(made["spec"].get("nodeName") == MACHINES[2])

    site.until(asked, "the API server to ask the leader")
    shell(f"kubectl scale deployment web -n {SHOP} --replicas=3")
    pinned(site, 3)
    (pod,) = site.cluster.api.get(f"{pods}?fieldSelector=spec.nodeName%3D{MACHINES[2]}")["items"]
    assert CLAIM_ANNOTATION in pod["metadata"]["annotations"], "by the webhook, and not afterwards"
    assert "pinning pod" in {line["message"] for each in site.pods() for line in lines(site, each)}
    site.until(
        lambda: not site.cluster.api.get(CONFIGURATION).get("webhooks"), "the API server to be told to ask no more"
    )


def test_after_the_last_replica_and_uninstall_only_what_is_documented_is_left(
    site: Site, before: Mapping[tuple[str, str, str], Mapping[str, Any]]
) -> None:
    shell = site.shell()
    shell(f"kubectl scale deployment {RELEASE} -n {NAMESPACE} --replicas=0")
    site.until(site.gone, "no replica to run")
    assert site.get(f"/api/v1/nodes/{MACHINES[2]}") is None, "the last one has removed the placeholder"
    assert "nothing is left behind" in cleanup(site.cluster)
    said = shell(f"helm uninstall {RELEASE} -n {NAMESPACE}").out
    assert "nodereservations.moorage.dev" in said, "Helm says what it keeps"
    shell(f"helm uninstall moorage-planner -n {NAMESPACE}")

    shell(f"kubectl delete namespace {SHOP}")
    site.until(lambda: site.gone(""), "the last pod to have ended")
    switch_off(site)
    documented = {
        ("CustomResourceDefinition", "", "nodereservations.moorage.dev"),
        ("CustomResourceDefinition", "", "slotreservations.moorage.dev"),
        ("APIService", "", "v1alpha1.moorage.dev"),
        ("Lease", NAMESPACE, f"{RELEASE}-leader-election"),
    }
    site.until(
        lambda: {key for key in set(inventory(site.cluster)) - set(before) if key[1] != SHOP} == documented,
        f"only this to be left: {sorted(documented)}",
    )
    gone = {key for key in set(before) - set(inventory(site.cluster)) if SHOP not in key}
    assert gone == set(), "nothing of others is gone"
    shell("kubectl delete crd nodereservations.moorage.dev slotreservations.moorage.dev")
    assert site.get(f"{APPS}/deployments/{RELEASE}") is None
    assert site.get(f"{AGENT}/secrets/moorage-planner-tls") is None
