"""A release of the closed evictor is upgraded to Moorage's, and back, with the seed's unchanged commands.

No container runs here (see conftest.py). The closed chart is a stand-in: its names, labels, selectors and values.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.helm.commands import NAMESPACE
from tests.e2e.helm.site import AGENT, Site

RELEASE = "castai-evictor"
CLOSED = f"helm upgrade --install castai-evictor castai-helm/castai-evictor -n {NAMESPACE} --version 0.35.143"
INSTALL = f"helm upgrade --install castai-evictor moorage/castai-evictor -n {NAMESPACE}"
SEED = {
    "--set dryRun=false": {},
    "--set dryRun=false,aggressiveMode=true": {"MOORAGE_AGGRESSIVE_MODE": "true"},
    "--set dryRun=false,scopedMode=true": {"MOORAGE_SCOPED_MODE": "true"},
    "--set dryRun=false,nodeGracePeriodMinutes=8": {"MOORAGE_NODE_GRACE_PERIOD_MINUTES": "8"},
    "--set dryRun=false --set image.repository=us-docker.pkg.dev/castai-hub/library/castai-evictor": {},
}
"""The published text's additions to the install command, and the resulting flags besides dryRun."""
PODS = f"app.kubernetes.io/name%3D{RELEASE},app.kubernetes.io/instance%3D{RELEASE}"
CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/evictorconfigs.autoscaling.cast.ai"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
IMAGE = "ghcr.io/moorage/moorage:2.0.0"
WRITES = {"create", "update", "patch", "delete", "deletecollection"}
ABOUT_ITSELF = {"evictorconfigs/status", "events"}
FENCES = [
    f"/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/{RELEASE}{part}.{NAMESPACE}"
    for part in ("", "-evictions", "-destinations")
]


@pytest.fixture
def evictor(place: Site) -> Iterator[Site]:
    """Nothing is installed, and nothing will be left."""
    yield place
    remove(place)


def remove(site: Site) -> None:
    shell = site.shell()
    shell.run(f"helm uninstall {RELEASE} -n {NAMESPACE}")
    shell("kubectl delete crd evictorconfigs.autoscaling.cast.ai --ignore-not-found")
    site.until(lambda: not site.pods(PODS) and site.get(CRD) is None, "everything to be gone")


def environment(site: Site) -> dict[str, str]:
    return {each["name"]: each.get("value", "") for each in site.container(RELEASE)["env"]}


def may_write(site: Site) -> set[str]:
    """What the account may write anywhere in the cluster; roles for people are bound to nobody."""
    bindings: list[dict[str, Any]] = site.cluster.api.get(f"{RBAC}/clusterrolebindings")["items"]
    bound = {each["roleRef"]["name"] for each in bindings if each["metadata"]["name"].startswith(RELEASE)}
    roles: list[dict[str, Any]] = site.cluster.api.get(f"{RBAC}/clusterroles")["items"]
    ours = [role for role in roles if role["metadata"]["name"] in bound]
    assert ours
    return {
        resource
        for role in ours
        for rule in role["rules"]
        for resource in rule["resources"]
        if WRITES & set(rule["verbs"])
    }


def acts(site: Site) -> bool:
    """Whether the process gets the flag to act. It has the rights if and only if it does."""
    told = environment(site)["MOORAGE_DRY_RUN"]
    writes = ABOUT_ITSELF | ({"nodes", "pods/eviction", "slotreservations"} if told == "false" else set())
    assert may_write(site) == writes
    assert all(map(site.get, FENCES))
    return told == "false"


def test_a_closed_release_becomes_ours_in_dry_run_and_theirs_again(evictor: Site) -> None:
    shell = evictor.shell()
    shell(CLOSED)
    evictor.until_ready(1, RELEASE)
    before = evictor.deployment(RELEASE)

    said = shell(INSTALL).out
    assert "EVICTION IS OFF" in said, "whoever relied on the closed default is told"
    assert f"{RELEASE} -n {NAMESPACE} --reset-then-reuse-values --set dryRun=false" in said
    evictor.until_ready(1, RELEASE)
    after = evictor.deployment(RELEASE)
    assert after["metadata"]["uid"] == before["metadata"]["uid"], "the same Deployment, not another one"
    assert after["spec"]["selector"] == before["spec"]["selector"]
    assert {pod["spec"]["containers"][0]["image"] for pod in evictor.pods(PODS)} == {IMAGE}
    assert not acts(evictor)
    assert evictor.get(f"{RBAC}/clusterroles/{RELEASE}-ext") is None
    assert evictor.get(f"{AGENT}/configmaps/{RELEASE}-config"), "where rules have always been"

    shell(f"helm rollback {RELEASE} 1 -n {NAMESPACE}")
    evictor.until_ready(1, RELEASE)
    assert "castai-hub" in evictor.container(RELEASE)["image"]


@pytest.mark.parametrize("words", ["", " --reuse-values", " --reset-then-reuse-values"])
def test_a_closed_release_that_evicts_by_its_values_becomes_ours_in_place_and_acts(evictor: Site, words: str) -> None:
    shell = evictor.shell()
    shell(f"{CLOSED} --set dryRun=false")
    evictor.until_ready(1, RELEASE)
    before = evictor.deployment(RELEASE)

    said = shell(f"{INSTALL}{words}").out
    assert "EVICTION IS ON: dryRun is false." in said
    evictor.until_ready(1, RELEASE)
    after = evictor.deployment(RELEASE)
    assert after["metadata"]["uid"] == before["metadata"]["uid"], "the same Deployment, not another one"
    assert evictor.container(RELEASE)["image"] == IMAGE
    assert acts(evictor)

    shell(f"{INSTALL} --reset-then-reuse-values --set dryRun=true")
    assert not acts(evictor), "the rights go with the value"


def test_a_definition_that_the_closed_chart_made_without_helm_is_no_hindrance(evictor: Site) -> None:
    shell = evictor.shell()
    shell(INSTALL)
    made = evictor.get(CRD)
    assert made is not None
    shell(f"helm uninstall {RELEASE} -n {NAMESPACE}")
    assert evictor.get(CRD), "what people have written into it outlives the release"
    metadata = {"annotations": None, "labels": None}
    evictor.cluster.api.request("PATCH", CRD, {"metadata": metadata}, "application/merge-patch+json")
    shell(INSTALL)
    evictor.until_ready(1, RELEASE)


@pytest.fixture(scope="module")
def seeded(place: Site) -> Iterator[Site]:
    """One release for all commands of the seed: Helm uses only the values of each command."""
    yield place
    remove(place)


@pytest.mark.parametrize("words", SEED)
def test_what_the_seed_adds_installs_an_evictor_that_acts(seeded: Site, words: str) -> None:
    said = seeded.shell()(f"{INSTALL} {words}").out
    assert "EVICTION IS ON: dryRun is false." in said
    seeded.until_ready(1, RELEASE)
    assert seeded.container(RELEASE)["image"] == IMAGE
    assert acts(seeded)
    assert environment(seeded).items() >= SEED[words].items()
