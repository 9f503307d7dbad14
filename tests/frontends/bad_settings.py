"""Settings that every front end must refuse: a wrong key of a chart, or a wrong value deep inside it."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.unit.schemas import bad_values
from tools.generate import values
from tools.generate.bundle import Schema

Path = tuple[str | int, ...]
_EACH = 110


class BadSetting(NamedTuple):
    """Settings of one chart that are wrong in one place.

    Attributes:
        chart: the chart's name.
        values: as a values file has them.
        path: the key that the message must name, from the top.
        reason: which rule it breaks, for people.
    """

    chart: str
    values: dict[str, Any]
    path: Path
    reason: str

    @property
    def key(self) -> str:
        """The innermost key of the path."""
        return next(str(part) for part in reversed(self.path) if isinstance(part, str))


def bad_settings(chart: str) -> list[BadSetting]:
    """The bad settings that every front end is given: half of them wrong at a key of the chart, the others deeper.

    Args:
        chart: whose schema they break.
    """
    deep = list(_deep(chart))
    chosen = random.Random(chart).sample(deep, min(len(deep), _EACH // 2))
    flat = [BadSetting(chart, *each) for each in bad_values.some(chart, _EACH - len(chosen))]
    return flat + chosen


def _deep(chart: str) -> Iterator[BadSetting]:
    """Every example that is a map or a list, with one place in it made wrong."""
    for key in values.keys(values.bundled(chart)):
        for example in () if key.is_group else key.schema["examples"]:
            for path, value, reason in _wrong_places(key.schema, example):
                content = bad_values.nested(key.path, value)
                yield BadSetting(chart, content, (*key.path, *path), f"{'.'.join(key.path)}: {reason}")


def _wrong_places(schema: Schema, value: Any) -> Iterator[tuple[Path, Any, str]]:
    """A value with one place below the top made wrong: where, the whole value, and how."""
    for step, inner in _steps(value):
        below = _below(schema, step)
        if below is None:
            continue
        for wrong, reason in _instead(below):
            yield (step,), _with(value, step, wrong), reason
        for path, wrong, reason in _wrong_places(below, inner):
            yield (step, *path), _with(value, step, wrong), reason
    if isinstance(value, dict) and schema.get("additionalProperties") is False:
        yield ("no-such-key",), {**value, "no-such-key": 1}, "unknown key"
    for name in schema.get("required", ()) if isinstance(value, dict) else ():
        yield (), {key: each for key, each in value.items() if key != name}, f"without {name}"
    if isinstance(value, dict) and "pattern" in schema.get("propertyNames", {}):
        yield ("no name!",), {**value, "no name!": "x"}, "a name that cannot be"


def _steps(value: Any) -> list[tuple[str | int, Any]]:
    if isinstance(value, dict):
        return list(value.items())
    return list(enumerate(value)) if isinstance(value, list) else []


def _below(schema: Schema, step: str | int) -> Schema | None:
    others = schema.get("items" if isinstance(step, int) else "additionalProperties")
    found = schema.get("properties", {}).get(step, others)
    return found if isinstance(found, dict) else None


def _with(value: Any, step: str | int, inner: Any) -> Any:
    changed = copy.copy(value)
    changed[step] = inner
    return changed


def _instead(schema: Schema) -> Iterator[tuple[Any, str]]:
    """Values that this place does not take."""
    if "enum" in schema:
        yield "no-such-choice", "no such choice"
        return
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    for kind, wrong in {"object": {"a": 1}, "array": [["b"]], "string": "te<x>t's \"\\", "boolean": True}.items():
        if kind not in kinds:
            yield wrong, f"{kind} instead"
    if "integer" in kinds:
        yield 1.5, "a fraction"
    if "minimum" in schema:
        yield schema["minimum"] - 1, "too small"
    if "maximum" in schema:
        yield schema["maximum"] + 1, "too large"
    if "pattern" in schema:
        yield "no \u00e4\u2028 match!" * 9, "no match"
    if schema.get("minLength"):
        yield "", "empty"
    if "maxLength" in schema and "pattern" not in schema:
        yield "\U0001f6a2" * (schema["maxLength"] + 1), "too long"
