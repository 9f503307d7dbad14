"""ServiceMonitor, alerts and dashboard: rendered if enabled and possible, with metrics that exist."""

from __future__ import annotations

import json
import re

import pytest

from tests.charts.rendering import CHARTS, EVICTOR, NAMESPACE, PINNER, PLANNER, Object, refusal, render

EACH = pytest.mark.parametrize("chart", [PINNER, PLANNER, EVICTOR])
KINDS = pytest.mark.parametrize(
    ("key", "kind"), [("serviceMonitor", "ServiceMonitor"), ("prometheusRule", "PrometheusRule")]
)


@EACH
@KINDS
def test_render_modes(chart: str, key: str, kind: str) -> None:
    served = ("--api-versions", f"monitoring.coreos.com/v1/{kind}")
    assert not render(chart, options=served).all(kind)  # off by default
    skip, fail, always = (
        {key: {"enabled": True, "renderMode": mode}} for mode in ("skipIfMissing", "failIfMissing", "alwaysRender")
    )
    assert not render(chart, {key: {"enabled": True}}).all(kind)
    assert not render(chart, skip).all(kind)
    assert render(chart, skip, options=served).one(kind)
    assert f"{key}.renderMode" in refusal(chart, fail)
    assert render(chart, fail, options=served).one(kind)
    assert render(chart, always).one(kind)


@EACH
def test_the_monitor_finds_the_service(chart: str) -> None:
    values = {
        "serviceMonitor": {"enabled": True, "renderMode": "alwaysRender", "interval": "15s", "labels": {"a": "b"}}
    }
    rendered = render(chart, values)
    monitor, service = rendered.one("ServiceMonitor"), rendered.one("Service", chart)
    (endpoint,) = monitor["spec"]["endpoints"]
    name, number = ("http", 8080) if chart == EVICTOR else ("metrics", 9091)
    assert endpoint == {"port": name, "path": "/metrics", "interval": "15s"}
    assert monitor["metadata"]["labels"]["a"] == "b"
    assert service["metadata"]["labels"].items() >= monitor["spec"]["selector"]["matchLabels"].items()
    assert monitor["spec"]["namespaceSelector"] == {"matchNames": [NAMESPACE]}
    (port,) = [each for each in service["spec"]["ports"] if each["name"] == endpoint["port"]]
    ports = {each["name"]: each["containerPort"] for each in rendered.container["ports"]}
    assert (port["port"], ports[port["targetPort"]]) == (number, number)


def expressions(chart: str) -> list[str]:
    rule = render(chart, {"prometheusRule": {"enabled": True, "renderMode": "alwaysRender"}}).one("PrometheusRule")
    board = dashboard(render(chart, {"grafanaDashboard": {"enabled": True}}).one("ConfigMap", f"{chart}-dashboard"))
    alerts = [each["expr"] for group in rule["spec"]["groups"] for each in group["rules"]]
    panels = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    variables = [each["query"]["query"] for each in board["templating"]["list"] if each["type"] == "query"]
    return [*alerts, *panels, *variables]


def dashboard(found: Object) -> Object:
    (text,) = found["data"].values()
    board: Object = json.loads(text)
    return board


@EACH
def test_every_metric_exists(chart: str) -> None:
    table = (CHARTS.parent / "docs/reference/metrics.md").read_text()
    documented: dict[str, str] = dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", table, re.MULTILINE))
    series = {
        f"{name}{suffix}"
        for name, kind in documented.items()
        for suffix in (("_bucket", "_sum", "_count") if kind == "histogram" else ("",))
    }
    used = {name for each in expressions(chart) for name in re.findall(r"\b(?:moorage|castai_evictor)_\w+", each)}
    assert used, "the expressions name no metric at all"
    assert used <= series


@EACH
def test_every_label_exists(chart: str) -> None:
    table = (CHARTS.parent / "docs/reference/metrics.md").read_text()
    labels = {"namespace", "job", "pod", "le", "unit", "reason", *re.findall(r"`(\w+)`", table)}
    for each in expressions(chart):
        grouped = [name.strip() for group in re.findall(r"by \(([^)]*)\)", each) for name in group.split(",")]
        matched = re.findall(r"[{,](\w+)[!=]=?~?\"", each)
        assert {*grouped, *matched} <= labels, each


@EACH
def test_alerts_are_about_this_release_and_say_what_to_do(chart: str) -> None:
    values = {"prometheusRule": {"enabled": True, "renderMode": "alwaysRender", "labels": {"release": "p"}}}
    rule = render(chart, values, namespace="elsewhere").one("PrometheusRule")
    assert rule["metadata"]["labels"]["release"] == "p"
    for group in rule["spec"]["groups"]:
        for each in group["rules"]:
            assert "OURS" not in json.dumps(each)
            assert each["expr"].count("moorage_") == each["expr"].count(f'namespace="elsewhere",job="{chart}"')
            assert each["annotations"]["summary"]
            assert each["annotations"]["description"]
            assert each["for"]
            page, _, section = each["annotations"]["runbook_url"].rpartition("/")[2].partition("#")
            assert f"## {each['alert']}\n" in (CHARTS.parent / "docs/guides" / page).read_text()
            assert section == each["alert"].lower()
            assert each["labels"]["severity"] == "warning"


@EACH
def test_the_dashboard_is_what_the_sidecar_takes(chart: str) -> None:
    assert f"{chart}-dashboard" not in [each["metadata"]["name"] for each in render(chart).all("ConfigMap")]
    values = {"grafanaDashboard": {"enabled": True, "annotations": {"grafana_folder": "Moorage"}}}
    found = render(chart, values).one("ConfigMap", f"{chart}-dashboard")
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert found["metadata"]["annotations"]["grafana_folder"] == "Moorage"
    board = dashboard(found)
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    assert board["uid"]
