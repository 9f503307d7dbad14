"""Reload of the configuration: whatever users write, the last valid configuration is in force."""

from __future__ import annotations

import json
import logging
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moorage.controller.own_pod import OwnPod
from moorage.evictor.configuration import Configuration
from moorage.evictor.configuration_watch import ConfigurationWatch
from moorage.evictor.cycle_reporting import CycleReporter
from moorage.evictor.effective_configuration import ConfigurationSources, configure
from moorage.evictor.kinds import ConfigMap, EvictorConfig
from moorage.kube.cache import WatchCache
from moorage.objects import ObjectMeta
from moorage.ops.settings import EvictorSettings
from tests.examples import examples

from .held import Recorder, complete, hide, refuse, show, spoil

SETTINGS = EvictorSettings(pod_name="us")
NAMESPACE = SETTINGS.namespace
RULES, PRICES, RESOURCE = SETTINGS.rules_config_map, SETTINGS.prices_config_map, "evictor-config"
RULE = {
    "nodeSelector": {"labelSelector": {"matchLabels": {"pool": "a"}}},
    "settings": {"removalDisabled": {"enabled": True}},
}
TEXTS: dict[str, tuple[str, str]] = {
    "good": (json.dumps({"evictionConfig": [RULE]}), json.dumps({"prices": []})),
    "other": (
        json.dumps({"evictionConfig": [RULE, RULE]}),
        json.dumps({"prices": [{"instanceType": "a", "pricePerHour": 1}]}),
    ),
    "bad": ('{"evictionConfig": [{"settings": {}}]}', '{"prices": [{"pricePerHour": -1}]}'),
    "torn": ("{", "prices: ["),
}
SPECS: dict[str, Any] = {
    "good": {"config": {"aggressiveMode": True}},
    "other": {"config": {"cycleInterval": "2m"}, "evictionRules": []},
    "bad": {"config": {"cycleInterval": "0s"}},
    "torn": None,
}


class Bed:
    """A configuration, and its watcher."""

    def __init__(self) -> None:
        self.changes = 0
        self.watch = ConfigurationWatch(cast("Any", None), SETTINGS, self._changed)
        self.caches: dict[str, WatchCache[Any]] = dict(
            zip(("rules", "prices", "resource"), self.watch.caches, strict=True)
        )
        for each in self.caches.values():
            complete(each)
        self.generation = 0
        self.recorder = Recorder()
        us = OwnPod(self.recorder.as_recorder(), NAMESPACE, "us", lambda: "")
        self.reporter = CycleReporter(self.recorder.as_recorder(), us)

    def _changed(self) -> None:
        self.changes += 1

    def put(self, which: str, what: str) -> None:
        """Somebody writes one of: rules, prices, resource."""
        self.generation += 1
        if which == "resource":
            meta = ObjectMeta(name=RESOURCE, uid="u", generation=self.generation)
            show(self.caches[which], EvictorConfig(meta, SPECS[what]))
            return
        name, key, text = (RULES, "config.yaml", 0) if which == "rules" else (PRICES, "prices.yaml", 1)
        show(self.caches[which], ConfigMap(ObjectMeta(name, NAMESPACE, f"uid-{which}"), {key: TEXTS[what][text]}))

    def delete(self, which: str) -> None:
        for key in self.caches[which].copy():
            hide(self.caches[which], key)

    def reported(self) -> list[tuple[str, str, str]]:
        """The Events about the effective configuration."""
        self.reporter.configured(self.watch.current())
        return self.recorder.take()


WHICH, WHAT = st.sampled_from(["rules", "prices", "resource"]), st.sampled_from([*TEXTS, "deleted", "unseen", "seen"])


@settings(max_examples=examples(50))
@given(st.lists(st.tuples(WHICH, WHAT), max_size=12))
def test_the_last_good_one_is_in_force_whatever_happens(days: list[tuple[str, str]]) -> None:
    bed = Bed()
    there: dict[str, str] = {}
    unseen: set[str] = set()
    last = bed.watch.current().configuration
    us = SETTINGS.installation
    assert last == configure(SETTINGS, ConfigurationSources(), installation=us).configuration
    for which, what in days:
        if what == "unseen":
            refuse(bed.caches[which])
            unseen.add(which)
        elif what == "seen" or which in unseen:
            complete(bed.caches[which])
            unseen.discard(which)
        elif what == "deleted":
            bed.delete(which)
            there.pop(which, None)
        else:
            bed.put(which, what)
            there[which] = what
        known = configure(SETTINGS, _found(there), bed.watch._names, installation=us)
        right = known.configuration is not None and not unseen
        last = known.configuration if right else last
        found = bed.watch.current()
        assert found.configuration == last
        assert bool(found.wrong) == (not right)
        for source in {each.source for each in found.wrong}:
            which_one = "resource" if "EvictorConfig" in source else "rules" if RULES in source else "prices"
            assert (source in found.about) == (which_one in there)
        number = found.number
        assert bed.watch.current().number == number


def _found(there: dict[str, str]) -> ConfigurationSources:
    texts = [TEXTS[there[which]][place] if which in there else None for place, which in enumerate(("rules", "prices"))]
    resource = None
    if "resource" in there:
        resource = EvictorConfig(ObjectMeta(RESOURCE), SPECS[there["resource"]]).content()
    return ConfigurationSources(texts[0], texts[1], resource)


def test_nothing_is_in_force_until_it_is_right() -> None:
    bed = Bed()
    bed.put("rules", "bad")
    assert bed.watch.current().configuration is None
    (event,) = bed.reported()
    assert event[2].startswith("Nothing is chosen until it is right: ")
    bed.put("rules", "good")
    assert bed.watch.current().configuration is not None


def test_whether_nodes_are_emptied_is_told_whenever_it_changes() -> None:
    bed = Bed()
    reporter = [bed.reported()]
    for dry_run in (False, False, True):
        bed.generation += 1
        meta = ObjectMeta(name=RESOURCE, uid="u", generation=bed.generation)
        show(bed.caches["resource"], EvictorConfig(meta, {"config": {"dryRun": dry_run}}))
        reporter.append(bed.reported())
    assert [[reason for _, reason, _ in each] for each in reporter] == [["DryRun"], ["Acting"], [], ["DryRun"]]


def test_a_mistake_is_told_once_on_its_object_with_its_path(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "moorage.evictor")
    bed = Bed()
    bed.put("rules", "good")
    assert [event[:2] for event in bed.reported()] == [("Pod us", "DryRun")]
    bed.put("rules", "bad")
    (event,) = bed.reported()
    assert event[:2] == (f"ConfigMap {RULES}", "ConfigurationInvalid")
    assert event[2].startswith(
        f"The last good one stays in force: ConfigMap {NAMESPACE}/{RULES}, line 1: evictionConfig[0]"
    )
    assert bed.reported() == []
    bed.put("resource", "bad")
    assert {about for about, _, _ in bed.reported()} == {f"ConfigMap {RULES}", "EvictorConfig evictor-config"}
    lines = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert {record.message for record in lines} == {"configuration is wrong, the last good one stays in force"}
    assert {vars(record)["path"] for record in lines} >= {"evictionConfig[0]", "spec.config.cycleInterval"}
    bed.put("rules", "good")
    bed.delete("resource")
    assert bed.reported() == []
    assert caplog.records[-1].message == "configuration is in force"


def test_what_cannot_be_seen_is_not_taken_for_nothing() -> None:
    bed = Bed()
    bed.put("resource", "good")
    before = bed.watch.current().configuration
    refuse(bed.caches["resource"])
    found = bed.watch.current()
    assert found.configuration is before
    assert str(found.wrong[0]) == "EvictorConfig evictor-config: may not watch evictorconfigs"
    spoil(bed.caches["rules"], ConfigMap(ObjectMeta(RULES, NAMESPACE, "u")), "data: no map")
    assert any("cannot be read: data: no map" in str(each) for each in bed.watch.current().wrong)


def test_a_config_map_without_its_key_is_wrong() -> None:
    bed = Bed()
    show(bed.caches["rules"], ConfigMap(ObjectMeta(RULES, NAMESPACE, "u"), {"config.yml": "{}"}))
    assert "config.yaml is missing" in str(bed.watch.current().wrong[0])


def test_what_we_write_into_the_status_is_no_change() -> None:
    bed = Bed()
    bed.put("resource", "good")
    before, known = bed.changes, bed.caches["resource"].get(RESOURCE)
    assert known is not None
    show(bed.caches["resource"], msgspec.structs.replace(known, status={"observedGeneration": 1}))
    assert bed.changes == before
    bed.put("resource", "other")
    assert bed.changes == before + 1
    assert bed.watch.current().generation == 2


def test_a_new_generation_is_judged_although_it_says_the_same() -> None:
    bed = Bed()
    bed.put("resource", "good")
    assert bed.watch.current().generation == 1
    bed.put("resource", "good")
    assert bed.watch.current().generation == 2


def test_what_has_no_effect_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    bed = Bed()
    spec = {"config": {"ignorePodDisruptionBudgets": True}}
    show(bed.caches["resource"], EvictorConfig(ObjectMeta(RESOURCE, uid="u", generation=1), spec))
    for _ in range(2):
        bed.reported()
    (line,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "ignorePodDisruptionBudgets" in vars(line)["note"]


def test_without_names_nothing_is_followed_but_the_resource() -> None:
    plain = EvictorSettings(pod_name="us", rules_config_map="", prices_config_map="")
    watch = ConfigurationWatch(cast("Any", None), plain, lambda: None)
    assert [each.resource.kind for each in watch.caches] == ["EvictorConfig"]
    complete(watch.resources)
    assert isinstance(watch.current().configuration, Configuration)
