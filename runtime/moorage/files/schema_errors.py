"""Explains errors of a JSON Schema in plain words: the key, what is expected, and what was probably meant."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, cast

from jsonschema import ValidationError

from .mistakes import Path, one_line
from .opposites import WORD, are_opposite

_TYPES = {
    "object": "a map",
    "array": "a list",
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
}
_UNITS = ("milliseconds", "seconds", "minutes", "hours", "days")
_LISTED = 20
_SHOWN = 60
_COMPARED = 100
_THINGS = {"Length": "characters", "Items": "entries", "Properties": "keys"}
UNSHOWN = "the value"
UNQUOTED = "; in quotes it is a text: write it without"
"""What is said of true, false and numbers in quotes."""
NUMBER = r"\pN+([.]\pN+)?"
"""A number, as expressions of Go have it."""
_NUMBER = re.compile(r"\d+([.]\d+)?")


def sentences(
    error: ValidationError, elsewhere: Mapping[str, str] | None = None, written: str = ""
) -> Iterator[tuple[Path, str]]:
    """The mistakes that one schema error stands for, with their locations in the document.

    Args:
        error: the error.
        elsewhere: for keys that are often misplaced: the key in small letters to its correct path.
        written: how the file writes a value that is no text; unset: as the value is shown.
    """
    path: Path = tuple(error.absolute_path)
    if "propertyNames" in error.absolute_schema_path and isinstance(error.instance, str):
        yield (*path, error.instance), f"{shown(error.instance)} cannot be a name here{like(_schema(error))}"
        return
    name = _name(path)
    wanted: Any = error.validator_value
    value: Any = error.instance
    what = UNSHOWN if _schema(error).get("x-secret") else shown(value)
    match error.validator:
        case "additionalProperties":
            yield from _unknown(error, path, elsewhere or {})
        case "required":
            missing = [key for key in wanted if key not in value]
            yield path, f"{name}{', '.join(missing)} is missing"
        case "oneOf":
            yield path, f"{name}{exactly_one(_schema(error))}"
        case "type" if not _would_fit(error, written):
            yield path, f"{name}{_as_written(what, written)} does not look like {looks(_schema(error))}"
        case "type":
            yield path, f"{name}{_as_written(what, written)} is not {expected(wanted)}{_hint(error, written)}"
        case "enum":
            yield path, f"{name}{what} is none of {choices(wanted)}"
        case _ if "x-contradicts" in _schema(error):
            yield path, f"{name}{contradicts(_schema(error))}"
        case "pattern":
            only = "; a name is given in full, not as a pattern" if "*" in str(value) and "*" not in wanted else ""
            yield path, f"{name}{what} does not look like {looks(_schema(error))}{only}"
        case "minimum" | "minLength" | "minItems" | "minProperties" as limit:
            small = "is empty" if value in ("", [], {}) else f"{what} is too small"
            yield path, f"{name}{small}, at least {counted(limit, wanted)}"
        case "maximum" | "maxLength" | "maxItems" | "maxProperties" as limit:
            yield path, f"{name}is too large, at most {counted(limit, wanted)}"
        case _:
            yield path, f"{name}{error.message[:200]}"


def shown(value: object) -> str:
    """A value as messages quote it: a text in single quotes with JSON's escapes, all else as JSON."""
    if value is None:
        return "nothing"
    text = one_line(json.dumps(_written(value), ensure_ascii=False, separators=(",", ":"), sort_keys=True))
    if isinstance(value, str):
        text = f"'{_unescaped(text[1:-1])}'"
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def expected(kinds: str | Sequence[str]) -> str:
    """The expected kind of a value, by the schema's ``type``."""
    listed = [kinds] if isinstance(kinds, str) else kinds
    return " or ".join(_TYPES[kind] for kind in listed if kind != "null")


def choices(enum: Sequence[Any]) -> str:
    """The allowed values, by the schema's ``enum``."""
    return ", ".join(dict.fromkeys(_plain(each) for each in enum if each not in (None, "")))


def exactly_one(schema: Mapping[str, Any]) -> str:
    """The text for a ``oneOf`` of required keys."""
    keys = [key for each in schema["oneOf"] for key in each.get("required", ())]
    return f"exactly one of {', '.join(dict.fromkeys(keys))} {schema.get('x-says', 'is needed')}"


def contradicts(schema: Mapping[str, Any]) -> str:
    """The text for a schema with ``x-contradicts``."""
    return f"contradicts {schema['x-contradicts']}: {schema.get('x-why', 'keep one of them')}"


def looks(schema: Mapping[str, Any]) -> str:
    """The expected form of a value: the schema's examples, else its pattern."""
    return _examples(schema) or str(schema["pattern"])


def like(schema: Mapping[str, Any]) -> str:
    """What to write instead, if the schema has examples."""
    return f"; write {found}" if (found := _examples(schema)) else ""


def counted(limit: str, number: float) -> str:
    """A limit with its unit.

    Args:
        limit: the schema's keyword, ``minLength``.
        number: its value.
    """
    what = _THINGS.get(limit[3:])
    return f"{number} {_singular(what) if number == 1 else what}" if what else f"{number}"


def known_here(names: Sequence[str]) -> str:
    """The known keys, unless there are too many."""
    if len(names) > _LISTED:
        return "nothing here has a name like that"
    return f"known here: {', '.join(sorted(names))}"


def _schema(error: ValidationError) -> dict[str, Any]:
    return error.schema if isinstance(error.schema, dict) else {}


def _unknown(error: ValidationError, path: Path, elsewhere: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    keys: Any = error.instance
    declared = _schema(error).get("properties", {})
    known = sorted(name for name, inner in declared.items() if inner.get("x-effect") != "none")
    in_vain = [name for name in declared if name not in known]
    for key in keys:
        if key not in declared:
            meant = _dotted(key, declared) or _meant(key, known, elsewhere, nested=bool(path))
            meant = _leave_out(key, in_vain) or meant if meant == known_here(known) else meant
            yield (*path, key), f"unknown field {shown(key)}; {meant}"


def _dotted(key: str, declared: Mapping[str, Any]) -> str:
    """A path of keys as ``--set`` takes it, in a file, where a dot is part of a key."""
    first, dot, rest = key.partition(".")
    return f"a dot nests only in --set: write {rest} below {first}" if dot and rest and first in declared else ""


def _leave_out(key: str, in_vain: Sequence[str]) -> str:
    """A key that means the same as one without effect: the same words in another order."""
    same = next((each for each in in_vain if _words(each) == _words(key)), "")
    return f"it means {same}, which has no effect here: leave it out" if same else ""


def _words(key: str) -> set[str]:
    return {word.lower().removesuffix("s") for word in WORD.findall(key)}


def _meant(key: str, known: list[str], elsewhere: Mapping[str, str], *, nested: bool) -> str:
    folded = {each.lower(): each for each in known}
    # Terraform and Python write max_nodes where a chart has maxNodes.
    for written, remark in (
        (key.lower(), ""),
        (_folded(key), " Underscores are Terraform's spelling." if "_" in key else ""),
    ):
        if written in folded:
            return f"did you mean {folded[written]}?{remark}"
        if written in elsewhere:
            at_top = nested and elsewhere[written] == key
            return f"{key} belongs at the top level" if at_top else f"did you mean {elsewhere[written]}?{remark}"
    # A long key is not compared, because the time grows with the square of its length.
    if len(key) <= _COMPARED:
        alike = [each for each in known if len(each) < 2 * len(key)]
        close = get_close_matches(key, alike, 1, cutoff=0.6)
        if close and not are_opposite(key, close[0]):
            return f"did you mean {close[0]}?{_other_unit(key, close[0])}"
    return known_here(known)


def _other_unit(key: str, meant: str) -> str:
    """A remark where a value cannot be taken over as it is."""
    given, wanted = (each[-1].lower() if each else "" for each in (WORD.findall(key), WORD.findall(meant)))
    return f" Its value is in {wanted}." if wanted in _UNITS and given != wanted else ""


def _folded(key: str) -> str:
    return key.replace("-", "").replace("_", "").lower()


def _as_written(what: str, written: str) -> str:
    """A value together with how the file writes it, where that differs: 1.10 is the number 1.1, and yes is true."""
    return what if what == UNSHOWN or not written or written == what else f"{written[:_SHOWN]}, which means {what},"


def _would_fit(error: ValidationError, written: str) -> bool:
    """Whether a number or true or false would be right as a text; that it is none is the smaller part of it then."""
    pattern, kinds = _schema(error).get("pattern"), cast("Any", error.validator_value)
    if pattern is None or "string" not in kinds or not isinstance(error.instance, bool | int | float):
        return True
    return re.search(pattern, written or shown(error.instance)) is not None


def _hint(error: ValidationError, written: str) -> str:
    kinds: Any = error.validator_value
    if kinds in ("string", ["string", "null"]) and isinstance(error.instance, bool | int | float):
        return (
            "; write it in quotes"
            if _schema(error).get("x-secret")
            else f'; write "{written[:_SHOWN] or shown(error.instance)}" in quotes'
        )
    if isinstance(error.instance, bool) and "enabled" in _schema(error).get("properties", {}):
        return f"; write enabled: {shown(error.instance)} below it"
    if not isinstance(error.instance, str):
        return ""
    if "boolean" in kinds and error.instance.lower() in ("true", "false"):
        return UNQUOTED
    if "integer" in kinds and error.instance.isdecimal():
        return UNQUOTED
    if "number" in kinds and _NUMBER.fullmatch(error.instance):
        return UNQUOTED
    return ""


def _examples(schema: Mapping[str, Any]) -> str:
    return ", ".join(_plain(each) for each in schema.get("examples", ()) if isinstance(each, str | int | float))


def _singular(what: str) -> str:
    return what.removesuffix("ies") + "y" if what.endswith("ies") else what.removesuffix("s")


def _name(path: Path) -> str:
    """The innermost key, as a prefix. The line tells where it is."""
    key = next((part for part in reversed(path) if isinstance(part, str)), "")
    return f"{key}: " if key else ""


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _written(value: object) -> object:
    """Numbers without a fraction as whole numbers, and none with an exponent, as in Terraform."""
    if isinstance(value, float) and (exact := Decimal(repr(value))) == exact.to_integral_value():
        return int(exact)
    return value


def _unescaped(text: str) -> str:
    """Double quotes need no escape inside single quotes."""
    return text.replace("\\\\", "\0").replace('\\"', '"').replace("\0", "\\\\")
