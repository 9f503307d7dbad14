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
"""Keys that also have a variable of their own."""

NAMESPACE = hcl.text("^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")
"""The pattern of a namespace's name, for Terraform."""

_TYPES = {"boolean": "bool", "integer": "number", "number": "number", "string": "string"}

# `provider` is a meta-argument of module blocks.
_RENAMED = {"provider": "cloud_provider"}


class Setting(NamedTuple):
    """A top-level key of the chart, and its variable."""

    key: str
    schema: Schema

    @property
    def variable(self) -> str:
        """The key in Terraform's spelling: managed_by_castai for managedByCASTAI."""
        if self.key in _RENAMED:
            return _RENAMED[self.key]
        apart = re.sub(r"([a-z0-9])([A-Z])|([A-Z])(?=[A-Z][a-z])", r"\1\3_\2", self.key)
        return apart.replace("-", "_").lower()

    @property
    def type(self) -> str:
        """The Terraform type. Maps and lists are any, because an object type silently drops undeclared keys."""
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
    """The keys that have a variable: all except those with the name of a module's own variable, or of another key."""
    taken = {each.name for each in own_variables(component, schema)}
    found = {}
    for each in (Setting(key, inner) for key, inner in schema["properties"].items()):
        if each.variable not in taken:
            found[each.variable] = each
            taken.add(each.variable)
        else:
            # The module has a better variable of that name, and the old key has no effect.
            assert each.schema.get("x-effect") == "none", each
    return list(found.values())


def own_variables(component: str, schema: Schema) -> list[Variable]:
    """The module's variables that are not keys of the chart."""
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
            "Whether the namespace is created if it does not exist. It stays when the release is destroyed.",
            True,
        ),
        Variable(
            "repository",
            "string",
            "Address of the chart repository. Not given: the chart beside this module, of the same version.",
        ),
        Variable("chart", "string", "The chart's name in the repository, or a folder or archive with a chart."),
        Variable(
            "chart_version",
            "string",
            "Version of the chart. Not given: the newest at the first installation, then the installed one.",
            checks=(
                (
                    "var.chart_version == null || var.repository != null",
                    hcl.text("chart_version: needs repository; without it the chart beside this module is installed"),
                ),
            ),
        ),
        Variable("timeout", "number", "How long Helm waits for an operation, in seconds.", 300),
        Variable(
            "wait",
            "bool",
            "Whether the release counts as installed only when its pods are ready. A failed release is marked, "
            "and the next apply upgrades or replaces it.",
            True,
        ),
        Variable(
            "extra_values",
            "list(string)",
            "Additional values as YAML. The last document wins. They are not checked at plan.",
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
                'The Secret with the key that the pod pinner sends to the planner: { name = "…", key = "APIKEY" }. '
                "The same as planner.apiKeySecretRef, and preferred over api_key.",
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
    """The key and its default, then its description."""
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
        "The key that the pod pinner sends to the planner. The chart makes a Secret of it. Prefer api_key_secret_ref: "
        "this key is stored in Terraform's state and in the release. `terraform show` may print it.",
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
