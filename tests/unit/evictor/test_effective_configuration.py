"""The effective configuration from settings, ConfigMaps and resource, and the message for each mistake."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from moorage.drain import Settings
from moorage.evictor.compaction import Prices
from moorage.evictor.configuration import of_settings
from moorage.evictor.effective_configuration import (
    ConfigurationMistake,
    ConfigurationSources,
    Names,
    configure,
    names_in,
    text_of,
)
from moorage.ops.settings import CompactionSettings
from tests.unit.evictor.build import Json
from tests.unit.evictor.test_configuration import ENTRY, OTHER, PUBLISHED, WITHOUT_EFFECT, resource

SETTINGS = CompactionSettings()
NAMES = names_in("castai-agent", "castai-evictor-config", "castai-evictor-prices")
PRICE: Json = {"instanceType": "m5.large", "pricePerHour": 0.096}
LIKE: Json = {
    "podSelector": {"labelSelector": {"matchExpressions": [{"key": "a", "operator": "Like"}]}},
    "settings": {"disposable": True},
}


def prices(*entries: Json) -> str:
    return json.dumps({"prices": entries})


def wrong(found: ConfigurationSources, settings: CompactionSettings = SETTINGS) -> list[str]:
    configured = configure(settings, found, NAMES)
    assert (configured.configuration is None) == bool(configured.wrong)
    return [str(each) for each in configured.wrong]


def test_nothing_but_settings() -> None:
    configured = configure(SETTINGS, ConfigurationSources())
    assert configured.configuration == of_settings(SETTINGS)
    assert configured.notes == ()


def test_all_of_them_together() -> None:
    spot = {"instanceType": "m5.large", "capacityType": "spot", "pricePerHour": "0.035"}
    config = {"cycleInterval": "2m", "aggressiveMode": True}
    text = json.dumps({"evictionConfig": [ENTRY]})
    found = configure(
        replace(SETTINGS, scoped_mode=True), ConfigurationSources(text, prices(PRICE, spot), resource(config))
    )
    assert found.configuration is not None
    policy, choice = found.configuration.policy, found.configuration.choice
    assert (policy.aggressive, policy.scoped, found.configuration.interval) == (True, True, timedelta(minutes=2))
    assert [rule.path for rule in policy.rules] == ["evictionConfig[0]"]
    assert choice.prices == Prices(per_hour={("m5.large", False): 0.096, ("m5.large", True): 0.035})


def test_texts_that_say_nothing() -> None:
    assert configure(SETTINGS, ConfigurationSources("", "# none\n")).configuration == of_settings(SETTINGS)


def test_a_resource_out_of_a_list_has_no_kind() -> None:
    bare = {key: value for key, value in resource({"dryRun": True}).items() if key not in ("kind", "apiVersion")}
    assert configure(SETTINGS, ConfigurationSources(resource=bare)).wrong == ()


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (
            ConfigurationSources(json.dumps({"evictionConfig": [LIKE]}, indent=1)),
            "ConfigMap castai-agent/castai-evictor-config, line 9: evictionConfig[0].podSelector.labelSelector."
            "matchExpressions[0].operator: 'Like' is none of In, NotIn, Exists, DoesNotExist",
        ),
        (
            ConfigurationSources(json.dumps({"evictionConfig": [{**ENTRY, **OTHER}]})),
            "ConfigMap castai-agent/castai-evictor-config, line 1: evictionConfig[0]: exactly one of podSelector, "
            "nodeSelector says what the rule is about",
        ),
        (
            ConfigurationSources("evictionConfig: ["),
            "ConfigMap castai-agent/castai-evictor-config, line 1: not YAML: while parsing a flow node, "
            "expected the node content, but found '<stream end>'",
        ),
        (
            ConfigurationSources(json.dumps(resource())),
            "ConfigMap castai-agent/castai-evictor-config, line 1: apiVersion: unknown field 'apiVersion'; "
            "known here: evictionConfig, evictionRules",
        ),
        (
            ConfigurationSources(prices=prices(PRICE, {**PRICE, "pricePerHour": 1})),
            "ConfigMap castai-agent/castai-evictor-prices, line 1: prices[1].pricePerHour: contradicts prices[0], "
            "which says 0.096 of m5.large on-demand; keep one",
        ),
        (
            ConfigurationSources(prices=prices({**PRICE, "pricePerHour": -1})),
            "ConfigMap castai-agent/castai-evictor-prices, line 1: prices[0].pricePerHour: -1 is too small, at least 0",
        ),
        (
            ConfigurationSources(prices=prices({**PRICE, "capacityType": "SPOT"})),
            "ConfigMap castai-agent/castai-evictor-prices, line 1: prices[0].capacityType: 'SPOT' is none of "
            "on-demand, spot",
        ),
        (
            ConfigurationSources(prices=prices({**PRICE, "pricePerHour": "dear"})),
            "ConfigMap castai-agent/castai-evictor-prices, line 1: prices[0].pricePerHour: 'dear' does not look like "
            "0.096",
        ),
        (
            ConfigurationSources(prices="m5.large: 1"),
            "ConfigMap castai-agent/castai-evictor-prices, line 1: [\"m5.large\"]: unknown field 'm5.large'; "
            "known here: prices",
        ),
        (
            ConfigurationSources(resource=resource({"targetNodePercentage": 300})),
            "EvictorConfig evictor-config: spec.config.targetNodePercentage: is too large, at most 100",
        ),
        (
            ConfigurationSources(resource=resource({"cycleInterval": "0s"})),
            "EvictorConfig evictor-config: spec.config.cycleInterval: '0s' does not look like 30s, 10m",
        ),
        (
            ConfigurationSources(resource=resource({"cycleInterval": "1ns"})),
            "EvictorConfig evictor-config: spec.config.cycleInterval: is too short, at least 1s",
        ),
        *(
            (
                ConfigurationSources(resource=resource({key: "999999999h"})),
                f"EvictorConfig evictor-config: spec.config.{key}: is too long, at most 24h",
            )
            for key in ("drainTimeout", "drainRollbackTimeout", "podEvictionFailureBackOff")
        ),
        (
            ConfigurationSources(resource=resource({"minTargetNodesPerCycle": 30})),
            "EvictorConfig evictor-config: spec.config.minTargetNodesPerCycle: is 30, and maxTargetNodesPerCycle "
            "allows 20: make one of them fit the other",
        ),
        (
            ConfigurationSources(resource={"spec": {"config": 5}}),
            "EvictorConfig evictor-config: spec.config: 5 is not a map",
        ),
        (ConfigurationSources(resource={}), "EvictorConfig evictor-config: spec is missing"),
        (
            ConfigurationSources(
                wrong=(ConfigurationMistake("ConfigMap a/b", "data", "config.yaml is missing; there is nothing"),)
            ),
            "ConfigMap a/b: data: config.yaml is missing; there is nothing",
        ),
    ],
)
def test_each_mistake_with_its_place(found: ConfigurationSources, sentence: str) -> None:
    assert sentence in wrong(found)


def test_mistakes_of_all_sources_at_once() -> None:
    found = ConfigurationSources("a: 1", "b: 1", resource({"c": 1}))
    assert {each.partition(",")[0].partition(":")[0] for each in wrong(found)} == {*NAMES}


def test_settings_that_contradict_each_other() -> None:
    (sentence,) = wrong(ConfigurationSources(), replace(SETTINGS, min_target_nodes_per_cycle=30))
    assert sentence.startswith("settings: MOORAGE_MIN_TARGET_NODES_PER_CYCLE (--min-target-nodes-per-cycle): is 30")
    (sentence,) = wrong(ConfigurationSources(), replace(SETTINGS, cycle_interval=0.5))
    assert sentence.startswith("settings: MOORAGE_CYCLE_INTERVAL (--cycle-interval): is too short")
    assert wrong(ConfigurationSources(), replace(SETTINGS, max_target_nodes_per_cycle=2)) == [], (
        "5 is only what nobody has said"
    )


def test_the_published_defaults_are_ours_but_that_they_act() -> None:
    published = configure(SETTINGS, ConfigurationSources(resource=resource(PUBLISHED)))
    assert published.configuration == of_settings(replace(SETTINGS, dry_run=False))
    assert published.notes == ()


def test_how_nodes_are_emptied() -> None:
    values = replace(
        SETTINGS,
        dry_run=False,
        drain_timeout=300.0,
        drain_rollback_timeout=30.0,
        pod_eviction_failure_back_off=7.0,
        soft_tainting=True,
        emit_node_related_pod_events=True,
        parallel_drains=3,
        empty_node_timeout=120.0,
    )
    found = configure(values, ConfigurationSources()).configuration
    assert found is not None
    assert (found.dry_run, found.pod_events) == (False, True)
    assert found.drains == Settings(
        drain_timeout=timedelta(minutes=5),
        rollback_timeout=timedelta(seconds=30),
        eviction_back_off=timedelta(seconds=7),
        soft_only=True,
        parallel=3,
        hand_back_after=timedelta(minutes=2),
    )
    config = {
        "dryRun": True,
        "drainTimeout": "1m",
        "drainRollbackTimeout": "2m",
        "podEvictionFailureBackOff": "3s",
        "softTainting": False,
        "emitNodeRelatedPodEvents": False,
    }
    found = configure(values, ConfigurationSources(resource=resource(config)), installation="us").configuration
    assert found is not None
    assert (found.dry_run, found.pod_events, found.policy.installation) == (True, False, "us")
    assert found.policy.drain_timeout == timedelta(minutes=1)
    assert found.drains == Settings(
        drain_timeout=timedelta(minutes=1),
        rollback_timeout=timedelta(minutes=2),
        eviction_back_off=timedelta(seconds=3),
        parallel=3,
        hand_back_after=timedelta(minutes=2),
    )


def test_what_has_no_effect_is_said() -> None:
    found = configure(SETTINGS, ConfigurationSources(resource=resource(WITHOUT_EFFECT)), NAMES)
    assert found.configuration is not None
    start = "EvictorConfig evictor-config: spec.config.ignorePodDisruptionBudgets: accepted, without effect. Pods"
    assert any(note.startswith(start) for note in found.notes)
    assert len(found.notes) == len(WITHOUT_EFFECT)


@pytest.mark.parametrize("text", ["\ud800", "\x00", "a: &a [*a]", "[" * 5000, "? {a: b}\n: c", "1", "x" * (1 << 21)])
def test_texts_of_every_kind_are_answered(text: str) -> None:
    assert wrong(ConfigurationSources(text))
    assert wrong(ConfigurationSources(prices=text))


def test_a_resource_that_is_nested_without_end() -> None:
    deep: Any = {}
    for _ in range(20_000):
        deep = {"a": deep}
    assert wrong(ConfigurationSources(resource={"spec": deep}))


def test_a_config_map_without_its_key_is_wrong() -> None:
    source = NAMES.rules
    assert text_of({"config.yaml": "a"}, "config.yaml", source) == "a"
    assert text_of({"config.yml": "a"}, "config.yaml", source) == ConfigurationMistake(
        source, "data", "config.yaml is missing; there is config.yml"
    )
    assert text_of(None, "config.yaml", source) == ConfigurationMistake(
        source, "data", "config.yaml is missing; there is nothing"
    )


def test_files_are_called_by_their_names() -> None:
    (found,) = configure(SETTINGS, ConfigurationSources("a: 1"), Names(rules="rules.yaml")).wrong
    assert (found.source, found.path, found.line) == ("rules.yaml", "a", 1)
