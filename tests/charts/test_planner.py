"""The planner's chart: its plan, certificate and key."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from tests.charts.rendering import EVICTOR, PLANNER, Rendered, refusal, render


def volume(rendered: Rendered, name: str) -> dict[str, Any]:
    (found,) = [each for each in rendered.pod["spec"]["volumes"] if each["name"] == name]
    return dict(found)


def names(rendered: Rendered, kind: str) -> list[str]:
    return [each["metadata"]["name"] for each in rendered.all(kind)]


def test_it_is_where_pinners_look_for_it() -> None:
    rendered = render(PLANNER, release="anything")
    assert rendered.one("Deployment")["metadata"]["name"] == "moorage-planner"
    service = rendered.one("Service", "moorage-planner")
    ports = {each["name"]: (each["port"], each["targetPort"]) for each in service["spec"]["ports"]}
    assert ports == {"grpc": (9443, "grpc"), "metrics": (9091, "healthz")}
    assert {"name": "grpc", "containerPort": 9443} in rendered.container["ports"]
    assert rendered.env["MOORAGE_LISTEN"] == ":9443"
    assert names(rendered, "Secret") == ["moorage-planner-tls", "moorage-planner-client"]
    assert rendered.env["MOORAGE_TLS_SECRET"] == "moorage-planner-tls"
    assert rendered.env["MOORAGE_CLIENT_SECRET"] == "moorage-planner-client"
    assert "moorage-planner.castai-agent.svc" in rendered.env["MOORAGE_TLS_NAMES"].split(",")


def test_without_a_plan_there_is_nothing_to_do() -> None:
    rendered = render(PLANNER)
    assert yaml.safe_load(rendered.one("ConfigMap", "moorage-planner-plan")["data"]["plan.yaml"]) == {}
    assert rendered.env["MOORAGE_PLAN"] == "/etc/moorage/plan/plan.yaml"


def test_a_plan_is_handed_on_as_it_is_and_restarts_nothing() -> None:
    plan = {
        "plan": "p",
        "nodes": [{"name": "n-1", "allocatable": {"cpu": "4"}, "pods": [{"namespace": "shop", "name": "a-0"}]}],
    }
    rendered = render(PLANNER, {"plan": plan})
    assert yaml.safe_load(rendered.one("ConfigMap", "moorage-planner-plan")["data"]["plan.yaml"]) == plan
    assert rendered.pod == render(PLANNER).pod  # the process reads a changed plan itself


def test_a_plan_of_the_users_own() -> None:
    rendered = render(PLANNER, {"existingConfigMap": "mine"})
    assert not rendered.all("ConfigMap")
    assert volume(rendered, "plan")["configMap"]["name"] == "mine"
    said = refusal(PLANNER, {"existingConfigMap": "mine", "plan": {"delete": ["n"]}})
    assert "plan and existingConfigMap (mine) are both set" in said


POLICIES = ["moorage-planner-evictions.castai-agent", "moorage-planner.castai-agent"]


def test_nobody_is_evicted_unless_that_is_switched_on() -> None:
    rendered = render(PLANNER)
    assert rendered.env["MOORAGE_REBALANCING"] == "false"
    assert "MOORAGE_LEADER_ELECTION" not in rendered.env
    assert names(rendered, "ValidatingAdmissionPolicy") == []
    granted = {
        resource for role in rendered.all("ClusterRole") for rule in role["rules"] for resource in rule["resources"]
    }
    assert granted == {"pods", "nodereservations"}


def test_a_planner_that_rebalances_is_fenced_and_one_at_a_time() -> None:
    rendered = render(PLANNER, {"rebalancing": {"enabled": True}})
    wanted = {
        "MOORAGE_REBALANCING": "true",
        "MOORAGE_LEADER_ELECTION": "true",
        "MOORAGE_LEASE_NAME": "moorage-planner",
    }
    assert rendered.env.items() >= wanted.items()
    assert sorted(names(rendered, "ValidatingAdmissionPolicy")) == POLICIES
    assert sorted(names(rendered, "ValidatingAdmissionPolicyBinding")) == POLICIES
    (node,) = [each for each in rendered.all("ValidatingAdmissionPolicy") if each["metadata"]["name"] == POLICIES[1]]
    (condition,) = node["spec"]["matchConditions"]
    assert condition["expression"] == (
        'request.userInfo.username == "system:serviceaccount:castai-agent:moorage-planner"'.replace('"', "'")
    )
    assert node["spec"]["validations"][0]["message"] == "the planner creates no Nodes and deletes none"
    verbs = {
        (resource, verb)
        for role in rendered.all("ClusterRole")
        for rule in role["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        if verb not in ("get", "list", "watch")
    }
    assert verbs == {("nodes", "patch"), ("pods/eviction", "create")}
    unfenced = render(PLANNER, {"rebalancing": {"enabled": True}, "admissionPolicy": {"enabled": False}})
    assert names(unfenced, "ValidatingAdmissionPolicy") == []


def test_its_fence_is_the_evictors_word_for_word() -> None:
    """Attacks on these rights are tried on a real API server (test_fence_evictor.py)."""
    mine = render(PLANNER, {"rebalancing": {"enabled": True}}).all("ValidatingAdmissionPolicy")
    policies = render(EVICTOR).all("ValidatingAdmissionPolicy")
    theirs = json.dumps([each["spec"] for each in policies if "destinations" not in each["metadata"]["name"]])
    meant = theirs.replace("castai-evictor", "moorage-planner").replace("the evictor", "the planner")
    assert [each["spec"] for each in mine] == json.loads(meant)


def test_a_certificate_of_the_users_own() -> None:
    rendered = render(PLANNER, {"tls": {"existingSecret": "mine"}})
    assert names(rendered, "Secret") == ["moorage-planner-client"]
    assert volume(rendered, "tls")["secret"]["secretName"] == "mine"
    assert rendered.env["MOORAGE_TLS_CERT_FILE"] == "/etc/moorage/tls/tls.crt"
    assert rendered.env["MOORAGE_TLS_KEY_FILE"] == "/etc/moorage/tls/tls.key"
    assert "MOORAGE_TLS_SECRET" not in rendered.env
    assert "/etc/moorage/tls" in [each["mountPath"] for each in rendered.container["volumeMounts"]]


def test_a_key_of_the_users_own() -> None:
    rendered = render(PLANNER, {"apiKey": {"existingSecret": "mine"}})
    assert volume(rendered, "api-key")["secret"] == {
        "secretName": "mine",
        "items": [{"key": "API_KEY", "path": "api-key"}],
    }
    assert rendered.env["MOORAGE_API_KEY_FILE"] == "/etc/moorage/api-key/api-key"
    assert rendered.env["MOORAGE_CLIENT_SECRET"] == "moorage-planner-client"  # where pinners find it


@pytest.mark.parametrize("kind", ["NodePort", "LoadBalancer"])
def test_metrics_are_not_shown_outside_the_cluster(kind: str) -> None:
    service = render(PLANNER, {"service": {"type": kind, "port": 443}}).one("Service")
    assert [(each["name"], each["port"]) for each in service["spec"]["ports"]] == [("grpc", 443)]
    said = refusal(PLANNER, {"service": {"type": kind}, "serviceMonitor": {"enabled": True}})
    assert "serviceMonitor.enabled and service.type" in said


def test_the_network_policy_lets_pinners_of_the_namespace_in() -> None:
    policy = render(PLANNER).one("NetworkPolicy")["spec"]
    assert {"ports": [{"port": 9443, "protocol": "TCP"}], "from": [{"podSelector": {}}]} in policy["ingress"]
    more = [{"from": [{"namespaceSelector": {}}], "ports": [{"port": 9443}]}]
    scrapers = [{"namespaceSelector": {"matchLabels": {"a": "b"}}}]
    values = {"networkPolicy": {"extraIngress": more, "metricsFrom": scrapers, "apiServerPorts": [7443]}}
    policy = render(PLANNER, values).one("NetworkPolicy")["spec"]
    assert more[0] in policy["ingress"]
    assert {"ports": [{"port": 9091, "protocol": "TCP"}], "from": scrapers} in policy["ingress"]
    assert {"ports": [{"port": 7443, "protocol": "TCP"}]} in policy["egress"]
