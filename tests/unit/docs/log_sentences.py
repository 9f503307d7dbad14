"""The log messages of a package, read from its source."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

FAULTS = frozenset({"warning", "error", "exception", "critical", "log"})
"""Calls that write log lines. ``log`` gets its level at run time."""
ALL = FAULTS | {"info"}


@dataclass
class _Module:
    """A module, with the values of its names.

    Attributes:
        name: with dots.
        package: what relative imports begin from, with dots.
        tree: its source.
        constants: expressions of names that are assigned at its top.
        imports: names that come from elsewhere in the same package, with module and name there.
    """

    name: str
    package: str
    tree: ast.Module
    constants: dict[str, ast.expr] = field(default_factory=dict)
    imports: dict[str, tuple[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for node in self.tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                self.constants[node.targets[0].id] = node.value
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
                self.constants[node.target.id] = node.value
            elif isinstance(node, ast.ImportFrom):
                base = self.package.split(".")[: 1 - node.level or None] if node.level else []
                source = ".".join([*base, *((node.module or "").split(".") if node.module else ())])
                self.imports |= {each.asname or each.name: (source, each.name) for each in node.names}


class Package:
    """A package whose log sentences are wanted.

    Args:
        folder: of the package.
    """

    def __init__(self, folder: Path) -> None:
        self._modules: dict[str, _Module] = {}
        for path in sorted(folder.rglob("*.py")):
            if "_generated" in path.parts:
                continue
            parts = path.relative_to(folder.parent).with_suffix("").parts
            package = ".".join(parts[:-1])
            name = package if parts[-1] == "__init__" else ".".join(parts)
            self._modules[name] = _Module(name, package, ast.parse(path.read_text(), str(path)))

    def sentences(self, calls: Collection[str]) -> dict[str, list[str]]:
        """Each sentence, with the modules that log it.

        Args:
            calls: methods of a logger.

        Raises:
            AssertionError: a logged message is not a constant sentence.
        """
        found: dict[str, list[str]] = {}
        for module in self._modules.values():
            for function in [module.tree, *_functions(module.tree)]:
                for call in _own_calls(function):
                    if (said := _said(call, calls)) is None:
                        continue
                    sentences = [*self._texts(module, function, said)]
                    assert sentences, f"{module.name}, line {call.lineno}: {ast.unparse(said)} is no constant sentence"
                    for sentence in sentences:
                        found.setdefault(sentence, []).append(module.name)
        return found

    def _texts(self, module: _Module, function: ast.AST, said: ast.expr) -> Iterator[str]:
        match said:
            case ast.Constant(value=str(text)):
                yield text
            case ast.IfExp(body=one, orelse=other):
                yield from self._texts(module, function, one)
                yield from self._texts(module, function, other)
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                ends = [*self._texts(module, function, right)]
                yield from (f"{start}{end}" for start in self._texts(module, function, left) for end in ends)
            case ast.Name(id=name):
                yield from self._named(module, function, name)

    def _named(self, module: _Module, function: ast.AST, name: str) -> Iterator[str]:
        for node in ast.walk(function):
            if isinstance(node, ast.Assign) and any(isinstance(to, ast.Name) and to.id == name for to in node.targets):
                yield from self._texts(module, function, node.value)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from self._arguments(module, function, name)
        if name in module.constants:
            yield from self._texts(module, module.tree, module.constants[name])
        elif name in module.imports:
            source, there = module.imports[name]
            if (other := self._modules.get(source)) is not None:
                yield from self._named(other, other.tree, there)

    def _arguments(self, module: _Module, function: ast.FunctionDef | ast.AsyncFunctionDef, name: str) -> Iterator[str]:
        """What the module itself hands to a parameter."""
        names = [each.arg for each in (*function.args.posonlyargs, *function.args.args)]
        if name not in (*names, *(each.arg for each in function.args.kwonlyargs)):
            return
        for caller in _functions(module.tree):
            for call in _own_calls(caller):
                if ast.unparse(call.func).rpartition(".")[2] != function.name:
                    continue
                given = dict(zip([each for each in names if each != "self"], call.args, strict=False))
                given |= {each.arg: each.value for each in call.keywords if each.arg is not None}
                if name in given:
                    yield from self._texts(module, caller, given[name])


def _functions(tree: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def _own_calls(function: ast.AST) -> Iterator[ast.Call]:
    """Calls in a function, without those of functions inside it."""
    waiting = [*ast.iter_child_nodes(function)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.Call):
            yield node
        waiting += ast.iter_child_nodes(node)


def _said(call: ast.Call, calls: Collection[str]) -> ast.expr | None:
    """What a call of a logger says; None of another call."""
    if not isinstance(call.func, ast.Attribute) or call.func.attr not in calls:
        return None
    if not isinstance(call.func.value, ast.Name | ast.Attribute) or "logger" not in ast.unparse(call.func.value):
        return None
    return call.args[1 if call.func.attr == "log" else 0]
