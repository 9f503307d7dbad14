"""The chart's flags for ``moorage check``: rights, policies and the planner's address."""

from __future__ import annotations

from typing import Any

import pytest

from moorage.cli import check as command
from moorage.ops import configuration
from moorage.pinner import rights
from tests.charts.rendering import NAMESPACE, PINNER, Rendered, render

CHECK = "castai-pod-pinner-check"

Grant = tuple[str, str, str, str, str]


def granted(rendered: Rendered, account: str) -> set[Grant]:
    """What the roles of an account allow: namespace, group, resource, name and verb."""
    bindings = [*rendered.all("ClusterRoleBinding"), *rendered.all("RoleBinding")]
    bound = {
        (each["roleRef"]["kind"], each["roleRef"]["name"], each["metadata"].get("namespace", ""))
        for each in bindings
        if account in {subject["name"] for subject in each["subjects"]}
    }
    roles = [
        each
        for each in (*rendered.all("ClusterRole"), *rendered.all("Role"))
        if (each["kind"], each["metadata"]["name"], each["metadata"].get("namespace", "")) in bound
    ]
    return {
        (role["metadata"].get("namespace", ""), group, resource, name, verb)
        for role in roles
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [""])
        for verb in rule["verbs"]
    }


@pytest.mark.parametrize(
    "values", [{}, {"webhook": {"enabled": False}}, {"dryRun": True}, {"destinations": {"mode": "off"}}]
)
def test_the_chart_grants_what_the_check_asks_for_and_nothing_else(values: dict[str, Any]) -> None:
    rendered = render(PINNER, values)
    env = rendered.env
    needed = rights.needed(NAMESPACE, env["MOORAGE_LEASE_NAME"], env["MOORAGE_DEPLOYMENT"])
    if env["MOORAGE_WEBHOOK"] == "true":
        needed += rights.of_webhook(NAMESPACE, env["MOORAGE_WEBHOOK_CONFIGURATION"], env["MOORAGE_WEBHOOK_SECRET"])
        needed += rights.of_destinations() if env["MOORAGE_DESTINATIONS"] != "off" else ()
    assert (env["MOORAGE_WEBHOOK"] == "true") is (not values or "destinations" in values)
    assert granted(rendered, PINNER) == {each for right in needed for each in right.each()}


def test_from_a_shell_the_charts_own_objects_are_asked_about() -> None:
    asked = command.needed(configuration.load(command.CheckSettings, {}))
    assert granted(render(PINNER), PINNER) == {each for right in asked for each in right.each()}


def test_the_test_pods_account_only_looks() -> None:
    found = granted(render(PINNER), CHECK)
    assert {(resource, verb) for *_, resource, _, verb in found if verb == "create"} == {
        ("pods", "create"),
        ("subjectaccessreviews", "create"),
    }
    assert {verb for *_, verb in found} == {"create", "get", "list"}
    open_to_all = {resource for *_, resource, name, _ in found if not name}
    assert open_to_all == {"pods", "subjectaccessreviews", "nodereservations"}


@pytest.mark.parametrize(
    "values",
    [
        {},
        {
            "planner": {
                "address": "planner.example.com:443",
                "apiKeySecretRef": {"name": "key"},
                "caSecretRef": {"name": "ca"},
            },
            "additionalEnv": {"https_proxy": "http://proxy:3128"},
            "envFrom": [{"secretRef": {"name": "more"}}],
        },
        {
            "hostAliases": [{"ip": "10.0.0.10", "hostnames": ["planner.example.com"]}],
            "dnsPolicy": "None",
            "dnsConfig": {"nameservers": ["10.0.0.53"]},
            "runtimeClassName": "gvisor",
            "nodeSelector": {"pool": "infra"},
            "extraVolumes": [{"name": "ca", "configMap": {"name": "ca"}}],
            "extraVolumeMounts": [{"name": "ca", "mountPath": "/ca"}],
            "extraEnv": [{"name": "SSL_CERT_FILE", "value": "/ca/ca.crt"}],
        },
    ],
)
def test_the_test_pod_goes_the_pinners_way_to_the_planner(values: dict[str, Any]) -> None:
    rendered = render(PINNER, values)
    pod = rendered.check["spec"]
    (container,) = pod["containers"]
    env = {each["name"]: each.get("value", each.get("valueFrom")) for each in container["env"]}
    assert env.items() >= rendered.env.items()
    assert container.get("envFrom") == rendered.container.get("envFrom")
    own = "tmp"  # nothing is written by the test
    for key in ("volumeMounts", "volumes"):
        of_the_pinner = {**rendered.pod["spec"], **rendered.container}[key]
        assert {**pod, **container}[key] == [each for each in of_the_pinner if each["name"] != own]
    for key in ("hostAliases", "dnsPolicy", "dnsConfig", "runtimeClassName", "nodeSelector", "affinity", "tolerations"):
        assert pod.get(key) == rendered.pod["spec"].get(key)
    egress = [rendered.one("NetworkPolicy", name)["spec"]["egress"] for name in (CHECK, "castai-pod-pinner")]
    assert egress[0] == egress[1]


def test_the_test_pod_asks_about_what_is_installed() -> None:
    values = {"fullnameOverride": "mine", "serviceAccount": {"create": False, "name": "theirs"}}
    rendered = render(PINNER, values)
    (container,) = rendered.check["spec"]["containers"]
    env = {each["name"]: each.get("value") for each in container["env"]}
    assert env["MOORAGE_CHECK_ACCOUNT"] == "theirs"
    policies = [each["metadata"]["name"] for each in rendered.all("ValidatingAdmissionPolicy")]
    assert env["MOORAGE_CHECK_POLICIES"].split(",") == policies
    assert policies[0] == f"mine.{NAMESPACE}"


def test_from_a_shell_the_charts_own_names_are_asked_about() -> None:
    policies = [each["metadata"]["name"] for each in render(PINNER).all("ValidatingAdmissionPolicy")]
    assert [name.format(namespace=NAMESPACE) for name in command.FENCE] == policies


def test_without_a_fence_the_test_pod_is_told() -> None:
    rendered = render(PINNER, {"admissionPolicy": {"enabled": False}})
    (container,) = rendered.check["spec"]["containers"]
    env = {each["name"]: each.get("value") for each in container["env"]}
    assert env["MOORAGE_CHECK_WITHOUT_FENCE"] == "true"
    assert "MOORAGE_CHECK_POLICIES" not in env
    assert not [each for each in granted(rendered, CHECK) if each[1] == "admissionregistration.k8s.io"]
