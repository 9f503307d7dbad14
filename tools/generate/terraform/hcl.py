"""Terraform's language: strings and variables."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple


class Variable(NamedTuple):
    """An input variable. Without a default it is null, which means not given.

    Attributes:
        name: of the variable.
        type: its Terraform type.
        description: one or more lines.
        default: as in JSON.
        checks: pairs of a condition and its error message, both expressions.
    """

    name: str
    type: str
    description: str
    default: Any = None
    sensitive: bool = False
    checks: tuple[tuple[str, str], ...] = ()


def text(value: str) -> str:
    """A string in quotes."""
    return json.dumps(value, ensure_ascii=False).replace("${", "$${").replace("%{", "%%{")


def variables(found: list[Variable]) -> str:
    """A file of variables, formatted as by `terraform fmt`."""
    return "\n".join("\n".join(_lines(each)) + "\n" for each in found)


def _lines(variable: Variable) -> Iterator[str]:
    yield f'variable "{variable.name}" {{'
    fields = {"description": text(variable.description), "type": variable.type, "default": _value(variable.default)}
    if variable.default is not None:
        fields["nullable"] = "false"  # null is the default
    if variable.sensitive:
        fields["sensitive"] = "true"
    width = max(map(len, fields))
    yield from (f"  {name:<{width}} = {value}" for name, value in fields.items())
    for condition, message in variable.checks:
        yield from ("", "  validation {", f"    condition     = {condition}", f"    error_message = {message}", "  }")
    yield "}"


def _value(value: Any) -> str:
    return text(value) if isinstance(value, str) else json.dumps(value)
