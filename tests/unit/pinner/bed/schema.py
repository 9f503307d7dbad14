"""The schema of NodeReservations as the API server applies it: pruning, limits and defaults."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from .refusals import Cause

_CRD = Path(__file__).parents[4] / "schemas" / "crds" / "nodereservations.moorage.dev.yaml"
_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
}


@cache
def schema() -> dict[str, Any]:
    """The schema that the chart installs."""
    crd = yaml.safe_load(_CRD.read_text("utf-8"))
    found: dict[str, Any] = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return found


def conform(part: str, value: Any) -> list[Cause]:
    """Prune and complete the ``spec`` or ``status`` of a reservation in place.

    Args:
        part: which of the two.
        value: the value in the request.

    Returns:
        The error, or an empty text.
    """
    return list(_conform(schema()["properties"][part], value, part))


def _conform(wanted: dict[str, Any], value: Any, field: str) -> Iterator[Cause]:
    kind = wanted.get("type")
    if kind is not None and (type(value) not in _TYPES[kind]):
        shown = "null" if value is None else type(value).__name__
        yield Cause(field, f'Invalid value: "{shown}": {field} in body must be of type {kind}: "{shown}"')
        return
    if isinstance(value, dict):
        yield from _object(wanted, value, field)
    elif isinstance(value, list):
        yield from _many(wanted, len(value), "maxItems", "items", field)
        for index, item in enumerate(value):
            yield from _conform(wanted["items"], item, f"{field}[{index}]")
    else:
        yield from _scalar(wanted, value, field)


def _object(wanted: dict[str, Any], value: dict[str, Any], field: str) -> Iterator[Cause]:
    properties, others = wanted.get("properties", {}), wanted.get("additionalProperties")
    if others is None:
        for name in value.keys() - properties.keys():
            del value[name]
    yield from _many(wanted, len(value), "maxProperties", "properties", field)
    for name, each in properties.items():
        if name not in value and "default" in each:
            value[name] = each["default"]
    for name in wanted.get("required", ()):
        if name not in value:
            yield Cause(f"{field}.{name}", "Required value", "FieldValueRequired")
    for name, each in value.items():
        yield from _conform(properties.get(name, others), each, f"{field}.{name}")


def _many(wanted: dict[str, Any], count: int, limit: str, what: str, field: str) -> Iterator[Cause]:
    if count > wanted.get(limit, count):
        text = f"Too many: {count}: must have at most {wanted[limit]} {what}"
        yield Cause(field, text, "FieldValueTooMany")


def _scalar(wanted: dict[str, Any], value: Any, field: str) -> Iterator[Cause]:
    if isinstance(value, str):
        if len(value) > wanted.get("maxLength", len(value)):
            text = f"Too long: may not be more than {wanted['maxLength']} bytes"
            yield Cause(field, text, "FieldValueTooLong")
        if len(value) < wanted.get("minLength", 0):
            yield Cause(field, f'Invalid value: "{value}": should be at least {wanted["minLength"]} chars long')
    if value not in wanted.get("enum", [value]):
        choices = ", ".join(f'"{choice}"' for choice in wanted["enum"])
        text = f'Unsupported value: "{value}": supported values: {choices}'
        yield Cause(field, text, "FieldValueNotSupported")
    if isinstance(value, int) and not wanted.get("minimum", value) <= value <= wanted.get("maximum", value):
        yield Cause(field, f"Invalid value: {value}: is not between {wanted['minimum']} and {wanted['maximum']}")
