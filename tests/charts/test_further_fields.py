"""What users set of pods, Deployment, Services and monitors besides: all at once, in one rendering of each chart."""

from __future__ import annotations

import pytest

from moorage.files import values as files
from moorage.files.podspec import RESERVED, RESERVED_OF_THE_PROGRAM
from moorage.files.yamlfile import Document
from tests.charts.rendering import EVICTOR, PINNER, PLANNER, Object, Rendered, Values, refusal, render

EACH = pytest.mark.parametrize("chart", [PINNER, PLANNER, EVICTOR])
SIDECAR = {"name": "beside", "image": "example.com/beside:1"}
MERGED = {
    "schedulerName": "theirs",
    "priorityClassName": None,
    "enableServiceLinks": True,
    "securityContext": {"supplementalGroups": [7]},
    "volumes": [{"name": "more", "emptyDir": {}}],
}
ALL: Values = {
    "hostAliases": [{"ip": "10.0.0.10", "hostnames": ["planner.example.com"]}],
    "dnsPolicy": "None",
    "dnsConfig": {"nameservers": ["10.0.0.53"]},
    "runtimeClassName": "gvisor",
    "revisionHistoryLimit": 3,
    "deploymentLabels": {"a": "deployment"},
    "deploymentAnnotations": {"example.com/reload": "true"},
    "service": {
        "labels": {"a": "service"},
        "annotations": {"example.com/zone": "x"},
        "ipFamilies": ["IPv6", "IPv4"],
        "ipFamilyPolicy": "RequireDualStack",
    },
    "podDisruptionBudget": {"minAvailable": "50%"},
    "serviceMonitor": {
        "enabled": True,
        "renderMode": "alwaysRender",
        "namespace": "monitoring",
        "scrapeTimeout": "9s",
        "relabelings": [{"sourceLabels": ["__meta_kubernetes_pod_node_name"], "targetLabel": "node"}],
        "metricRelabelings": [{"action": "labeldrop", "regex": "pod"}],
    },
}


def everything(chart: str) -> Rendered:
    program = {
        "name": chart,
        "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
        "resources": {"limits": {"cpu": "1"}},
    }
    return render(chart, {**ALL, "podSpec": {**MERGED, "containers": [program, SIDECAR]}})


@EACH
def test_fields_of_the_pods(chart: str) -> None:
    spec = everything(chart).pod["spec"]
    for key in ("hostAliases", "dnsPolicy", "dnsConfig", "runtimeClassName"):
        assert spec[key] == ALL[key]
        assert key not in render(chart).pod["spec"]


@EACH
def test_the_pod_spec_is_merged_last_and_takes_nothing_away(chart: str) -> None:
    usual, rendered = render(chart).pod["spec"], everything(chart)
    spec = rendered.pod["spec"]
    assert spec["schedulerName"] == "theirs"
    assert (usual["enableServiceLinks"], spec["enableServiceLinks"]) == (False, True)
    assert "priorityClassName" in usual
    assert "priorityClassName" not in spec
    assert spec["securityContext"] == {**usual["securityContext"], "supplementalGroups": [7]}
    assert spec["volumes"] == [*usual["volumes"], {"name": "more", "emptyDir": {}}]
    program, beside = spec["containers"]
    assert beside == SIDECAR
    (before,) = usual["containers"]
    changed = {**before, "lifecycle": program["lifecycle"], "resources": program["resources"]}
    assert program == changed
    assert program["resources"] == {**before["resources"], "limits": {**before["resources"]["limits"], "cpu": "1"}}
    for kept in ("serviceAccountName", "automountServiceAccountToken", "affinity", "tolerations"):
        assert spec[kept] == usual[kept]


@pytest.mark.parametrize("key", [*RESERVED, *RESERVED_OF_THE_PROGRAM])
def test_what_rights_and_program_hang_on_is_refused_before_and_by_helm_in_the_same_words(key: str) -> None:
    of_the_program = key in RESERVED_OF_THE_PROGRAM
    spec = {"containers": [{"name": PLANNER, key: ["x"]}]} if of_the_program else {key: "x"}
    (said,) = files.mistakes(PLANNER, Document({"podSpec": spec}, {}))
    assert said.full_sentence in refusal(PLANNER, {"podSpec": spec})


def test_containers_beside_the_program_may_say_everything() -> None:
    assert (
        files.mistakes(PINNER, Document({"podSpec": {"containers": [{**SIDECAR, "args": ["x"], "env": []}]}}, {})) == []
    )


@EACH
def test_fields_of_the_deployment(chart: str) -> None:
    rendered = everything(chart)
    deployment = rendered.one("Deployment")
    assert deployment["spec"]["revisionHistoryLimit"] == 3
    assert deployment["metadata"]["labels"]["a"] == "deployment"
    assert deployment["metadata"]["annotations"]["example.com/reload"] == "true"
    assert "a" not in rendered.pod["metadata"]["labels"], "pods have labels of their own"


@EACH
def test_recreate_takes_the_defaults_rolling_update_away(chart: str) -> None:
    """Helm merges the type into the default; the API server refuses both together."""
    rendered = render(chart, {"updateStrategy": {"type": "Recreate"}})
    assert rendered.one("Deployment")["spec"]["strategy"] == {"type": "Recreate"}
    rolling = {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}
    said = [each.full_sentence for each in files.notes(chart, Document({"updateStrategy": rolling}, {}))]
    in_vain = "updateStrategy.rollingUpdate: without effect, because type is Recreate"
    assert said == ([in_vain] if chart == EVICTOR else []), "its default is Recreate"


@EACH
def test_fields_of_every_service(chart: str) -> None:
    services = everything(chart).all("Service")
    assert len(services) == (2 if chart == PINNER else 1)
    for each in services:
        assert each["metadata"]["labels"]["a"] == "service"
        assert each["metadata"]["annotations"] == {"example.com/zone": "x"}
        assert each["spec"]["ipFamilies"] == ["IPv6", "IPv4"]
        assert each["spec"]["ipFamilyPolicy"] == "RequireDualStack"
    for each in render(chart).all("Service"):
        assert not {"ipFamilies", "ipFamilyPolicy"} & each["spec"].keys()


@EACH
def test_a_budget_has_one_of_its_two_limits(chart: str) -> None:
    def limits(rendered: Rendered) -> Object:
        spec = rendered.one("PodDisruptionBudget")["spec"]
        return {key: spec[key] for key in ("minAvailable", "maxUnavailable") if key in spec}

    assert limits(everything(chart)) == {"minAvailable": "50%"}
    assert limits(render(chart)) == {"maxUnavailable": 1}


@EACH
def test_fields_of_the_monitor(chart: str) -> None:
    monitor = everything(chart).one("ServiceMonitor")
    assert monitor["metadata"]["namespace"] == "monitoring"
    (endpoint,) = monitor["spec"]["endpoints"]
    for key in ("scrapeTimeout", "relabelings", "metricRelabelings"):
        assert endpoint[key] == ALL["serviceMonitor"][key]


def test_the_clusters_own_roles_cover_our_kinds() -> None:
    """What is written by hand may be written by editors; a NodeReservation makes a Node, so that nobody else may."""

    def into(rendered: Rendered, name: str) -> tuple[set[str], list[Object]]:
        role = rendered.one("ClusterRole", name)
        prefix = "rbac.authorization.k8s.io/aggregate-to-"
        return {key.removeprefix(prefix) for key in role["metadata"]["labels"] if key.startswith(prefix)}, role["rules"]

    looking = ["get", "list", "watch"]
    everybody, editors = {"view", "edit", "admin"}, {"edit", "admin"}
    evictor, pinner = render(EVICTOR), render(PINNER)
    kinds = {"apiGroups": ["autoscaling.cast.ai"], "resources": ["evictorconfigs"]}
    assert into(evictor, "castai-evictor-view.castai-agent") == (everybody, [{**kinds, "verbs": looking}])
    writing = ["create", "update", "patch", "delete", "deletecollection"]
    assert into(evictor, "castai-evictor-edit.castai-agent") == (editors, [{**kinds, "verbs": writing}])
    kinds = {"apiGroups": ["moorage.dev"], "resources": ["nodereservations", "slotreservations"]}
    assert into(pinner, "castai-pod-pinner-view.castai-agent") == (everybody, [{**kinds, "verbs": looking}])
    for chart, usual in ((EVICTOR, evictor), (PINNER, pinner)):
        without = render(chart, {"rbac": {"aggregateClusterRoles": False}})
        bound = {each["roleRef"]["name"] for each in usual.all("ClusterRoleBinding")}
        assert {each["metadata"]["name"] for each in without.all("ClusterRole")} == bound
