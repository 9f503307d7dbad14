"""Values that are right one by one: what they come to together is taken by the API server, or refused in a sentence."""

from __future__ import annotations

from typing import Any

import pytest

from moorage.files import values as files
from moorage.files.yamlfile import Document
from tests.charts.rendering import EVICTOR, PINNER, PLANNER, Values, refusal, render

EACH = pytest.mark.parametrize("chart", [PINNER, PLANNER, EVICTOR])
TWO = ["IPv6", "IPv4"]


@EACH
@pytest.mark.parametrize(
    ("rolling", "wanted"),
    [
        ({"maxSurge": 0, "maxUnavailable": 0}, {"maxSurge": 0, "maxUnavailable": 1}),
        ({"maxSurge": "0%", "maxUnavailable": "0"}, {"maxSurge": "0%", "maxUnavailable": 1}),
        ({"maxSurge": "2", "maxUnavailable": "0"}, {"maxSurge": 2, "maxUnavailable": 0}),
        ({"maxSurge": 0, "maxUnavailable": "50%"}, {"maxSurge": 0, "maxUnavailable": "50%"}),
        ({"maxSurge": "150%", "maxUnavailable": 0}, {"maxSurge": "150%", "maxUnavailable": 0}),
        ({"maxSurge": 1000000, "maxUnavailable": "100%"}, {"maxSurge": 1000000, "maxUnavailable": "100%"}),
    ],
)
def test_pods_can_always_be_replaced(chart: str, rolling: Values, wanted: Values) -> None:
    given = {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": rolling}}
    assert files.mistakes(chart, Document(given, {})) == []
    strategy = render(chart, given).one("Deployment")["spec"]["strategy"]
    assert strategy == {"type": "RollingUpdate", "rollingUpdate": wanted}


@pytest.mark.parametrize("chart", [PINNER, PLANNER])
def test_a_surge_of_nothing_is_enough(chart: str) -> None:
    """Helm merges it with the default, which has nothing unavailable."""
    rendered = render(chart, {"updateStrategy": {"rollingUpdate": {"maxSurge": 0}}})
    assert rendered.one("Deployment")["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}


OF_KUBERNETES = {"maxSurge": "25%", "maxUnavailable": "25%"}


@pytest.mark.parametrize(
    ("chart", "strategy", "wanted"),
    [
        (PINNER, None, OF_KUBERNETES),
        (PINNER, {"rollingUpdate": None}, OF_KUBERNETES),
        (PINNER, {"type": None}, {"maxSurge": 1, "maxUnavailable": 0}),
        (PLANNER, {"rollingUpdate": {"maxUnavailable": None}}, {"maxSurge": 1, "maxUnavailable": "25%"}),
        (EVICTOR, None, OF_KUBERNETES),
        (EVICTOR, {"type": "RollingUpdate"}, OF_KUBERNETES),
    ],
    ids=str,
)
def test_what_is_left_to_kubernetes_is_said(chart: str, strategy: Any, wanted: Values) -> None:
    """What the API server fills in nobody owns, and a server-side apply of Recreate could not take it away."""
    found = render(chart, {"updateStrategy": strategy}).one("Deployment")["spec"]["strategy"]
    assert found == {"type": "RollingUpdate", "rollingUpdate": wanted}


@EACH
@pytest.mark.parametrize(
    ("service", "wanted"),
    [
        ({"ipFamilies": TWO}, {"ipFamilies": TWO, "ipFamilyPolicy": "PreferDualStack"}),
        (
            {"ipFamilies": TWO, "ipFamilyPolicy": "RequireDualStack"},
            {"ipFamilies": TWO, "ipFamilyPolicy": "RequireDualStack"},
        ),
        ({"ipFamilies": ["IPv6"]}, {"ipFamilies": ["IPv6"]}),
        ({"ipFamilies": ["IPv4", "IPv4"], "ipFamilyPolicy": ""}, {"ipFamilies": ["IPv4"]}),
    ],
)
def test_two_families_have_a_policy_for_two(chart: str, service: Values, wanted: Values) -> None:
    for each in render(chart, {"service": service}).all("Service"):
        assert {key: each["spec"][key] for key in ("ipFamilies", "ipFamilyPolicy") if key in each["spec"]} == wanted


@EACH
def test_a_network_of_the_node_by_the_pod_spec_is_one_by_a_value(chart: str) -> None:
    """The pinner's webhook is not at the kubelet's port, and names are still the cluster's."""
    by_spec = render(chart, {"podSpec": {"hostNetwork": True}}).pod["spec"]
    assert (by_spec["hostNetwork"], by_spec["dnsPolicy"]) == (True, "ClusterFirstWithHostNet")
    if chart == PINNER:
        assert by_spec == render(PINNER, {"webhook": {"hostNetwork": True}}).pod["spec"]
    assert "hostNetwork" not in render(chart, {"podSpec": {"hostNetwork": None}}).pod["spec"]


def monitored(**monitor: Any) -> Values:
    return {"serviceMonitor": {"enabled": True, "renderMode": "alwaysRender", **monitor}}


REFUSED: list[tuple[str, Values]] = [
    *((chart, {"dnsPolicy": "None"}) for chart in (PINNER, PLANNER, EVICTOR)),
    (EVICTOR, {"dnsPolicy": "None", "dnsConfig": {"searches": ["a.example.com"]}}),
    (PLANNER, {"service": {"ipFamilies": TWO, "ipFamilyPolicy": "SingleStack"}}),
    (PINNER, monitored(scrapeTimeout="31s")),
    (EVICTOR, monitored(interval="1m30s", scrapeTimeout="1m31s")),
    (PLANNER, monitored(interval="1h", scrapeTimeout="3600001ms")),
    (PLANNER, {"service": {"port": 9091}}),
    (PINNER, {"podSpec": {"hostNetwork": True}, "webhook": {"port": 10250}}),
    *((EVICTOR, {"leaderElection": {"enabled": False}, **each}) for each in (
        {"updateStrategy": None},
        {"updateStrategy": {"type": None}},
    )),
]  # fmt: skip


@pytest.mark.parametrize(("chart", "given"), REFUSED, ids=str)
def test_what_cannot_be_is_refused_before_and_by_helm_in_the_same_words(chart: str, given: Values) -> None:
    (said,) = files.mistakes(chart, Document(given, {}))
    assert said.full_sentence in refusal(chart, given)


@pytest.mark.parametrize(
    ("chart", "given"),
    [
        (PINNER, {"dnsPolicy": "None", "dnsConfig": {"nameservers": ["10.0.0.53"]}}),
        (PLANNER, {"service": {"ipFamilies": ["IPv6"], "ipFamilyPolicy": "SingleStack"}}),
        (PINNER, monitored(scrapeTimeout="30s")),
        (EVICTOR, monitored(interval="1m", scrapeTimeout="59s999ms")),
        (EVICTOR, {"serviceMonitor": {"scrapeTimeout": "1h"}}),
        (PLANNER, {"service": {"port": 9091, "type": "NodePort"}}),
        (EVICTOR, {"service": {"port": 9091}}),
        (PINNER, {"podSpec": {"hostNetwork": False}, "webhook": {"port": 10250}}),
        (EVICTOR, {"leaderElection": {"enabled": False}}),
        (EVICTOR, {"updateStrategy": None}),
    ],
    ids=str,
)
def test_what_can_be_is_taken_by_both(chart: str, given: Values) -> None:
    assert files.mistakes(chart, Document(given, {})) == []
    assert render(chart, given).objects


@EACH
@pytest.mark.parametrize("interval", ["1.5m", "30s1m", "", "30"])
def test_a_monitors_times_are_durations_of_prometheus(chart: str, interval: str) -> None:
    """The operator's definition takes no fractions, and units from the largest to the smallest."""
    for key in ("interval", "scrapeTimeout"):
        assert files.mistakes(chart, Document({"serviceMonitor": {key: interval}}, {}))
    assert "interval" in refusal(chart, {"serviceMonitor": {"interval": interval}})


@EACH
@pytest.mark.parametrize(
    "path", [("podDisruptionBudget", "minAvailable"), ("updateStrategy", "rollingUpdate", "maxUnavailable")]
)
def test_no_more_than_all_are_available(chart: str, path: tuple[str, ...]) -> None:
    given: Any = "150%"
    for part in reversed(path):
        given = {part: given}
    assert files.mistakes(chart, Document(given, {}))
    assert path[-1] in refusal(chart, given)
