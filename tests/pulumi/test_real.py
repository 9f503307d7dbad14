"""The example as it stands, on a node whose containers run: it ends in a pinner that pins a pod."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import containers
from tests.e2e.helm.site import Site, cleanup
from tests.e2e.helm.test_installed import SHOP, join, pinned, web
from tests.e2e.real.probes import probe_image
from tests.pulumi.projects import ROOT, Project, config
from tools import image
from tools.helmrepo import Repository
from tools.localcluster import ClusterHandle

MACHINE = "node-7"


@pytest.fixture
def site(real_cluster: ClusterHandle, repository: Repository, tmp_path: Path) -> Iterator[Site]:
    """A real cluster with our image, and the shop that the example's plan is for."""
    containers.require("image")
    real_cluster.load_image(image.ensure())
    real_cluster.load_image(probe_image(tmp_path))
    made = Site(real_cluster, repository, tmp_path / "shells")
    yield made
    cleanup(real_cluster)
    if MACHINE in real_cluster.real_nodes:
        real_cluster.stop_real_node(MACHINE)
    made.shell().run(f"kubectl delete node {MACHINE} --ignore-not-found")
    made.shell().run("kubectl delete crd nodereservations.moorage.dev --ignore-not-found")
    made.shell().run(f"kubectl delete namespace castai-agent {SHOP} --ignore-not-found --wait=false")


def test_the_example_pins_a_pod_and_is_destroyed(site: Site, repository: Repository, tmp_path: Path) -> None:
    folder = tmp_path / "minimal"
    shutil.copytree(ROOT / "pulumi" / "examples" / "minimal", folder)
    it = Project(folder, site.cluster.kubeconfig)
    config(it, {"repository": repository.url})
    shell = site.shell()
    shell(f"kubectl create namespace {SHOP}")
    site.cluster.wait_service_account(SHOP)
    shell(f"kubectl apply -f {site.file('web.json', of_the_plan(web(1)))}")

    it.up()
    site.until_ready(2)
    assert list(pinned(site, 1).values()) == [MACHINE], "before it exists"
    join(site, MACHINE, site.cluster.start_real_node)
    assert shell(f"kubectl logs -n {SHOP} deployment/web").out == "probe serves\n", "a container of a real kubelet"

    assert set(it.up().counts) == {"unchanged"}
    it("destroy", "--yes")
    assert not site.pods()


def of_the_plan(deployment: dict[str, Any]) -> dict[str, Any]:
    """The Deployment with the labels of the example's machines."""
    deployment["spec"]["template"]["spec"]["nodeSelector"] = {"pool": "planned"}
    return deployment
