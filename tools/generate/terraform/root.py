"""The root module: one object per component. Its keys are the variables of the component's module."""

from __future__ import annotations

from collections.abc import Iterator

from tools.generate.bundle import Schema
from tools.generate.terraform import hcl, settings
from tools.generate.terraform.hcl import Variable

_WORDS = {
    "number": ("a number", "tonumber"),
    "bool": ("true or false", "tobool"),
    "string": ("a text", "tostring"),
    "list(string)": ("a list", "tolist"),
}


def files(schemas: dict[str, Schema]) -> dict[str, str]:
    """Its generated files: text by name.

    Args:
        schemas: of the charts.
    """
    found = {settings.short_name(each): settings.variables(each, schema) for each, schema in schemas.items()}
    return {
        "main.tf": "\n".join([*(_module(name, variables) for name, variables in found.items()), _types(found)]),
        "variables.tf": hcl.variables([_object(settings.short_name(each), schemas[each]) for each in schemas]),
        "outputs.tf": "\n".join(_output(name) for name in found),
    }


def _snake(module: str) -> str:
    return module.replace("-", "_")


def _module(module: str, variables: list[Variable]) -> str:
    name = _snake(module)
    width = max(len(each.name) for each in variables)
    arguments = "\n".join(f"  {each.name:<{width}} = try(var.{name}.{each.name}, null)" for each in variables)
    head = f'module "{name}" {{\n  source = "./modules/{module}"\n  count  = var.{name} == null ? 0 : 1\n\n'
    return f"{head}{arguments}\n}}\n"


def _types(modules: dict[str, list[Variable]]) -> str:
    """The types that variables.tf checks the objects with."""
    lines = ["locals {", "  # The type of each key; what is any is checked by its module.", "  types = {"]
    for module, variables in modules.items():
        lines.append(f"    {_snake(module)} = {{")
        width = max(len(each.name) for each in variables)
        lines += [f"      {each.name:<{width}} = {hcl.text(each.type)}" for each in variables]
        lines.append("    }")
    return "\n".join([*lines, "  }", "}", ""])


def _object(module: str, schema: Schema) -> Variable:
    name = _snake(module)
    return Variable(
        name,
        "any",
        f"{schema['description']}\nNot given: not installed. Its keys are the variables of modules/{module}.",
        checks=(
            (f"var.{name} == null || can(keys(var.{name}))", hcl.text(f"{name}: is not a map")),
            (
                f"var.{name} == null || alltrue([for key in try(keys(var.{name}), []) : can(local.types.{name}[key])])",
                f'join("\\n", [for key in try(keys(var.{name}), []) : '
                f"\"{name}.${{key}}: unknown field '${{key}}'; modules/{module}/README.md lists all fields\" "
                f"if !can(local.types.{name}[key])])",
            ),
            *_typed(name),
            (
                f"try(tostring(var.{name}.namespace), null) == null || "
                f"can(regex({settings.NAMESPACE}, var.{name}.namespace))",
                hcl.text(f"{name}.namespace: is not a name of a namespace"),
            ),
        ),
    )


def _typed(name: str) -> Iterator[tuple[str, str]]:
    """An error for each value of a wrong type. A module's own error would not name the component."""
    for kind, (words, convert) in _WORDS.items():
        # A string is not quoted, because it may be the API key.
        message = f'"{name}.${{key}}: is not {words}"'
        wrong = f'type == "{kind}" && !can({convert}(var.{name}[key]))'
        keys = f"for key, type in local.types.{name} : "
        there = f"can(var.{name}[key])"
        yield (
            f"var.{name} == null || length([{keys}key if {there} && {wrong}]) == 0",
            f'join("\\n", [{keys}{message} if {there} && {wrong}])',
        )


def _output(module: str) -> str:
    name = _snake(module)
    return (
        f'output "{name}" {{\n'
        f'  description = "Outputs of modules/{module}, or null when it is not installed."\n'
        f"  value       = one(module.{name}[*])\n"
        f"}}\n"
    )
