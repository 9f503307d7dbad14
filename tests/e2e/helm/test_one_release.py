"""The life of one release with Helm 4, from the first command to the last.

The tests are the steps of one story. No container runs here (see conftest.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.e2e.helm import commands
from tests.e2e.helm.commands import NAMESPACE, RELEASE
from tests.e2e.helm.conftest import remove
from tests.e2e.helm.inventory import Key, inventory
from tests.e2e.helm.site import Site


@dataclass(frozen=True)
class Installed:
    """The release, and the cluster's objects before it."""

    site: Site
    before: set[Key]


@pytest.fixture(scope="module")
def installed(place: Site) -> Iterator[Installed]:
    """Nothing was installed before, and nothing will be left."""
    before = set(inventory(place.cluster))
    try:
        place.shell()(commands.INSTALL)
        place.until_ready()
        yield Installed(place, before)
    finally:
        remove(place)


def test_scaled_by_hand_and_then_upgraded_and_rolled_back(installed: Installed) -> None:
    """Helm 4 applies on the server, and `kubectl scale` owns the number then; a 0 the scale leaves out."""
    site, shell = installed.site, installed.site.shell()
    shell(f"kubectl scale deployment {RELEASE} -n {NAMESPACE} --replicas=5")
    site.until_ready(5)
    rollback = f"helm rollback {RELEASE} 1 -n {NAMESPACE}"
    for command in (commands.INSTALL, rollback):
        said = shell.fails(command)
        assert 'conflict with "kubectl" with subresource "scale"' in said
        assert ".spec.replicas" in said
        assert site.deployment()["spec"]["replicas"] == 5
    shell(f"{commands.INSTALL} --force-conflicts")
    site.until_ready(2)
    shell(f"kubectl scale deployment {RELEASE} -n {NAMESPACE} --replicas=0")
    shell(rollback)
    site.until_ready(2)


def test_a_name_override_that_changes_the_selector_is_refused_before_anything_is_written(installed: Installed) -> None:
    site = installed.site
    shell = site.shell()
    before = site.deployment()["metadata"]["generation"]
    said = shell.fails(f"{commands.INSTALL} --reset-then-reuse-values --set global.nameOverride=other")
    assert "a selector cannot be changed: nothing has been changed" in said
    assert site.deployment()["metadata"]["generation"] == before
    shell(commands.INSTALL)


def test_self_managed_as_the_guide_says_discards_nothing_and_as_published_it_does(installed: Installed) -> None:
    site = installed.site
    shell = site.shell()
    shell(f"{commands.INSTALL} --set castai.clusterID=c-1")
    shell(commands.SELF_MANAGED)
    assert site.managed() == "false"
    assert {"name": "MOORAGE_CLUSTER_ID", "value": "c-1"} in site.container()["env"]
    shell(commands.PUBLISHED_SELF_MANAGED)
    assert "MOORAGE_CLUSTER_ID" not in {each["name"] for each in site.container()["env"]}


def test_after_uninstalling_only_the_definition_is_left(installed: Installed) -> None:
    site, before, shell = installed.site, installed.before, installed.site.shell()
    said = shell(f"helm uninstall {RELEASE} -n {NAMESPACE}").out
    assert "CustomResourceDefinition" in said, "Helm says what it keeps"
    site.until(lambda: not site.pods(), "the pods to be gone")
    kept = {
        ("CustomResourceDefinition", "", "nodereservations.moorage.dev"),
        ("CustomResourceDefinition", "", "slotreservations.moorage.dev"),
        ("APIService", "", "v1alpha1.moorage.dev"),  # Kubernetes makes it from the definition
    }
    site.until(lambda: set(inventory(site.cluster)) - before == kept, f"only {sorted(kept)} to be left")
    assert before <= set(inventory(site.cluster)), "nothing of others is gone"

    shell(commands.INSTALL)  # over the kept definition, without any flag
    site.until_ready()
