"""What a JSON Schema finds wrong, in a person's words: the key, what is expected, and what may have been meant."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from jsonschema import ValidationError

Path = tuple[str | int, ...]

_TYPES = {
    "object": "a map",
    "array": "a list",
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
}


def sentences(error: ValidationError) -> Iterator[tuple[Path, str]]:
    """Each mistake that one schema error stands for, with its place in the document."""
    path: Path = tuple(error.absolute_path)
    name = _name(path)
    wanted: Any = error.validator_value
    found: Any = error.instance
    match error.validator:
        case "additionalProperties":
            yield from _unknown(error, path)
        case "required":
            missing = [key for key in wanted if key not in found]
            yield path, f"{name}{', '.join(missing)} is missing"
        case "oneOf":
            yield path, f"{name}exactly one of {_alternatives(error)} says which pods"
        case "type":
            yield path, f"{name}{_shown(found)} is not {_expected(error)}{_hint(error)}"
        case "enum":
            yield path, f"{name}{_shown(found)} is none of {', '.join(map(str, wanted))}"
        case "pattern":
            examples = ", ".join(str(each) for each in _schema(error).get("examples", ()))
            yield path, f"{name}{_shown(found)} does not look like {examples or wanted}"
        case "minimum" | "minLength" | "minItems" | "minProperties":
            yield path, f"{name}{_shown(found)} is too small, at least {wanted}"
        case "maximum" | "maxLength" | "maxItems" | "maxProperties":
            yield path, f"{name}is too large, at most {wanted}"
        case _:
            yield path, f"{name}{error.message[:200]}"


def _schema(error: ValidationError) -> dict[str, Any]:
    return error.schema if isinstance(error.schema, dict) else {}


def _unknown(error: ValidationError, path: Path) -> Iterator[tuple[Path, str]]:
    found: Any = error.instance
    known = sorted(_schema(error).get("properties", {}))
    for key in found:
        if key in known:
            continue
        close = get_close_matches(key, known, 1, cutoff=0.5)
        hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}"
        yield (*path, key), f"unknown field {_shown(key)}; {hint}"


def _alternatives(error: ValidationError) -> str:
    schemas: Any = error.validator_value
    keys = [key for each in schemas for key in each.get("required", ())]
    return ", ".join(keys)


def _expected(error: ValidationError) -> str:
    kinds: Any = error.validator_value
    return " or ".join(_TYPES.get(kind, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds))


def _hint(error: ValidationError) -> str:
    if error.validator_value == "string" and isinstance(error.instance, bool | int | float):
        text = str(error.instance).lower() if isinstance(error.instance, bool) else str(error.instance)
        return f'; write "{text}" in quotes'
    return ""


def _name(path: Path) -> str:
    """The innermost key, as a prefix; the line says where it is."""
    key = next((part for part in reversed(path) if isinstance(part, str)), "")
    return f"{key}: " if key else ""


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
