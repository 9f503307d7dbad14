"""Rules and settings from users, from the text to the effective configuration, and the errors of wrong ones."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from moorage.drain import Settings as Drains
from moorage.evictor.candidates import Policy
from moorage.evictor.compaction import Prices, Settings
from moorage.evictor.configuration import Configuration, with_file, with_resource
from moorage.evictor.durations import duration
from moorage.evictor.rules import Rule, Setting
from moorage.files import rules, schemas
from moorage.files.yamlfile import Document, parse
from tests.unit.evictor.build import Json

ENTRY: Json = {"podSelector": {"kind": "Job"}, "settings": {"aggressive": {"enabled": True}}}
OTHER: Json = {
    "nodeSelector": {"labelSelector": {"matchLabels": {"pool": "db"}}},
    "settings": {"removalDisabled": True},
}
SCHEMA = schemas.load(rules.RESOURCE)["properties"]["spec"]["properties"]


def document(value: Any) -> Document:
    return parse("rules.yaml", json.dumps(value).encode())


def resource(config: Json | None = None, **spec: Any) -> Json:
    settings = {"config": config} if config is not None else {}
    return {
        "apiVersion": "autoscaling.cast.ai/v1alpha1",
        "kind": "EvictorConfig",
        "metadata": {"name": "evictor-config"},
        "spec": {**settings, **spec},
    }


PUBLISHED = {
    "aggressiveMode": False,
    "arm64Supported": True,
    "cycleInterval": "1m",
    "drainRollbackTimeout": "1m",
    "drainTimeout": "10m",
    "dryRun": False,
    "emitNodeRelatedPodEvents": False,
    "forceDisableKarpenterMode": True,
    "forceDisableLiveMigration": False,
    "forceDisablePodMutations": False,
    "forceDisableWOOP": False,
    "ignorePodDisruptionBudgets": False,
    "maxTargetNodesPerCycle": 20,
    "minTargetNodesPerCycle": 5,
    "nodeGracePeriodMinutes": 5,
    "podEvictionFailureBackOff": "5s",
    "pricingAwarenessEnabled": False,
    "pricingModel": {"baseCPUCost": "7", "baseMemCost": 1, "spotDiscount": "500m"},
    "scopedMode": False,
    "softTainting": False,
    "targetNodePercentage": 10,
    "windows": False,
}
"""Every field that the published definition has."""


@pytest.mark.parametrize(
    ("content", "places"),
    [
        ({"evictionConfig": [ENTRY, OTHER]}, ["evictionConfig[0]", "evictionConfig[1]"]),
        ({"evictionRules": [ENTRY]}, ["evictionRules[0]"]),
        ([ENTRY], ["[0]"]),
        ({"evictionConfig": []}, []),
        ({"evictionConfig": None}, []),
        ({}, []),
        ([], []),
        (None, []),
    ],
)
def test_every_form_of_the_file(content: Any, places: list[str]) -> None:
    assert rules.mistakes(document(content)) == []
    assert [rule.path for rule in with_file(Configuration(), content).policy.rules] == places


def test_nulls_are_what_was_left_out() -> None:
    """As an API answers."""
    entry = {
        "podSelector": {"kind": "Job", "namespace": None, "replicasMin": None, "labelSelector": None},
        "nodeSelector": None,
        "settings": {"aggressive": {"enabled": True}, "disposable": None},
    }
    assert rules.mistakes(document({"evictionConfig": [entry]})) == []
    (rule,) = with_file(Configuration(), {"evictionConfig": [entry]}).policy.rules
    assert rule == with_file(Configuration(), {"evictionConfig": [ENTRY]}).policy.rules[0]
    assert rule.settings == {Setting.AGGRESSIVE: True}


def test_a_whole_config_map() -> None:
    text = json.dumps({"evictionConfig": [ENTRY]})
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"config.yaml": text}}
    assert rules.mistakes(document(manifest)) == []
    for data in (None, {}, {"rules.yaml": text}, "x"):
        (mistake,) = rules.mistakes(document({**manifest, "data": data}))
        assert mistake.full_sentence == "data: config.yaml is missing, the text with the rules"
    (mistake,) = rules.mistakes(document({**manifest, "data": {"config.yaml": [ENTRY]}}))
    assert mistake.path == ("data", "config.yaml")
    assert mistake.sentence == "config.yaml: is not a text; write config.yaml: | and the rules below it"
    found = rules.mistakes(document({**manifest, "data": {"config.yaml": json.dumps(resource())}}))
    assert any("unknown field 'spec'" in each.full_sentence for each in found), "rules, and nothing else"
    (mistake,) = rules.mistakes(document({**manifest, "data": {"config.yaml": text.replace("Job", "job")}}))
    assert mistake.path == ("data", "config.yaml")
    assert "evictionConfig[0].podSelector.kind: 'job' does not look like Job" in mistake.full_sentence


def test_every_published_field_is_accepted() -> None:
    published = resource(PUBLISHED, enabled=True, managementMode="self-managed", evictionRules=[ENTRY, OTHER])
    assert rules.mistakes(document(published)) == []
    assert list(rules.notes(document(published))) == [], "the published defaults are nothing to speak of"
    assert set(SCHEMA["config"]["properties"]) == set(PUBLISHED)
    assert set(SCHEMA) == {"config", "enabled", "managementMode", "evictionRules"}


def test_what_the_resource_says_wins_field_by_field() -> None:
    values = Configuration(policy=Policy(aggressive=True, drain_timeout=timedelta(minutes=20)))
    filed = with_file(values, {"evictionConfig": [ENTRY]})
    assert with_resource(filed, resource()) == filed
    assert with_resource(filed, resource({"aggressiveMode": None})) == filed
    found = with_resource(
        filed,
        resource(
            {
                "aggressiveMode": False,
                "scopedMode": True,
                "windows": True,
                "nodeGracePeriodMinutes": 8,
                "drainTimeout": "1h30m",
            },
            enabled=False,
        ),
    )
    assert found == Configuration(
        enabled=False,
        policy=Policy(
            aggressive=False,
            scoped=True,
            windows=True,
            node_grace_period=timedelta(minutes=8),
            drain_timeout=timedelta(minutes=90),
            rules=filed.policy.rules,
        ),
        drains=Drains(drain_timeout=timedelta(minutes=90)),
    )


def test_what_the_resource_says_of_choosing() -> None:
    published = with_resource(Configuration(), resource(PUBLISHED))
    assert published.choice == Settings(), "the published defaults are ours"
    model = {"baseCPUCost": "3500m", "baseMemCost": 0.25, "spotDiscount": "0.9"}
    config: Json = {"maxTargetNodesPerCycle": 3, "minTargetNodesPerCycle": 0, "targetNodePercentage": 50}
    found = with_resource(Configuration(), resource(config | {"arm64Supported": False, "pricingModel": model}))
    prices = Prices(cpu=3.5, memory=0.25, spot_discount=0.9)
    assert found.choice == Settings(most=3, least=0, percentage=50, arm64=False, prices=prices)
    half = with_resource(found, resource({"pricingModel": {"baseCPUCost": 1}}))
    assert half.choice.prices == Prices(cpu=1.0, memory=0.25, spot_discount=0.9)


@pytest.mark.parametrize(("entries", "places"), [([OTHER], ["spec.evictionRules[0]"]), ([], [])])
def test_rules_of_the_resource_replace_those_of_the_file(entries: list[Json], places: list[str]) -> None:
    filed = with_file(Configuration(), {"evictionConfig": [ENTRY]})
    found: tuple[Rule, ...] = with_resource(filed, resource(evictionRules=entries)).policy.rules
    assert [rule.path for rule in found] == places


@pytest.mark.parametrize("metadata", [{"name": "other"}, {}, None])
def test_resources_of_another_name_are_right_and_not_read(metadata: Json | None) -> None:
    other = document({**resource(), "metadata": metadata})
    assert rules.mistakes(other) == []
    assert [str(each.sentence) for each in rules.notes(other)] == [
        "metadata: only the resource of the name evictor-config is read"
    ]


WITHOUT_EFFECT = {
    "pricingAwarenessEnabled": True,
    "ignorePodDisruptionBudgets": True,
    "forceDisableLiveMigration": True,
    "forceDisableWOOP": True,
    "forceDisablePodMutations": True,
    "forceDisableKarpenterMode": False,
}


def test_fields_without_effect_are_said_to_be() -> None:
    said = [each.full_sentence for each in rules.notes(document(resource(WITHOUT_EFFECT, managementMode="castai")))]
    assert len(said) == len(WITHOUT_EFFECT) + 1
    for key in (*WITHOUT_EFFECT, "managementMode"):
        assert any(f".{key}: accepted, without effect. " in sentence for sentence in said), key
    everything = {**SCHEMA, **SCHEMA["config"]["properties"]}
    silent = {key for key, each in everything.items() if each.get("x-effect") == "none"}
    assert silent == {*WITHOUT_EFFECT, "managementMode"}
    assert all(everything[key]["description"].endswith(".") for key in silent)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (resource({"targetNodePercentage": 300}), "spec.config.targetNodePercentage: is too large, at most 100"),
        (resource({"nodeGracePeriodMinutes": -1}), "spec.config.nodeGracePeriodMinutes: -1 is too small, at least 0"),
        (resource({"nodeGracePeriodMinutes": "5"}), "spec.config.nodeGracePeriodMinutes: '5' is not a whole number"),
        (resource({"cycleInterval": "0s"}), "spec.config.cycleInterval: '0s' does not look like 30s, 10m"),
        (resource({"cycleInterval": "0m0.0s"}), "spec.config.cycleInterval: '0m0.0s' does not look like 30s, 10m"),
        (resource({"drainTimeout": "-5m"}), "spec.config.drainTimeout: '-5m' does not look like 30s, 10m"),
        (resource({"drainTimeout": 600}), "spec.config.drainTimeout: 600 does not look like"),
        (
            resource({"aggressive": True}),
            "spec.config.aggressive: unknown field 'aggressive'; did you mean aggressiveM",
        ),
        (resource(managementMode="saas"), "spec.managementMode: 'saas' is none of castai, self-managed"),
        (resource(enabled="yes"), "spec.enabled: 'yes' is not true or false"),
        (
            resource({"pricingModel": {"baseCPUCost": -1}}),
            "spec.config.pricingModel.baseCPUCost: -1 is too small, at least 0",
        ),
        ({**resource(), "apiVersion": "autoscaling.cast.ai/v1"}, "apiVersion: 'autoscaling.cast.ai/v1' is none of"),
        ({"kind": "EvictorConfig"}, "apiVersion, spec is missing"),
        (
            resource(evictionRules=[{"settings": {"disposable": True}}]),
            "spec.evictionRules[0]: exactly one of podSelector, nodeSelector says what the rule is about",
        ),
        (
            {"evictionConfig": [{**ENTRY, **OTHER}]},
            "evictionConfig[0]: exactly one of podSelector, nodeSelector says what the rule is about",
        ),
        (
            {"evictionConfig": [{**ENTRY, "settings": {"disposable": None}}]},
            "evictionConfig[0].settings: is empty, at least 1 key",
        ),
        (
            {
                "evictionConfig": [
                    {
                        "podSelector": {"labelSelector": {"matchExpressions": [{"key": "a", "operator": "Like"}]}},
                        "settings": {"disposable": True},
                    }
                ]
            },
            "evictionConfig[0].podSelector.labelSelector.matchExpressions[0].operator: 'Like' is none of In, NotIn",
        ),
        (
            {"evictionConfig": [{**ENTRY, "podSelector": {"replicasMin": -1}}]},
            "evictionConfig[0].podSelector.replicasMin: -1 is too small, at least 0",
        ),
    ],
)
def test_mistakes_are_named_with_their_path(content: Json, sentence: str) -> None:
    assert any(each.full_sentence.startswith(sentence) for each in rules.mistakes(document(content)))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1m30s", 90.0),
        ("1.5h", 5400.0),
        ("500ms", 0.5),
        ("100us", 1e-4),
        ("2µs", 2e-6),
        ("0s", 0.0),
        ("999999999h", 1e9),
        ("", None),
        ("5", None),
        ("-5m", None),
        ("5 m", None),
        ("5d", None),
    ],
)
def test_durations(text: str, seconds: float | None) -> None:
    assert duration(text) == (timedelta(seconds=seconds) if seconds is not None else None)


def test_prices_are_looked_at_like_rules_alone_and_in_a_config_map() -> None:
    entry = {"instanceType": "m5.large", "pricePerHour": "0.096"}
    wrong = [entry, {**entry, "capacityType": "on-demand", "pricePerHour": 1}]
    assert rules.mistakes(document({"prices": [entry, {**entry, "capacityType": None}]})) == []
    (mistake,) = rules.mistakes(document({"prices": wrong}))
    assert mistake.path == ("prices", 1, "pricePerHour")
    texts = {"config.yaml": json.dumps([ENTRY]), "prices.yaml": json.dumps({"prices": wrong})}
    (mistake,) = rules.mistakes(document({"kind": "ConfigMap", "data": texts}))
    assert mistake.path == ("data", "prices.yaml")
    (mistake,) = rules.mistakes(document({"kind": "ConfigMap", "data": {**texts, "config.yaml": [ENTRY]}}))
    assert mistake.path == ("data", "config.yaml")
