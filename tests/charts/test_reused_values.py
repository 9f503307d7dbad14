"""`helm upgrade --reuse-values` from the closed chart: its values replace values.yaml completely."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from tests.charts.rendering import CHARTS, PINNER, Rendered, render

CLOSED = CHARTS.parent / "tests" / "e2e" / "helm" / "closed" / "values.yaml"

# The first published values (0.1): other names for the same, and fewer of them.
OLDEST = {
    "replicaCount": 1,
    "namespace": "castai-agent",
    "commonLabels": {"team": "a"},
    "commonAnnotations": {},
    "image": {"repository": "us-docker.pkg.dev/castai-hub/library/pod-pinner", "pullPolicy": "IfNotPresent", "tag": ""},
    "imagePullSecrets": [],
    "nameOverride": "",
    "fullnameOverride": "",
    "additionalEnv": {},
    "serviceAccount": {"create": True, "annotations": {}, "name": ""},
    "podAnnotations": {},
    "podSecurityContext": {},
    "securityContext": {"readOnlyRootFilesystem": True, "runAsNonRoot": True, "runAsUser": 1000},
    "service": {"type": "ClusterIP", "port": 443},
    "ingress": {"enabled": False, "hosts": [], "tls": []},
    "resources": {"requests": {"cpu": "20m", "memory": "25Mi"}, "limits": {"memory": "25Mi"}},
    "autoscaling": {"enabled": False, "minReplicas": 1, "maxReplicas": 100, "targetCPUUtilizationPercentage": 80},
    "nodeSelector": {},
    "tolerations": [],
    "affinity": {},
    "webhook": {"failurePolicy": "Ignore", "url": "", "port": 10250},
    "deploy": True,
    "castai": {"apiURL": "https://x.cast.ai", "grpcURL": "grpc.cast.ai:443", "apiKey": "", "clusterID": "c"},
}


@pytest.fixture(scope="module", params=["newest", "oldest", "none"])
def chart(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our chart as Helm sees it then: with the values of the former release instead of its own."""
    folder = tmp_path_factory.mktemp(request.param) / PINNER
    shutil.copytree(CHARTS / PINNER, folder)
    before = {"newest": yaml.safe_load(CLOSED.read_text()), "oldest": OLDEST, "none": {}}[request.param]
    (folder / "values.yaml").write_text(yaml.safe_dump(before))
    return folder


@pytest.fixture
def rendered(chart: Path) -> Rendered:
    return render(chart)


def test_everything_is_there(rendered: Rendered) -> None:
    ours = render(PINNER)
    names = [(each["kind"], each["metadata"]["name"]) for each in ours.objects]
    assert [(each["kind"], each["metadata"]["name"]) for each in rendered.objects] == names


def test_it_runs_our_program_in_a_restricted_pod(rendered: Rendered) -> None:
    assert rendered.container["image"] == "ghcr.io/moorage/moorage:2.0.0"
    context = {**rendered.pod["spec"]["securityContext"], **rendered.container["securityContext"]}
    assert context["runAsNonRoot"] is True
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert context["allowPrivilegeEscalation"] is False
    assert context["capabilities"] == {"drop": ["ALL"]}


def test_environment_and_planner_are_those_of_a_fresh_install(rendered: Rendered) -> None:
    env = {name: value for name, value in rendered.env.items() if name != "MOORAGE_CLUSTER_ID"}
    port = rendered.one("Service", f"{PINNER}-webhook")["spec"]["ports"][0]["port"]
    assert env == render(PINNER, {"service": {"port": port}}).env
    assert rendered.pod["spec"]["volumes"] == render(PINNER).pod["spec"]["volumes"]


def test_replicas_of_before_count_until_they_are_taken_away(chart: Path) -> None:
    before = yaml.safe_load((chart / "values.yaml").read_text()).get("replicaCount", 2)
    assert render(chart).one("Deployment")["spec"]["replicas"] == before
    if "replicaCount" in (chart / "values.yaml").read_text():
        options = ("--set", "replicas=5,replicaCount=null")
        assert render(chart, options=options).one("Deployment")["spec"]["replicas"] == 5
