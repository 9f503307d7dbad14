"""A module's settings.tf: the values document from its variables, and contradictions between two of them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from moorage.files import closed, evictor
from tools.generate.bundle import Schema
from tools.generate.terraform import hcl, rules
from tools.generate.terraform.rules import find
from tools.generate.terraform.settings import KEY, SECRET_REF, Setting, settings
from tools.generate.values import is_group


def settings_tf(component: str, schema: Schema) -> str:
    """The text of settings.tf."""
    chosen = settings(component, schema)
    width = max(len(_name(each.key)) for each in chosen)
    has_key = find(schema, KEY) is not None
    elsewhere = {KEY: "local.has_api_key"} if has_key else {}
    names, own = rules.keys_that_leave(elsewhere) if component == closed.PINNER else ("", [])
    if component == evictor.CHART:
        own = list(rules.several_leaders())
    lines = [
        "locals {",
        *(_SECRET_REF if find(schema, SECRET_REF) is not None else []),
        "  # The given values, by the chart's keys.",
        "  given = {",
        *(f"    {_name(each.key):<{width}} = {_given(each, schema)}" for each in chosen),
        "  }",
        "",
        *(_API_KEY if has_key else ["  api_key_values = []"]),
        names,
        "  # Contradictions between two keys. Each is reported for one of them.",
        "  contradictions = {",
        *_by_key([*rules.contradictions(schema, elsewhere), *own]),
        "  }",
        "",
        "  # Notes: valid settings with a surprising effect, or none.",
        "  notes = concat(",
        *(f"    {note.expression}," for note in rules.notes(schema)),
        "  )",
        "}",
    ]
    return "\n".join(lines) + "\n"


_SECRET_REF = """\
  # Includes api_key_secret_ref.
  planner = var.planner == null && var.api_key_secret_ref == null ? null : try(
    merge(var.planner, { for ref in [var.api_key_secret_ref] : "apiKeySecretRef" => ref if ref != null }),
    var.planner,
  )
""".splitlines()

_API_KEY = """\
  # A separate document, so that a plan shows the rest. Whether there is a key is not secret.
  has_api_key    = nonsensitive(var.api_key != null && var.api_key != "")
  api_key_values = local.has_api_key ? [yamlencode({ castai = { apiKey = var.api_key } })] : []\
""".splitlines()


def _given(setting: Setting, schema: Schema) -> str:
    with_secret = setting.key == "planner" and find(schema, SECRET_REF) is not None
    return _without_nulls(setting.schema, "local.planner" if with_secret else f"var.{setting.variable}")


def _without_nulls(schema: Schema, given: str) -> str:
    """A group without keys that are null, because null means not given. Values that are not groups stay unchanged."""
    if not is_group(schema):
        return given
    found = f"{{ for key in keys({given}) : key => {given}[key] if {given}[key] != null }}"
    for name, inner in schema["properties"].items():
        if is_group(inner):
            place = f"{given}[{hcl.text(name)}]"
            inside = _without_nulls(inner, place)
            found = f"merge({found}, {{ for key in [{hcl.text(name)}] : key => {inside} if can(keys({place})) }})"
    return f"try({found}, {given})"


def _by_key(found: list[rules.Rule]) -> Iterator[str]:
    for key in dict.fromkeys(rule.key.split(".")[0] for rule in found):
        yield f"    {_name(key)} = concat("
        yield from (f"      {rule.expression}," for rule in found if rule.key.split(".")[0] == key)
        yield "    )"


def _name(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", key) else hcl.text(key)
