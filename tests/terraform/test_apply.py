"""Real installations: apply, and a second apply that repairs failures."""

from __future__ import annotations

import os
import re
import shutil
import signal
from pathlib import Path

import pytest

from tests.frontends.relay import Relay
from tests.terraform.place import NAMESPACE, PINNER, PLANNER, Person, Place
from tests.terraform.terraform import ROOT

pytestmark = pytest.mark.cluster

ADDRESS = "module.moorage.module.planner[0].helm_release.this"
# No node has this label: the pod waits, and so does Helm.
WAITS = {"node_selector": {"moorage.test/nowhere": "x"}}


def test_from_the_first_apply_to_the_last_destroy(site: Place) -> None:
    someone = site.person("life")
    someone.write(planner={"replicas": 1}, pod_pinner={"replicas": 1, "managed_by_castai": False})
    someone.applied()
    assert {name: each["status"] for name, each in site.releases().items()} == {PINNER: "deployed", PLANNER: "deployed"}
    assert site.values(PINNER) == {"managedByCASTAI": False, "replicas": 1}
    assert someone.plan().code == 0, "there is nothing left to do"

    someone.write(planner={"replicas": 1}, pod_pinner={"replicas": 2, "managed_by_castai": False})
    assert "0 to add, 1 to change, 0 to destroy" in someone.plan().out
    someone.applied()
    assert site.deployment(PINNER)["spec"]["replicas"] == 2
    assert (site.releases()[PINNER]["version"], site.releases()[PLANNER]["version"]) == ("2", "1")

    someone.write(planner={}, pod_pinner={"managed_by_castai": False})
    someone.applied()
    assert site.values(PINNER) == {"managedByCASTAI": False}
    assert not site.values(PLANNER), "the last setting is gone, too"

    site.helm("uninstall", PLANNER, "-n", NAMESPACE)
    assert someone.plan().code == 2, "drift is seen"
    someone.applied()
    assert site.releases()[PLANNER]["status"] == "deployed"

    someone.write(planner={"replicas": 1})  # without a pod pinner
    # The definition of NodeReservation stays, on purpose. Provider 1.x takes that for a failure, and Helm has done it.
    assert re.search(r"Error: manifest-\d", someone.apply().err)
    someone.applied()
    assert set(site.releases()) == {PLANNER}
    assert someone.destroy().code == 0
    assert site.releases() == {}

    someone.applied()
    assert someone.plan().code == 0
    someone.destroyed()


def test_nothing_runs_with_no_replicas_and_that_is_said(site: Place) -> None:
    someone = site.person("nothing")
    someone.write(planner={"replicas": 0})
    assert "replicas: 0 means that NOTHING RUNS" in " ".join(someone.applied().split())
    assert site.deployment(PLANNER)["spec"]["replicas"] == 0


def test_another_version_of_the_chart_is_put_back(site: Place, tmp_path: Path) -> None:
    newer = tmp_path / PLANNER
    shutil.copytree(ROOT / "charts" / PLANNER, newer)
    chart = newer / "Chart.yaml"
    chart.write_text(re.sub(r"^version: .*", "version: 99.0.0", chart.read_text(), flags=re.MULTILINE))
    site.repository.add(newer)
    version = re.search(r"^version: (.*)", (ROOT / "charts" / PLANNER / "Chart.yaml").read_text(), re.MULTILINE)
    assert version
    someone = site.person("version")
    someone.write(planner={"repository": site.repository.url, "chart_version": version[1]})
    someone.applied()
    site.helm("upgrade", PLANNER, str(newer), "-n", NAMESPACE)
    assert f'version                    = "99.0.0" -> "{version[1]}"' in someone.plan().out
    someone.applied()
    assert someone.plan().code == 0
    assert version[1] in site.helm("list", "-n", NAMESPACE)


def test_a_lost_state_is_imported(site: Place) -> None:
    someone = site.person("lost")
    someone.write(planner={"replicas": 1})
    someone.applied()
    (someone.folder / "terraform.tfstate").unlink()
    assert "cannot re-use a name that is still in use" in someone.apply().err
    someone.terraform(someone.folder, "import", ADDRESS, f"{NAMESPACE}/{PLANNER}")
    assert "0 to add, 1 to change, 0 to destroy" in someone.applied()
    assert someone.plan().code == 0


def test_a_chart_version_that_does_not_exist(site: Place) -> None:
    someone = site.person("no-version")
    someone.write(planner={"repository": site.repository.url, "chart_version": "77.7.7"})
    said = someone.apply().err
    assert "77.7.7" in said
    assert PLANNER in said
    assert site.releases() == {}


def test_a_repository_that_does_not_answer(site: Place) -> None:
    someone = site.person("no-repository")
    someone.write(planner={"repository": "http://127.0.0.1:9", "chart_version": "2.0.0"})
    said = someone.apply().err
    assert "http://127.0.0.1:9" in said
    assert "connection refused" in said
    assert site.releases() == {}


def test_a_cluster_that_goes_away_leaves_what_one_command_mends(site: Place, tmp_path: Path) -> None:
    with Relay(site.cluster, tmp_path) as relay:
        someone = site.person("away", relay.kubeconfig)
        someone.write(planner=WAITS)
        process = someone.terraform.start(someone.folder, "apply", "-auto-approve", "-no-color")
        site.until(site.releases, "the release to be there")
        relay.cut()
        said = someone.terraform.end(process)
        assert said.code == 1
        assert relay.address in said.err
        relay.mend()
        someone.write(planner={})
        mended(site, someone)


def test_ctrl_c_waits_for_helm_and_the_next_run_mends(site: Place) -> None:
    someone = site.person("interrupted")
    someone.write(planner={**WAITS, "timeout": 10})
    process = someone.terraform.start(someone.folder, "apply", "-auto-approve", "-no-color")
    site.until(site.releases, "the release to be there")
    another = someone.apply()
    assert another.code == 1
    assert "Error acquiring the state lock" in another.err
    assert "OperationTypeApply" in another.err, "who holds it"
    os.killpg(process.pid, signal.SIGINT)
    said = someone.terraform.end(process)
    assert said.code == 1
    assert "timed out waiting for the condition" in said.err
    someone.write(planner={})
    someone.applied()
    assert site.releases()[PLANNER]["status"] == "deployed"
    assert someone.plan().code == 0


def test_ctrl_c_twice_leaves_what_one_command_mends(site: Place) -> None:
    someone = site.person("killed")
    someone.write(planner=WAITS)
    process = someone.terraform.start(someone.folder, "apply", "-auto-approve", "-no-color")
    site.until(site.releases, "the release to be there")
    os.killpg(process.pid, signal.SIGINT)
    output = process.stdout
    assert output is not None
    site.until(lambda: "Interrupt received" in output.readline(), "Terraform to notice")
    os.killpg(process.pid, signal.SIGINT)
    assert someone.terraform.end(process).code == 1
    someone.write(planner={})
    mended(site, someone)


def test_killed_in_an_upgrade_and_mended_by_a_rollback(site: Place) -> None:
    """The failed upgrade's objects stay: no deployed revision of Helm has them."""
    someone = site.person("killed-in-upgrade")
    someone.write(planner={})
    someone.applied()
    someone.write(planner=WAITS)
    process = someone.terraform.start(someone.folder, "apply", "-auto-approve", "-no-color")
    site.until(lambda: selects(site) == WAITS["node_selector"], "Helm to upgrade")
    assert site.releases()[PLANNER]["status"] == "pending-upgrade"
    os.killpg(process.pid, signal.SIGKILL)
    someone.terraform.end(process)
    site.helm("rollback", PLANNER, "-n", NAMESPACE)
    assert selects(site) is None
    someone.write(planner={"replicas": 2})
    someone.applied()
    assert site.releases()[PLANNER]["status"] == "deployed"
    assert site.deployment(PLANNER)["spec"]["replicas"] == 2
    assert someone.plan().code == 0


def selects(site: Place) -> object:
    """Which nodes the planner's pods ask for."""
    return site.deployment(PLANNER)["spec"]["template"]["spec"].get("nodeSelector")


def mended(site: Place, someone: Person) -> None:
    """After an install of which Terraform knows nothing: as terraform/README.md says."""
    assert "cannot re-use a name that is still in use" in someone.apply().err
    site.helm("uninstall", PLANNER, "-n", NAMESPACE)
    someone.applied()
    assert site.releases()[PLANNER]["status"] == "deployed"
    assert someone.plan().code == 0
