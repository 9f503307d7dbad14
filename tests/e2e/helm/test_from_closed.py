"""Releases of the closed chart are upgraded to Moorage's. Upgrades that would fail half way are refused before.

No container runs here (see conftest.py). The closed chart is a stand-in: its names, labels, selectors and values. The
whole way over and back of one release is in test_over_and_back.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.helm import commands
from tests.e2e.helm.commands import NAMESPACE, RELEASE
from tests.e2e.helm.inventory import inventory
from tests.e2e.helm.shell import Shell
from tests.e2e.helm.site import Site
from tests.e2e.helm.takeover import CLOSED, IMAGE, VALUES, VERSION, command_after, secret_key, take_over
from tools.helmrepo import Repository

UMBRELLA = f"helm upgrade --install castai castai-helm/castai-pod-pinner -n {NAMESPACE} {VERSION} {VALUES}"
UMBRELLA_PODS = f"app.kubernetes.io/name%3D{RELEASE},app.kubernetes.io/instance%3Dcastai"
CHART = Path(__file__).with_name("closed")
HELMS = pytest.mark.parametrize("helm", ["helm", "helm3"])


def agent_of(deployment: Mapping[str, Any]) -> dict[str, Any]:
    """The umbrella chart's agent: another Deployment of the same release."""
    kept = {key: deployment["metadata"][key] for key in ("namespace", "labels", "annotations")}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {**kept, "name": "castai-agent"},
        "spec": {**deployment["spec"], "replicas": 0},
    }


def test_the_published_command_upgrades_a_release_of_the_closed_chart_in_place(site: Site) -> None:
    take_over(site, "helm", commands.PUBLISHED_INSTALL)
    assert secret_key(site) == b"closed-key", "castai.apiKey of the old release is still in force"


@pytest.mark.parametrize("installed_by", ["helm", "helm3"])
def test_the_closed_charts_own_defaults_do_no_harm_when_they_are_reused(site: Site, installed_by: str) -> None:
    said = take_over(site, installed_by, f"{commands.INSTALL} --reuse-values")
    assert "castai-hub" in said, "NOTES warn of the image"
    assert "grpc.cast.ai" in said, "NOTES warn of the address"


def test_the_guides_commands_get_our_chart_where_the_closed_repository_is_known(
    site: Site, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with Repository(tmp_path_factory.mktemp("theirs")) as theirs:
        theirs.add(CHART)
        shell = Shell(tmp_path_factory.mktemp("customer") / "home", site.cluster.kubeconfig)
        shell(commands.PUBLISHED_REPO_ADD.replace(commands.PUBLISHED_URL, theirs.url))
        said = shell.fails(f"helm repo add castai-helm {site.repository.url}")
        assert "already exists" in said, "so ours cannot have that name"
        shell(commands.REPO_ADD.replace(commands.GUIDE_URL, site.repository.url))
        shell(commands.REPO_UPDATE)
        shell(f"{commands.PUBLISHED_INSTALL} {VALUES}")
        assert "castai-hub" in site.container()["image"], "theirs, as before"
        shell(commands.INSTALL)
    assert site.container()["image"] == IMAGE


def test_zero_replicas_of_the_closed_release_stay_zero_and_that_is_said(site: Site) -> None:
    site.shell()(f"{CLOSED} --set replicaCount=0")
    said = site.shell()(commands.INSTALL).out
    assert site.deployment()["spec"]["replicas"] == 0
    assert "NOTHING RUNS: replicaCount is 0." in said
    site.shell()(command_after(said, "NOTHING RUNS"))
    site.until_ready()


@HELMS
def test_a_closed_release_that_was_scaled_up_later_is_not_stopped_by_its_values(site: Site, helm: str) -> None:
    shell = site.shell(helm)
    shell(f"{CLOSED} --set replicaCount=0")
    shell(f"kubectl scale deployment {RELEASE} -n {NAMESPACE} --replicas=2")
    site.until_ready()
    before = inventory(site.cluster)
    said = shell.fails(commands.INSTALL)
    assert f"replicaCount is 0, and Deployment {NAMESPACE}/{RELEASE} runs 2 replicas" in said
    assert "castai-hub" in site.container()["image"]
    assert set(inventory(site.cluster)) == set(before), "nothing was written"

    way_out = said.partition("add ")[2].partition(";")[0]
    shell(f"{commands.INSTALL} {way_out}")  # the number that kubectl has set: no conflict
    site.until_ready()
    assert site.container()["image"] == IMAGE
    assert secret_key(site) == b"closed-key", "other values stay"
    forced = " --force-conflicts" if helm == "helm" else ""  # kubectl has set the other number
    shell(f"{commands.INSTALL} --reset-then-reuse-values --set replicas=0{forced}")
    assert site.deployment()["spec"]["replicas"] == 0, "that was meant"


@HELMS
def test_a_release_of_another_name_is_refused_before_anything_is_written(site: Site, helm: str) -> None:
    shell = site.shell(helm)
    try:
        shell(UMBRELLA)
        site.until_ready()
        before = inventory(site.cluster)
        for more in ("", " --take-ownership"):
            said = shell.fails(commands.INSTALL + more)
            assert f"belongs to release castai of namespace {NAMESPACE}" in said
            assert set(inventory(site.cluster)) == set(before), "nothing was written"
        own_name = f"helm upgrade castai moorage/castai-pod-pinner -n {NAMESPACE} --reset-then-reuse-values"
        assert own_name in said
        shell(f"kubectl create -f {site.file('agent.json', agent_of(site.deployment()))}")
        said = shell.fails(own_name)
        assert "also holds Deployment castai-agent: upgrading it to this chart would remove that" in said
        assert "castai-hub" in site.container()["image"]

        shell(f"kubectl delete deployment castai-agent -n {NAMESPACE}")
        shell(own_name)
        site.until_ready()
        assert site.container()["image"] == IMAGE
    finally:
        shell.run(f"helm uninstall castai -n {NAMESPACE}")
        shell.run(f"kubectl delete deployment castai-agent -n {NAMESPACE} --ignore-not-found")
        site.until(lambda: not site.pods(UMBRELLA_PODS), "the pods to be gone")


def test_the_closed_products_key_goes_nowhere_else_unless_told_so(site: Site) -> None:
    shell = site.shell()
    shell(CLOSED)
    site.until_ready()
    elsewhere = f"{commands.INSTALL} --reset-then-reuse-values --set planner.address=planner.example.com:9443"
    said = shell.fails(elsewhere)
    assert "the key of castai.apiKey was made for the closed product" in said
    assert "castai-hub" in site.container()["image"]
    shell(f"{elsewhere} --set castai.apiKey=null,planner.apiKeySecretRef.name=planner-key")
    shell(f"{elsewhere} --set castai.apiKey=k,planner.apiKeySecretRef=null,planner.allowClosedKey=true")
    assert {"name": "MOORAGE_ALLOW_CLOSED_KEY", "value": "true"} in site.container()["env"]


def test_beside_the_closed_controller_nobody_takes_it_for_managed(site: Site) -> None:
    shell = site.shell()
    shell(f"kubectl create deployment castai-cluster-controller -n {NAMESPACE} --image=x --replicas=0")
    try:
        said = take_over(site, "helm", commands.INSTALL)
        assert "managedByCASTAI, which is not set, means false here" in said
        assert site.managed() == "false"
        shell(f"{commands.INSTALL} --reset-then-reuse-values --set managedByCASTAI=true")
        assert site.managed() == "true"
    finally:
        shell(f"kubectl delete deployment castai-cluster-controller -n {NAMESPACE}")
