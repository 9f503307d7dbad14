"""The installed evictor: after the published commands our image runs in a real container and empties a real node.

The tests are the steps of one story, on one cluster with two real nodes.
"""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from tests import containers
from tests.e2e.helm.commands import NAMESPACE
from tests.e2e.helm.inventory import changed, inventory
from tests.e2e.helm.site import Site
from tests.e2e.real.probes import probe_image, probe_spec
from tools import image
from tools.helmrepo import Repository
from tools.localcluster import ClusterHandle
from tools.localcluster.binaries import binaries

SHOP, SECOND = "shop", "second-1"
EVICTOR = "castai-evictor"
DEFINITION = "evictorconfigs.autoscaling.cast.ai"
TAINT, MARK = "evictor.cast.ai/evicted", "moorage.dev/drain"
PUBLISHED = f"helm upgrade --install castai-evictor castai-helm/castai-evictor -n {NAMESPACE}"
AT_ONCE = {"quietPeriod": "0s", "cycleInterval": "1s", "nodeGracePeriodMinutes": 0}
"""Settings that shorten waits. Values of a command win over them."""
CONFIG = {
    "apiVersion": "autoscaling.cast.ai/v1alpha1",
    "kind": "EvictorConfig",
    "metadata": {"name": "evictor-config"},
    "spec": {},
}
REPLICAS, FLOOR = 4, 3
WORKLOADS = {"web": REPLICAS, "solo": 1, "other": 1}
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
Json = dict[str, Any]


@pytest.fixture(scope="module")
def site(
    real_cluster: ClusterHandle, repository: Repository, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    containers.require("image")
    real_cluster.load_image(image.ensure())
    real_cluster.load_image(probe_image(tmp_path_factory.mktemp("probe")))
    real_cluster.start_real_node(SECOND)
    real_cluster.wait_node_ready(SECOND)
    made = Site(real_cluster, repository, tmp_path_factory.mktemp("evictor"))
    made.until(lambda: any(each["metadata"]["name"] == SECOND for each in leases(made)), "the second node's Lease")
    yield made
    clear(made)


def leases(site: Site) -> list[Json]:
    """The Leases of nodes; a kubelet makes its own once its node is ready."""
    found: list[Json] = site.cluster.api.get(LEASES)["items"]
    return found


def clear(site: Site) -> None:
    """Wherever the story has ended, the cluster is as before for those who use it next."""
    shell = site.shell()
    shell.run(f"helm uninstall {EVICTOR} -n {NAMESPACE}")
    shell.run(f"kubectl delete crd {DEFINITION} --ignore-not-found")
    shell.run(f"kubectl delete namespace {NAMESPACE} {SHOP} --ignore-not-found --wait=false")
    site.cluster.stop_real_node(SECOND)
    shell.run(f"kubectl delete node {SECOND}")
    for node in site.cluster.real_nodes:
        give_back(site, node)


def give_back(site: Site, node: str) -> None:
    """What the guide says about nodes that were emptied when the evictor was removed."""
    site.shell().run(f"kubectl taint nodes {node} {TAINT}-")
    site.shell().run(f"kubectl annotate nodes {node} {MARK}-")


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


def workload(name: str, replicas: int) -> Json:
    """A Deployment of real containers whose pods, with those of others of that size, spread over the nodes."""
    labels = {"app": name, "of": str(replicas)}
    spread = {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}
    spec = probe_spec(topologySpreadConstraints=[{**spread, "labelSelector": {"matchLabels": {"of": str(replicas)}}}])
    spec["containers"][0]["resources"] = {"requests": {"cpu": "50m"}}
    template = {"metadata": {"labels": labels}, "spec": spec}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": SHOP},
        "spec": {
            "replicas": replicas,
            "minReadySeconds": 3,  # on a busy machine a pod that has just become ready may not stay so at first
            "selector": {"matchLabels": labels},
            "template": template,
        },
    }


def pods(site: Site, name: str) -> list[Json]:
    """The pods of a workload that are there and not on their way out."""
    found = site.cluster.api.get(f"/api/v1/namespaces/{SHOP}/pods?labelSelector=app%3D{name}")["items"]
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


def where(site: Site, name: str) -> set[str]:
    return {pod["spec"].get("nodeName", "") for pod in pods(site, name)}


def nodes(site: Site) -> dict[str, Json]:
    return {node["metadata"]["name"]: node for node in site.cluster.api.get("/api/v1/nodes")["items"]}


def soft_tainted(node: Mapping[str, Any]) -> bool:
    return any(taint["key"] == TAINT for taint in node["spec"].get("taints", ()))


def ready(site: Site, name: str, replicas: int) -> None:
    """Wait until so many replicas of a workload are ready."""
    path = f"/apis/apps/v1/namespaces/{SHOP}/deployments/{name}"
    site.until(
        lambda: site.cluster.api.get(path)["status"].get("readyReplicas", 0) == replicas, f"{replicas} ready {name}"
    )


def upgrade(site: Site, words: str) -> str:
    """Run the published command with more values. Returns the notes once the evictor runs."""
    said = site.shell()(f"{PUBLISHED} {words} -f {site.file('at-once.json', AT_ONCE)}").out
    site.until_ready(1, EVICTOR)
    site.shell()(f"kubectl apply -f {site.file('config.json', CONFIG)}")
    return said


def held(site: Site, reason: str, *, no_more: str = "") -> None:
    """Wait until the last cycle says that nodes are held for this reason, and not for that of an earlier command."""

    def found() -> bool:
        shown = json.loads(site.shell()("kubectl get evictorconfig evictor-config -o json").out)
        reasons = shown.get("status", {}).get("lastCycle", {}).get("held", {})
        return reason in reasons and no_more not in reasons

    site.until(found, f"a node that is held: {reason}")


def untouched(site: Site) -> bool:
    return not any(soft_tainted(node) or node["spec"].get("unschedulable") for node in nodes(site).values())


class Watcher:
    """Follows the pods of a workload with kubectl, and remembers how few were ready in any revision."""

    FIELDS = ".object.metadata.name,.object.metadata.deletionTimestamp,.type"
    READY = '.object.status.conditions[?(@.type=="Ready")].status'

    def __init__(self, site: Site, name: str) -> None:
        shown = "".join(f"{{{field}}}|" for field in (*self.FIELDS.split(","), self.READY))
        kubectl = [str(binaries(["kubectl"])["kubectl"]), f"--kubeconfig={site.cluster.kubeconfig}", "-n", SHOP]
        command = [*kubectl, "get", "pods", "-l", f"app={name}", "--watch", "--output-watch-events"]
        self._process = subprocess.Popen(
            [*command, "-o", f'jsonpath={shown}{{"\\n"}}'], stdout=subprocess.PIPE, text=True
        )
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._ready: set[str] = set()
        self.counts: list[int] = []
        self._thread.start()

    def _follow(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            name, leaves, event, status = line.strip().split("|")[:4]
            serves = status == "True" and not leaves and event != "DELETED"
            (self._ready.add if serves else self._ready.discard)(name)
            self.counts.append(len(self._ready))

    def end(self) -> None:
        """Follow them no more."""
        self._process.kill()
        self._thread.join()
        self._process.communicate()

    def lowest(self, full: int) -> int:
        """The fewest that were ready after all of them were."""
        return min(self.counts[self.counts.index(full) :])


@pytest.fixture
def watching(site: Site) -> Iterator[Callable[[str], Watcher]]:
    """Makes watchers that end with the test."""
    made: list[Watcher] = []

    def watch(name: str) -> Watcher:
        made.append(Watcher(site, name))
        return made[-1]

    yield watch
    for each in made:
        each.end()


def intent(item: Mapping[str, Any]) -> object:
    """The desired state of an object, without status and metadata of Kubernetes."""
    meta = item["metadata"]
    return meta["uid"], meta.get("labels"), item.get("spec"), item.get("data")


# --- the story ---


@pytest.fixture(scope="module")
def before(site: Site) -> Mapping[tuple[str, str, str], Mapping[str, Any]]:
    """Everything that was there before the first command."""
    shell = site.shell()
    for namespace in (NAMESPACE, SHOP):
        shell(f"kubectl create namespace {namespace}")
        site.cluster.wait_service_account(namespace)
    for name, replicas in WORKLOADS.items():
        shell(f"kubectl apply -f {site.file(f'{name}.json', workload(name, replicas))}")
        ready(site, name, replicas)
    assert where(site, "web") == where(site, "solo") | where(site, "other") == set(nodes(site)), "on both nodes"
    site.until(site.nodes_have_leases, "the Leases of the nodes")
    return inventory(site.cluster)


def test_what_the_published_settings_keep_stays(site: Site, before: object) -> None:
    said = upgrade(site, "--set dryRun=false,nodeGracePeriodMinutes=8")
    assert "EVICTION IS ON: dryRun is false." in said
    held(site, "NODE_YOUNG")
    upgrade(site, "--set dryRun=false,scopedMode=true")
    held(site, "NODE_OUT_OF_SCOPE", no_more="NODE_YOUNG")
    assert untouched(site)


def test_the_only_replica_of_a_workload_keeps_its_node(site: Site) -> None:
    upgrade(site, "--set dryRun=false --set image.repository=us-docker.pkg.dev/castai-hub/library/castai-evictor")
    (pod,) = site.pods(f"app.kubernetes.io/name%3D{EVICTOR}")
    assert pod["spec"]["containers"][0]["image"] == image.name()
    held(site, "SINGLE_REPLICA", no_more="NODE_OUT_OF_SCOPE")
    assert untouched(site)


def test_aggressive_mode_empties_a_node_and_leaves_it_to_be_deleted(
    site: Site, watching: Callable[[str], Watcher]
) -> None:
    watcher = watching("web")
    site.until(lambda: REPLICAS in watcher.counts, "the watcher to have seen all pods of web")
    upgrade(site, "--set dryRun=false,aggressiveMode=true")

    def emptied() -> list[str]:
        return [
            name
            for name, node in nodes(site).items()
            if json.loads(node["metadata"].get("annotations", {}).get(MARK, "{}")).get("phase") == "emptied"
        ]

    (gone,) = site.until(emptied, "a node that was emptied")
    (left,) = set(nodes(site)) - {gone}
    for name, replicas in WORKLOADS.items():
        ready(site, name, replicas)
        assert where(site, name) == {left}
    assert soft_tainted(nodes(site)[gone])
    assert not soft_tainted(nodes(site)[left])
    assert not any(node["spec"].get("unschedulable") for node in nodes(site).values())
    assert watcher.lowest(REPLICAS) >= FLOOR


def test_uninstalled_as_the_guide_says_it_leaves_the_cluster_as_it_was(
    site: Site, before: Mapping[tuple[str, str, str], Mapping[str, Any]]
) -> None:
    shell = site.shell()
    shell(f"kubectl scale deployment {EVICTOR} -n {NAMESPACE} --replicas=0")
    site.until(lambda: site.gone(f"app.kubernetes.io/name%3D{EVICTOR}"), "its pod to be gone")
    (emptied,) = [name for name, node in nodes(site).items() if soft_tainted(node)]
    give_back(site, emptied)
    shell(f"helm uninstall {EVICTOR} -n {NAMESPACE}")
    shell(f"kubectl delete crd {DEFINITION}")
    shell(f"kubectl delete lease {EVICTOR} -n {NAMESPACE}")
    now = inventory(site.cluster)
    ours = {key for key in set(now) ^ set(before) if key[1] != SHOP}
    assert ours == set()
    touched = [key for key in changed(before, now, intent) if key[1] != SHOP]
    assert [key for key in touched if key[0] not in ("Lease", "APIService")] == []
    assert not any(MARK in node["metadata"].get("annotations", {}) for node in nodes(site).values())
