"""Helm and releases of Moorage: installed by hand, from Helm 3, and over a definition that Helm does not own.

No container runs here (see conftest.py). What runs in containers is in test_installed.py, what comes from the closed
chart in test_from_closed.py, what one release of Helm 4 goes through in test_one_release.py.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from pathlib import Path

import pytest

from moorage.controller import certificates
from moorage.pinner.names import FINALIZER
from moorage.pinner.webhook.configuration import Target, webhook
from tests.e2e.helm import commands
from tests.e2e.helm.commands import NAMESPACE, RELEASE
from tests.e2e.helm.site import AGENT, APPS, CRD, Site, cleanup
from tests.e2e.helm.takeover import WEBHOOKS

DEFINITION = Path(__file__).parents[3] / "schemas" / "crds" / "nodereservations.moorage.dev.yaml"
RESERVATIONS = "/apis/moorage.dev/v1alpha1/nodereservations"
CONFIGURATION = f"{WEBHOOKS}/{RELEASE}.{NAMESPACE}"
SECRET = f"{AGENT}/secrets/{RELEASE}-webhook"
ROLLBACK = f"helm rollback {RELEASE} 1 -n {NAMESPACE}"


def test_scaled_by_hand_and_then_upgraded_and_rolled_back_by_helm_3(site: Site) -> None:
    shell = site.shell("helm3")
    shell(commands.INSTALL)
    site.until_ready()
    shell(f"kubectl scale deployment {RELEASE} -n {NAMESPACE} --replicas=5")
    site.until_ready(5)
    shell(commands.INSTALL)
    shell(ROLLBACK)
    site.until_ready(2)
    shell(f"kubectl scale deployment {RELEASE} -n {NAMESPACE} --replicas=0")
    shell(ROLLBACK)
    site.until_ready(2)


def test_helm_3_installs_and_upgrades_and_helm_4_goes_on_from_there(site: Site) -> None:
    three = site.shell("helm3")
    assert three("helm version --short").out.startswith("v3.22.")
    three(commands.INSTALL)
    site.until_ready()
    three(commands.SELF_MANAGED)
    site.until_ready()
    assert site.deployment()["metadata"]["labels"]["charts.cast.ai/managed"] == "false"

    three(f"kubectl scale deployment {RELEASE} -n {NAMESPACE} --replicas=5")
    site.shell()(f"{commands.INSTALL} --set managedByCASTAI=true")
    site.until_ready(2)  # as Helm 3 would: what that has made is applied on the client
    deployment = site.deployment()
    assert deployment["metadata"]["labels"]["charts.cast.ai/managed"] == "true"
    assert deployment["spec"]["template"]["metadata"]["labels"]["charts.cast.ai/managed"] == "true"
    three(f"helm rollback {RELEASE} 2 -n {NAMESPACE}")
    site.until_ready()
    assert site.deployment()["metadata"]["labels"]["charts.cast.ai/managed"] == "false"


def fill(site: Site) -> tuple[object, object]:
    """Write the leader's objects as it does."""
    made = certificates.fill(datetime.now(UTC), ["pinner"], "pinner")
    where = {"service": {"name": "none", "namespace": NAMESPACE, "path": "/mutate", "port": 443}}
    entry = webhook(Target("", where, 2), made[certificates.AUTHORITY])
    data = {key: base64.b64encode(value).decode() for key, value in made.items()}
    for path, change in ((CONFIGURATION, {"webhooks": [entry]}), (SECRET, {"data": data})):
        site.cluster.api.request("PATCH", path, change, "application/merge-patch+json")
    assert filled(site) == ([entry], data)
    return filled(site)


def filled(site: Site) -> tuple[object, object]:
    """The existing objects of the release."""
    return site.cluster.api.get(CONFIGURATION).get("webhooks"), site.cluster.api.get(SECRET).get("data")


@pytest.mark.parametrize("helm", ["helm", "helm3"])
def test_what_the_leader_has_filled_outlives_upgrades_and_a_rollback(site: Site, helm: str) -> None:
    shell = site.shell(helm)
    shell(commands.INSTALL)
    assert filled(site) == (None, None)
    before = fill(site)
    for command in (f"{commands.INSTALL} --set commonLabels.team=a", ROLLBACK, f"{commands.INSTALL} --force-conflicts"):
        shell(command if helm == "helm" else command.removesuffix(" --force-conflicts"))
        assert filled(site) == before, command
    shell(f"{commands.INSTALL} --reset-then-reuse-values --set webhook.enabled=false")
    assert [site.get(path) for path in (CONFIGURATION, SECRET)] == [None, None]


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
