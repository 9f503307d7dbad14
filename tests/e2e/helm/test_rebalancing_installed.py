"""A small installed rebalancing: our image in real containers replaces nodes by one, with faults.

The tests are the steps of one story on one cluster. All nodes except the last are hollow.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from moorage.pinner.names import CLAIM_ANNOTATION, WEBHOOK
from tests import containers
from tests.e2e.helm import commands
from tests.e2e.helm.commands import NAMESPACE, RELEASE
from tests.e2e.helm.site import Site, cleanup
from tests.e2e.helm.test_evictor_installed import (
    FLOOR,
    MARK,
    REPLICAS,
    SHOP,
    TAINT,
    Watcher,
    in_order,
    nodes,
    pods,
    ready,
    soft_tainted,
    watching,
    where,
)
from tests.e2e.helm.test_installed import CONFIGURATION
from tests.e2e.real.probes import probe_image, probe_spec
from tools import image
from tools.helmrepo import Repository
from tools.localcluster import ClusterHandle

__all__ = ["in_order", "watching"]

PLANNER = "moorage-planner"
OLD, NEW, LAST = ("old-1", "old-2"), "new-1", "new-2"
POOL = {"moorage.test/pool": "web"}
PREPARING = "scheduling.cast.ai/pod-pinning-preparing"
RESERVATIONS = "/apis/moorage.dev/v1alpha1/nodereservations"
Json = dict[str, Any]


@pytest.fixture(scope="module")
def site(
    real_cluster: ClusterHandle, repository: Repository, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    containers.require("image")
    real_cluster.load_image(image.ensure())
    real_cluster.load_image(probe_image(tmp_path_factory.mktemp("probe")))
    for name in OLD:
        real_cluster.start_hollow_kubelet(name, node_labels=POOL)
        real_cluster.wait_node_ready(name)
    made = Site(real_cluster, repository, tmp_path_factory.mktemp("rebalancing"))
    shell = made.shell()
    shell.run(f"kubectl wait --for=delete namespace/{NAMESPACE} namespace/{SHOP} --timeout=90s")  # of another story
    for namespace in (NAMESPACE, SHOP):
        shell(f"kubectl create namespace {namespace}")
        real_cluster.wait_service_account(namespace)
    shell(f"kubectl apply -f {made.file('web.json', web())}")
    ready(made, "web", REPLICAS)
    yield made
    clear(made)


def web() -> Json:
    """A Deployment and its budget: of four pods one at a time may be missing."""
    spec = probe_spec(nodeSelector=POOL, securityContext={"runAsUser": 65532})  # a hollow kubelet's images name no user
    spec["containers"][0]["resources"] = {"requests": {"cpu": "50m"}}
    del spec["containers"][0]["readinessProbe"]  # on a hollow kubelet nobody answers
    selector = {"matchLabels": {"app": "web"}}
    template = {"metadata": {"labels": {"app": "web"}}, "spec": spec}
    named = {"name": "web", "namespace": SHOP}
    of = {"replicas": REPLICAS, "minReadySeconds": 3, "selector": selector, "template": template}
    budget = {"maxUnavailable": REPLICAS - FLOOR, "selector": selector}
    items = [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": named, "spec": of},
        {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": named, "spec": budget},
    ]
    return {"apiVersion": "v1", "kind": "List", "items": items}


def plan(new: str, *old: str) -> Json:
    """Values of the planner: some nodes are replaced by one."""
    node = {
        "name": new,
        "allocatable": {"cpu": "1", "memory": "3840Mi", "pods": "110"},
        "labels": {"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64", **POOL},
        "expect": [{"namespace": SHOP, "owner": "Deployment/web", "requests": {"cpu": "50m"}, "count": REPLICAS}],
    }
    return {
        "rebalancing": {"enabled": True},
        "plan": {"kind": "rebalance", "plan": f"to-{new}", "deadline": "10m", "drain": [*old], "nodes": [node]},
    }


def clear(site: Site) -> None:
    """Wherever the story has ended, the cluster is as before for those who use it next."""
    shell = site.shell()
    for release in (RELEASE, PLANNER):
        shell.run(f"helm uninstall {release} -n {NAMESPACE}")
    cleanup(site.cluster)
    shell.run(f"kubectl delete namespace {NAMESPACE} {SHOP} --ignore-not-found --timeout=60s")
    shell.run("kubectl delete crd nodereservations.moorage.dev --ignore-not-found")
    if LAST in site.cluster.real_nodes:
        site.cluster.stop_real_node(LAST)
    for name in (*OLD, NEW):
        if name in site.cluster.hollow_kubelets:
            site.cluster.stop_hollow_kubelet(name)
    shell.run(f"kubectl delete node {LAST} {NEW} {' '.join(OLD)} --ignore-not-found")


# --- what is looked at ---


def install(site: Site, values: Json) -> None:
    """The planner first: then the pinner finds its key at once."""
    shell = site.shell()
    shell(commands.PLANNER.format(values=site.file("plan.json", values)))
    site.until_ready(1, PLANNER)
    shell(commands.INSTALL)
    site.until_ready(2)


def phases(site: Site) -> dict[str, str]:
    """How far the drain of each node is that has ever been chosen."""
    marks = {name: node["metadata"].get("annotations", {}).get(MARK) for name, node in nodes(site).items()}
    return {name: json.loads(mark)["phase"] for name, mark in marks.items() if mark}


def asked(site: Site) -> bool:
    """Whether our webhook is registered, in any configuration."""
    found = site.cluster.api.get(CONFIGURATION.rpartition("/")[0])["items"]
    return any(each["name"] == WEBHOOK for one in found for each in one.get("webhooks", ()))


def promised(site: Site, node: str) -> None:
    """Wait until there is a placeholder with slots, and the webhook is registered for its pods."""

    def there() -> bool:
        slots = (site.get(f"{RESERVATIONS}/{node}") or {}).get("spec", {}).get("slots")
        return bool(slots) and node in nodes(site) and asked(site)

    site.until(there, f"placeholder {node} with slots, and the webhook")


def nothing_is_left(site: Site) -> None:
    """Audit events of writes to nodes, pods and configuration."""
    assert not site.cluster.api.get(RESERVATIONS)["items"]
    assert not asked(site)
    for name, node in nodes(site).items():
        assert node["status"]["nodeInfo"]["kubeletVersion"], f"{name} is a placeholder"
        assert not node["spec"].get("unschedulable"), name
        assert not {taint["key"] for taint in node["spec"].get("taints", ())} & {PREPARING, TAINT}, name
    assert {pod["status"].get("nominatedNodeName", "") for pod in pods(site, "web")} == {""}
    assert set(phases(site).values()) <= {"rolled-back", "handed-back"}


def pods_gone(site: Site) -> bool:
    """Whether no pod of Moorage runs any more."""
    return all(site.gone(f"app.kubernetes.io/name%3D{name}") for name in (RELEASE, PLANNER))


# --- the story ---


def test_nothing_is_emptied_before_the_new_node_is_there(site: Site) -> None:
    install(site, plan(NEW, *OLD))
    promised(site, NEW)
    assert phases(site) == {}
    assert where(site, "web") <= {*OLD}


def test_scaled_to_zero_meanwhile_it_leaves_nothing(site: Site) -> None:
    site.shell()(f"kubectl scale deployment {RELEASE} {PLANNER} -n {NAMESPACE} --replicas=0")
    site.until(lambda: pods_gone(site), "no replica to run")
    assert NEW not in nodes(site)
    nothing_is_left(site)
    assert "nothing is left behind" in cleanup(site.cluster)


def test_uninstalled_while_a_node_is_emptied_the_cleanup_leaves_nothing(
    site: Site, watching: Callable[[str], Watcher]
) -> None:
    watcher = watching("web")
    site.until(lambda: REPLICAS in watcher.counts, "the watcher to have seen all pods of web")
    install(site, plan(NEW, *OLD))
    promised(site, NEW)
    site.cluster.start_hollow_kubelet(NEW)
    site.until(lambda: "draining" in phases(site).values(), "a node that is emptied")
    shell = site.shell()
    shell(f"helm uninstall {PLANNER} -n {NAMESPACE}")  # takes its rights at once: it cannot give anything back
    shell(f"helm uninstall {RELEASE} -n {NAMESPACE}")
    site.until(lambda: pods_gone(site), "no replica to run")
    cleanup(site.cluster)
    nothing_is_left(site)
    ready(site, "web", REPLICAS)
    assert watcher.lowest(REPLICAS) >= FLOOR


def test_with_another_plan_all_is_emptied_while_replicas_are_replaced_and_no_floor_is_broken(
    site: Site, watching: Callable[[str], Watcher]
) -> None:
    watcher, drained = watching("web"), {*OLD, NEW}
    site.until(lambda: REPLICAS in watcher.counts, "the watcher to have seen all pods of web")
    install(site, plan(LAST, *OLD, NEW))
    promised(site, LAST)
    site.cluster.start_real_node(LAST)
    site.until(lambda: "draining" in phases(site).values(), "a node that is emptied")
    before = {pod["metadata"]["uid"] for pod in site.pods()}
    site.shell()(f"{commands.INSTALL} --reset-then-reuse-values --set podAnnotations.upgraded=yes")
    site.until_ready(2)
    assert not before & {pod["metadata"]["uid"] for pod in site.pods()}
    site.until(lambda: phases(site) == dict.fromkeys(drained, "emptied"), "all of these nodes to be emptied")
    ready(site, "web", REPLICAS)
    elsewhere = [pod for pod in pods(site, "web") if pod["spec"]["nodeName"] != LAST]
    assert len(elsewhere) <= 1, "a pod that is created at the moment of a hand-over is the scheduler's"
    assert {name for name, node in nodes(site).items() if soft_tainted(node)} == drained
    assert not any(node["spec"].get("unschedulable") for node in nodes(site).values())
    assert any(CLAIM_ANNOTATION in pod["metadata"].get("annotations", {}) for pod in pods(site, "web")), (
        "by the webhook"
    )
    assert watcher.lowest(REPLICAS) >= FLOOR
    site.until(lambda: not asked(site), "nobody to be asked any more")


def test_stopped_as_the_guide_says_nodes_are_given_back(site: Site) -> None:
    shell = site.shell()
    shell(f"kubectl scale deployment {RELEASE} {PLANNER} -n {NAMESPACE} --replicas=0")
    site.until(lambda: pods_gone(site), "no replica to run")
    said = cleanup(site.cluster)
    assert all(f"Node {name}: given back" in said for name in (*OLD, NEW))
    nothing_is_left(site)
    assert "nothing is left behind" in cleanup(site.cluster)
    for release in (RELEASE, PLANNER):
        shell(f"helm uninstall {release} -n {NAMESPACE}")
