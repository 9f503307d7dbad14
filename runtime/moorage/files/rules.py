"""Rules of the evictor in the files that people have them in: what is wrong with one, and what it says.

They come alone, as the published file or list, inside a ConfigMap, and inside the resource EvictorConfig; prices of
nodes, which they stand beside in the cluster, are known by their key. A key that is null counts as left out, as in
every answer of an API server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from . import prices, schemas
from .mistakes import FileMistakes, Mistake
from .nulls import without_nulls
from .yamlfile import Document, parse

MAX_BYTES = 1 << 20
"""A ConfigMap holds no more."""
KEY = "config.yaml"
"""Under which a ConfigMap holds the rules."""
RESOURCE = "evictorconfig.schema.json"
NAME = "evictor-config"
"""Of the one resource that counts."""

_RULES = "rules.schema.json"


def mistakes(document: Document) -> list[Mistake]:
    """What is wrong with a file of rules; one without any content has no rules, and is right."""
    value = without_nulls(document.value)
    if value is None:
        return []
    if _kind(value) == "ConfigMap":
        return _of_config_map(document, value)
    if _kind(value) == "EvictorConfig":
        return list(schemas.mistakes(RESOURCE, document, value))
    if isinstance(value, Mapping) and prices.LIST in value:
        return prices.mistakes(document)
    return mistakes_of_rules(document)


def mistakes_of_rules(document: Document) -> list[Mistake]:
    """What is wrong with the published file or list, which a ConfigMap holds, too."""
    value = without_nulls(document.value)
    return list(schemas.mistakes(_RULES, document, value)) if value is not None else []


def mistakes_in_text(
    document: Document, key: str, of: Callable[[Document], list[Mistake]] = mistakes_of_rules
) -> list[Mistake]:
    """What is wrong with a file that is one text in another file.

    Args:
        document: the other file.
        key: the top-level key with the text.
        of: says what is wrong with such a file; unless told otherwise it holds rules.
    """
    try:
        found = of(parse(key, document.value[key].encode(), max_bytes=MAX_BYTES, merge=True))
    except FileMistakes as error:
        found = error.mistakes
    return [document.mistake((key,), f"{key}: in line {each.line} of the text: {each.full_sentence}") for each in found]


def notes(document: Document) -> Iterator[Mistake]:
    """What a right file says in vain."""
    value = without_nulls(document.value)
    if _kind(value) != "EvictorConfig":
        return
    declared = schemas.load(RESOURCE)["properties"]["spec"]["properties"]
    spec, name = value["spec"], value.get("metadata", {}).get("name")
    if name != NAME:
        yield document.mistake(("metadata",), f"metadata: only the resource of the name {NAME} is read")
    for where, said, known in (
        (("spec",), spec, declared),
        (("spec", "config"), spec.get("config", {}), declared["config"]["properties"]),
    ):
        for name, inner in said.items():
            if known[name].get("x-effect") == "none" and inner != known[name]["default"]:
                sentence = f"{name}: accepted, without effect. {known[name]['description']}"
                yield document.mistake((*where, name), sentence)


def _kind(value: Any) -> Any:
    return value.get("kind") if isinstance(value, Mapping) else None


def _of_config_map(document: Document, value: Mapping[str, Any]) -> list[Mistake]:
    data = value.get("data")
    texts = data if isinstance(data, Mapping) else {}
    known = {key: of for key, of in _TEXTS.items() if isinstance(texts.get(key), str)}
    if not known or (KEY in texts and KEY not in known):
        return [document.mistake(("data",), f"data: {KEY} is missing, the text with the rules")]
    below = document.below("data")
    found = [each for key, of in known.items() for each in mistakes_in_text(below, key, of)]
    return [each._replace(path=("data", *each.path)) for each in found]


_TEXTS = {KEY: mistakes_of_rules, prices.KEY: prices.mistakes}
"""What a ConfigMap may hold."""
