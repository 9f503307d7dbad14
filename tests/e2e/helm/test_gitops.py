"""Argo CD's engine and Flux's on an installation whose services have run: nothing drifts, everything is healthy.

The tests are the steps of one story on one cluster with real containers. `tools/gitops` holds the engines.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import pytest

from tests import containers
from tests.charts.rendering import CHARTS
from tests.e2e.helm.site import Site, cleanup
from tests.e2e.helm.test_evictor_installed import in_order
from tools import image
from tools.helmrepo import Repository
from tools.localcluster import ClusterHandle
from tools.toolchain import ensure

__all__ = ["in_order"]

Json = dict[str, Any]
SPACE, RELEASE, MACHINE = "gitops", "moorage", "gitops-1"
BY_LABEL = "--by-label"
"""Argo CD's other way to know an application's objects. What has the label and is not rendered would be pruned."""
DEFINITIONS = (
    "evictorconfigs.autoscaling.cast.ai",
    "nodereservations.moorage.dev",
    "slotreservations.moorage.dev",
)
WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
RULES = {
    "apiVersion": "autoscaling.cast.ai/v1alpha1",
    "kind": "EvictorConfig",
    "metadata": {"name": "evictor-config"},
    "spec": {"config": {"cycleInterval": "1m"}},
}
VALUES: Json = {
    "castai-evictor": {"extraObjects": [RULES]},
    "moorage-planner": {
        "plan": {
            "plan": "expected",
            "templates": {
                "machine": {
                    "allocatable": {"cpu": "1", "memory": "3840Mi", "pods": "110"},
                    "labels": {"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"},
                }
            },
            "nodes": [
                {
                    "name": MACHINE,
                    "template": "machine",
                    "expect": [{"namespace": SPACE, "owner": "Deployment/web", "requests": {"cpu": "600m"}}],
                }
            ],
        }
    },
}
WITHOUT_EVICTOR: Json = {**VALUES, "castai-evictor": {"enabled": False}}


@pytest.fixture(scope="module")
def site(
    real_cluster: ClusterHandle, repository: Repository, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    containers.require("image")
    real_cluster.load_image(image.ensure())
    made = Site(real_cluster, repository, tmp_path_factory.mktemp("gitops"))
    made.cluster.api.request("POST", "/api/v1/namespaces", {"metadata": {"name": SPACE}})
    made.cluster.wait_service_account(SPACE)
    yield made
    engine(made, "sync", "", "--prune", BY_LABEL)
    cleanup(made.cluster)
    made.shell().run(f"kubectl delete crd {' '.join(DEFINITIONS)} --ignore-not-found")
    made.shell().run(f"kubectl delete namespace {SPACE} --timeout=120s")  # other stories compare what is there


def manifests(site: Site, values: Mapping[str, Any] = VALUES) -> str:
    """What an engine renders, without a cluster; tests/charts shows that it is the same each time."""
    return rendered(site, json.dumps(values))


@cache
def rendered(site: Site, values: str) -> str:
    path = site.file("gitops.json", json.loads(values))
    return site.shell()(f"helm template {RELEASE} {CHARTS / 'moorage'} -n {SPACE} -f {path}").out


def engine(site: Site, command: str, text: str, *flags: str) -> Any:
    """Run the engines."""
    program = str(ensure(["moorage-gitops"])["moorage-gitops"])
    cluster = ["--kubeconfig", str(site.cluster.kubeconfig), "--namespace", SPACE]
    done = subprocess.run([program, command, *cluster, *flags], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def look(site: Site, *flags: str, values: Mapping[str, Any] = VALUES) -> dict[str, list[Json]]:
    """What the engines find."""
    found: dict[str, list[Json]] = engine(site, "look", manifests(site, values), *flags)
    return found


def differences(found: Sequence[Json]) -> list[Json]:
    """All objects that are not as they were rendered."""
    return [each for each in found if each["state"] not in ("same", "none")]


def unhealthy(found: Sequence[Json]) -> list[Json]:
    """All objects that one of the engines does not call healthy. An object without a check has no word for it."""
    return [each for each in found if each["health"] not in ("", "Healthy", "Current")]


def rolled_out(site: Site) -> None:
    """Wait until all replicas are there, before an engine is asked: it reads every object of the cluster."""

    def complete() -> bool:
        found = site.cluster.api.get(f"/apis/apps/v1/namespaces/{SPACE}/deployments")["items"]
        return all(each["spec"]["replicas"] == each["status"].get("availableReplicas") for each in found)

    site.until(complete, "all replicas")


def test_an_application_is_installed_by_one_sync_without_hooks_and_waves(site: Site) -> None:
    text = manifests(site)
    results = engine(site, "sync", text)
    failed = {each["object"] for each in results if each["status"] != "Synced"}
    # Within one attempt Argo CD's engine looks for kinds once: what is of a kind that came with it needs a retry.
    assert failed <= {"EvictorConfig/evictor-config"}
    results = engine(site, "sync", text)
    assert [each for each in results if each["status"] != "Synced"] == []
    assert not [each for each in results if each.get("hook")]
    assert not [each for each in results if each["object"].endswith("-check")], "helm test's objects are no part"

    rolled_out(site)
    for found in look(site).values():
        assert unhealthy(found) == []
        judged = [each["health"] for each in found if each["object"].startswith("Deployment/")]
        assert len(judged) == 3
        assert "" not in judged, "and these have a check"


def test_nothing_drifts_once_the_services_have_run(site: Site) -> None:
    """Certificate, webhooks and key are written, a leader is labelled, a placeholder stands."""
    configuration = f"{WEBHOOKS}/castai-pod-pinner.{SPACE}"
    site.until(lambda: (site.get(configuration) or {}).get("webhooks"), "the webhook, as a pod is expected")
    site.until(lambda: site.get(f"/api/v1/nodes/{MACHINE}"), "the placeholder")
    rules = "/apis/autoscaling.cast.ai/v1alpha1/evictorconfigs/evictor-config"
    site.until(
        lambda: (site.get(rules) or {}).get("status", {}).get("conditions"), "the evictor to have read its rules"
    )
    secret = site.get(f"/api/v1/namespaces/{SPACE}/secrets/castai-pod-pinner-webhook")
    assert secret is not None
    assert secret["data"]
    for flags in ((), ("--server-side",)):
        found = look(site, *flags)
        assert differences(found["argo"]) == [], flags
        assert differences(found["flux"]) == [], flags
        assert len(found["flux"]) == len(found["argo"]) > 50


def test_what_somebody_changes_is_found_and_put_back(site: Site) -> None:
    shell = site.shell()
    shell(f"kubectl scale deployment castai-pod-pinner -n {SPACE} --replicas=1")
    shell(f"kubectl delete poddisruptionbudget castai-pod-pinner -n {SPACE}")
    found = look(site)
    expected = {"Deployment/castai-pod-pinner": "different", "PodDisruptionBudget/castai-pod-pinner": "missing"}
    assert {each["object"]: each["state"] for each in differences(found["argo"])} == expected
    assert {each["object"] for each in differences(found["flux"])} == set(expected)
    engine(site, "sync", manifests(site), BY_LABEL)
    rolled_out(site)
    found = look(site, BY_LABEL)
    assert differences(found["argo"]) == [], "the services make nothing that has the label and would be pruned"
    assert unhealthy(found["argo"]) == []


def test_pruning_takes_a_part_away_and_leaves_its_definition(site: Site) -> None:
    extra = {
        each["object"] for each in look(site, BY_LABEL, values=WITHOUT_EVICTOR)["argo"] if each["state"] == "extra"
    }
    assert extra
    assert all("evictor" in each for each in extra), "nothing that the services have made would go"
    results = engine(site, "sync", manifests(site, WITHOUT_EVICTOR), "--prune", BY_LABEL)
    pruned = {each["object"] for each in results if each["status"] == "Pruned"}
    kept = {f"CustomResourceDefinition/{DEFINITIONS[0]}"}
    assert pruned == extra - kept
    assert site.get(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{DEFINITIONS[0]}") is not None

    engine(site, "sync", manifests(site), BY_LABEL)  # back to the former revision
    assert differences(look(site, BY_LABEL)["argo"]) == []
