"""What ``moorage install`` prints, run by the real Helm on an API server: install, add what is missing, uninstall."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.charts.rendering import CHARTS, EVICTOR, PINNER, PLANNER
from tools.localcluster import ClusterHandle
from tools.localcluster.kubeconfig import write_kubeconfig
from tools.toolchain import ensure

CLOSED = Path(__file__).parents[1] / "e2e" / "helm"
"""Stand-ins of the closed charts, with their names, labels and values."""
pytestmark = pytest.mark.cluster
LEFT = ("clusterroles", "clusterrolebindings")
POLICIES = ("validatingadmissionpolicies", "validatingadmissionpolicybindings", "mutatingwebhookconfigurations")


def look(kubeconfig: Path, namespace: str) -> tuple[int, dict[str, Any]]:
    """Exit code and answer of the command."""
    flags = [f"--kubeconfig={kubeconfig}", f"--namespace={namespace}", f"--charts={CHARTS}", "-o", "json"]
    done = subprocess.run(
        [sys.executable, "-m", "moorage.cli", "install", *flags], capture_output=True, text=True, timeout=60
    )
    assert done.stdout, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, answer


def run(words: list[str]) -> str:
    """One of the printed commands."""
    tools = ensure(["helm", "kubectl"])
    done = subprocess.run(
        [str(tools[words[0]]), *words[1:]],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "KUBECONFIG": os.devnull},  # it names its own
    )
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout


def run_all(answer: dict[str, Any]) -> None:
    for words in answer["before"]:
        run(words)
    for each in answer["commands"]:
        run(each["command"])


def cluster_wide(cluster: ClusterHandle, namespace: str) -> set[str]:
    """Objects outside any namespace that name this one."""
    roots = {"rbac.authorization.k8s.io/v1": LEFT, "admissionregistration.k8s.io/v1": POLICIES}
    return {
        f"{kind}/{each['metadata']['name']}"
        for group, kinds in roots.items()
        for kind in kinds
        for each in cluster.api.get(f"/apis/{group}/{kind}")["items"]
        if namespace in each["metadata"]["name"]
        or each["metadata"].get("annotations", {}).get("meta.helm.sh/release-namespace") == namespace
    }


def test_what_it_prints_installs_upgrades_and_leaves_nothing_behind(cluster: ClusterHandle, namespace: str) -> None:
    def deployments() -> set[str]:
        return {each["metadata"]["name"] for each in cluster.api.get(f"/apis/apps/v1/{within}/deployments")["items"]}

    within = f"namespaces/{namespace}"
    kubeconfig = f"--kubeconfig={cluster.kubeconfig}"
    code, first = look(cluster.kubeconfig, namespace)
    assert code == 0, first
    (command,) = first["commands"]
    assert (command["release"], command["chart"], command["installs"]) == ("moorage", "moorage", True)
    run_all(first)
    assert deployments() == {PINNER, EVICTOR, PLANNER}

    code, second = look(cluster.kubeconfig, namespace)
    assert (code, second["commands"], second["before"]) == (0, [], [])
    assert {"thing": "release moorage of chart moorage 2.0.0", "conclusion": "nothing is missing", "values": {}} in (
        second["found"]
    )

    chart = str(CHARTS / "moorage")
    keep = ["-n", namespace, kubeconfig, "--reset-then-reuse-values"]
    run(["helm", "upgrade", "moorage", chart, *keep, "--set", f"{EVICTOR}.enabled=false,{PINNER}.replicas=1"])
    assert deployments() == {PINNER, PLANNER}
    code, third = look(cluster.kubeconfig, namespace)
    (command,) = third["commands"]
    assert (code, command["installs"], command["values"][f"{EVICTOR}.enabled"]) == (0, False, "true")
    run_all(third)
    assert deployments() == {PINNER, EVICTOR, PLANNER}
    pinner = cluster.api.get(f"/apis/apps/v1/{within}/deployments/{PINNER}")
    assert pinner["spec"]["replicas"] == 1, "an upgrade keeps what was chosen"

    assert cluster_wide(cluster, namespace)
    run(["helm", "uninstall", "moorage", "-n", namespace, kubeconfig])
    assert deployments() == set()
    assert cluster_wide(cluster, namespace) == set()
    for kind in ("services", "configmaps", "secrets", "serviceaccounts"):
        names = {each["metadata"]["name"] for each in cluster.api.get(f"/api/v1/{within}/{kind}")["items"]}
        assert names <= {"default", "kube-root-ca.crt"}


def test_closed_releases_are_upgraded_in_place(cluster: ClusterHandle, namespace: str) -> None:
    at = ["-n", namespace, f"--kubeconfig={cluster.kubeconfig}"]
    for part, folder, given in (
        (PINNER, "closed", "castai.apiKey=theirs"),
        (EVICTOR, "closed-evictor", "dryRun=false"),
    ):
        run(["helm", "install", part, str(CLOSED / folder), *at, "--set", f"{given},replicaCount=0"])
    deployments = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    before = {each["metadata"]["name"]: each["metadata"]["uid"] for each in cluster.api.get(deployments)["items"]}
    code, found = look(cluster.kubeconfig, namespace)
    assert code == 0, found
    assert {each["chart"]: each["installs"] for each in found["commands"]} == {
        PINNER: False,
        EVICTOR: False,
        PLANNER: True,
    }
    assert found["commands"][0]["values"]["castai.apiKey"] == "null"
    try:
        run_all(found)
        after = {each["metadata"]["name"]: each for each in cluster.api.get(deployments)["items"]}
        assert {part: after[part]["metadata"]["uid"] for part in (PINNER, EVICTOR)} == {
            part: before[part] for part in (PINNER, EVICTOR)
        }
        assert after[PINNER]["spec"]["replicas"] >= 1
        (container,) = after[EVICTOR]["spec"]["template"]["spec"]["containers"]
        assert {"name": "MOORAGE_DRY_RUN", "value": "true"} in container["env"]
        assert look(cluster.kubeconfig, namespace)[1]["commands"] == [], "nothing is missing then"
    finally:
        for part in (PINNER, EVICTOR, PLANNER):
            subprocess.run([str(ensure(["helm"])["helm"]), "uninstall", part, *at], check=False, capture_output=True)


def test_what_may_not_be_read_is_said(cluster: ClusterHandle, namespace: str, tmp_path: Path) -> None:
    token = _token(cluster, namespace)
    nobody = write_kubeconfig(
        tmp_path / "nobody", server=cluster.server, ca=cluster.ca_file.read_bytes(), user="nobody", token=token
    )
    code, found = look(nobody, namespace)
    assert code == 1
    assert found["commands"] == []
    (blocker,) = found["blockers"]
    assert "Deployments may not be listed" in blocker
    unseen = " ".join(found["unseen"])
    for what in ("nodes", "Helm's releases", "ConfigMap castai-evictor-config", "nodereservations.moorage.dev"):
        assert what in unseen


def _token(cluster: ClusterHandle, namespace: str) -> str:
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/default/token"
    return str(cluster.api.request("POST", path, {"spec": {"expirationSeconds": 3600}})["status"]["token"])
