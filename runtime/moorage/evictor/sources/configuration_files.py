"""Rules and prices from files that a person names, instead of those in the cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from moorage.evictor.effective_configuration import ConfigurationMistake, ConfigurationSources, Names, text_of
from moorage.files import prices, rules
from moorage.files.mistakes import FileMistakes
from moorage.files.yamlfile import parse


def with_rules(found: ConfigurationSources, names: Names, file: str) -> tuple[ConfigurationSources, Names]:
    """Return the sources with the rules of a file: rules file or list, ConfigMap, or EvictorConfig.

    The rules of the cluster's EvictorConfig do not count then: the report shows what the file does.

    Args:
        found: what the cluster has.
        names: how messages call it.
        file: its name.
    """
    text = _read(file)
    content = _map(file, text)
    if content.get("kind") == "EvictorConfig":
        kept = _without(found, names.resource)
        return replace(kept, resource=content), names._replace(resource=file)
    kept = replace(_without(found, names.rules), resource=_without_rules(found.resource))
    if content.get("kind") == "ConfigMap":
        text = _text(content, rules.KEY, file)
    if isinstance(text, ConfigurationMistake):
        return replace(kept, rules=None, wrong=(*kept.wrong, text)), names._replace(rules=file)
    return replace(kept, rules=text), names._replace(rules=file)


def with_prices(found: ConfigurationSources, names: Names, file: str) -> tuple[ConfigurationSources, Names]:
    """Return the sources with the prices of a file: a price list, or a ConfigMap with one.

    Args:
        found: what the cluster has.
        names: how messages call it.
        file: its name.
    """
    text = _read(file)
    content = _map(file, text)
    if content.get("kind") == "ConfigMap":
        text = _text(content, prices.KEY, file)
    kept = _without(found, names.prices)
    if isinstance(text, ConfigurationMistake):
        return replace(kept, prices=None, wrong=(*kept.wrong, text)), names._replace(prices=file)
    return replace(kept, prices=text), names._replace(prices=file)


def _read(file: str) -> str | ConfigurationMistake:
    try:
        with open(file, "rb") as opened:
            data = opened.read(rules.MAX_BYTES + 1)
    except OSError as error:
        return ConfigurationMistake(file, "", f"cannot be read: {error.strerror or error}")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return ConfigurationMistake(file, "", "is not UTF-8", data.count(b"\n", 0, error.start) + 1)


def _map(file: str, text: str | ConfigurationMistake) -> Mapping[str, Any]:
    """The map in a file; mistakes in it are found later."""
    if isinstance(text, ConfigurationMistake):
        return {}
    try:
        value = parse(file, text.encode(), max_bytes=rules.MAX_BYTES, merge=True).value
    except FileMistakes:
        return {}
    return value if isinstance(value, Mapping) else {}


def _text(content: Mapping[str, Any], key: str, file: str) -> str | ConfigurationMistake:
    data = content.get("data")
    return text_of(data if isinstance(data, Mapping) else None, key, file)


def _without(found: ConfigurationSources, source: str) -> ConfigurationSources:
    """Without the mistakes of a source that does not count any more."""
    return replace(found, wrong=tuple(each for each in found.wrong if each.source != source))


def _without_rules(resource: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    spec = resource.get("spec") if resource is not None else None
    if resource is None or not isinstance(spec, Mapping):
        return resource
    return {**resource, "spec": {key: value for key, value in spec.items() if key != "evictionRules"}}
