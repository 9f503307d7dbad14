"""Checks files with rules of the evictor.

A file is the published file or list, a ConfigMap with it, or the resource EvictorConfig. Prices of nodes in the same
ConfigMap are known by their key. A null key counts as missing, as in the API.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from . import prices, schemas
from .mistakes import FileMistakes, Mistake, Path
from .nulls import without_nulls
from .schema_errors import shown
from .yamlfile import Document, parse

MAX_BYTES = 1 << 20
"""The size limit of a ConfigMap."""
KEY = "config.yaml"
"""The key of a ConfigMap with rules."""
RESOURCE = "evictorconfig.schema.json"
NAME = "evictor-config"
"""The name of the only resource that is read."""

_LISTS = ("List", "ConfigMapList", "EvictorConfigList")
"""What `kubectl get` says of several resources."""
_RULES = "rules.schema.json"
_OF_OBJECTS = ("apiVersion", "kind")
_ELSEWHERE = {"evictionconfig": "spec.evictionRules"}
"""How the published file calls what the resource calls otherwise."""


def mistakes(document: Document) -> list[Mistake]:
    """The mistakes in a file of rules. An empty file has no rules and is valid."""
    value = without_nulls(document.value)
    if value is None:
        return []
    if _kind(value) == "ConfigMap":
        return _of_config_map(document, value)
    if _kind(value) == "EvictorConfig":
        return list(schemas.mistakes(RESOURCE, document, value, _ELSEWHERE))
    if _kind(value) in _LISTS and isinstance(value.get("items", []), list):
        items = _items(document)
        about = [each for each in items if are_in(each[1])] or items
        return [each._replace(path=(*at, *each.path)) for at, item in about for each in mistakes(item)]
    if isinstance(value, Mapping) and not value.keys().isdisjoint(_OF_OBJECTS):
        return [document.mistake(("kind",), f"kind: {_without_rules(_kind(value))}")]
    if isinstance(value, Mapping) and prices.LIST in value:
        return prices.mistakes(document)
    return mistakes_of_rules(document)


def mistakes_of_rules(document: Document) -> list[Mistake]:
    """The mistakes in the published file or list, which a ConfigMap contains too."""
    value = without_nulls(document.value)
    return list(schemas.mistakes(_RULES, document, value)) if value is not None else []


def mistakes_in_text(
    document: Document, key: str, of: Callable[[Document], list[Mistake]] = mistakes_of_rules
) -> list[Mistake]:
    """The mistakes in a file that is a text inside another file.

    Args:
        document: the other file.
        key: the top-level key of the text.
        of: returns the mistakes in such a text; by default it contains rules.
    """
    try:
        mistakes = of(parse(key, document.value[key].encode(), max_bytes=MAX_BYTES, merge=True))
    except FileMistakes as error:
        mistakes = error.mistakes
    return [
        document.mistake((key,), f"{key}: in line {each.line} of the text: {each.full_sentence}") for each in mistakes
    ]


def are_in(document: Document) -> bool:
    """Whether an object of Kubernetes holds rules: an EvictorConfig, or a ConfigMap with them."""
    kind = _kind(document.value)
    data = document.value.get("data") if kind == "ConfigMap" else None
    return kind == "EvictorConfig" or (isinstance(data, Mapping) and not _TEXTS.keys().isdisjoint(data))


def notes(document: Document) -> Iterator[Mistake]:
    """Parts of a valid file that have no effect."""
    value = without_nulls(document.value)
    if _kind(value) in _LISTS:
        yield from (each._replace(path=(*at, *each.path)) for at, item in _items(document) for each in notes(item))
    if _kind(value) != "EvictorConfig":
        return
    declared = schemas.load(RESOURCE)["properties"]["spec"]["properties"]
    spec, name = value["spec"], value.get("metadata", {}).get("name")
    if name != NAME:
        yield document.mistake(("metadata",), f"metadata: only the resource of the name {NAME} is read")
    for where, given, known in (
        (("spec",), spec, declared),
        (("spec", "config"), spec.get("config", {}), declared["config"]["properties"]),
    ):
        for name, inner in given.items():
            if known[name].get("x-effect") == "none" and inner != known[name]["default"]:
                sentence = f"{name}: accepted, without effect. {known[name]['description']}"
                yield document.mistake((*where, name), sentence)


def _kind(value: Any) -> Any:
    return value.get("kind") if isinstance(value, Mapping) else None


def _items(document: Document) -> list[tuple[Path, Document]]:
    """The objects of a list, each with its place. What a server leaves out of them the list says."""
    kind = str(_kind(document.value)).removesuffix("List")
    left_out = {"apiVersion": document.value.get("apiVersion"), "kind": kind} if kind else {}
    found: list[tuple[Path, Document]] = []
    for index, item in enumerate(document.value.get("items") or ()):
        below = document.below("items", index)
        whole = {**left_out, **item} if isinstance(item, Mapping) else item
        found.append((("items", index), Document(whole, below.locations)))
    return found


def _without_rules(kind: Any) -> str:
    what = f"{shown(kind)} holds no rules" if kind is not None else "is missing, and with it the rules"
    return f"{what}; they stand in an EvictorConfig, or in {KEY} of a ConfigMap"


def _of_config_map(document: Document, value: Mapping[str, Any]) -> list[Mistake]:
    data = value.get("data")
    if isinstance(data, Mapping) and isinstance(data.get(KEY), Mapping | list):
        return [document.mistake(("data", KEY), f"{KEY}: is not a text; write {KEY}: | and the rules below it")]
    texts = data if isinstance(data, Mapping) else {}
    known = {key: of for key, of in _TEXTS.items() if isinstance(texts.get(key), str)}
    if not known or (KEY in texts and KEY not in known):
        return [document.mistake(("data",), f"data: {KEY} is missing, the text with the rules")]
    below = document.below("data")
    result = [each for key, of in known.items() for each in mistakes_in_text(below, key, of)]
    return [each._replace(path=("data", *each.path)) for each in result]


_TEXTS = {KEY: mistakes_of_rules, prices.KEY: prices.mistakes}
"""The keys that a ConfigMap may have."""
