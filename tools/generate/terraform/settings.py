"""A module's variables: its own, and one for each top-level key of the chart."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from moorage.files import schema_errors
from tools.generate.bundle import Schema
from tools.generate.terraform import hcl
from tools.generate.terraform.hcl import Variable
from tools.generate.terraform.rules import find
from tools.generate.values import is_group

KEY, SECRET_REF = "castai.apiKey", "planner.apiKeySecretRef"
"""Keys that have a variable of their own besides."""

NAMESPACE = hcl.text("^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")
"""What the name of a namespace is, for Terraform."""

_TYPES = {"boolean": "bool", "integer": "number", "number": "number", "string": "string"}

# `provider` means something else in a module block.
_RENAMED = {"provider": "cloud_provider"}


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
    """The keys that have a variable: all but those whose name is one of the module's own, or another key's."""
    taken = {each.name for each in own_variables(component, schema)}
    found = {}
    for each in (Setting(key, inner) for key, inner in schema["properties"].items()):
        if each.variable not in taken:
            found[each.variable] = each
            taken.add(each.variable)
        else:
            # Nothing is lost with it: the module has something better of that name, and the old key has no effect.
            assert each.schema.get("x-effect") == "none", each
    return list(found.values())


def own_variables(component: str, schema: Schema) -> list[Variable]:
    """The module's variables that are no keys of the chart."""
    found = [
        Variable("release_name", "string", "Name of the release.", component),
        Variable(
            "namespace",
            "string",
            "Namespace of the release.",
            "castai-agent",
            checks=((f"can(regex({NAMESPACE}, var.namespace))", hcl.text("namespace: is not a name of a namespace")),),
        ),
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
        Variable("chart", "string", "The chart's name in the repository, or a folder or archive with a chart."),
        Variable(
            "chart_version",
            "string",
            "Version of the chart. Not given: the newest in the repository, and then the one that is installed.",
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
    if (key := find(schema, KEY)) is not None:
        found.append(_api_key(key))
    if find(schema, SECRET_REF) is not None:
        found.append(
            Variable(
                "api_key_secret_ref",
                "any",
                'The Secret with the key that is shown to the planner: { name = "…", key = "APIKEY" }. '
                "The same as planner.apiKeySecretRef, and better than api_key.",
                checks=(
                    (
                        "var.api_key_secret_ref == null || try(var.planner.apiKeySecretRef, null) == null",
                        hcl.text(f"api_key_secret_ref: means the same as {SECRET_REF}; keep one of them"),
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
                hcl.text(f"api_key: means the same as {KEY}; keep one of them"),
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


def _default(schema: Schema) -> str:
    found: Any = schema.get("x-default", None if schema.get("x-no-value") else schema.get("default"))
    return "" if found is None else f", default {json.dumps(found, ensure_ascii=False)}"
