"""The pods of the charts: image, security, where they run, and what users may add."""

from __future__ import annotations

from typing import Any

import pytest

from moorage.ops import parsing
from tests.charts.rendering import EVICTOR, PINNER, PLANNER, Values, refusal, render

EACH = pytest.mark.parametrize("chart", [PINNER, PLANNER, EVICTOR])
DIGEST = "sha256:" + "0123456789abcdef" * 4
# The values with the security context of the pods, and of the container: the published names.
CONTEXTS = {
    PINNER: ("podSecurityContext", "securityContext"),
    PLANNER: ("podSecurityContext", "securityContext"),
    EVICTOR: ("securityContext", "containerSecurityContext"),
}
CLOSED = "us-docker.pkg.dev/castai-hub/library/pod-pinner"


@EACH
@pytest.mark.parametrize(
    ("values", "image"),
    [
        ({}, "ghcr.io/moorage/moorage:2.0.0"),
        ({"image": {"repository": "example.com/our/moorage"}}, "example.com/our/moorage:2.0.0"),
        ({"image": {"tag": "2.0.1"}}, "ghcr.io/moorage/moorage:2.0.1"),
        ({"image": {"digest": DIGEST}}, f"ghcr.io/moorage/moorage:2.0.0@{DIGEST}"),
        ({"global": {"registry": "example.com"}}, "example.com/moorage/moorage:2.0.0"),
        ({"global": {"registry": "example.com:5000/mirror"}}, "example.com:5000/mirror/moorage/moorage:2.0.0"),
        ({"global": {"registry": "a.b"}, "image": {"repository": "our/moorage"}}, "a.b/our/moorage:2.0.0"),
        ({"global": {"registry": "a.b"}, "image": {"repository": "localhost/x"}}, "a.b/x:2.0.0"),
        ({"global": {"registry": "a.b"}, "image": {"repository": "host:5000/x/y"}}, "a.b/x/y:2.0.0"),
        ({"image": {"repository": CLOSED}}, "ghcr.io/moorage/moorage:2.0.0"),
        ({"image": {"repository": CLOSED, "tag": "v1.9.2", "digest": DIGEST}}, "ghcr.io/moorage/moorage:2.0.0"),
        ({"image": {"repository": "mirror.example.com/castai/pod-pinner"}}, "ghcr.io/moorage/moorage:2.0.0"),
        ({"image": {"repository": "mirror.example.com/castai/moorage"}}, "mirror.example.com/castai/moorage:2.0.0"),
        ({"image": {"tag": "v1.4.2"}}, "ghcr.io/moorage/moorage:2.0.0"),
        ({"image": {"tag": "v1.4.2", "digest": DIGEST}}, f"ghcr.io/moorage/moorage:2.0.0@{DIGEST}"),
        ({"image": {"tag": "v1.4.2", "repository": "ghcr.io/moorage/moorage"}}, "ghcr.io/moorage/moorage:2.0.0"),
        ({"image": {"tag": "v1.4.2", "repository": "example.com/moorage"}}, "example.com/moorage:v1.4.2"),
        ({"image": {"tag": "v1.4.2"}, "global": {"registry": "a.b"}}, "a.b/moorage/moorage:2.0.0"),
        ({"image": {"tag": "version-2"}}, "ghcr.io/moorage/moorage:version-2"),
        ({"global": {"registry": "us-docker.pkg.dev/castai-hub/library"}}, "ghcr.io/moorage/moorage:2.0.0"),
    ],
)
def test_image(chart: str, values: Values, image: str) -> None:
    assert render(chart, values).container["image"] == image


def test_the_test_pod_runs_the_same_image() -> None:
    rendered = render(PINNER, {"image": {"repository": "example.com/x", "digest": DIGEST, "pullPolicy": "Always"}})
    (container,) = rendered.check["spec"]["containers"]
    assert (container["image"], container["imagePullPolicy"]) == (rendered.container["image"], "Always")


@EACH
def test_pull_secrets_of_both_places(chart: str) -> None:
    values = {"global": {"imagePullSecrets": [{"name": "a"}]}, "imagePullSecrets": [{"name": "b"}, {"name": "a"}]}
    assert render(chart, values).pod["spec"]["imagePullSecrets"] == [{"name": "a"}, {"name": "b"}]
    assert "imagePullSecrets" not in render(chart).pod["spec"]
    if chart == PINNER:
        assert render(chart, values).check["spec"]["imagePullSecrets"] == [{"name": "a"}, {"name": "b"}]


@EACH
def test_security_satisfies_restricted_with_a_read_only_root(chart: str) -> None:
    spec, container = render(chart).pod["spec"], render(chart).container
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] == 65532
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    mounts = {each["mountPath"]: each for each in container["volumeMounts"]}
    assert {path for path, each in mounts.items() if not each.get("readOnly")} == {"/tmp"}  # noqa: S108
    assert all("subPath" not in each for each in container["volumeMounts"])  # a subPath never changes


@EACH
def test_ids_are_openshifts_to_choose(chart: str) -> None:
    openshift = ("--api-versions", "security.openshift.io/v1")
    without = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    rendered = render(chart, options=openshift)
    for spec in [rendered.pod["spec"], *(each["spec"]["template"]["spec"] for each in rendered.all("Job"))]:
        assert spec["securityContext"] == without
    of_pods, _ = CONTEXTS[chart]
    own = {of_pods: {"runAsUser": 1000650000}}
    assert render(chart, own, options=openshift).pod["spec"]["securityContext"] == {**without, "runAsUser": 1000650000}
    options = tuple(f"--set={of_pods}.{key}=null" for key in ("runAsUser", "runAsGroup", "fsGroup"))
    assert render(chart, options=options).pod["spec"]["securityContext"] == without


@EACH
def test_a_decision_of_the_user_is_not_overruled(chart: str) -> None:
    _, of_container = CONTEXTS[chart]
    values = {of_container: {"readOnlyRootFilesystem": False, "allowPrivilegeEscalation": True}}
    context = render(chart, values).container["securityContext"]
    assert (context["readOnlyRootFilesystem"], context["allowPrivilegeEscalation"]) == (False, True)


@EACH
def test_limits_can_be_taken_away(chart: str) -> None:
    assert set(render(chart, options=("--set=resources.limits=null",)).container["resources"]) == {"requests"}


def terms(chart: str, values: Values) -> list[dict[str, Any]]:
    affinity = render(chart, values).pod["spec"]["affinity"]
    found: list[dict[str, Any]] = affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][
        "nodeSelectorTerms"
    ]
    return found


OURS = [
    {"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]},
    {"key": "moorage.dev/placeholder", "operator": "DoesNotExist"},
    {"key": "autoscaling.cast.ai/draining", "operator": "DoesNotExist"},
]


@EACH
def test_never_on_placeholders_or_nodes_being_emptied(chart: str) -> None:
    assert terms(chart, {}) == [{"matchExpressions": OURS}]
    assert terms(chart, {"tolerations": [{"operator": "Exists"}]}) == [{"matchExpressions": OURS}]
    for toleration in render(chart).pod["spec"]["tolerations"]:
        assert toleration["key"] == "CriticalAddonsOnly"


@EACH
def test_every_alternative_of_the_user_gets_our_conditions(chart: str) -> None:
    zone = {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["a"]}
    fields = [{"key": "metadata.name", "operator": "In", "values": ["n"]}]
    preferred = [{"weight": 1, "preference": {"matchExpressions": [zone]}}]
    values = {
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [{"matchExpressions": [zone]}, {"matchFields": fields}]
                },
                "preferredDuringSchedulingIgnoredDuringExecution": preferred,
            },
            "podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []},
        }
    }
    assert terms(chart, values) == [
        {"matchExpressions": [zone, *OURS]},
        {"matchFields": fields, "matchExpressions": OURS},
    ]
    affinity = render(chart, values).pod["spec"]["affinity"]
    assert affinity["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"] == preferred
    assert "podAntiAffinity" in affinity


@EACH
def test_spread_is_a_wish_until_the_user_says_otherwise(chart: str) -> None:
    spread = render(chart).pod["spec"]["topologySpreadConstraints"]
    assert {each["topologyKey"] for each in spread} == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}
    selector = render(chart).one("Deployment")["spec"]["selector"]
    for each in spread:
        assert each["whenUnsatisfiable"] == "ScheduleAnyway"
        assert each["labelSelector"] == selector
    own = [{"maxSkew": 1, "topologyKey": "x", "whenUnsatisfiable": "DoNotSchedule"}]
    assert render(chart, {"topologySpreadConstraints": own}).pod["spec"]["topologySpreadConstraints"] == own


@EACH
def test_tolerations_of_both_places(chart: str) -> None:
    a, b = {"key": "a", "operator": "Exists"}, {"key": "b", "operator": "Exists"}
    values = {"global": {"tolerations": [a]}, "tolerations": [b, a]}
    assert render(chart, values).pod["spec"]["tolerations"][1:] == [a, b]


@EACH
def test_priority_and_quota(chart: str) -> None:
    assert render(chart).pod["spec"]["priorityClassName"] == "system-cluster-critical"
    assert "priorityClassName" not in render(chart, {"priorityClassName": ""}).pod["spec"]
    assert not render(chart).all("ResourceQuota")
    gke = ("--kube-version", "v1.34.1-gke.1293000")
    quota = render(chart, options=gke).one("ResourceQuota")["spec"]  # GKE admits such pods only where a quota says so
    assert quota["scopeSelector"]["matchExpressions"][0]["values"] == ["system-cluster-critical"]
    assert not render(chart, {"priorityClassName": "mine"}, options=gke).all("ResourceQuota")


def test_removal_disabled_and_managed_are_on_the_pods() -> None:
    for chart in CONTEXTS:
        metadata = render(chart).pod["metadata"]
        assert metadata["labels"]["autoscaling.cast.ai/removal-disabled"] == "true"
        assert metadata["annotations"]["autoscaling.cast.ai/removal-disabled"] == "true"


@pytest.mark.parametrize(
    ("options", "label"),
    [
        ((), "true"),
        (("--set", "managedByCASTAI=false"), "false"),
        (("--set-string", "managedByCASTAI=false"), "false"),
        (("--set", "managedByCASTAI=true"), "true"),
    ],
)
def test_managed_label_on_deployment_and_pods(options: tuple[str, ...], label: str) -> None:
    for chart in (PINNER, EVICTOR):
        rendered = render(chart, options=options)
        assert rendered.one("Deployment")["metadata"]["labels"]["charts.cast.ai/managed"] == label
        assert rendered.pod["metadata"]["labels"]["charts.cast.ai/managed"] == label
        assert rendered.env["MOORAGE_MANAGED"] == label


@EACH
def test_what_users_add(chart: str) -> None:
    values = {
        "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
        "additionalEnv": {"PPROF_PORT": 6060, "BIG": 1000000, "ON": True, "TEXT": 'a "b": {{ c }}'},
        "envFrom": [{"secretRef": {"name": "keys"}}],
        "extraVolumes": [{"name": "ca", "configMap": {"name": "ca"}}],
        "extraVolumeMounts": [{"name": "ca", "mountPath": "/ca"}],
        "podLabels": {"team": "a", "charts.cast.ai/managed": "x", "app.kubernetes.io/name": "x"},
        "podAnnotations": {"note": "b", "autoscaling.cast.ai/removal-disabled": "false"},
        "nodeSelector": {"pool": "infra"},
        "terminationGracePeriodSeconds": 45,
        "extraObjects": [
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-x"}},
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: text-of-{{ .Release.Namespace }}\n",
        ],
    }
    rendered = render(chart, values, release="r")
    assert rendered.env["HTTPS_PROXY"] == "http://proxy:3128"
    assert rendered.env["PPROF_PORT"] == "6060"
    assert rendered.env["BIG"] == "1000000"
    assert rendered.env["ON"] == "true"
    assert rendered.env["TEXT"] == 'a "b": {{ c }}'
    assert rendered.container["envFrom"] == values["envFrom"]
    assert {"name": "ca", "mountPath": "/ca"} in rendered.container["volumeMounts"]
    assert {"name": "ca", "configMap": {"name": "ca"}} in rendered.pod["spec"]["volumes"]
    assert rendered.pod["metadata"]["labels"]["team"] == "a"
    assert rendered.pod["metadata"]["labels"]["app.kubernetes.io/name"] == chart
    assert rendered.pod["metadata"]["labels"].get("charts.cast.ai/managed") == ("x" if chart == PLANNER else "true")
    assert rendered.pod["metadata"]["annotations"]["note"] == "b"
    assert rendered.pod["metadata"]["annotations"]["autoscaling.cast.ai/removal-disabled"] == "false"
    assert rendered.pod["spec"]["nodeSelector"] == {"pool": "infra"}
    assert rendered.pod["spec"]["terminationGracePeriodSeconds"] == 45
    names = {each["metadata"]["name"] for each in rendered.all("ConfigMap")}
    assert names >= {"r-x", "text-of-castai-agent"}


@EACH
@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"extraEnv": [{"name": "MOORAGE_LOG_LEVEL", "value": "debug"}]}, "extraEnv[0]: MOORAGE_LOG_LEVEL"),
        ({"additionalEnv": {"MOORAGE_NAMESPACE": "x"}}, "additionalEnv.MOORAGE_NAMESPACE"),
        ({"additionalEnv": {"A": "x"}, "extraEnv": [{"name": "A", "value": "y"}]}, "extraEnv[0]: A"),
        ({"extraEnv": [{"name": "A"}, {"name": "A"}]}, "extraEnv[1]: A"),
    ],
)
def test_a_variable_comes_once(chart: str, values: Values, words: str) -> None:
    assert words in refusal(chart, values)


@EACH
def test_common_labels_and_annotations_are_everywhere_and_change_no_selector(chart: str) -> None:
    values = {
        "commonLabels": {"team": "a", "app.kubernetes.io/name": "x"},
        "commonAnnotations": {"note": "b"},
        "global": {"commonLabels": {"cost": "c", "team": "z"}, "commonAnnotations": {"link": "d"}},
        "serviceMonitor": {"enabled": True, "renderMode": "alwaysRender"},
        "prometheusRule": {"enabled": True, "renderMode": "alwaysRender"},
        "grafanaDashboard": {"enabled": True},
    }
    rendered = render(chart, values)
    for metadata in [*(each["metadata"] for each in rendered.objects), rendered.pod["metadata"]]:
        assert metadata["labels"].items() >= {"team": "a", "cost": "c"}.items(), metadata
        assert metadata["labels"]["app.kubernetes.io/name"] in (chart, f"{chart}-check")
        assert metadata["annotations"].items() >= {"note": "b", "link": "d"}.items(), metadata
    assert rendered.one("Deployment")["spec"]["selector"] == render(chart).one("Deployment")["spec"]["selector"]


@EACH
def test_probes_follow_the_published_values(chart: str) -> None:
    values = {"livenessProbe": {"periodSeconds": 20}, "readinessProbe": {"initialDelaySeconds": 0}}
    container = render(chart, values).container
    port = "http" if chart == EVICTOR else "healthz"
    assert container["startupProbe"]["httpGet"] == {"path": "/livez", "port": port}
    assert container["livenessProbe"]["httpGet"] == {"path": "/livez", "port": port}
    assert container["livenessProbe"]["periodSeconds"] == 20
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": port}
    assert container["readinessProbe"]["initialDelaySeconds"] == 0


@EACH
def test_values_cannot_write_yaml_of_their_own(chart: str) -> None:
    hostile = 'x"\n  injected: true\n# {{ fail "rendered" }}'
    values = {
        "podAnnotations": {"note": hostile},
        "commonAnnotations": {"note": hostile},
        "additionalEnv": {"A": hostile},
        "extraEnv": [{"name": "B", "value": hostile}],
    }
    rendered = render(chart, values)
    assert rendered.pod["metadata"]["annotations"]["note"] == hostile
    assert (rendered.env["A"], rendered.env["B"]) == (hostile, hostile)


LISTENING = {
    PINNER: {"MOORAGE_HEALTH_ADDRESS", "MOORAGE_WEBHOOK_ADDRESS"},
    PLANNER: {"MOORAGE_HEALTH_ADDRESS", "MOORAGE_LISTEN"},
    EVICTOR: {"MOORAGE_HEALTH_ADDRESS"},
}


@EACH
def test_pods_listen_on_all_their_addresses_of_either_family(chart: str) -> None:
    """A program listens on loopback only, unless it is told otherwise: the kubelet, Prometheus and others connect."""
    env = render(chart).env
    assert {name for name in env if name.endswith(("_ADDRESS", "_LISTEN")) and env[name][0] == ":"} == LISTENING[chart]
    for name in LISTENING[chart]:
        assert parsing.listen_address(env[name]).host == ""
