"""A module's suites for `terraform test`: the cases of every key of a chart, and what every module guarantees."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from moorage.files import schema_errors
from moorage.files import values as files
from moorage.files.yamlfile import Document
from tools.generate.bundle import Schema
from tools.generate.terraform import hcl, rules
from tools.generate.terraform.settings import Setting, settings
from tools.generate.values import Key, keys

_RELEASE, _NOTES = "helm_release.this", "check.notes"
# Wrong values for every type. Each key whose type does not exclude wrong values has one of them.
_WRONG: dict[str, tuple[Any, ...]] = {
    "string": ("no such choice!", "", "x" * 5000),
    "number": (-1, 1.5, 1 << 40),
    "bool": (),
    "any": ("no such choice!", 7, [7], {"no such key": 7}),
}


def settings_suite(component: str, schema: Schema) -> str:
    """The text of tests/settings.tftest.hcl."""
    chosen = settings(component, schema)
    variables = {each.key: each.variable for each in chosen}
    found = [key for key in keys(schema) if not key.is_group and key.path[0] in variables]
    runs = [
        *_handed_over(component, schema, found, variables),
        *_noted(schema, {".".join(key.path): key for key in found}, variables),
        *_refused(component, schema, chosen, variables),
        *_contradicted(schema, {".".join(key.path): key for key in found}, variables),
    ]
    return "\n".join(['mock_provider "helm" {}\n', *runs])


def _handed_over(component: str, schema: Schema, found: list[Key], variables: Mapping[str, str]) -> Iterator[str]:
    """Every key once, in as few values documents as possible without contradictions."""
    for number, document in enumerate(_documents(component, found), 1):
        given = f"yamldecode({_RELEASE}.values[0])"
        asserts = [
            (f"jsonencode({given}[{hcl.text(key)}]) == jsonencode({_literal(value)})", f"{key} is another")
            for key, value in document.items()
        ]
        alone = f"jsonencode(keys({given})) == jsonencode({_literal(sorted(document))})"
        more = [(alone, "keys that were not given"), (f"length({_RELEASE}.values) == 1", "more documents than one")]
        noted = any(_fires(rule, document) for rule in rules.notes(schema))
        yield _run(f"handed_over_{number}", _named(document, variables), asserts + more, [_NOTES] if noted else [])


def _documents(component: str, left: list[Key]) -> Iterator[dict[str, Any]]:
    while left:
        document: dict[str, Any] = {}
        later = []
        for key in left:
            more = _with(document, key)
            if files.mistakes(component, Document(more, {})):
                later.append(key)
            else:
                document = more
        assert document, f"{left[0].path} is wrong alone"
        yield document
        left = later


def _noted(schema: Schema, known: Mapping[str, Key], variables: Mapping[str, str]) -> Iterator[str]:
    """Every note, each with a key of its own."""
    for rule in rules.notes(schema):
        if (key := known.get(rule.key)) is None:
            continue
        document = _with({}, key)
        if not _fires(rule, document):
            document = {rule.key: 0}
        noted = f"contains(local.notes, {rule.sentence})"
        yield _run(
            f"noted_{_identifier(rule.key)}", _named(document, variables), [(noted, "the note is missing")], [_NOTES]
        )


def _refused(component: str, schema: Schema, chosen: list[Setting], variables: Mapping[str, str]) -> Iterator[str]:
    """A wrong value in every key at once. Each is refused separately."""
    document = {}
    for each in chosen:
        # Rules in a single text are not read here.
        are_rules = each.schema.get("x-kubernetes") == "rules"
        wrong = [value for value in _WRONG[each.type] if not (are_rules and isinstance(value, str))]
        refused = [value for value in wrong if files.mistakes(component, Document({each.key: value}, {}))]
        if refused:
            document[each.key] = refused[0]
    asserts = [(f"length(local.mistakes[{hcl.text(key)}]) > 0", f"{key} is taken") for key in document]
    noted = any(_fires(rule, document) for rule in rules.notes(schema))
    yield _run("refused", _named(document, variables), asserts, [_RELEASE, *([_NOTES] if noted else [])])


def _contradicted(schema: Schema, known: Mapping[str, Key], variables: Mapping[str, str]) -> Iterator[str]:
    """Every pair of keys that contradict each other by the schema."""
    for rule in schema.get("allOf", ()):
        (first, _), (second, then) = rules.leaf(rule["if"]), rules.leaf(rule["then"])
        document = _with(_with({}, known[first]), known[second])
        sentence = hcl.text(f"{second}: {schema_errors.contradicts(then)}")
        top = second.partition(".")[0]
        noted = any(_fires(note, document) for note in rules.notes(schema))
        yield _run(
            f"contradicted_{_identifier(first)}_and_{_identifier(second)}",
            _named(document, variables),
            [(f"contains(local.mistakes[{hcl.text(top)}], {sentence})", "the message is missing")],
            [_RELEASE, *([_NOTES] if noted else [])],
        )


def _with(document: Mapping[str, Any], key: Key) -> dict[str, Any]:
    """A document with the example of one more key."""
    found = copy.deepcopy(dict(document))
    place = found
    for part in key.path[:-1]:
        place = place.setdefault(part, {})
    place[key.path[-1]] = key.schema["examples"][0]
    return found


def _fires(rule: rules.Rule, document: Any) -> bool:
    """Whether a document gets a note."""
    for part in rule.key.split("."):
        document = document.get(part) if isinstance(document, dict) else None
    return document is not None and ("NOTHING RUNS" not in rule.sentence or document in (0, False))


def _named(document: Mapping[str, Any], variables: Mapping[str, str]) -> dict[str, Any]:
    return {variables[key]: value for key, value in document.items()}


def _run(name: str, given: Mapping[str, Any], asserts: Iterable[tuple[str, str]], failures: list[str]) -> str:
    """A run block, formatted as by `terraform fmt`."""
    width = max(map(len, given))
    lines = [f'run "{name}" {{', "  command = plan", "", "  variables {"]
    lines += [f"    {variable:<{width}} = {_literal(value)}" for variable, value in given.items()]
    lines.append("  }")
    if failures:
        lines += ["", f"  expect_failures = [{', '.join(failures)}]"]
    for condition, message in asserts:
        lines += ["", "  assert {", f"    condition     = {condition}"]
        lines += [f"    error_message = {hcl.text(message)}", "  }"]
    return "\n".join([*lines, "}", ""])


def _literal(value: Any) -> str:
    """A value in HCL, on one line."""
    if isinstance(value, dict):
        inner = ", ".join(f"{hcl.text(name)} = {_literal(each)}" for name, each in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    return hcl.text(value) if isinstance(value, str) else json.dumps(value)


def _identifier(key: str) -> str:
    return re.sub(r"[^A-Za-z0-9]", "_", key)
