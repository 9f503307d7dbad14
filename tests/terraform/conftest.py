"""Fixtures of installations with Terraform."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.containers import unable
from tests.terraform.place import NAMESPACE, Place
from tests.terraform.terraform import Terraform, unavailable
from tools.helmrepo import Repository, charts
from tools.localcluster import ClusterError, LocalCluster


@pytest.fixture(scope="session")
def terraform(tmp_path_factory: pytest.TempPathFactory) -> Terraform:
    """Terraform without any cluster."""
    if (reason := unavailable()) is not None:
        unable(reason)
    return Terraform(tmp_path_factory.mktemp("terraform"))


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Repository]:
    """This checkout's charts over HTTP; a test may add others."""
    with Repository(tmp_path_factory.mktemp("charts")) as served:
        served.add(*charts())
        yield served


@pytest.fixture(scope="package")
def place(repository: Repository, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A cluster with kwok's nodes and pods, so that installed programs become ready."""
    if (reason := unavailable()) is not None:
        unable(reason)
    own = LocalCluster()
    try:
        own.start()
    except ClusterError as error:
        pytest.fail(f"no local cluster: {error}", pytrace=False)
    try:
        own.start_kwok()
        own.create_kwok_nodes(2)
        yield Place(own, repository, tmp_path_factory)
    finally:
        own.stop()


@pytest.fixture
def site(place: Place) -> Iterator[Place]:
    """Nothing is installed, and nothing will be left."""
    yield place
    for release in place.releases():
        place.helm("uninstall", release, "-n", NAMESPACE)
