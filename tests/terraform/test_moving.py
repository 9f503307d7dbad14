"""The migration from the closed chart, and back: the unchanged blocks and commands of docs/guides/moving-over.md.

The closed chart is the stand-in of tests/e2e/helm/closed. Only where things are to be had is another place here.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers import unable
from tests.e2e.helm import commands
from tests.e2e.helm.shell import Done
from tests.e2e.helm.site import Site, cleanup
from tests.e2e.helm.test_from_closed import CHART as CLOSED_CHART
from tests.e2e.helm.test_guide import MOVING
from tests.e2e.helm.test_releases import DEFINITION
from tests.terraform.place import NAMESPACE, PINNER, Person, Place
from tools.helmrepo import Repository

pytestmark = pytest.mark.cluster

OURS, IMPORT, BACK = (block.partition("```")[0] for block in MOVING.split("```hcl\n")[1:])
INIT, PLAN, APPLY, FORGET = (line for line in MOVING.splitlines() if line.startswith("terraform "))
MODULE = OURS.partition("\nmoved ")[0]
GIT = "https://github.com/moorage/moorage.git"
CLOSED = f"""
resource "helm_release" "castai_pod_pinner" {{
  name             = "{PINNER}"
  namespace        = "{NAMESPACE}"
  create_namespace = true
  repository       = "{commands.PUBLISHED_URL}"
  chart            = "{PINNER}"
  version          = "1.12.2"
  values           = [yamlencode({{ castai = {{ clusterID = "c-1", apiKey = "closed" }} }})]
}}
"""


PROVIDER = 'provider "helm" {}\n'


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the closed chart is to be had."""
    with Repository(tmp_path_factory.mktemp("closed")) as served:
        served.add(CLOSED_CHART)
        yield served.url


@pytest.fixture
def shells(site: Place, tmp_path: Path) -> Iterator[Site]:
    """The same place with Helm and kubectl. Our definition exists neither before nor afterwards."""
    made = Site(site.cluster, site.repository, tmp_path / "shells")
    undefine = "kubectl delete crd nodereservations.moorage.dev slotreservations.moorage.dev --ignore-not-found"
    made.shell()(undefine)
    yield made
    made.shell().run(undefine)


class Mover(Person):
    """A user whose root module is the page's, with modules and charts from a local Git repository."""

    def publish(self) -> None:
        """Make that repository."""
        if shutil.which("git") is None:
            unable("there is no git on PATH")
        author = ("-c", "user.name=x", "-c", "user.email=x@example.com")
        for arguments in (("init", "-q"), ("add", "terraform", "charts"), (*author, "commit", "-q", "-m", "x")):
            subprocess.run(["git", *arguments], cwd=self.terraform.home, check=True)

    def write_page(self, *blocks: str) -> None:
        """These blocks, and the page's command that a new module needs."""
        self.folder.mkdir(exist_ok=True)
        here = "".join([*blocks, PROVIDER]).replace(GIT, f"file://{self.terraform.home}")
        (self.folder / "main.tf").write_text(here)
        self.type(INIT)

    def type(self, line: str, *more: str) -> Done:
        """Run a line of the page, with the user's input at the prompt."""
        _terraform, *arguments = shlex.split(line, comments=True)
        return self.terraform(self.folder, *arguments, *more)


@pytest.fixture
def someone(site: Place) -> Mover:
    made = Mover(site.person("mover", site.cluster.kubeconfig).terraform, "mover")
    made.publish()
    return made


def closed(theirs: str) -> str:
    """The resource of the closed release."""
    return CLOSED.replace(commands.PUBLISHED_URL, theirs)


def taken_over(someone: Mover, site: Place, shells: Site, uid: str) -> None:
    """The release is Moorage's, in place, and the next run changes nothing."""
    shells.until_ready()
    assert site.deployment(PINNER)["metadata"]["uid"] == uid
    assert "moorage" in shells.container()["image"]
    assert site.values(PINNER) == {"castai": {"clusterID": "c-1"}}
    assert someone.plan().code == 0, "there is nothing left to do"


def test_a_resource_moves_over_a_definition_that_helm_does_not_own_and_back(
    someone: Mover, site: Place, shells: Site, theirs: str
) -> None:
    someone.write_page(closed(theirs))
    someone.applied()
    before = site.deployment(PINNER)["metadata"]["uid"]
    shells.shell()(f"kubectl create -f {DEFINITION}")

    someone.write_page(OURS)
    said = someone.type(PLAN).out
    assert all(words in said for words in words_of(PLAN)), said
    assert "invalid ownership metadata" in someone.apply().err
    assert "castai-hub" in shells.container()["image"], "nothing was changed"
    for command in commands.OWN:
        assert command in MOVING
        shells.shell()(command)
    someone.type(APPLY, "-auto-approve")
    taken_over(someone, site, shells, before)

    shells.shell()(commands.BACK[0])
    shells.until(lambda: not shells.pods(), "no replica to run")
    cleanup(site.cluster)
    someone.write_page(closed(theirs), BACK)
    assert "0 to add, 1 to change, 0 to destroy" in someone.applied()
    shells.until_ready()
    assert site.deployment(PINNER)["metadata"]["uid"] == before
    assert "castai-hub" in shells.container()["image"]
    assert someone.plan().code == 0


def words_of(line: str) -> list[str]:
    """What the page says that a command says."""
    return [each.strip() for each in line.partition("#")[2].split(";")]


def test_a_resource_of_somebodys_module_is_turned_off_and_moves(
    someone: Mover, site: Place, shells: Site, theirs: str
) -> None:
    module = someone.terraform.home / "castai"
    module.mkdir()
    switched = closed(theirs).replace("{", "{\n  count = var.pod_pinner ? 1 : 0", 1)
    (module / "main.tf").write_text(f'variable "pod_pinner" {{\n  default = true\n}}\n{switched}')
    castai = 'module "castai" {\n  source = "../castai"\n'
    someone.write_page(f"{castai}}}\n")
    someone.applied()
    before = site.deployment(PINNER)["metadata"]["uid"]
    (address,) = re.findall(r"`from = (.*)`", MOVING)
    assert address in someone.terraform(someone.folder, "state", "list").out
    moved = OURS.replace("helm_release.castai_pod_pinner\n", f"{address}\n")
    someone.write_page(f"{castai}  pod_pinner = false\n}}\n", moved)
    assert "0 to add, 1 to change, 0 to destroy" in someone.type(PLAN).out
    someone.type(APPLY, "-auto-approve")
    taken_over(someone, site, shells, before)


def test_a_resource_is_forgotten_and_imported(someone: Mover, site: Place, shells: Site, theirs: str) -> None:
    someone.write_page(closed(theirs))
    someone.applied()
    before = site.deployment(PINNER)["metadata"]["uid"]
    someone.type(FORGET)
    imported(someone, MODULE)
    taken_over(someone, site, shells, before)


def test_a_release_that_helm_has_installed_is_imported(someone: Mover, site: Place, shells: Site, theirs: str) -> None:
    install = f"helm install {PINNER} {PINNER} --repo {theirs} -n {NAMESPACE} --create-namespace --wait"
    shells.shell()(f"{install} --set castai.apiKey=closed")
    before = site.deployment(PINNER)["metadata"]["uid"]
    (version,) = re.findall(r"`(chart_version = .*)`", MOVING)
    imported(someone, MODULE.replace("  castai", f'  repository = "{site.repository.url}"\n  {version}\n  castai'))
    taken_over(someone, site, shells, before)


def imported(someone: Mover, module: str) -> None:
    someone.write_page(module, IMPORT)
    assert "1 to import, 0 to add, 1 to change, 0 to destroy" in someone.type(PLAN).out
    someone.type(APPLY, "-auto-approve")
