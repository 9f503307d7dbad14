"""The unchanged example: its pinner pins a pod, in real containers, and without them as any user."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.helm.site import AGENT, Site
from tests.frontends import example
from tests.frontends.processes import Processes
from tests.terraform.place import PINNER, PLANNER, Person, Place
from tests.terraform.terraform import Terraform
from tools.helmrepo import Repository
from tools.localcluster import ClusterHandle
from tools.localcluster.ports import free_ports

MACHINE, POOL = "pinned-1", {"pool": "web"}


def someone(cluster: ClusterHandle, home: Path) -> Person:
    """Somebody whose root module is the example."""
    home.mkdir()
    made = Person(Terraform(home, cluster.kubeconfig), "terraform/examples/minimal")
    made.terraform(made.folder, "init", "-input=false")
    return made


def leaves_nothing(user: Person, site: Site) -> None:
    assert user.plan().code == 0, "there is nothing left to do"
    user.destroyed()
    for name in (PINNER, PLANNER):
        assert not site.pods(f"app.kubernetes.io/name%3D{name}")


def test_in_real_containers(real_cluster: ClusterHandle, repository: Repository, tmp_path: Path) -> None:
    site = example.real_site(real_cluster, repository, tmp_path / "site")
    user = someone(real_cluster, tmp_path / "home")
    with example.shop(site, MACHINE, POOL):
        user.applied()
        example.pins_a_real_pod(site, MACHINE)
        leaves_nothing(user, site)


@pytest.mark.cluster
def test_on_simulated_nodes(site: Place, tmp_path: Path) -> None:
    here = Site(site.cluster, site.repository, tmp_path / "shells")
    user = someone(site.cluster, tmp_path / "home")
    with example.shop(here, MACHINE, POOL):
        user.applied()
        with Processes(site.cluster, tmp_path / "processes") as processes:
            (port,) = free_ports(1)
            processes.start(PLANNER, MOORAGE_LISTEN=f"127.0.0.1:{port}", MOORAGE_TLS_NAMES="127.0.0.1")
            client = f"{AGENT}/secrets/{PLANNER}-client"
            here.until(lambda: (here.get(client) or {}).get("data"), "the planner to say what pod pinners need")
            processes.start(PINNER, MOORAGE_PLANNER_ADDRESS=f"127.0.0.1:{port}")
            example.pins_a_pod(here, MACHINE, site.cluster.start_hollow_kubelet)
        leaves_nothing(user, here)
