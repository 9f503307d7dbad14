"""The migration from the closed chart, and back: the unchanged programs and commands of docs/guides/moving-over.md.

The closed chart is the stand-in of tests/e2e/helm/closed.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.helm import commands
from tests.e2e.helm.site import Site, cleanup
from tests.e2e.helm.test_from_closed import CHART as CLOSED_CHART
from tests.e2e.helm.test_guide import MOVING
from tests.e2e.helm.test_releases import DEFINITION
from tests.pulumi.projects import STACK, Project
from tests.pulumi.test_engine import RELEASE
from tools.helmrepo import Repository
from tools.localcluster import ClusterHandle

Make = Callable[[str], Project]
OURS, CLOSED = (block.partition("```")[0] for block in MOVING.split("```python\n")[1:])
(IMPORT,) = (line for line in MOVING.splitlines() if line.startswith("pulumi import "))
ALIAS = "    opts=pulumi.ResourceOptions(aliases=[ours]),\n"
CLOSED_VERSION, OUR_VERSION = "1.12.2", "2.0.0"


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the closed chart is to be had."""
    with Repository(tmp_path_factory.mktemp("closed")) as served:
        served.add(CLOSED_CHART)
        yield served.url


@pytest.fixture
def site(place: ClusterHandle, repository: Repository, tmp_path: Path) -> Site:
    """The cluster with Helm and kubectl, without our definition."""
    made = Site(place, repository, tmp_path / "shells")
    made.shell().run(f"kubectl create namespace {commands.NAMESPACE}")  # it may be there
    undefine = "kubectl delete crd nodereservations.moorage.dev slotreservations.moorage.dev --ignore-not-found"
    made.shell()(undefine)  # as every release leaves them
    return made


def closed(theirs: str) -> str:
    """The page's program of the closed release, before anything was moved."""
    assert ALIAS in CLOSED
    return CLOSED.replace(commands.PUBLISHED_URL, theirs).replace(ALIAS, "")


def ours(site: Site) -> str:
    """The page's program of our release."""
    return OURS.replace(commands.GUIDE_URL, site.repository.url)


def taken_over(it: Project, site: Site, uid: str) -> None:
    """The release is Moorage's, in place, and the next run changes nothing."""
    release = it.resources()[RELEASE]
    assert release["parent"] == it.resources()["moorage:index:PodPinner"]["urn"]
    assert release["outputs"]["status"]["version"] == OUR_VERSION
    assert release["inputs"]["values"] == {"castai": {"clusterID": "c-1"}}
    assert site.deployment()["metadata"]["uid"] == uid
    assert it.up().counts == {"unchanged": 3}


def test_a_release_of_a_program_over_a_foreign_definition_and_back(project: Make, site: Site, theirs: str) -> None:
    it = project(closed(theirs))
    it.up()
    before = site.deployment()["metadata"]["uid"]
    site.shell()(f"kubectl create -f {DEFINITION}")

    it.write(ours(site))
    assert "invalid ownership metadata" in it.fails("up", "--yes", "--skip-preview")
    for command in commands.OWN:
        assert command in MOVING
        site.shell()(command)
    assert it.up().counts == {"updated": 1, "unchanged": 2}
    taken_over(it, site, before)

    site.shell()(commands.BACK[0])
    site.until(lambda: not site.pods(), "no replica to run")
    cleanup(site.cluster)
    back = CLOSED.replace(commands.PUBLISHED_URL, theirs).replace("STACK", STACK).replace("PROJECT", "project")
    assert it.resources()[RELEASE]["urn"] in back, "the page names it as `pulumi stack --show-urns` does"
    it.write(back)
    assert it.up().counts == {"updated": 1, "deleted": 1, "unchanged": 1}
    assert it.resources()[RELEASE]["outputs"]["status"]["version"] == CLOSED_VERSION
    assert site.deployment()["metadata"]["uid"] == before
    assert "castai-hub" in site.container()["image"]


def test_a_release_that_helm_has_installed(project: Make, site: Site, theirs: str) -> None:
    shell = site.shell()
    chart = f"castai-pod-pinner --repo {theirs} --set castai.apiKey=closed-key"
    shell(f"helm install castai-pod-pinner {chart} -n castai-agent --create-namespace --wait")
    before = site.deployment()["metadata"]["uid"]
    it = project(ours(site))
    _pulumi, *arguments = shlex.split(IMPORT)
    it(*arguments, "--yes")
    it.up()
    taken_over(it, site, before)
