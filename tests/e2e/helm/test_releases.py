"""What Helm does with releases: taken over from the closed chart, from Helm 3, from a definition Helm does not own.

No container runs here: kwok plays nodes and pods, so that also the closed chart's pods are Ready. What runs in
containers is in test_installed.py.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from moorage.pinner.names import FINALIZER
from tests.e2e.helm import commands
from tests.e2e.helm.commands import NAMESPACE, RELEASE
from tests.e2e.helm.inventory import inventory
from tests.e2e.helm.site import AGENT, APPS, CRD, Site, cleanup
from tools.helmrepo import Repository
from tools.localcluster import ClusterError, LocalCluster

CLOSED = f"{commands.INSTALL} --version 1.12.2 --set castai.apiKey=closed-key --set castai.clusterID=c-1"
WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
IMAGE = "ghcr.io/moorage/moorage:2.0.0"
DEFINITION = Path(__file__).parents[3] / "schemas" / "crds" / "nodereservations.moorage.dev.yaml"
RESERVATIONS = "/apis/moorage.dev/v1alpha1/nodereservations"


@pytest.fixture(scope="module")
def place(repository: Repository, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    own = LocalCluster()
    try:
        own.start()
    except ClusterError as error:
        pytest.fail(f"no local cluster: {error}", pytrace=False)
    try:
        own.start_kwok()
        own.create_kwok_nodes(2)
        own.api.request("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        own.wait_service_account(NAMESPACE)
        yield Site(own, repository, tmp_path_factory.mktemp("releases"))
    finally:
        own.stop()


@pytest.fixture
def site(place: Site) -> Iterator[Site]:
    """Nothing is installed, and nothing will be left."""
    yield place
    shell = place.shell()
    shell.run(f"helm uninstall {RELEASE} -n {NAMESPACE}")
    shell("kubectl delete nodereservations --all --ignore-not-found") if place.get(CRD) else None
    shell("kubectl delete crd nodereservations.moorage.dev --ignore-not-found")
    place.until(lambda: not place.pods() and place.get(CRD) is None, "everything to be gone")


def take_over(site: Site, installed_by: str, upgrade: str) -> str:
    """Upgrade a release of the closed chart; returns what Helm said."""
    site.shell(installed_by)(CLOSED)
    site.until_ready()
    before = site.deployment()
    said = site.shell()(upgrade).out
    site.until_ready()
    after = site.deployment()

    assert after["metadata"]["uid"] == before["metadata"]["uid"], "the same Deployment, not another one"
    assert after["spec"]["selector"] == before["spec"]["selector"]
    assert {pod["spec"]["containers"][0]["image"] for pod in site.pods()} == {IMAGE}
    environment = {each["name"]: each.get("value", "") for each in site.container()["env"]}
    assert not [value for value in environment.values() if "cast.ai" in value], "nothing goes there"
    assert "CERTS_SECRET_NAME" not in environment
    assert "certs" not in {volume["name"] for volume in after["spec"]["template"]["spec"]["volumes"]}
    taints = {each.get("key") for each in after["spec"]["template"]["spec"].get("tolerations", ())}
    assert "scheduling.cast.ai/pod-pinning-preparing" not in taints
    for gone in (f"{WEBHOOKS}/{RELEASE}", f"{AGENT}/services/{RELEASE}-leader", f"{AGENT}/secrets/{RELEASE}-certs"):
        assert site.get(gone) is None, f"{gone} is the closed chart's"
    for gone in ("clusterroles", "clusterrolebindings"):
        assert site.get(f"{RBAC}/{gone}/{RELEASE}-ext") is None
    listed = site.shell()(commands.LIST).row(RELEASE)
    assert f"{RELEASE}-2.0.0" in listed
    return said


@pytest.mark.parametrize("installed_by", ["helm", "helm3"])
def test_a_release_of_the_closed_chart_is_upgraded_in_place_by_the_published_command(
    site: Site, installed_by: str
) -> None:
    take_over(site, installed_by, commands.INSTALL)
    secret = site.get(f"{AGENT}/secrets/{RELEASE}")
    assert secret is not None, "castai.apiKey of the old release is still in force"
    assert base64.b64decode(secret["data"]["API_KEY"]) == b"closed-key"


@pytest.mark.parametrize("installed_by", ["helm", "helm3"])
def test_the_closed_charts_own_defaults_do_no_harm_when_they_are_reused(site: Site, installed_by: str) -> None:
    said = take_over(site, installed_by, f"{commands.INSTALL} --reuse-values")
    assert "castai-hub" in said, "NOTES warn of the image"
    assert "grpc.cast.ai" in said, "NOTES warn of the address"


def test_zero_replicas_of_the_closed_release_stay_zero(site: Site) -> None:
    site.shell()(f"{CLOSED} --set replicaCount=0")
    site.shell()(commands.INSTALL)
    assert site.deployment()["spec"]["replicas"] == 0


def test_helm_3_installs_and_upgrades_and_helm_4_goes_on_from_there(site: Site) -> None:
    three = site.shell("helm3")
    assert three("helm version --short").out.startswith("v3.22.")
    three(commands.INSTALL)
    site.until_ready()
    three(commands.SELF_MANAGED)
    site.until_ready()
    assert site.deployment()["metadata"]["labels"]["charts.cast.ai/managed"] == "false"

    site.shell()(f"{commands.INSTALL} --set managedByCASTAI=true")
    site.until_ready()
    deployment = site.deployment()
    assert deployment["metadata"]["labels"]["charts.cast.ai/managed"] == "true"
    assert deployment["spec"]["template"]["metadata"]["labels"]["charts.cast.ai/managed"] == "true"
    three(f"helm rollback {RELEASE} 2 -n {NAMESPACE}")
    site.until_ready()
    assert site.deployment()["metadata"]["labels"]["charts.cast.ai/managed"] == "false"


@pytest.mark.parametrize("helm", ["helm", "helm3"])
def test_a_definition_that_helm_does_not_own_is_taken_over_with_one_flag(site: Site, helm: str) -> None:
    shell = site.shell(helm)
    shell(f"kubectl create -f {DEFINITION}")
    shell("kubectl wait --for=condition=Established crd/nodereservations.moorage.dev")
    reservation = site.file(
        "reservation.json",
        {"apiVersion": "moorage.dev/v1alpha1", "kind": "NodeReservation", "metadata": {"name": "kept"}, "spec": {}},
    )
    shell(f"kubectl create -f {reservation}")
    kept = site.get(f"{RESERVATIONS}/kept")

    said = shell.fails(commands.INSTALL)
    assert "nodereservations.moorage.dev" in said
    assert "invalid ownership metadata" in said
    assert site.get(f"{APPS}/deployments/{RELEASE}") is None, "nothing was installed"

    shell(f"{commands.INSTALL} --take-ownership")
    site.until_ready()
    assert site.get(f"{RESERVATIONS}/kept") == kept


def test_a_definition_that_was_deleted_too_early_goes_after_the_cleanup(site: Site) -> None:
    shell = site.shell()
    shell(f"kubectl create -f {DEFINITION}")
    shell("kubectl wait --for=condition=Established crd/nodereservations.moorage.dev")
    reservation = {
        "apiVersion": "moorage.dev/v1alpha1",
        "kind": "NodeReservation",
        "metadata": {"name": "held", "finalizers": [FINALIZER]},
        "spec": {},
    }
    shell(f"kubectl create -f {site.file('held.json', reservation)}")
    shell("kubectl delete crd nodereservations.moorage.dev --wait=false")
    assert site.get(f"{RESERVATIONS}/held"), "it holds the definition"
    assert "held" in cleanup(site.cluster)
    site.until(lambda: site.get(CRD) is None, "the definition to be gone")


def test_without_the_definition_when_told_so(site: Site) -> None:
    site.shell()(f"{commands.INSTALL} --set crds.enabled=false")
    assert site.get(CRD) is None


def test_after_uninstalling_only_the_definition_is_left(site: Site) -> None:
    before = inventory(site.cluster)
    shell = site.shell()
    shell(commands.INSTALL)
    site.until_ready()
    said = shell(f"helm uninstall {RELEASE} -n {NAMESPACE}").out
    assert "CustomResourceDefinition" in said, "Helm says what it keeps"
    site.until(lambda: not site.pods(), "the pods to be gone")
    kept = {
        ("CustomResourceDefinition", "", "nodereservations.moorage.dev"),
        ("APIService", "", "v1alpha1.moorage.dev"),  # Kubernetes makes it from the definition
    }
    site.until(lambda: set(inventory(site.cluster)) - set(before) == kept, f"only {sorted(kept)} to be left")
    assert set(before) <= set(inventory(site.cluster)), "nothing of others is gone"

    shell(commands.INSTALL)  # over the kept definition, without any flag
    site.until_ready()
