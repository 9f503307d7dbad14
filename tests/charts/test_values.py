"""Helm refuses the same values files as Moorage's validators, before anything is rendered, and names the key."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from moorage.files import values as files
from moorage.files.yamlfile import parse
from tests.charts.rendering import EVICTOR, PINNER, PLANNER, lint, refusal, render
from tests.frontends.bad_settings import BadSetting, bad_settings
from tests.unit.schemas.bad_values import merged, nested
from tools.generate import values

# One process of Helm each; the validators themselves are asked about 200 for each chart in tests/unit/schemas.
BAD = [
    pytest.param(bad, id=f"{bad.chart}: {bad.reason}")
    for bad in (
        *bad_settings(PINNER),
        *bad_settings(PLANNER),
        *bad_settings(EVICTOR)[:25],
        *bad_settings(EVICTOR)[-25:],
    )
]
charts = pytest.mark.parametrize("chart", [PINNER, PLANNER, EVICTOR])
CRASHES = (
    "nil pointer",
    "can't evaluate",
    "wrong type",
    "panic",
    "runtime error",
    "interface conversion",
    "parse error",
)


@pytest.mark.parametrize("bad", BAD)
def test_bad_values_are_refused_with_the_key_named(bad: BadSetting) -> None:
    said = refusal(bad.chart, bad.values)
    by_schema = "values don't meet the specifications of the schema" in said
    by_template = said.startswith("Error: execution error at")  # `fail`: two keys that contradict each other
    assert by_schema or (by_template and " and " in bad.reason), said
    assert bad.key in said.replace("~1", "/"), "Helm names places by JSON pointers"
    assert not [crash for crash in CRASHES if crash in said], said


def examples(chart: str, number: int) -> dict[str, Any]:
    """A file with an example of each key, the last of those that contradict each other."""
    found: dict[str, Any] = {}
    for key in values.keys(values.bundled(chart)):
        if not key.is_group:
            given = key.schema["examples"]
            found = merged(found, nested(key.path, given[number % len(given)]))
    return found


CONTRADICTING: dict[str, tuple[tuple[str, ...], ...]] = {
    PINNER: (
        ("podDisruptionBudget", "minAvailable"),
        ("replicaCount",),
        ("castai", "apiKey"),
        ("castai", "apiKeySecretRef"),
        ("castai", "clusterID"),
        ("castai", "clusterIdSecretKeyRef"),
        ("castai", "grpcURL"),
        ("webhook", "port"),
    ),
    PLANNER: (("existingConfigMap",), ("podDisruptionBudget", "minAvailable")),
    EVICTOR: (("podDisruptionBudget", "minAvailable"), ("replicaCount",), ("leaderElection", "enabled")),
}


@charts
@pytest.mark.parametrize("number", [0, 1, 2])
def test_all_examples_together_are_taken(chart: str, number: int) -> None:
    content = examples(chart, number)
    for path in CONTRADICTING[chart]:
        inside = content
        for part in path[:-1]:
            inside = inside[part]
        del inside[path[-1]]
    content.get("service", {}).pop("type", None)  # contradicts serviceMonitor.enabled in the planner's chart
    document = parse("values.yaml", yaml.safe_dump(content).encode())
    assert files.mistakes(chart, document) == []
    assert render(chart, content, options=["--api-versions", "monitoring.coreos.com/v1"]).objects
    lint(chart, content)


@charts
def test_nothing_for_every_key_is_as_helm_has_it(chart: str) -> None:
    """`key:` without a value removes the default. The templates must work without each of them."""
    content = dict.fromkeys(values.bundled(chart)["properties"])
    assert files.mistakes(chart, parse("values.yaml", yaml.safe_dump(content).encode())) == []
    default = values.fallbacks(values.bundled(chart))["replicas"]
    assert render(chart, content).one("Deployment")["spec"]["replicas"] == default


@charts
def test_nothing_for_every_inner_key(chart: str) -> None:
    schema = values.bundled(chart)
    paths = [key.path for key in values.keys(schema) if len(key.path) > 1 and not key.is_group]
    content: dict[str, Any] = {}
    for path in paths:
        content = merged(content, nested(path, None))
    assert files.mistakes(chart, parse("values.yaml", yaml.safe_dump(content).encode())) == []
    assert render(chart, content).one("Deployment")


@pytest.mark.parametrize(
    "content",
    [{"nodeSelector": {"a": None}}, {"imagePullSecrets": [None]}, {"resources": {"claims": None}}],
    ids=str,
)
def test_nothing_where_there_is_no_value_of_ours_is_refused_by_both(content: dict[str, Any]) -> None:
    assert files.mistakes(PINNER, parse("values.yaml", yaml.safe_dump(content).encode()))
    assert next(iter(content)) in refusal(PINNER, content)


@charts
def test_our_own_values_are_taken_by_helm(chart: str) -> None:
    lint(chart)
    lint(chart, values.default_values(values.bundled(chart)))
