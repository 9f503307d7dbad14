"""The pinner's webhook in the chart: the objects that the leader fills are empty, and the Service leads to it."""

from __future__ import annotations

from typing import Any

import pytest

from moorage.ops import configuration
from moorage.ops.settings import PinnerSettings
from moorage.pinner.names import LEADER, ROLE_LABEL
from moorage.pinner.webhook import endpoint
from tests.charts.rendering import NAMESPACE, PINNER, Rendered, Values, refusal, render

NAME = f"{PINNER}-webhook"
OURS = {("MutatingWebhookConfiguration", f"{PINNER}.{NAMESPACE}"), ("Service", NAME), ("Secret", NAME)}


def settings(rendered: Rendered) -> PinnerSettings:
    """What the process makes of its environment; there are no files here, and no planner beside it."""
    env = {name: value for name, value in rendered.env.items() if isinstance(value, str) and "_FILE" not in name}
    env |= {"MOORAGE_NAMESPACE": NAMESPACE, "MOORAGE_PLANNER_ADDRESS": "p:1"}
    return configuration.load(PinnerSettings, env)


def identities(rendered: Rendered) -> set[tuple[str, str]]:
    return {(each["kind"], each["metadata"]["name"]) for each in rendered.objects}


def container_port(rendered: Rendered) -> int:
    (found,) = [each["containerPort"] for each in rendered.container["ports"] if each["name"] == "webhook"]
    return int(found)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"service": {"port": 443, "type": "LoadBalancer"}, "webhook": {"port": 8443, "timeoutSeconds": 1}},
        {"webhook": {"url": "https://pinner.example.com:443/mutate"}},
        {"webhook": {"hostNetwork": True, "existingSecret": "mine"}},
        {"fullnameOverride": "other", "nameOverride": "x"},
        {"fullnameOverride": "a" * 63},
    ],
    ids=["as it is", "ports", "a url", "host network", "names", "a long name"],
)
def test_the_process_finds_what_the_chart_brings(values: Values) -> None:
    rendered = render(PINNER, values)
    service = rendered.one("Service", settings(rendered).webhook_service)
    target, chosen = endpoint.target(settings(rendered)), settings(rendered)
    assert chosen.webhook
    assert rendered.one("MutatingWebhookConfiguration", target.configuration)
    assert target.timeout == values.get("webhook", {}).get("timeoutSeconds", 2)
    if url := values.get("webhook", {}).get("url"):
        assert target.client_config == {"url": url}
    else:
        reached_at = target.client_config["service"]
        assert (reached_at["name"], reached_at["namespace"]) == (service["metadata"]["name"], NAMESPACE)
        assert reached_at["port"] == service["spec"]["ports"][0]["port"]
    assert service["spec"]["ports"][0]["targetPort"] == "webhook"
    assert chosen.webhook_address.port == container_port(rendered)
    (policy,) = [each for each in rendered.all("NetworkPolicy") if not each["metadata"]["name"].endswith("-check")]
    assert {"ports": [{"port": container_port(rendered), "protocol": "TCP"}]} in policy["spec"]["ingress"]
    secrets = [each["metadata"]["name"] for each in rendered.all("Secret")]
    mine = values.get("webhook", {}).get("existingSecret")
    assert secrets == ([] if mine else [chosen.webhook_secret])
    assert mine in (None, chosen.webhook_secret)


def test_what_the_leader_fills_is_not_rendered_at_all() -> None:
    """Helm does not remove fields that it has never set: with an empty value each upgrade would clear the key."""
    rendered = render(PINNER)
    assert set(rendered.one("MutatingWebhookConfiguration")) == {"apiVersion", "kind", "metadata"}
    assert set(rendered.one("Secret")) == {"apiVersion", "kind", "metadata", "type"}


def test_the_service_selects_the_leader_among_our_pods() -> None:
    rendered = render(PINNER)
    selector = rendered.one("Service", NAME)["spec"]["selector"]
    assert selector.pop(ROLE_LABEL) == LEADER
    assert selector == rendered.one("Deployment")["spec"]["selector"]["matchLabels"]
    assert ROLE_LABEL not in rendered.pod["metadata"]["labels"], "nobody leads before it is elected"


@pytest.mark.parametrize("values", [{"webhook": {"enabled": False}}, {"dryRun": True}])
def test_without_it_nothing_of_it_is_there(values: Values) -> None:
    rendered = render(PINNER, values)
    assert identities(render(PINNER)) - identities(rendered) == OURS
    assert not settings(rendered).webhook
    assert [each["name"] for each in rendered.container["ports"]] == ["healthz"]
    assert len(rendered.one("NetworkPolicy", PINNER)["spec"]["ingress"]) == 1
    on_the_node = {**values, "webhook": {"hostNetwork": True, **values.get("webhook", {})}}
    assert "hostNetwork" not in render(PINNER, on_the_node).pod["spec"]


def test_in_the_network_of_the_node_names_are_still_the_clusters() -> None:
    spec = render(PINNER, {"webhook": {"hostNetwork": True}}).pod["spec"]
    assert (spec["hostNetwork"], spec["dnsPolicy"]) == (True, "ClusterFirstWithHostNet")
    assert container_port(render(PINNER, {"webhook": {"hostNetwork": True}})) != 10250, "the kubelet's"
    assert "hostNetwork" not in render(PINNER).pod["spec"]


def test_a_policy_of_the_closed_chart_never_becomes_fail() -> None:
    assert render(PINNER, {"webhook": {"failurePolicy": "Fail"}}).objects == render(PINNER).objects


@pytest.mark.parametrize(
    ("webhook", "said"),
    [
        ({"hostNetwork": True, "port": 10250}, "in the network of a node that port is its kubelet's"),
        ({"port": 9091}, "where the pods answer probes and show their metrics"),
        ({"url": "http://pinner.example.com/mutate"}, "/webhook/url"),
        ({"url": "https://pinner.example.com/other"}, "/webhook/url"),
        ({"timeoutSeconds": 31}, "/webhook/timeoutSeconds"),
        ({"timeoutSeconds": 0}, "/webhook/timeoutSeconds"),
        ({"failurePolicy": "Retry"}, "/webhook/failurePolicy"),
    ],
)
def test_what_cannot_work_is_refused(webhook: dict[str, Any], said: str) -> None:
    assert said in refusal(PINNER, {"webhook": webhook})
