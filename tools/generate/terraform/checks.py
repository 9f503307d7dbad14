"""A chart's schema in the form that the modules' checks.tf reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from moorage.files import schema_errors
from tools.generate.bundle import Schema
from tools.generate.values import is_group

# The keywords that checks.tf supports. A chart may use another one only after checks.tf supports it.
_UNDERSTOOD = {
    *("type", "enum", "pattern", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems"),
    *("minProperties", "maxProperties", "required", "oneOf", "properties", "additionalProperties", "items"),
    *("propertyNames", "description", "default", "examples"),
}
# Rules between keys deep in a value. Helm checks them before it changes anything.
_LEFT_TO_HELM = {"allOf"}
_BY_JSON = {
    "object": r"\{",
    "array": r"\[",
    "string": '"',
    "integer": "-?[0-9]+$",
    "number": "[-0-9]",
    "boolean": "[tf]",
    "null": "n",
}
# What looks like such a value, and is a text in quotes.
_IN_QUOTES = {"boolean": "(?i:true|false)", "integer": r"\pN+", "number": schema_errors.NUMBER}
_PLAIN = "^[-0-9tf]"
_SIZES = {"Length": '"', "Items": "[", "Properties": "{"}
_TOP = ""
_NO_LIMIT = 1 << 40


def schema_json(schema: Schema) -> str:
    """A module's schema.json: the checks of values, by path. Equal checks are stored once.

    Terraform copies a value whenever a function gets it. So values carry only their path.
    """
    found: dict[str, dict[str, Any]] = {}
    checks = {name: _checks(inner, default=_default(inner)) for name, inner in schema["properties"].items()}
    _put(found, {}, _TOP, {"properties": checks})
    return json.dumps(found, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def _put(found: dict[str, dict[str, Any]], same: dict[str, str], place: str, checks: dict[str, Any]) -> str:
    """Store the checks of a path and of all paths below it. Returns their key."""
    flat = dict(checks)
    if "properties" in checks:
        inner = checks["properties"].items()
        flat["properties"] = {name: _put(found, same, f"{place}.{name}".lstrip("."), each) for name, each in inner}
    for name, step in (("additionalProperties", ".*"), ("items", "[]")):
        if name in checks:
            flat[name] = _put(found, same, place + step, checks[name])
    content = json.dumps(flat, sort_keys=True)
    if content not in same:
        same[content] = place
        found[place] = flat
    return same[content]


def depth(schema: Schema) -> int:
    """The number of levels of values that the schema describes."""
    below = [*schema.get("properties", {}).values(), schema.get("additionalProperties"), schema.get("items")]
    return max((1 + depth(each) for each in below if isinstance(each, dict)), default=0)


def _checks(schema: Schema, default: Any = None, *, nullable: bool = False) -> dict[str, Any]:
    """The checks of one value.

    Args:
        schema: of the value.
        default: the chart's own value for this key. If there is one, Helm removes null from it, so null is valid.
        nullable: whether null is valid for this value.
    """
    unknown = {key for key in schema if key not in _UNDERSTOOD | _LEFT_TO_HELM and not key.startswith("x-")}
    assert not unknown, f"checks.tf does not know {unknown}"
    found: dict[str, Any] = {}
    if "type" in schema:
        found["type"] = _type(schema, nullable=nullable)
    if "enum" in schema:
        choices = [*schema["enum"], *([None] if nullable else [])]
        found["enum"] = {"json": [json.dumps(each) for each in choices], "words": schema_errors.choices(choices)}
    if "pattern" in schema:
        found["pattern"] = {"expression": schema["pattern"], "words": schema_errors.looks(schema)}
    found |= _limits(schema)
    if "required" in schema:
        found["required"] = schema["required"]
    if "oneOf" in schema:
        required = [each["required"] for each in schema["oneOf"] if set(each) == {"required"}]
        assert len(required) == len(schema["oneOf"])
        found["oneOf"] = {"required": required, "words": schema_errors.exactly_one(schema)}
    if "propertyNames" in schema:
        found["propertyNames"] = _names(schema["propertyNames"])
    if "items" in schema:
        found["items"] = _checks(schema["items"])
    if schema.get("x-secret"):
        found["secret"] = schema_errors.UNSHOWN
    return found | _below(schema, default if isinstance(default, dict) else {})


def _below(schema: Schema, defaults: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    properties, others = schema.get("properties", {}), schema.get("additionalProperties")
    known = dict(properties)
    if isinstance(others, dict):
        found["additionalProperties"] = _checks(others)
        known |= {name: others for name in defaults if name not in properties}
    if known:
        found["properties"] = {
            name: _checks(inner, _default(inner) if is_group(schema) else defaults.get(name), nullable=name in defaults)
            for name, inner in known.items()
        }
    if others is False:
        found["known"] = schema_errors.known_here(list(properties))
    return found


def _default(schema: Schema) -> Any:
    """The value of a key in the chart's values.yaml, or None."""
    return None if schema.get("x-no-value") else schema.get("default")


def _type(schema: Schema, *, nullable: bool) -> dict[str, str]:
    kinds = [schema["type"]] if isinstance(schema["type"], str) else list(schema["type"])
    named = [kind for kind in kinds if kind != "null"]
    expressions = [_BY_JSON[kind] for kind in [*named, *(["null"] if nullable or "null" in kinds else [])]]
    # The hints of schema_errors, for a text that looks like a plain value, or the other way round.
    when, hint = "^$", ""
    if named == ["string"]:
        when, hint = _PLAIN, '; write "{}" in quotes'
        if schema.get("x-secret"):
            hint = "; write it in quotes"
    elif plain := [_IN_QUOTES[kind] for kind in named if kind in _IN_QUOTES]:
        when, hint = f'^"({"|".join(plain)})"$', schema_errors.UNQUOTED
    found = {
        "expression": f"^({'|'.join(expressions)})",
        "words": schema_errors.expected(kinds),
        "when": when,
        "hint": hint,
    }
    # A number, true or false that would not fit as a text either is told so.
    return found | {"fits": _PLAIN} if "string" in kinds and "pattern" in schema else found


def _limits(schema: Schema) -> dict[str, Any]:
    numbers, sizes = [], []
    for prefix, least in (("min", True), ("max", False)):
        if (number := schema.get(f"{prefix}imum")) is not None:
            numbers.append({"least": least, "number": number, "words": schema_errors.counted(f"{prefix}imum", number)})
        for thing, of in _SIZES.items():
            if (number := schema.get(f"{prefix}{thing}")) is not None:
                words = schema_errors.counted(f"{prefix}{thing}", number)
                sizes.append({"least": least, "number": number, "of": of, "words": words})
    return {**({"numbers": numbers} if numbers else {}), **({"sizes": sizes} if sizes else {})}


def _names(schema: Schema) -> dict[str, Any]:
    unknown = set(schema) - {"pattern", "maxLength", "examples"}
    assert not unknown, f"checks.tf does not know {unknown} of names"
    return {
        "expression": schema.get("pattern", ""),
        "most": schema.get("maxLength", _NO_LIMIT),
        "words": schema_errors.like(schema),
    }
