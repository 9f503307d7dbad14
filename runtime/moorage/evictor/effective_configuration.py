"""The effective configuration: settings, rules, prices and resource together, or every mistake in them. No I/O.

With one mistake anywhere there is no configuration, and the caller keeps the last valid one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, NamedTuple

from moorage.files import prices, rules
from moorage.files.mistakes import FileMistakes, Mistake, dotted
from moorage.files.yamlfile import Document, parse
from moorage.ops.configuration import settings_of
from moorage.ops.settings import CompactionSettings

from .configuration import Configuration, of_settings, with_file, with_prices, with_resource

LEAST_INTERVAL = timedelta(seconds=1)
"""A shorter one would have the evictor do nothing but begin."""
LONGEST = timedelta(hours=24)
"""As for settings: sums with a time of many years would be beyond all calendars."""
VERSION = "autoscaling.cast.ai/v1alpha1"
"""Of the resource; the items of a list may be without it."""


class ConfigurationMistake(NamedTuple):
    """One mistake in the configuration.

    Attributes:
        source: where it is: ``ConfigMap castai-agent/castai-evictor-config``.
        path: from the top of that: ``evictionConfig[0].podSelector.kind``; empty for all of it.
        sentence: the mistake.
        line: in the text, counted from 1; 0 where there are no lines.
    """

    source: str
    path: str
    sentence: str
    line: int = 0

    def __str__(self) -> str:
        """``ConfigMap a/b, line 7: evictionConfig[0]: …``."""
        source = f"{self.source}, line {self.line}" if self.line else self.source
        return ": ".join(part for part in (source, self.path, self.sentence) if part)


_RESOURCE = f"EvictorConfig {rules.NAME}"


class Names(NamedTuple):
    """The names of the sources in messages."""

    rules: str = "the rules"
    prices: str = "the prices"
    resource: str = _RESOURCE


@dataclass(frozen=True, slots=True)
class ConfigurationSources:
    """The sources beside the settings; None for a source that does not exist.

    Attributes:
        rules: text of the ConfigMap's key ``config.yaml``, or of a file.
        prices: text of the ConfigMap's key ``prices.yaml``, or of a file.
        resource: the EvictorConfig named evictor-config.
        wrong: sources that cannot be read at all.
    """

    rules: str | None = None
    prices: str | None = None
    resource: Mapping[str, Any] | None = None
    wrong: tuple[ConfigurationMistake, ...] = ()


@dataclass(frozen=True, slots=True)
class Configured:
    """The result.

    Attributes:
        configuration: the configuration; None with any mistake.
        wrong: all mistakes.
        notes: what was accepted and has no effect, each a sentence with its place.
    """

    configuration: Configuration | None
    wrong: tuple[ConfigurationMistake, ...] = ()
    notes: tuple[str, ...] = field(default=())


def names_in(namespace: str, rules_config_map: str, prices_config_map: str) -> Names:
    """Return the names of the sources in the cluster.

    Args:
        namespace: of the ConfigMaps.
        rules_config_map: that with the rules.
        prices_config_map: that with the prices.
    """
    return Names(f"ConfigMap {namespace}/{rules_config_map}", f"ConfigMap {namespace}/{prices_config_map}")


def text_of(data: Mapping[str, Any] | None, key: str, source: str) -> str | ConfigurationMistake:
    """Return the text of a ConfigMap's key. A missing key is a mistake: rules that are not read protect no pod.

    Args:
        data: the ConfigMap's.
        key: ``config.yaml``.
        source: how messages call it.
    """
    text = (data or {}).get(key)
    if isinstance(text, str):
        return text
    others = ", ".join(sorted(map(str, data or {})))[:200]
    return ConfigurationMistake(source, "data", f"{key} is missing; there is {others or 'nothing'}")


def configure(
    settings: CompactionSettings, sources: ConfigurationSources, names: Names | None = None, *, installation: str = ""
) -> Configured:
    """Put the configuration together.

    Args:
        settings: of the program.
        sources: what there is beside them.
        names: how messages call it.
        installation: name of this installation in marks of nodes; empty: every mark counts as its own.

    Returns:
        The configuration, or all mistakes of all sources.
    """
    names = names or Names()
    filed = _read(names.rules, sources.rules, rules.mistakes_of_rules)
    priced = _read(names.prices, sources.prices, prices.mistakes)
    resource = _resource(names.resource, sources.resource)
    wrong = [*sources.wrong, *filed.wrong, *priced.wrong, *resource.wrong]
    if wrong:
        return Configured(None, tuple(wrong))
    configuration = with_prices(with_file(of_settings(settings), filed.document.value), priced.document.value)
    configuration = replace(configuration, policy=replace(configuration.policy, installation=installation))
    config: Mapping[str, Any] = {}
    if resource.document.value is not None:
        configuration = with_resource(configuration, resource.document.value)
        config = resource.document.value["spec"].get("config") or {}
    wrong += _contradictions(configuration, config, names.resource)
    notes = tuple(f"{names.resource}: {each.full_sentence}" for each in rules.notes(resource.document))
    return Configured(None if wrong else configuration, tuple(wrong), notes)


class _Source(NamedTuple):
    document: Document
    wrong: tuple[ConfigurationMistake, ...] = ()


_NOTHING = Document(None, {})


def _read(name: str, text: str | None, mistakes: Callable[[Document], list[Mistake]]) -> _Source:
    """Read a text, and find its mistakes."""
    if text is None:
        return _Source(_NOTHING)
    try:
        document = parse(name, text.encode("utf-8", "surrogatepass"), max_bytes=rules.MAX_BYTES, merge=True)
        found = mistakes(document)
    except FileMistakes as error:
        document, found = _NOTHING, error.mistakes
    return _Source(document, tuple(_wrong(name, each) for each in found))


def _resource(name: str, value: Mapping[str, Any] | None) -> _Source:
    """The resource; its schema is checked again, because an older CRD may have admitted it."""
    if value is None:
        return _Source(_NOTHING)
    document = Document({"apiVersion": VERSION, "kind": "EvictorConfig", **value}, {})
    try:
        found = rules.mistakes(document)
    except RecursionError:
        return _Source(_NOTHING, (ConfigurationMistake(name, "", "is nested too deeply to be read"),))
    return _Source(document, tuple(_wrong(name, each) for each in found))


def _wrong(source: str, mistake: Mistake) -> ConfigurationMistake:
    path = dotted(mistake.path)
    return ConfigurationMistake(source, path, mistake.full_sentence.removeprefix(f"{path}: "), mistake.line)


def _contradictions(
    configuration: Configuration, config: Mapping[str, Any], resource: str
) -> Iterator[ConfigurationMistake]:
    """Mistakes that only the whole configuration shows, each with its source."""
    if configuration.interval < LEAST_INTERVAL:
        yield _blame("cycleInterval", "cycle_interval", config, resource, "is too short, at least 1s")
    drains = configuration.drains
    for key, setting, found in (
        ("drainTimeout", "drain_timeout", drains.drain_timeout),
        ("drainRollbackTimeout", "drain_rollback_timeout", drains.rollback_timeout),
        ("podEvictionFailureBackOff", "pod_eviction_failure_back_off", drains.eviction_back_off),
    ):
        if found > LONGEST:
            yield _blame(key, setting, config, resource, "is too long, at most 24h")
    most, least = configuration.choice.most, configuration.choice.least
    if most is not None and most < least != CompactionSettings().min_target_nodes_per_cycle:
        sentence = f"is {least}, and maxTargetNodesPerCycle allows {most}: make one of them fit the other"
        yield _blame("minTargetNodesPerCycle", "min_target_nodes_per_cycle", config, resource, sentence)


def _blame(key: str, setting: str, config: Mapping[str, Any], resource: str, sentence: str) -> ConfigurationMistake:
    if config.get(key) is not None:
        return ConfigurationMistake(resource, f"spec.config.{key}", sentence)
    return ConfigurationMistake("settings", settings_of(CompactionSettings)[setting].title, sentence)
