"""Watches rules, prices and the resource EvictorConfig; a change counts from the next cycle on.

A configuration with mistakes never counts: the last valid one stays, and without one no node is chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from moorage.files import prices, rules
from moorage.kube.cache import Change, WatchCache
from moorage.kube.events import ObjectRef
from moorage.kube.http.transport import Transport
from moorage.kube.watch import Selection
from moorage.ops.settings import EvictorSettings

from . import kinds, metrics
from .configuration import Configuration
from .effective_configuration import (
    ConfigurationMistake,
    ConfigurationSources,
    Configured,
    Names,
    configure,
    names_in,
    text_of,
)
from .kinds import ConfigMap, EvictorConfig
from .sources.watched import cache, refusal


@dataclass(frozen=True, slots=True)
class CurrentConfiguration:
    """The configuration that counts now.

    Attributes:
        configuration: the last good one; None when there was none yet.
        wrong: the mistakes of the latest configuration.
        notes: what was accepted and has no effect.
        about: the objects with mistakes, by their name in ``wrong``.
        generation: of the resource; 0 without one.
        number: grows with each change, so that each is reported once.
    """

    configuration: Configuration | None
    wrong: tuple[ConfigurationMistake, ...]
    notes: tuple[str, ...]
    about: Mapping[str, ObjectRef]
    generation: int
    number: int


class ConfigurationWatch:
    """Watches the evictor's configuration.

    Args:
        transport: the connections to the API server.
        settings: of the evictor.
        changed: called when anything has changed; must be quick.
    """

    def __init__(self, transport: Transport, settings: EvictorSettings, changed: Callable[[], None]) -> None:
        self._settings = settings
        self._names: Names = names_in(settings.namespace, settings.rules_config_map, settings.prices_config_map)
        self._rules = _config_map(transport, settings.namespace, settings.rules_config_map)
        self._prices = _config_map(transport, settings.namespace, settings.prices_config_map)
        only = Selection(fields=f"metadata.name={rules.NAME}")
        self.resources: WatchCache[EvictorConfig] = cache(transport, kinds.EVICTOR_CONFIGS, selection=only)
        for each in (self._rules, self._prices):
            if each is not None:
                each.subscribe(lambda _change: changed(), unread=lambda _key, _item: changed())
        self.resources.subscribe(_unless_status(changed), unread=lambda _key, _item: changed())
        self._judged: tuple[ConfigurationSources, tuple[str, int]] | None = None
        self._in_force = CurrentConfiguration(None, (), (), {}, 0, 0)

    @property
    def caches(self) -> Sequence[WatchCache[Any]]:
        """The watch caches to run."""
        return [each for each in (self._rules, self._prices, self.resources) if each is not None]

    def current(self) -> CurrentConfiguration:
        """Return the configuration that counts now; it is read again only after a change."""
        sources, resource = self._look(), self.resources.get(rules.NAME)
        which = (resource.metadata.uid, resource.metadata.generation) if resource is not None else ("", 0)
        if (sources, which) != self._judged:
            configured = configure(self._settings, sources, self._names, installation=self._settings.installation)
            self._take(configured, which[1])
            self._judged = (sources, which)
        return self._in_force

    def _take(self, configured: Configured, generation: int) -> None:
        before = self._in_force
        good = before.configuration if configured.configuration is None else configured.configuration
        metrics.VALID.set(not configured.wrong)
        about = {each.source: ref for each in configured.wrong if (ref := self._about(each.source)) is not None}
        wrong, notes = configured.wrong, configured.notes
        self._in_force = CurrentConfiguration(good, wrong, notes, about, generation, before.number + 1)

    def _look(self) -> ConfigurationSources:
        wrong: list[ConfigurationMistake] = []
        sources = ConfigurationSources(
            self._text(self._rules, rules.KEY, self._names.rules, wrong),
            self._text(self._prices, prices.KEY, self._names.prices, wrong),
            self._resource(wrong),
        )
        return ConfigurationSources(sources.rules, sources.prices, sources.resource, tuple(wrong))

    def _text(
        self, of: WatchCache[ConfigMap] | None, key: str, source: str, wrong: list[ConfigurationMistake]
    ) -> str | None:
        held = _only(of, source, wrong)
        if held is None:
            return None
        text = text_of(held.data, key, source)
        if isinstance(text, str):
            return text
        wrong.append(text)
        return None

    def _resource(self, wrong: list[ConfigurationMistake]) -> Mapping[str, Any] | None:
        held = _only(self.resources, self._names.resource, wrong)
        return held.content() if held is not None else None

    def _about(self, source: str) -> ObjectRef | None:
        """The object that a message names so, as far as it is known."""
        by_source: dict[str, WatchCache[Any] | None] = {
            self._names.rules: self._rules,
            self._names.prices: self._prices,
            self._names.resource: self.resources,
        }
        of = by_source.get(source)
        held = next(iter(of), None) if of is not None else None
        return ObjectRef.to(of.resource.group_version, of.resource.kind, held) if of and held else None


def _config_map(transport: Transport, namespace: str, name: str) -> WatchCache[ConfigMap] | None:
    if not name:
        return None
    return cache(transport, kinds.CONFIG_MAPS, selection=Selection(namespace, fields=f"metadata.name={name}"))


def _only(of: WatchCache[Any] | None, source: str, wrong: list[ConfigurationMistake]) -> Any:
    """The one object of a cache; None when it does not exist, or when it cannot be read, which is a mistake."""
    if of is None:
        return None
    if reason := refusal(of):
        wrong.append(ConfigurationMistake(source, "", reason))
        return None
    for each in of.copy_unread().values():
        wrong.append(
            ConfigurationMistake(source, each.fields[0] if each.fields else "", f"cannot be read: {each.reason}")
        )
        return None
    return next(iter(of), None)


def _unless_status(changed: Callable[[], None]) -> Callable[[Change[EvictorConfig]], None]:
    """Ignore changes of the status, which the evictor writes itself."""

    def react(change: Change[EvictorConfig]) -> None:
        if change.old is None or change.new is None or _said(change.old) != _said(change.new):
            changed()

    return react


def _said(resource: EvictorConfig) -> tuple[Any, int]:
    return resource.spec, resource.metadata.generation
