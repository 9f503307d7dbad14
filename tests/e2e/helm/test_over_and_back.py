"""One release of the closed chart is upgraded to Moorage's, gets a new key, and is reverted.

The tests are the steps of one story with each Helm. No container runs here (see conftest.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from moorage.pinner.names import FINALIZER
from tests.e2e.helm import commands
from tests.e2e.helm.commands import RELEASE
from tests.e2e.helm.conftest import remove
from tests.e2e.helm.site import AGENT, Site, cleanup
from tests.e2e.helm.takeover import WEBHOOKS, command_after, secret_key, take_over

POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
RESERVATIONS = "/apis/moorage.dev/v1alpha1/nodereservations"


@dataclass(frozen=True)
class Taken:
    """A release of the closed chart, the Helm that installed it, and Helm 4's output of the upgrade."""

    site: Site
    helm: str
    said: str


@pytest.fixture(scope="module", params=["helm", "helm3"])
def taken(place: Site, request: pytest.FixtureRequest) -> Iterator[Taken]:
    """Nothing was installed before, and nothing will be left."""
    try:
        yield Taken(place, request.param, take_over(place, request.param, commands.INSTALL))
    finally:
        remove(place)


def test_a_release_of_the_closed_chart_is_upgraded_in_place(taken: Taken) -> None:
    assert secret_key(taken.site) == b"closed-key", "castai.apiKey of the old release is still in force"


def test_a_fresh_key_takes_the_place_of_the_closed_products_and_discards_nothing(taken: Taken) -> None:
    site = taken.site
    assert "The planner is shown the key of castai.apiKey" in taken.said
    site.shell()(command_after(taken.said, "The planner is shown the key"))
    site.until_ready()
    assert site.get(f"{AGENT}/secrets/{RELEASE}") is None
    environment = {each["name"]: each.get("value", "") for each in site.container()["env"]}
    assert environment["MOORAGE_CLUSTER_ID"] == "c-1", "the other values of the release"
    assert "MOORAGE_CLOSED_API_KEY" not in environment
    (volume,) = [each for each in site.deployment()["spec"]["template"]["spec"]["volumes"] if each["name"] == "planner"]
    assert {each["secret"]["name"] for each in volume["projected"]["sources"]} == {"moorage-planner-client"}


def test_the_way_back_to_the_closed_chart(taken: Taken) -> None:
    site = taken.site
    shell = site.shell(taken.helm)
    reservation = {
        "apiVersion": "moorage.dev/v1alpha1",
        "kind": "NodeReservation",
        "metadata": {"name": "held", "finalizers": [FINALIZER]},
        "spec": {},
    }
    shell(f"kubectl create -f {site.file('held.json', reservation)}")
    scale, _, history, rollback = commands.BACK
    shell(scale)
    site.until(lambda: not site.pods(), "no replica to run")
    assert "held" in cleanup(site.cluster)
    revisions = [line.split() for line in shell(history).out.splitlines()[1:]]
    (closed,) = [words[0] for words in revisions if f"{RELEASE}-1.12.2" in words]
    shell(rollback.replace("REVISION", closed))
    site.until_ready()
    assert "castai-hub" in site.container()["image"]
    assert site.get(f"{WEBHOOKS}/{RELEASE}"), "its webhook is back"
    assert not site.cluster.api.get(RESERVATIONS)["items"]
    policies = site.cluster.api.get(POLICIES)["items"]
    assert not [each for each in policies if RELEASE in each["metadata"]["name"]], "the fence went with ours"
