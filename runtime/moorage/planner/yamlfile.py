"""YAML with line numbers: plain values only, nothing that a person would not expect to mean what it does."""

from __future__ import annotations

from typing import Any, NamedTuple

import yaml

MAX_BYTES = 8 << 20
_MAX_NODES = 300_000
_MAX_DEPTH = 32

Path = tuple[str | int, ...]


class Mistake(NamedTuple):
    """What is wrong in a file, and where; lines count from 1, 0 means the file as a whole."""

    line: int
    sentence: str

    def __str__(self) -> str:
        """``line 7: …``."""
        return f"line {self.line}: {self.sentence}" if self.line else self.sentence


class FileMistakes(Exception):
    """A file cannot be used; ``mistakes`` says why, line by line."""

    def __init__(self, name: str, mistakes: list[Mistake]) -> None:
        self.name = name
        self.mistakes = sorted(mistakes)
        super().__init__("\n".join(f"{name}: {mistake}" for mistake in self.mistakes))


class Document(NamedTuple):
    """A file's content, and the line of every value in it."""

    value: Any
    lines: dict[Path, int]

    def line(self, path: Path) -> int:
        """The line of a value, or of the nearest one around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 0)


def parse(name: str, data: bytes) -> Document:
    """Read a YAML file of one document.

    Args:
        name: the file's name, for messages.
        data: its content, UTF-8.

    Raises:
        FileMistakes: it is no such file.
    """
    if len(data) > MAX_BYTES:
        raise FileMistakes(name, [Mistake(0, f"{len(data)} bytes, at most {MAX_BYTES} are read")])
    try:
        text = data.decode("utf-8-sig")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise FileMistakes(name, [Mistake(line, "is not UTF-8")]) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        sentence = ", ".join(part for part in (error.context, error.problem) if part)
        raise FileMistakes(name, [Mistake(mark.line + 1 if mark else 0, f"not YAML: {sentence}")]) from error
    except yaml.YAMLError as error:
        raise FileMistakes(name, [Mistake(0, f"not YAML: {error}")]) from error
    except RecursionError as error:
        raise FileMistakes(name, [Mistake(0, "is nested too deeply")]) from error
    builder = _Builder()
    value = builder.build(root, ()) if root is not None else None
    if builder.mistakes:
        raise FileMistakes(name, builder.mistakes)
    return Document(value, builder.lines)


class _Builder:
    def __init__(self) -> None:
        self.lines: dict[Path, int] = {}
        self.mistakes: list[Mistake] = []
        self._nodes = 0
        self._loader = yaml.SafeLoader("")

    def build(self, node: yaml.Node, path: Path) -> Any:
        line = node.start_mark.line + 1
        self.lines.setdefault(path, line)
        self._nodes += 1
        if self._nodes > _MAX_NODES or len(path) > _MAX_DEPTH:
            # Aliases multiply: without this limit a few lines become gigabytes.
            if not self.mistakes:
                self.mistakes.append(Mistake(line, "the file is nested too deeply, or too large with its aliases"))
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, line)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            key = key_node.value
            if not isinstance(key, str):
                self.mistakes.append(Mistake(line, "a key is a text, not a list or map"))
            elif key_node.tag == "tag:yaml.org,2002:merge":
                self.mistakes.append(Mistake(line, "'<<' is not supported; use templates"))
            elif key in found:
                self.mistakes.append(Mistake(line, f"{key!r} is there twice"))
            else:
                self.lines[(*path, key)] = line
                found[key] = self.build(value_node, (*path, key))
        return found

    def _scalar(self, node: yaml.Node, line: int) -> Any:
        kind = node.tag.rpartition(":")[2]
        if kind in ("int", "float", "bool", "null"):
            try:
                return self._loader.construct_object(node)
            except ValueError:
                self.mistakes.append(Mistake(line, f"{node.value[:80]!r} is not a number"))
                return None
        if kind not in ("str", "timestamp", "value"):
            self.mistakes.append(Mistake(line, f"the tag {node.tag[:80]} is not supported"))
        return node.value
