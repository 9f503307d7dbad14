"""Bundles JSON Schemas from ``schemas/``: without ``$ref``, and with Moorage's shorthands expanded.

A ``$ref`` names a file below ``schemas/``, never a URL. Its target replaces it, and keys beside it win. Draft-07 would
ignore those keys, and 2020-12 would not. Without any ``$ref`` validators of both drafts read the result alike.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2] / "schemas"

Schema = dict[str, Any]

_NOTHING: Schema = {"const": None}


def bundled(path: str) -> Schema:
    """A schema with the targets of all its references.

    Args:
        path: below ``schemas/``.
    """
    file = ROOT / path
    schema: Schema = _inline({key: each for key, each in _load(file).items() if key != "definitions"}, file)
    groups = schema.pop("x-exclusive", [])
    rules = [rule for group in groups for rule in exclusive(schema, group)]
    if rules:
        schema["allOf"] = [*schema.get("allOf", []), *rules]
    return schema


def text(schema: Schema) -> str:
    """The text of a schema's file."""
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


def exclusive(schema: Schema, group: list[str]) -> Iterator[Schema]:
    """Rules that at most one of some keys is set. Each pair is a rule, and its error names the second key.

    With ``oneOf`` or ``not`` a validator would name the whole file instead.

    Args:
        schema: declares the keys. If a value matches its key's ``x-unset``, the key counts as not set.
        group: the keys, with dots.
    """
    for first, second in combinations(group, 2):
        yield {
            "if": _nested(first, _is_set(_find(schema, first)), required=True),
            "then": _nested(second, {**_is_unset(_find(schema, second)), "x-contradicts": first}, required=False),
        }


def _find(schema: Schema, key: str) -> Schema:
    for part in key.split("."):
        schema = schema["properties"][part]
    return schema


def _is_set(declared: Schema) -> Schema:
    if declared["type"] == "object":
        return {"type": "object", "minProperties": 1}
    if declared["type"] != "string":
        return {"not": _NOTHING}
    found: Schema = {"type": "string", "minLength": 1}
    return {**found, "not": {"pattern": declared["x-unset"]}} if "x-unset" in declared else found


def _is_unset(declared: Schema) -> Schema:
    if declared["type"] == "object":
        return {"maxProperties": 0}
    if declared["type"] != "string":
        return _NOTHING
    return {"pattern": f"^$|{declared['x-unset']}"} if "x-unset" in declared else {"maxLength": 0}


def _nested(key: str, schema: Schema, *, required: bool) -> Schema:
    for part in reversed(key.split(".")):
        schema = {**({"required": [part]} if required else {}), "properties": {part: schema}}
    return schema


@cache
def _load(file: Path) -> Schema:
    schema: Schema = json.loads(file.read_text(encoding="utf-8"))
    return schema


def _inline(node: Any, file: Path) -> Any:
    if isinstance(node, list):
        return [_inline(each, file) for each in node]
    if not isinstance(node, dict):
        return node
    if "$ref" not in node:
        return {name: _inline(each, file) for name, each in node.items()}
    name, _, pointer = node["$ref"].partition("#")
    target = (file.parent / name).resolve() if name else file
    found: Any = _load(target)
    for part in pointer.strip("/").split("/") if pointer else ():
        found = found[part]
    if not pointer:
        found = {key: each for key, each in found.items() if key not in ("$schema", "$id", "title", "definitions")}
    beside = {key: each for key, each in node.items() if key != "$ref"}
    return {**_inline(found, target), **_inline(beside, file)}
