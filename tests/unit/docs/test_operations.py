"""The operations guide names metrics, values and figures that exist."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs/guides/operations.md").read_text()
METRICS = (ROOT / "docs/reference/metrics.md").read_text()
OTHERS = {"apiserver_admission_webhook_fail_open_count"}
"""Metrics of the API server."""


def test_every_metric_exists() -> None:
    named = set(re.findall(r"\b(?:moorage|castai|apiserver)_\w+", PAGE))
    assert len(named) > 10
    assert named - OTHERS <= set(re.findall(r"^\| `(\w+)` \|", METRICS, re.MULTILINE))


def test_the_alerts_it_shows_are_whole_and_their_runbooks_are_there() -> None:
    (shown,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    rule = yaml.safe_load(shown)
    assert rule["kind"] == "PrometheusRule"
    for each in rule["spec"]["groups"][0]["rules"]:
        assert each["expr"]
        assert each["annotations"]["summary"]
        path, _, anchor = each["annotations"]["runbook_url"].partition("/main/")[2].partition("#")
        headings = re.findall(r"^#+ (.*)$", (ROOT / path).read_text(), re.MULTILINE)
        assert anchor in [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]


def test_sizes_are_those_of_the_benchmarks() -> None:
    figures = (ROOT / "docs/benchmarks.md").read_text()
    section = PAGE.split("## Sizing\n")[1].split("\n## ")[0]
    measured = "\n".join(line for line in section.splitlines() if line.startswith(("| pod", "| evictor", "* Pins")))
    limits = {"256", "1"}  # of the charts, and "1 GiB"; both are compared below
    numbers = set(re.findall(r"\d[\d,.]*\d|\d", measured)) - limits - {"100", "99"}
    assert len(numbers) > 15
    assert [each for each in sorted(numbers) if not re.search(rf"(?<![\d,.]){re.escape(each)}(?![\d,])", figures)] == []
    for chart, limit in (("castai-pod-pinner", "256Mi"), ("moorage-planner", "256Mi"), ("castai-evictor", "1Gi")):
        schema = json.loads((ROOT / f"schemas/values/{chart}.schema.json").read_text())
        assert schema["properties"]["resources"]["default"]["limits"]["memory"] == limit
