"""The unchanged example on a node with real containers: its pinner pins a pod."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.frontends import example
from tests.pulumi.projects import ROOT, Project, config
from tools.helmrepo import Repository
from tools.localcluster import ClusterHandle

MACHINE, POOL = "node-7", {"pool": "planned"}


def test_the_example_pins_a_pod_and_is_destroyed(
    real_cluster: ClusterHandle, repository: Repository, tmp_path: Path
) -> None:
    site = example.real_site(real_cluster, repository, tmp_path / "site")
    folder = tmp_path / "minimal"
    shutil.copytree(ROOT / "pulumi" / "examples" / "minimal", folder)
    it = Project(folder, real_cluster.kubeconfig)
    config(it, {"repository": repository.url})

    with example.shop(site, MACHINE, POOL):
        it.up()
        example.pins_a_real_pod(site, MACHINE)

        assert set(it.up().counts) == {"unchanged"}
        it("destroy", "--yes")
        assert not site.pods()
