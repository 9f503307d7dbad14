"""What a JSON Schema finds wrong, in a person's words: the key, what is expected, and what may have been meant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from jsonschema import ValidationError

from .mistakes import Path

_TYPES = {
    "object": "a map",
    "array": "a list",
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
}
_LISTED = 20
_LEAST = {"minLength": "characters", "minItems": "entries", "minProperties": "keys"}
_MOST = {"maxLength": "characters", "maxItems": "entries", "maxProperties": "keys"}


def sentences(error: ValidationError, elsewhere: Mapping[str, str] | None = None) -> Iterator[tuple[Path, str]]:
    """Each mistake that one schema error stands for, with its place in the document.

    Args:
        error: the error.
        elsewhere: for keys that are often misplaced: a key in small letters to the whole path of where it belongs.
    """
    path: Path = tuple(error.absolute_path)
    if "propertyNames" in error.absolute_schema_path and isinstance(error.instance, str):
        yield (*path, error.instance), f"{_shown(error.instance)} cannot be a name here{_like(error)}"
        return
    name = _name(path)
    wanted: Any = error.validator_value
    found: Any = error.instance
    match error.validator:
        case "additionalProperties":
            yield from _unknown(error, path, elsewhere or {})
        case "required":
            missing = [key for key in wanted if key not in found]
            yield path, f"{name}{', '.join(missing)} is missing"
        case "oneOf":
            yield path, f"{name}exactly one of {_alternatives(error)} {_schema(error).get('x-says', 'is needed')}"
        case "type":
            yield path, f"{name}{_shown(found)} is not {_expected(error)}{_hint(error)}"
        case "enum":
            choices = dict.fromkeys(_plain(each) for each in wanted if each is not None)
            yield path, f"{name}{_shown(found)} is none of {', '.join(choices)}"
        case _ if (other := _schema(error).get("x-contradicts")) is not None:
            why = _schema(error).get("x-why", "keep one of them")
            yield path, f"{name}contradicts {other}: {why}"
        case "pattern":
            yield path, f"{name}{_shown(found)} does not look like {_like(error).removeprefix('; write ') or wanted}"
        case "minimum" | "minLength" | "minItems" | "minProperties":
            yield path, f"{name}{_small(error)}, at least {wanted}{_counted(error, _LEAST)}"
        case "maximum" | "maxLength" | "maxItems" | "maxProperties":
            yield path, f"{name}is too large, at most {wanted}{_counted(error, _MOST)}"
        case _:
            yield path, f"{name}{error.message[:200]}"


def _schema(error: ValidationError) -> dict[str, Any]:
    return error.schema if isinstance(error.schema, dict) else {}


def _unknown(error: ValidationError, path: Path, elsewhere: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    found: Any = error.instance
    known = sorted(_schema(error).get("properties", {}))
    for key in found:
        if key not in known:
            yield (*path, key), f"unknown field {_shown(key)}; {_meant(key, known, elsewhere)}"


def _meant(key: str, known: list[str], elsewhere: Mapping[str, str]) -> str:
    folded = {each.lower(): each for each in known}
    if key.lower() in folded:
        return f"did you mean {folded[key.lower()]}?"
    if key.lower() in elsewhere:
        return f"did you mean {elsewhere[key.lower()]}?"
    # What nobody typed by mistake is not compared: that takes time with the square of its length.
    alike = [each for each in known if len(each) < 2 * len(key)]
    if len(key) <= 100 and (close := get_close_matches(key, alike, 1, cutoff=0.6)):
        return f"did you mean {close[0]}?"
    return f"known here: {', '.join(known)}" if len(known) <= _LISTED else "nothing here has a name like that"


def _alternatives(error: ValidationError) -> str:
    schemas: Any = error.validator_value
    keys = [key for each in schemas for key in each.get("required", ())]
    return ", ".join(dict.fromkeys(keys))


def _expected(error: ValidationError) -> str:
    kinds: Any = error.validator_value
    listed = [kinds] if isinstance(kinds, str) else kinds
    return " or ".join(_TYPES[kind] for kind in listed if kind != "null")


def _hint(error: ValidationError) -> str:
    kinds: Any = error.validator_value
    if kinds in ("string", ["string", "null"]) and isinstance(error.instance, bool | int | float):
        return f'; write "{_plain(error.instance)}" in quotes'
    if "boolean" in kinds and str(error.instance).lower() in ("true", "false"):
        return "; write it without quotes"
    if "integer" in kinds and isinstance(error.instance, str) and error.instance.isdecimal():
        return "; write it without quotes"
    return ""


def _like(error: ValidationError) -> str:
    examples = [_plain(each) for each in _schema(error).get("examples", ()) if isinstance(each, str | int | float)]
    return f"; write {', '.join(examples)}" if examples else ""


def _small(error: ValidationError) -> str:
    return "is empty" if error.instance in ("", [], {}) else f"{_shown(error.instance)} is too small"


def _counted(error: ValidationError, things: Mapping[str, str]) -> str:
    what = things.get(str(error.validator))
    return f" {what}" if what and error.validator_value != 1 else f" {_singular(what)}" if what else ""


def _singular(what: str) -> str:
    return what.removesuffix("ies") + "y" if what.endswith("ies") else what.removesuffix("s")


def _name(path: Path) -> str:
    """The innermost key, as a prefix; the line says where it is."""
    key = next((part for part in reversed(path) if isinstance(part, str)), "")
    return f"{key}: " if key else ""


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    text = _plain(value) if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
