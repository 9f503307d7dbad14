"""Fixtures of Pulumi projects: a cluster with kwok's nodes and pods, and a chart repository."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.frontends.relay import Relay
from tests.pulumi.projects import Project, provider
from tools.helmrepo import Repository, charts
from tools.localcluster import ClusterError, ClusterHandle, LocalCluster


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Repository]:
    """This checkout's charts over HTTP."""
    with Repository(tmp_path_factory.mktemp("charts")) as served:
        served.add(*charts())
        yield served


@pytest.fixture(scope="session")
def place() -> Iterator[ClusterHandle]:
    """A cluster with two nodes on which pods become Ready without running."""
    own = LocalCluster()
    try:
        own.start()
    except ClusterError as error:
        pytest.fail(f"no local cluster: {error}", pytrace=False)
    try:
        own.start_kwok()
        own.create_kwok_nodes(2)
        yield own
    finally:
        own.stop()


@pytest.fixture(scope="session")
def attach(place: ClusterHandle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int | None]:
    """The port of a Kubernetes provider to which engines attach."""
    with provider(place.kubeconfig, tmp_path_factory.mktemp("provider")) as port:
        yield port


@pytest.fixture
def project(place: ClusterHandle, attach: int | None, tmp_path: Path) -> Iterator[Callable[[str], Project]]:
    """Makes a project of a program. At the end it is destroyed."""
    made: list[Project] = []

    def make(program: str) -> Project:
        folder = tmp_path / f"project-{len(made)}"
        folder.mkdir()
        made.append(Project(folder, place.kubeconfig, program, attach))
        return made[-1]

    yield make
    for each in made:  # not with Pulumi: whatever a test has done to the state, the next one begins with nothing
        each.uninstall()


@pytest.fixture
def through(place: ClusterHandle, tmp_path: Path) -> Iterator[Relay]:
    """A way to the cluster that can be cut."""
    with Relay(place, tmp_path) as relay:
        yield relay
