"""Rules for every schema of values, and that all validators agree."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator, Draft202012Validator

from moorage.files import values as files
from moorage.files.yamlfile import parse
from tests.examples import examples
from tests.unit.schemas.bad_values import nested, some
from tools.generate import bundle, values
from tools.generate.bundle import Schema
from tools.generate.values import Key

RULES = bundle.bundled("rules/rules.schema.json")
RESOURCE = bundle.bundled("rules/evictorconfig.schema.json")
PRICES = bundle.bundled("rules/prices.schema.json")
SCHEMAS = {chart: values.bundled(chart) for chart in values.CHARTS}
KEYS = [
    pytest.param(key, id=f"{chart}: {'.'.join(key.path)}")
    for chart, schema in SCHEMAS.items()
    for key in values.keys(schema)
]
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-10, 10**6)
    | st.sampled_from(["", "a", "a b", "5m", "1Gi", "a:1", "true", "sha256:1", "10%"]),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["name", "a", "b c"]), inner, max_size=2)
    ),
    max_leaves=4,
)
charts = pytest.mark.parametrize("chart", SCHEMAS)


def mistakes(chart: str, content: Any) -> list[str]:
    document = parse("values.yaml", yaml.safe_dump(content, allow_unicode=True).encode())
    return [each.full_sentence for each in files.mistakes(chart, document)]


def verdicts(schema: Schema, content: Any) -> set[bool]:
    """What validators of both drafts say."""
    return {validator(schema).is_valid(content) for validator in (Draft7Validator, Draft202012Validator)}


@pytest.mark.parametrize("key", KEYS)
def test_every_key_is_described_with_default_example_and_unit(key: Key) -> None:
    schema = key.schema
    assert schema["description"].endswith("."), "a sentence"
    if key.is_group:
        return
    assert schema["x-unit"]
    assert {"default", "x-default", "x-no-value"} & set(schema), "a default, or said to have none"
    found = [*schema["examples"], *(schema[name] for name in ("default", "x-default") if name in schema)]
    assert schema["examples"]
    for value in found:
        assert verdicts(schema, value) == {True}, value


@charts
def test_all_defaults_together_are_right(chart: str) -> None:
    assert mistakes(chart, values.default_values(SCHEMAS[chart])) == []
    assert files.default_values(files.schema_of(chart)) == values.default_values(SCHEMAS[chart])


@charts
def test_what_templates_fall_back_to_is_right(chart: str) -> None:
    fallbacks = values.fallbacks(SCHEMAS[chart])
    assert mistakes(chart, fallbacks) == []
    assert isinstance(fallbacks["replicas"], int)


@pytest.mark.parametrize(
    "schema", [*SCHEMAS.values(), RULES, RESOURCE, PRICES], ids=[*SCHEMAS, "rules", "resource", "prices"]
)
def test_schemas_are_right_closed_and_whole(schema: Schema) -> None:
    Draft7Validator.check_schema(schema)
    Draft202012Validator.check_schema({**schema, "$schema": "https://json-schema.org/draft/2020-12/schema"})
    for path, part in parts(schema):
        assert "$ref" not in part, path
        assert "format" not in part, f"{path}: validators do not agree on asserting it"
        if "properties" in part and part.get("type") is not None:
            assert "additionalProperties" in part, path


def parts(schema: Any, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Every schema in a schema."""
    if isinstance(schema, dict):
        yield path, schema
        for name in ("properties",):
            for key, inner in schema.get(name, {}).items():
                yield from parts(inner, f"{path}.{key}")
        for name in ("items", "additionalProperties", "propertyNames", "if", "then", "not"):
            yield from parts(schema.get(name), f"{path}/{name}")
        for name in ("allOf", "oneOf", "anyOf"):
            for inner in schema.get(name, []):
                yield from parts(inner, f"{path}/{name}")


@charts
def test_only_these_take_any_key(chart: str) -> None:
    groups = (key for key in values.keys(SCHEMAS[chart]) if key.is_group)
    open_groups = [key.path for key in groups if key.schema["additionalProperties"]]
    assert open_groups in ([("global",)], [("global",), ("global", "castai")])


def test_what_has_no_effect_has_no_value() -> None:
    for param in KEYS:
        key = param.values[0]
        assert isinstance(key, Key)
        if key.schema.get("x-effect") == "none":
            assert not values.has_value(key.schema), key.path


@charts
def test_validators_agree_on_bad_files(chart: str) -> None:
    # Beyond a schema are two names of one thing with different values, and replicas that elect no leader.
    seen = [each.reason for each in some(chart, 200) if verdicts(SCHEMAS[chart], each.values) != {False}]
    beyond = {"replicas and replicaCount", "no replicas and replicaCount", "planner.address and castai.grpcURL"}
    beyond |= {"leaderElection.enabled and replicas", "leaderElection.enabled and updateStrategy"}
    assert set(seen) <= beyond


@charts
@settings(max_examples=examples(100), deadline=None)
@given(data=st.data())
def test_validators_agree_on_anything(chart: str, data: st.DataObject) -> None:
    key = data.draw(st.sampled_from(list(values.keys(SCHEMAS[chart]))))
    content = nested(key.path, data.draw(ANYTHING))
    agreed = verdicts(SCHEMAS[chart], content)
    assert len(agreed) == 1
    if agreed == {False} and b"null" not in json.dumps(content).encode():
        assert mistakes(chart, content)


def test_rules_in_every_published_form() -> None:
    for enabled in (True, {"enabled": True}):
        rules = [
            {"podSelector": {"namespace": "a", "kind": "Job", "replicasMin": 2}, "settings": {"aggressive": enabled}},
            {"nodeSelector": {"labelSelector": {"matchLabels": {"a": "b"}}}, "settings": {"removalDisabled": enabled}},
        ]
        for content in (rules, {"evictionConfig": rules}, {"evictionRules": rules}, {}, []):
            assert verdicts(RULES, content) == {True}


EXPRESSION = {"key": "a", "operator": "In", "values": ["b"]}


@pytest.mark.parametrize(
    "rule",
    [
        {"settings": {"aggressive": True}},
        {"podSelector": {"kind": "Job"}},
        {"podSelector": {"kind": "Job"}, "settings": {}},
        {"podSelector": {}, "settings": {"aggressive": True}},
        {"podSelector": {"kind": "Job"}, "nodeSelector": {"labelSelector": {}}, "settings": {"aggressive": True}},
        {"podSelector": {"kind": "Job"}, "settings": {"aggressive": "true"}},
        {"podSelector": {"kind": "Job"}, "settings": {"aggressive": {}}},
        {"podSelector": {"kind": "Job", "replicasMin": -1}, "settings": {"aggressive": True}},
        {"nodeSelector": {}, "settings": {"aggressive": True}},
        *(
            {"nodeSelector": {"labelSelector": {"matchExpressions": [expression]}}, "settings": {"disposable": True}}
            for expression in (
                {**EXPRESSION, "operator": "Equals"},
                {**EXPRESSION, "operator": "Exists"},
                {**EXPRESSION, "values": []},
                {"key": "a", "operator": "NotIn"},
            )
        ),
    ],
)
def test_wrong_rules(rule: Any) -> None:
    assert verdicts(RULES, {"evictionRules": [rule]}) == {False}
    assert any("customConfig" in each for each in mistakes("castai-evictor", {"customConfig": [rule]}))
    text = yaml.safe_dump({"evictionConfig": [rule]})
    assert any("in line" in each for each in mistakes("castai-evictor", {"customConfig": text}))
