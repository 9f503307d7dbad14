"""Rights that are read from the charts' templates without Helm equal those that Helm renders."""

from __future__ import annotations

import pytest

from tests.charts.rendering import EVICTOR, PINNER, PLANNER, render
from tools.charts.rights import rules

SECRETS = ["moorage-planner-tls", "moorage-planner-client"]
EVICTORS = {
    "leaseName": "castai-evictor",
    "rulesConfigMap": "castai-evictor-config",
    "pricesConfigMap": "castai-evictor-prices",
}
PINNERS = {
    "leaseName": f"{PINNER}-leader-election",
    "fullname": PINNER,
    "clusterName": f"{PINNER}.castai-agent",
    "webhookSecret": f"{PINNER}-webhook",
}
PARTS = [
    (PINNER, "nodeLeaseRules", {}, "Role", "kube-node-lease"),
    (PLANNER, "clusterRules", {}, "ClusterRole", None),
    (PLANNER, "ownRules", {"filledSecrets": SECRETS}, "Role", "castai-agent"),
    (EVICTOR, "clusterRules", {}, "ClusterRole", None),
    (EVICTOR, "ownRules", EVICTORS, "Role", "castai-agent"),
]


@pytest.mark.parametrize(("chart", "part", "names", "kind", "where"), PARTS, ids=lambda value: str(value)[:40])
def test_rights_are_read_as_helm_renders_them(
    chart: str, part: str, names: dict[str, object], kind: str, where: str | None
) -> None:
    installed = render(chart).installed
    bound = {each["roleRef"]["name"] for each in installed if "roleRef" in each}
    found = [each for each in installed if each["kind"] == kind and each["metadata"]["name"] in bound]
    (role,) = [each for each in found if each["metadata"].get("namespace") == where]
    assert rules(chart, part, names) == role["rules"]


@pytest.mark.parametrize(
    ("kind", "name", "part", "of_webhook"),
    [
        ("ClusterRole", f"{PINNER}.castai-agent", "clusterRules", "webhookClusterRules"),
        ("Role", PINNER, "ownRules", "webhookOwnRules"),
    ],
)
def test_rights_of_the_webhook_are_beside_the_others(kind: str, name: str, part: str, of_webhook: str) -> None:
    without = rules(PINNER, part, PINNERS)
    assert render(PINNER, {"webhook": {"enabled": False}}).one(kind, name)["rules"] == without
    beside = [*without, *rules(PINNER, of_webhook, PINNERS)]
    assert render(PINNER, {"destinations": {"mode": "off"}}).one(kind, name)["rules"] == beside


@pytest.mark.parametrize("mode", ["hard", "soft"])
def test_rights_for_destinations_are_beside_the_webhooks(mode: str) -> None:
    name = f"{PINNER}.castai-agent"
    without = render(PINNER, {"destinations": {"mode": "off"}}).one("ClusterRole", name)["rules"]
    found = render(PINNER, {"destinations": {"mode": mode}}).one("ClusterRole", name)["rules"]
    assert found == [*without, *rules(PINNER, "destinationRules")]


def test_rights_to_act_are_beside_those_to_look() -> None:
    name = f"{EVICTOR}.castai-agent"
    role = render(EVICTOR, {"dryRun": False, "destinations": {"enabled": False}}).one("ClusterRole", name)
    to_act = [*rules(EVICTOR, "clusterRules"), *rules(EVICTOR, "actingRules")]
    assert to_act == role["rules"]
    role = render(EVICTOR, {"dryRun": False}).one("ClusterRole", name)
    assert [*to_act, *rules(EVICTOR, "destinationRules")] == role["rules"]


def test_rights_to_rebalance_are_beside_those_to_serve() -> None:
    rendered = render(PLANNER, {"rebalancing": {"enabled": True}})
    (cluster,) = rendered.all("ClusterRole")
    roles = {each["metadata"]["namespace"]: each["rules"] for each in rendered.all("Role")}
    assert roles.keys() == {"castai-agent", "default"}
    assert [*rules(PLANNER, "clusterRules"), *rules(PLANNER, "rebalancingRules")] == cluster["rules"]
    names = {"filledSecrets": SECRETS, "leaseName": "moorage-planner"}
    assert [*rules(PLANNER, "ownRules", names), *rules(PLANNER, "leaseRules", names)] == roles["castai-agent"]
    assert rules(PLANNER, "nodeEventRules") == roles["default"]


def test_what_is_not_there_and_what_cannot_be_filled_in_is_an_error() -> None:
    with pytest.raises(KeyError, match="nothing"):
        rules(PINNER, "nothing")
    with pytest.raises(KeyError, match="leaseName"):
        rules(PINNER, "ownRules")
