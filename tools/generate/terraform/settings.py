"""A chart's keys as variables of its module, and how the values document is made of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from moorage.files import closed, schema_errors
from moorage.files.values import SAME
from tools.generate.bundle import Schema
from tools.generate.terraform import hcl
from tools.generate.terraform.hcl import Variable
from tools.generate.values import is_group

_TYPES = {"boolean": "bool", "integer": "number", "number": "number", "string": "string"}

# `provider` means something else in a module block.
_RENAMED = {"provider": "cloud_provider"}
_KEY, _SECRET_REF = "castai.apiKey", "planner.apiKeySecretRef"
_BEGINS = {"string": '"', "object": "{"}


class Setting(NamedTuple):
    """A top-level key of the chart, and the variable for it."""

    key: str
    schema: Schema

    @property
    def variable(self) -> str:
        """The key as Terraform writes names: managedByCASTAI is managed_by_castai."""
        if self.key in _RENAMED:
            return _RENAMED[self.key]
        apart = re.sub(r"([a-z0-9])([A-Z])|([A-Z])(?=[A-Z][a-z])", r"\1\3_\2", self.key)
        return apart.replace("-", "_").lower()

    @property
    def type(self) -> str:
        """Terraform's type; maps and lists are any, because a typed object silently drops what it does not declare."""
        enum = [each for each in self.schema.get("enum", ()) if each is not None]
        if enum:
            return "bool" if True in enum else "string"
        kinds = self.schema["type"]
        named = [kinds] if isinstance(kinds, str) else [kind for kind in kinds if kind != "null"]
        return _TYPES.get(named[0], "any") if len(named) == 1 else "any"


def short_name(component: str) -> str:
    """The module's name: pod-pinner for castai-pod-pinner."""
    return component.partition("-")[2]


def settings(component: str, schema: Schema) -> list[Setting]:
    """The keys that have a variable: all but those whose name is one of the module's own."""
    taken = {each.name for each in own_variables(component, schema)}
    found = [Setting(key, inner) for key, inner in schema["properties"].items()]
    for each in found:
        # Nothing is lost with it: the module has something better of that name, and the old key has no effect.
        assert each.variable not in taken or each.schema.get("x-effect") == "none", each
    return [each for each in found if each.variable not in taken]


def own_variables(component: str, schema: Schema) -> list[Variable]:
    """The module's variables that are no keys of the chart."""
    found = [
        Variable("release_name", "string", "Name of the release.", component),
        Variable("namespace", "string", "Namespace of the release.", "castai-agent"),
        Variable(
            "create_namespace",
            "bool",
            "Whether the namespace is created where it is missing. It stays when the release is destroyed.",
            True,
        ),
        Variable(
            "repository",
            "string",
            "Address of the chart repository. Not given: the chart that lies beside this module, of the same version.",
        ),
        Variable(
            "chart", "string", "Another name of the chart in the repository, or a folder or archive with a chart."
        ),
        Variable(
            "chart_version",
            "string",
            "Version of the chart. Not given: the newest in the repository.",
            checks=(
                (
                    "var.chart_version == null || var.repository != null",
                    hcl.text("chart_version: needs repository; without one the chart beside this module is installed"),
                ),
            ),
        ),
        Variable("timeout", "number", "How many seconds Helm waits for anything.", 300),
        Variable(
            "wait",
            "bool",
            "Whether the release counts as installed only when its pods are ready. A release that fails is marked, "
            "and the next apply upgrades or replaces it.",
            True,
        ),
        Variable(
            "extra_values",
            "list(string)",
            "Further values as YAML, the last one wins. They are not checked at plan.",
            [],
        ),
    ]
    if (key := _find(schema, _KEY)) is not None:
        found.append(_api_key(key))
    if _find(schema, _SECRET_REF) is not None:
        found.append(
            Variable(
                "api_key_secret_ref",
                "any",
                'The Secret with the key that is shown to the planner: { name = "…", key = "API_KEY" }. '
                "The same as planner.apiKeySecretRef, and better than api_key.",
                checks=(
                    (
                        "var.api_key_secret_ref == null || try(var.planner.apiKeySecretRef, null) == null",
                        hcl.text(f"api_key_secret_ref: means the same as {_SECRET_REF}; keep one of them"),
                    ),
                ),
            )
        )
    return found


def variables(component: str, schema: Schema) -> list[Variable]:
    """All variables of a module."""
    keys = [Variable(each.variable, each.type, describe(each)) for each in settings(component, schema)]
    return own_variables(component, schema) + keys


def describe(setting: Setting) -> str:
    """The key and its default, and then what it is for."""
    schema = setting.schema
    lines = [f"Key {setting.key} of the chart{_default(schema)}.", schema["description"]]
    if is_group(schema):
        lines.append(f"Keys: {', '.join(schema['properties'])}.")
    if schema.get("x-effect") == "none":
        lines.append("Accepted, without effect.")
    return "\n".join(lines)


def settings_tf(component: str, schema: Schema) -> str:
    """The module's settings.tf."""
    lines = ["locals {", *_secret_ref_lines(schema), "  # What is given, by the chart's keys.", "  given = {"]
    chosen = settings(component, schema)
    width = max(len(_name(each.key)) for each in chosen)
    lines += [f"    {_name(each.key):<{width}} = {_given(each, schema)}" for each in chosen]
    lines += ["  }", ""]
    lines += _api_key_lines(schema)
    lines += ["", "  # Two keys that cannot both be what they are, said of the second.", "  contradictions = {"]
    rules = list(_rules(component, schema))
    for key in dict.fromkeys(rule.key.split(".")[0] for rule in rules):
        lines.append(f"    {_name(key)} = concat(")
        for rule in rules:
            if rule.key.split(".")[0] == key:
                lines.append(f"      [for said in [{rule.sentence}] : said if {rule.condition}],")
        lines.append("    )")
    lines += ["  }", "", "  # What is no mistake and ought to be known.", "  notes = concat("]
    lines += [f"    [for said in [{note.sentence}] : said if {note.condition}]," for note in _notes(schema)]
    lines += ["  )", "}", ""]
    return "\n".join(lines)


class _Rule(NamedTuple):
    key: str
    sentence: str
    condition: str


def _api_key(schema: Schema) -> Variable:
    return Variable(
        "api_key",
        "string",
        "The key that is shown to the planner; the chart makes a Secret of it. Better use api_key_secret_ref: this one "
        "lands in Terraform's state and in the release, and `terraform show` may print it.",
        sensitive=True,
        checks=(
            (
                "var.api_key == null || try(var.castai.apiKey, null) == null",
                hcl.text(f"api_key: means the same as {_KEY}; keep one of them"),
            ),
            (
                f"var.api_key == null || can(regex({hcl.text(schema['pattern'])}, var.api_key))",
                hcl.text(f"castai.apiKey: {schema_errors.UNSHOWN} does not look like {schema_errors.looks(schema)}"),
            ),
            (
                f"var.api_key == null || try(length(var.api_key) <= {schema['maxLength']}, true)",
                hcl.text(
                    f"castai.apiKey: is too large, at most {schema_errors.counted('maxLength', schema['maxLength'])}"
                ),
            ),
        ),
    )


def _api_key_lines(schema: Schema) -> list[str]:
    """The element of `values` with api_key, apart from the rest, so that the rest can be read in a plan."""
    if _find(schema, _KEY) is None:
        return ["  api_key_values = []"]
    return [
        "  # Whether there is a key is no secret; the key is, and has a document of its own, so that a plan shows the rest.",
        '  has_api_key    = nonsensitive(var.api_key != null && var.api_key != "")',
        "  api_key_values = local.has_api_key ? [yamlencode({ castai = { apiKey = var.api_key } })] : []",
    ]


def _given(setting: Setting, schema: Schema) -> str:
    with_secret = setting.key == "planner" and _find(schema, _SECRET_REF) is not None
    return _without_nulls(setting.schema, "local.planner" if with_secret else f"var.{setting.variable}")


def _secret_ref_lines(schema: Schema) -> list[str]:
    """The group `planner` with what api_key_secret_ref puts into it."""
    if _find(schema, _SECRET_REF) is None:
        return []
    return [
        "  # With api_key_secret_ref in it.",
        "  planner = var.planner == null && var.api_key_secret_ref == null ? null : try(",
        '    merge(var.planner, { for key in ["apiKeySecretRef"] : key => var.api_key_secret_ref if var.api_key_secret_ref != null }),',
        "    var.planner,",
        "  )",
        "",
    ]


def _without_nulls(schema: Schema, given: str) -> str:
    """A group without the keys that are null, which means not given; what is no group stays as it is."""
    if not is_group(schema):
        return given
    found = f"{{ for key in keys({given}) : key => {given}[key] if {given}[key] != null }}"
    for name, inner in schema["properties"].items():
        if is_group(inner):
            place = f"{given}[{hcl.text(name)}]"
            inside = _without_nulls(inner, place)
            found = f"merge({found}, {{ for key in [{hcl.text(name)}] : key => {inside} if can(keys({place})) }})"
    return f"try({found}, {given})"


def _rules(component: str, schema: Schema) -> Iterator[_Rule]:
    for rule in schema.get("allOf", ()):
        (first, one), (second, other) = _leaf(rule["if"]), _leaf(rule["then"])
        sentence = f"{second}: {schema_errors.contradicts(other)}"
        condition = f"try({_holds(one, _place(first))}, false) && !try({_holds(other, _place(second))}, true)"
        yield _Rule(second, hcl.text(sentence), condition)
        if first == _KEY:
            condition = f"local.has_api_key && !try({_holds(other, _place(second))}, true)"
            yield _Rule(second, hcl.text(sentence), condition)
    for first, second in SAME:
        declared = _find(schema, second)
        if declared is None or _find(schema, first) is None:
            continue
        said = f"{second}: is ${{{_place(second)}}} and {first} is ${{{_place(first)}}}: they mean the same; keep one of them"
        unset = f" && !can(regex({hcl.text(declared['x-unset'])}, {_place(second)}))" if "x-unset" in declared else ""
        both = f'try({_place(first)} != {_place(second)} && !contains([""], {_place(first)}) && !contains([""], {_place(second)}){unset}, false)'
        yield _Rule(second, f'try("{said}", "")', both)


def _leaf(schema: Schema) -> tuple[str, Schema]:
    """The only key that a rule is about, and what is said about it."""
    path = []
    while "properties" in schema:
        ((name, schema),) = schema["properties"].items()
        path.append(name)
    return ".".join(path), schema


def _holds(schema: Schema, place: str) -> str:
    """An expression: whether a value, which is there, is what the schema says."""
    found = []
    for keyword, wanted in schema.items():
        match keyword:
            case "type":
                found.append(f"startswith(jsonencode({place}), {hcl.text(_BEGINS[wanted])})")
            case "minLength" | "minProperties":
                found.append(f"length({place}) >= {wanted}")
            case "maxLength" | "maxProperties":
                found.append(f"length({place}) <= {wanted}")
            case "pattern":
                found.append(f"can(regex({hcl.text(wanted)}, {place}))")
            case "not":
                found.append(f"!({_holds(wanted, place)})")
            case "const":
                found.append(f"jsonencode({place}) == {hcl.text(json.dumps(wanted))}")
            case _:
                assert keyword.startswith("x-"), f"no expression for {keyword}"
    return " && ".join(found)


def _notes(schema: Schema) -> Iterator[_Rule]:
    default = schema["properties"].get("replicas", {}).get("x-default")
    for key, sentence in closed.nothing_runs(default).items():
        if key in schema["properties"]:
            wanted = "false" if key == "deploy" else "0"
            yield _Rule(key, hcl.text(f"{key}: {sentence}"), f'try(jsonencode(local.given.{key}) == "{wanted}", false)')
    yield from _in_vain(schema, "")


def _in_vain(schema: Schema, above: str) -> Iterator[_Rule]:
    for name, inner in schema["properties"].items():
        key = f"{above}{name}"
        if inner.get("x-effect") == "none":
            sentence = f"{key}: accepted, without effect. {inner['description']}"
            yield _Rule(key, hcl.text(sentence), f"try({_place(key)} != null, false)")
        elif is_group(inner):
            yield from _in_vain(inner, f"{key}.")


def _place(key: str) -> str:
    return "local.given" + "".join(f"[{hcl.text(part)}]" for part in key.split("."))


def _find(schema: Schema, key: str) -> Schema | None:
    for part in key.split("."):
        schema = schema.get("properties", {}).get(part)
        if schema is None:
            return None
    return schema


def _name(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", key) else hcl.text(key)


def _default(schema: Schema) -> str:
    found: Any = schema.get("x-default", None if schema.get("x-no-value") else schema.get("default"))
    return "" if found is None else f", default {json.dumps(found, ensure_ascii=False)}"
