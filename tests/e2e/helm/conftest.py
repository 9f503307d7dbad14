"""Fixtures of installations with Helm."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.helm.commands import NAMESPACE, RELEASE
from tests.e2e.helm.site import CRD, Site
from tools.helmrepo import Repository, charts
from tools.localcluster import ClusterError, ClusterOptions, LocalCluster

CLOSED, CLOSED_EVICTOR = (Path(__file__).with_name(name) for name in ("closed", "closed-evictor"))
NOT_NEEDED = "validatingadmissionpolicy-status-controller"
"""Checks the types in each policy that is installed, which takes longer than Helm; tests/charts looks at the result."""


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Repository]:
    """This checkout's charts, and the stand-ins of the closed ones, over HTTP."""
    with Repository(tmp_path_factory.mktemp("charts")) as served:
        served.add(*charts(), CLOSED, CLOSED_EVICTOR)
        yield served


@pytest.fixture(scope="package")
def place(repository: Repository, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A cluster where kwok plays nodes and pods, so that also the closed chart's pods are Ready."""
    own = LocalCluster(options=ClusterOptions(controller_manager_flags={"controllers": f"*,-{NOT_NEEDED}"}))
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
    remove(place)


def remove(site: Site) -> None:
    """Uninstall the release, and delete what stays."""
    shell = site.shell()
    shell.run(f"helm uninstall {RELEASE} -n {NAMESPACE}")
    shell("kubectl delete nodereservations --all --ignore-not-found") if site.get(CRD) else None
    shell("kubectl delete crd nodereservations.moorage.dev slotreservations.moorage.dev --ignore-not-found")
    site.until(lambda: not site.pods() and site.get(CRD) is None, "everything to be gone")
