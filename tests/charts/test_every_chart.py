"""Rules for every object of every chart, with any setting."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import yaml

from moorage.cli.installed.programs import PART_OF, Program
from tests.charts.rendering import (
    CHARTS,
    EVICTOR,
    NAMESPACE,
    PINNER,
    PLANNER,
    Object,
    Values,
    annotations_of,
    lint,
    render,
)

EACH = pytest.mark.parametrize("chart", [PINNER, PLANNER, EVICTOR])

EVERYTHING: Values = {
    "serviceMonitor": {"enabled": True, "renderMode": "alwaysRender"},
    "prometheusRule": {"enabled": True, "renderMode": "alwaysRender"},
    "grafanaDashboard": {"enabled": True},
}
CLUSTER_SCOPED = {
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "MutatingWebhookConfiguration",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
}


def keys(node: Any) -> set[str]:
    """Every key anywhere in an object."""
    if isinstance(node, dict):
        return {*node, *(key for each in node.values() for key in keys(each))}
    return {key for each in node for key in keys(each)} if isinstance(node, list) else set()


@EACH
def test_lint(chart: str) -> None:
    lint(chart)
    lint(chart, EVERYTHING)


@EACH
def test_no_hooks_but_the_test(chart: str) -> None:
    """Argo CD and Flux run other hooks otherwise than Helm, or not at all."""
    for each in render(chart, EVERYTHING).objects:
        assert annotations_of(each).get("helm.sh/hook", "test") == "test"
        if "helm.sh/hook" in annotations_of(each):
            assert annotations_of(each)["helm.sh/hook-delete-policy"] == "before-hook-creation,hook-succeeded"
            left = (
                each["kind"] == "Job"
            )  # when it has failed; Helm removes the others, and at an uninstall none of them
            assert not left or each["spec"]["ttlSecondsAfterFinished"] == 3600
            assert not left or each["spec"]["activeDeadlineSeconds"] < 300, "Helm waits for five minutes"
        else:
            assert each["kind"] not in {"Job", "CronJob"}


@EACH
def test_no_authority_is_rendered(chart: str) -> None:
    assert "caBundle" not in keys(list(render(chart, EVERYTHING).objects))
    for source in (CHARTS / chart).rglob("*"):
        if source.is_file():
            assert "caBundle" not in source.read_text()


@EACH
def test_no_secret_material_unless_the_user_gives_it(chart: str) -> None:
    for secret in render(chart, EVERYTHING).all("Secret"):
        assert "data" not in secret
        assert "stringData" not in secret


@EACH
def test_two_renderings_are_equal(chart: str) -> None:
    first = render(chart, EVERYTHING)
    assert first.objects == render(chart, {**EVERYTHING, "envFrom": []}).objects  # other values, so another process


@EACH
def test_every_object_says_whose_it_is(chart: str) -> None:
    for each in render(chart, EVERYTHING, release="r").objects:
        labels = each["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == "r"
        assert labels["app.kubernetes.io/managed-by"] == "Helm"
        assert labels["helm.sh/chart"] == f"{chart}-2.0.0"
        assert labels["app.kubernetes.io/version"] == "2.0.0"


@EACH
def test_every_object_names_its_namespace(chart: str) -> None:
    """Argo CD renders without one, and half of the objects would land elsewhere."""
    for each in render(chart, EVERYTHING).objects:
        namespace = each["metadata"].get("namespace")
        assert (namespace is None) == (each["kind"] in CLUSTER_SCOPED), each["kind"]
        assert namespace in (None, NAMESPACE, "kube-node-lease")


@EACH
def test_no_object_comes_twice(chart: str) -> None:
    found = [
        (each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"])
        for each in render(chart, EVERYTHING).objects
    ]
    assert len(found) == len(set(found))


SECRETS = {PLANNER: ["moorage-planner-tls", "moorage-planner-client"], PINNER: [f"{PINNER}-webhook"]}
WITHOUT_RIGHTS: dict[str, Values] = {
    PINNER: {"rbac": {"create": False}},
    PLANNER: {"rbac": {"create": False}},
    EVICTOR: {"rbac": {"enabled": False}},
}
TOGGLES: list[tuple[str, Values, set[str]]] = [
    (PINNER, {"crds": {"enabled": False}}, {"CustomResourceDefinition"}),
    (EVICTOR, {"crds": {"enabled": False}}, {"CustomResourceDefinition"}),
    *(
        (
            chart,
            {"admissionPolicy": {"enabled": False}},
            {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"},
        )
        for chart in (PINNER, EVICTOR)
    ),
    *(
        (chart, values, kinds)
        for chart in (PINNER, PLANNER, EVICTOR)
        for values, kinds in (
            (WITHOUT_RIGHTS[chart], {"ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}),
            ({"podDisruptionBudget": {"enabled": False}}, {"PodDisruptionBudget"}),
            ({"networkPolicy": {"enabled": False}}, {"NetworkPolicy"}),
            ({"serviceAccount": {"create": False, "name": "theirs"}}, {"ServiceAccount"}),
        )
    ),
    (PINNER, {"global": {"serviceAccount": {"create": False, "name": "theirs"}}}, {"ServiceAccount"}),
    (PLANNER, {"existingConfigMap": "theirs"}, {"ConfigMap"}),
]


@pytest.mark.parametrize(("chart", "values", "kinds"), TOGGLES)
def test_each_switch_takes_away_its_objects_and_nothing_else(chart: str, values: Values, kinds: set[str]) -> None:
    def identities(objects: list[Object]) -> set[tuple[str, str]]:
        return {(each["kind"], each["metadata"]["name"]) for each in objects}

    gone = identities(render(chart).installed) - identities(render(chart, values).installed)
    assert {kind for kind, _ in gone} == kinds
    assert not identities(render(chart, values).installed) - identities(render(chart).installed)
    assert not {kind for kind, _ in identities(render(chart, values).installed)} & kinds


@pytest.mark.parametrize(
    ("values", "account"),
    [
        ({}, "castai-pod-pinner"),
        ({"global": {"serviceAccount": {"name": "mine"}}}, "mine"),
        ({"serviceAccount": {"name": "old"}, "global": {"serviceAccount": {"name": "mine"}}}, "old"),
        ({"global": {"serviceAccount": {"create": False}}}, "default"),
        ({"serviceAccount": {"create": False, "name": "theirs"}}, "theirs"),
    ],
)
def test_rights_and_policy_are_of_the_account_that_the_pods_use(values: Values, account: str) -> None:
    rendered = render(PINNER, values)
    assert rendered.pod["spec"]["serviceAccountName"] == account
    for kind in ("ClusterRoleBinding", "RoleBinding"):
        for binding in rendered.all(kind):
            if "helm.sh/hook" not in annotations_of(binding):
                assert [each["name"] for each in binding["subjects"]] == [account]
    fenced = {
        each["metadata"]["name"]: [condition["expression"] for condition in each["spec"]["matchConditions"]]
        for each in rendered.all("ValidatingAdmissionPolicy")
    }
    users = {
        f"castai-pod-pinner.{NAMESPACE}": account,
        f"castai-pod-pinner-pods.{NAMESPACE}": account,
        f"castai-pod-pinner-pod-status.{NAMESPACE}": account,
        f"castai-pod-pinner-bindings.{NAMESPACE}": account,
        f"castai-pod-pinner-leases.{NAMESPACE}": account,
        f"castai-pod-pinner-check.{NAMESPACE}": "castai-pod-pinner-check",
    }
    assert fenced == {
        name: [f"request.userInfo.username == 'system:serviceaccount:{NAMESPACE}:{user}'"]
        for name, user in users.items()
    }
    bound = {each["metadata"]["name"]: each["spec"] for each in rendered.all("ValidatingAdmissionPolicyBinding")}
    assert bound == {name: {"policyName": name, "validationActions": ["Deny"]} for name in users}


def rules(rendered_objects: list[Object]) -> list[Object]:
    """Rules of the roles that are bound; the others add to the cluster's own."""
    bound = {each["roleRef"]["name"] for each in rendered_objects if "roleRef" in each}
    roles = [each for each in rendered_objects if each["kind"] in {"Role", "ClusterRole"}]
    return [rule for each in roles if each["metadata"]["name"] in bound for rule in each["rules"]]


@EACH
def test_rights_are_narrow(chart: str) -> None:
    found = rules(render(chart).installed)
    for rule in found:
        assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
        assert not {"nodes/status", "pods/exec", "pods/eviction", "serviceaccounts/token"} & set(rule["resources"])
        assert "deletecollection" not in rule["verbs"]
        if "secrets" in rule["resources"]:
            assert rule["resourceNames"] == SECRETS[chart]
            assert rule["verbs"] == ["get", "patch"]
        if "mutatingwebhookconfigurations" in rule["resources"]:
            assert chart == PINNER
            assert rule["resourceNames"] == [f"{PINNER}.{NAMESPACE}"]
            assert rule["verbs"] == ["get", "patch"]
        if "configmaps" in rule["resources"]:
            assert chart == EVICTOR
            assert rule["resourceNames"] == ["castai-evictor-config", "castai-evictor-prices"]
            assert rule["verbs"] == ["list", "watch"]
    for each in render(chart).installed:
        if each["kind"] == "ClusterRole":
            assert not {"secrets", "configmaps", "leases"} & {
                name for rule in each["rules"] for name in rule["resources"]
            }


def test_only_its_own_policy_selects_the_test_pod() -> None:
    rendered = render(PINNER)
    labels = rendered.check["metadata"]["labels"]
    for each in (
        *(each["spec"]["selector"] for each in rendered.all("Service")),
        rendered.one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        rendered.one("Deployment")["spec"]["selector"]["matchLabels"],
        rendered.one("NetworkPolicy", "castai-pod-pinner")["spec"]["podSelector"]["matchLabels"],
    ):
        assert not each.items() <= labels.items()
    policy = rendered.one("NetworkPolicy", "castai-pod-pinner-check")["spec"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    assert 6443 in [port["port"] for rule in policy["egress"] for port in rule["ports"]]
    assert len(render(PINNER, {"networkPolicy": {"enabled": False}}).all("NetworkPolicy")) == 0


@EACH
def test_names_are_found_where_dns_pods_listen_elsewhere(chart: str) -> None:
    """OpenShift's do at 5353, and a policy sees the pod's port."""
    names = render(chart).one("NetworkPolicy", chart)["spec"]["egress"][0]["ports"]
    assert {(each["port"], each["protocol"]) for each in names} == {
        (port, protocol) for port in (53, 5353) for protocol in ("UDP", "TCP")
    }


def test_names_below_global_are_for_the_charts_that_take_the_closed_ones_places() -> None:
    """In an umbrella both see the same `global`: with one name they would select each other's pods."""
    shared = {
        "global": {"nameOverride": "x", "fullnameOverride": "y", "serviceAccount": {"create": False, "name": "z"}}
    }
    planner = render(PLANNER, shared)
    assert planner.installed == render(PLANNER).installed
    assert render(PINNER, shared).pod["spec"]["serviceAccountName"] == "z"


@pytest.mark.parametrize("kind", ["NodePort", "LoadBalancer"])
def test_the_pinners_metrics_are_not_shown_outside_the_cluster(kind: str) -> None:
    assert render(PINNER, {"service": {"type": kind}}).one("Service", PINNER)["spec"]["type"] == "ClusterIP"


@EACH
def test_without_any_value_the_defaults_hold(chart: str) -> None:
    """`--set KEY=null` removes a default. Templates must not fail on missing values."""
    defaults = yaml.safe_load((CHARTS / chart / "values.yaml").read_text())
    nothing = render(chart, dict.fromkeys(defaults))
    usual = render(chart)
    assert [each["metadata"]["name"] for each in nothing.objects] == [
        each["metadata"]["name"] for each in usual.objects
    ]
    assert nothing.env == usual.env
    assert nothing.container["image"] == usual.container["image"]
    assert nothing.pod["spec"]["affinity"] == usual.pod["spec"]["affinity"]


@EACH
def test_status_recognises_the_program_whatever_it_is_called(chart: str) -> None:
    values = {"global": {"fullnameOverride": "other"}} if chart == PINNER else {"fullnameOverride": "other"}
    deployment = render(chart, values).one("Deployment")
    assert deployment["metadata"]["name"] == "other"
    key, _, value = PART_OF.partition("=")
    assert deployment["metadata"]["labels"][key] == value
    program = msgspec.convert(deployment, Program)
    assert program.command == {PINNER: "pod-pinner", PLANNER: "planner", EVICTOR: "evictor"}[chart]
    ports = {each["name"]: each["containerPort"] for each in render(chart).container["ports"]}
    assert program.health_port == ports[render(chart).container["livenessProbe"]["httpGet"]["port"]]
    if chart != PLANNER:
        assert program.setting("MOORAGE_LEASE_NAME")
        assert program.setting("MOORAGE_DRY_RUN") in ("true", "false")
    if chart == PINNER:
        name = program.setting("MOORAGE_WEBHOOK_CONFIGURATION")
        assert name == render(chart, values).one("MutatingWebhookConfiguration")["metadata"]["name"]
