"""Values files with one mistake, from the schemas: a wrong value for each key, and the mistake's location."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from itertools import combinations
from typing import Any, NamedTuple

from tools.generate import bundle, values
from tools.generate.bundle import Schema
from tools.generate.values import Key

_NO_TEXT: tuple[Any, ...] = (7, True, ["a"], {"a": "b"})
_ODD_TEXTS = ("bad value!", "::", "\u00e4", "a b\n", "-", "x" * 5000)


class Bad(NamedTuple):
    """A values file that must be refused.

    Attributes:
        values: its content.
        path: the key that the message must name.
        reason: which rule it breaks, for the name of the test.
    """

    values: dict[str, Any]
    path: tuple[str | int, ...]
    reason: str

    @property
    def key(self) -> str:
        """The innermost key of the path."""
        return next(str(part) for part in reversed(self.path) if isinstance(part, str))


def some(chart: str, count: int) -> list[Bad]:
    """A number of bad files, always the same: every contradiction, and a random choice of the rest."""
    contradictions = list(_contradictions(chart))
    others = [bad for key in values.keys(values.bundled(chart)) for bad in _of_key(key)]
    chosen = random.Random(chart).sample(others, count - len(contradictions))
    return contradictions + chosen


def nested(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """A file with one value."""
    for part in reversed(path):
        value = {part: value}
    found: dict[str, Any] = value
    return found


def _contradictions(chart: str) -> Iterator[Bad]:
    source = json.loads((bundle.ROOT / "values" / f"{chart}.schema.json").read_text())
    known = {".".join(key.path): key for key in values.keys(values.bundled(chart))}
    for group in source["x-exclusive"]:
        for pair in combinations(group, 2):
            first, second = (nested(known[name].path, known[name].schema["examples"][0]) for name in pair)
            yield Bad(merged(first, second), known[pair[1]].path, f"{pair[0]} and {pair[1]}")
    if "replicaCount" in known:
        yield Bad({"replicas": 1, "replicaCount": 2}, ("replicaCount",), "replicas and replicaCount")
        yield Bad({"replicas": 0, "replicaCount": 2}, ("replicaCount",), "no replicas and replicaCount")
    if "planner.address" in known:
        two = {"planner": {"address": "a:1"}, "castai": {"grpcURL": "b:2"}}
        yield Bad(two, ("castai", "grpcURL"), "planner.address and castai.grpcURL")
    if "leaderElection.enabled" in known:
        several = {"replicas": 2, "leaderElection": {"enabled": False}}
        yield Bad(several, ("leaderElection", "enabled"), "leaderElection.enabled and replicas")
        overlapping = {"updateStrategy": {"type": "RollingUpdate"}, "leaderElection": {"enabled": False}}
        yield Bad(overlapping, ("leaderElection", "enabled"), "leaderElection.enabled and updateStrategy")


def merged(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Two files as one; where both say something, the second."""
    both = dict(first)
    for name, value in second.items():
        inside = both.get(name)
        both[name] = merged(inside, value) if isinstance(inside, dict) and isinstance(value, dict) else value
    return both


def _of_key(key: Key) -> Iterator[Bad]:
    schema, name = key.schema, ".".join(key.path)
    if key.is_group:
        yield Bad(nested(key.path, "text"), key.path, f"text for {name}")
        yield Bad(nested(key.path, ["entry"]), key.path, f"list for {name}")
        if schema["additionalProperties"] is False:
            typo = f"{next(iter(schema['properties']))}x"
            yield Bad(nested((*key.path, typo), "a"), (*key.path, typo), f"unknown {name}.{typo}")
        return
    if len(key.path) == 1:
        yield Bad({f"{name}x": schema["examples"][0]}, (f"{name}x",), f"unknown {name}x")
    for value in _wrong(schema):
        shown = json.dumps(value)
        yield Bad(nested(key.path, value), key.path, f"{name} {shown if len(shown) < 40 else 'long'}")


def _wrong(schema: Schema) -> Iterator[Any]:
    if "enum" in schema:
        yield from ("no-such-choice", 7, ["a"])
        return
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if "string" in kinds:
        yield from (value for value in _NO_TEXT if not _allowed(value, kinds))
        yield from (text for text in _ODD_TEXTS if _is_odd(text, schema))
    if "integer" in kinds:
        yield from (1.5, schema["minimum"] - 1)
        yield from [schema["maximum"] + 1] if "maximum" in schema else []
    if "integer" in kinds and "string" not in kinds:
        yield from ("many", True, "3")
    if "boolean" in kinds:
        yield from ("yes please", "true", 1, [True])
    if kinds[0] == "object" and "string" not in kinds:
        yield from ("text", 7, ["entry"])
    if kinds[0] == "array":
        yield from ("text", 7, {"a": "b"}, [["a"]])


def _allowed(value: Any, kinds: list[str]) -> bool:
    names = {bool: "boolean", int: "integer", list: "array", dict: "object"}
    return names[type(value)] in kinds


def _is_odd(text: str, schema: Schema) -> bool:
    pattern = schema.get("pattern", "").replace("$", r"\Z")
    return not re.search(pattern, text) or len(text) > schema.get("maxLength", 10**9)
