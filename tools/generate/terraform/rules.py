"""Rules between keys, as expressions over `local.given`: contradictions and notes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import NamedTuple

from moorage.files import closed, evictor, schema_errors
from moorage.files.mistakes import dotted
from moorage.files.values import SAME
from tools.generate.bundle import Schema
from tools.generate.terraform import hcl
from tools.generate.values import is_group

_BEGINS = {"string": '"', "object": "{"}


class Rule(NamedTuple):
    """A sentence that is shown if a condition holds.

    Attributes:
        key: the key that the sentence is about, with dots.
        sentence: an expression.
        condition: an expression.
    """

    key: str
    sentence: str
    condition: str

    @property
    def expression(self) -> str:
        """An expression: a list with the sentence if the condition holds, else an empty list."""
        return f"[for said in [{self.sentence}] : said if {self.condition}]"


def contradictions(schema: Schema, elsewhere: dict[str, str]) -> Iterator[Rule]:
    """Pairs of keys that contradict each other.

    Args:
        schema: of the chart.
        elsewhere: keys that a variable of their own may also set, with the condition that it does.
    """
    for rule in schema.get("allOf", ()):
        (first, one), (second, other) = leaf(rule["if"]), leaf(rule["then"])
        sentence = hcl.text(f"{second}: {schema_errors.contradicts(other)}")
        wrong = f"!try({_holds(other, place(second))}, true)"
        yield Rule(second, sentence, f"try({_holds(one, place(first))}, false) && {wrong}")
        if first in elsewhere:
            yield Rule(second, sentence, f"{elsewhere[first]} && {wrong}")
    for first, second in SAME:
        if (declared := [found for key in (first, second) if (found := find(schema, key)) is not None])[1:]:
            yield _same(first, second, declared)


def keys_that_leave(elsewhere: dict[str, str]) -> tuple[str, list[Rule]]:
    """Another rule of the pod pinner's chart: a closed product's key must not be sent to another planner.

    Args:
        elsewhere: see `contradictions`.

    Returns:
        Named expressions, and the rules that use them.
    """
    keys = [dotted(path) for path in closed.KEYS]
    given = ", ".join(f'{hcl.text(key)} = {elsewhere.get(key, "false")} || try({place(key)}, "") != ""' for key in keys)
    first, *others = [place(dotted(path)) for path in closed.ADDRESSES]
    theirs = hcl.text(f"(?i){closed.THEIR_ADDRESSES.pattern}")
    addresses = ", ".join(f'try(can(regex({theirs}, {each})) ? "" : {each}, "")' for each in others)
    ours = f"!can(regex({hcl.text(f'^({closed.THEIR_SECRETS.pattern})$')}, {place(keys[0])}))"
    inside = hcl.text(f"(?i)^({closed.IN_SOME_NAMESPACE.pattern})$")
    names = f"""
  # The effective key if it was made for the closed product, and the host that would receive it.
  closed_key = try([for key in [{", ".join(map(hcl.text, keys))}] : key if {{ {given} }}[key]][0], "")
  shown_to   = try(regex("^(.*):[^:]*$", coalesce(try({first}, ""), {addresses}))[0], "")
  leaves = (
    local.closed_key != "" && local.shown_to != "" && !can(regex({inside}, local.shown_to))
    && !try({place("planner.allowClosedKey")}, false) && !(local.closed_key == {hcl.text(keys[0])} && {ours})
  )
"""
    sentence = hcl.text(closed.not_shown("HOST")).replace("HOST", "${local.shown_to}")
    return names, [
        Rule(key, f'"{key}: {sentence[1:]}', f"local.leaves && local.closed_key == {hcl.text(key)}") for key in keys
    ]


def several_leaders() -> Iterator[Rule]:
    """Other rules of the evictor's chart."""
    count = f"try([for each in [{place('replicas')}, {place('replicaCount')}] : each if each != null][0], 1)"
    sentence = hcl.text(f"leaderElection.enabled: {evictor.without_election('COUNT')}").replace(
        "COUNT", f"${{{count}}}"
    )
    election = f'try(jsonencode({place("leaderElection.enabled")}) == "false", false)'
    yield Rule("leaderElection.enabled", sentence, f"{election} && try({count} > 1, false)")
    rolling = f"try({place('updateStrategy.type')} == {hcl.text(evictor.ROLLING)}, false)"
    overlapping = hcl.text(f"leaderElection.enabled: {evictor.OVERLAPPING}")
    yield Rule("leaderElection.enabled", overlapping, f"{election} && !try({count} > 1, false) && {rolling}")


def notes(schema: Schema) -> Iterator[Rule]:
    """Notes: nothing runs, or a key has no effect."""
    default = schema["properties"].get("replicas", {}).get("x-default")
    for key, sentence in closed.nothing_runs(default).items():
        if key in schema["properties"]:
            stopped = '"false"' if key == "deploy" else '"0"'
            yield Rule(key, hcl.text(f"{key}: {sentence}"), f"try(jsonencode({place(key)}) == {stopped}, false)")
    yield from _in_vain(schema, "")


def find(schema: Schema, key: str) -> Schema | None:
    """The schema of a key with dots, or None."""
    for part in key.split("."):
        schema = schema.get("properties", {}).get(part)
        if schema is None:
            return None
    return schema


def place(key: str) -> str:
    """An expression: the value of a key with dots."""
    return "local.given" + "".join(f"[{hcl.text(part)}]" for part in key.split("."))


def leaf(schema: Schema) -> tuple[str, Schema]:
    """The only key of one side of a rule, and its condition."""
    path = []
    while "properties" in schema:
        ((name, schema),) = schema["properties"].items()
        path.append(name)
    return ".".join(path), schema


def _same(first: str, second: str, declared: list[Schema]) -> Rule:
    one, other = place(first), place(second)
    sentence = f'"{second}: is ${{{other}}} and {first} is ${{{one}}}: they mean the same; keep one of them"'
    given = [f"{one} != {other}", f'!contains([""], {one})', f'!contains([""], {other})']
    for value, schema in zip((one, other), declared, strict=True):
        if "x-unset" in schema:
            given.append(f"!can(regex({hcl.text(schema['x-unset'])}, {value}))")
    return Rule(second, f'try({sentence}, "")', f"try({' && '.join(given)}, false)")


def _holds(schema: Schema, value: str) -> str:
    """An expression: whether a value, which is set, matches the schema."""
    found = []
    for keyword, wanted in schema.items():
        match keyword:
            case "type":
                found.append(f"startswith(jsonencode({value}), {hcl.text(_BEGINS[wanted])})")
            case "minLength" | "minProperties":
                found.append(f"length({value}) >= {wanted}")
            case "maxLength" | "maxProperties":
                found.append(f"length({value}) <= {wanted}")
            case "pattern":
                found.append(f"can(regex({hcl.text(wanted)}, {value}))")
            case "not":
                found.append(f"!({_holds(wanted, value)})")
            case "const":
                found.append(f"jsonencode({value}) == {hcl.text(json.dumps(wanted))}")
            case _:
                assert keyword.startswith("x-"), f"no expression for {keyword}"
    return " && ".join(found)


def _in_vain(schema: Schema, above: str) -> Iterator[Rule]:
    for name, inner in schema["properties"].items():
        key = f"{above}{name}"
        if inner.get("x-effect") == "none":
            sentence = hcl.text(f"{key}: accepted, without effect. {inner['description']}")
            yield Rule(key, sentence, f"try({place(key)} != null, false)")
        elif is_group(inner):
            yield from _in_vain(inner, f"{key}.")
