"""Charts render the same text each time, with and without a cluster: what GitOps compares a cluster with."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.charts.rendering import CHARTS, EVICTOR, PINNER, PLANNER, Values, annotations_of, render
from tests.charts.test_api_server import FULL, OWN
from tools.localcluster import ClusterHandle
from tools.toolchain import ensure

UMBRELLA = "moorage"
EACH = pytest.mark.parametrize("chart", [PINNER, PLANNER, EVICTOR])
CHANGING = re.compile(
    r"\b(rand\w+|uuidv4|now|ago|date\w*|unixEpoch|shuffle|gen(PrivateKey|CA|Signed|SelfSigned)\w*|htpasswd|bcrypt|"
    r"encryptAES|derivePassword|env|expandenv|getHostByName)\b"
)
"""Functions of templates (https://masterminds.github.io/sprig) that answer otherwise each time, or elsewhere."""

LOOKING = {
    "_managed.tpl",  # whether the closed product's controller is beside
    "_network.tpl",  # a warning
    "_notes.tpl",
    "_ownership.tpl",  # refuses what belongs to another release
    "NOTES.txt",
    "_helpers.tpl",  # evictor: whose the definition is
}
"""Templates that look into the cluster. docs/guides/gitops.md says what to set where they cannot."""


def rendered(chart: str, values: Values, *options: str, **environment: str) -> str:
    """The output of `helm template`, not kept."""
    command = [str(ensure(["helm"])["helm"]), "template", "r", str(CHARTS / chart), "-f", "-", *options]
    variables = {**os.environ, "KUBECONFIG": os.devnull, **environment}
    done = subprocess.run(command, input=json.dumps(values), env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("chart", [PINNER, PLANNER, EVICTOR, UMBRELLA])
def test_two_renderings_are_equal(chart: str) -> None:
    values = {name: {**FULL, **OWN[name]} for name in OWN} if chart == UMBRELLA else {**FULL, **OWN[chart]}
    once = rendered(chart, values, "-n", "a", TZ="UTC")
    assert once == rendered(chart, values, "-n", "a", TZ="Asia/Tokyo", GOMAXPROCS="1")


def actions(path: Path) -> str:
    """What a template does, without its comments and texts."""
    text = re.sub(r"{{-?\s*/\*.*?\*/\s*-?}}", "", path.read_text(), flags=re.DOTALL)
    return re.sub(r'"[^"]*"|`[^`]*`', '""', "\n".join(re.findall(r"{{(.*?)}}", text, re.DOTALL)))


def test_no_template_asks_for_time_or_chance_and_few_look_into_the_cluster() -> None:
    templates = [path for path in CHARTS.rglob("templates/**/*") if path.is_file()]
    assert len(templates) > 60
    assert [str(path) for path in templates if CHANGING.search(re.sub(r"[.$][\w.]+", "", actions(path)))] == []
    assert {path.name for path in templates if re.search(r"\blookup\b", actions(path))} <= LOOKING


@EACH
def test_the_only_hooks_are_those_of_helm_test(chart: str) -> None:
    for each in render(chart, {**FULL, **OWN[chart]}).objects:
        assert annotations_of(each).get("helm.sh/hook", "test") == "test"


@EACH
def test_definitions_outlive_their_release_whoever_prunes(chart: str) -> None:
    for each in render(chart).all("CustomResourceDefinition"):
        notes = annotations_of(each)
        assert notes["helm.sh/resource-policy"] == "keep"
        assert notes["argocd.argoproj.io/sync-options"] == "Prune=false"
        assert notes["kustomize.toolkit.fluxcd.io/prune"] == "disabled"


@pytest.mark.cluster
@EACH
def test_with_a_cluster_to_look_at_the_text_is_the_same(chart: str, cluster: ClusterHandle, namespace: str) -> None:
    values: Values = {} if chart == PLANNER else {"crds": {"enabled": False}}  # other tests' definitions may be there
    with_cluster = rendered(
        chart, values, "-n", namespace, "--dry-run=server", KUBECONFIG=str(cluster.kubeconfig), HELM_DEBUG="false"
    )
    assert with_cluster == rendered(chart, values, "-n", namespace)
