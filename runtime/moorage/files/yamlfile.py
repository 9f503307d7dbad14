"""Parses YAML into plain values and records the location of each. Constructs with surprising meanings are refused."""

from __future__ import annotations

import codecs
import math
from typing import Any, NamedTuple

import yaml

from . import dialect
from .mistakes import FileMistakes, Mistake, Path

MAX_BYTES = 8 << 20
_MAX_NODES = 300_000
_MAX_DEPTH = 32
_MAX_NESTING = 3 * _MAX_DEPTH  # more than any file within _MAX_DEPTH has: ``<<`` nests without adding to the path
_TOO_DEEP = f"nested too deeply, at most {_MAX_DEPTH} levels are read"
_TOO_LARGE = f"too large with its aliases, at most {_MAX_NODES} values are read"
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_MERGE = "tag:yaml.org,2002:merge"


_SCALARS: dict[str, tuple[str, ...]] = {
    "int": ("int",),
    "float": ("float", "int"),
    "bool": ("bool",),
    "null": ("null",),
}
"""The tags of values that are no texts, and what a scalar with such a tag may be."""
_TEXTS = ("str", "timestamp", "value", "merge")
_NAMED = {"bool": "true or false", "null": "null"}


class Location(NamedTuple):
    """Line and column, counted from 1; and of a value that is no text how it is written."""

    line: int
    column: int
    written: str = ""


class Document(NamedTuple):
    """The content of a file and the location of every value in it."""

    value: Any
    locations: dict[Path, Location]

    def location(self, path: Path) -> Location:
        """The location of a value, or of the closest parent that has one."""
        while path and path not in self.locations:
            path = path[:-1]
        return self.locations.get(path, Location(0, 0))

    def line(self, path: Path) -> int:
        """The line of a value, or of the closest parent that has one."""
        return self.location(path).line

    def mistake(self, path: Path, sentence: str) -> Mistake:
        """A mistake at the location of a value."""
        location = self.location(path)
        return Mistake(location.line, sentence, location.column, path)

    def below(self, *keys: str | int) -> Document:
        """The part of the document below a path of keys. Locations still refer to the file."""
        locations = {
            path[len(keys) :]: location for path, location in self.locations.items() if path[: len(keys)] == keys
        }
        value = self.value
        for key in keys:
            value = value[key]
        return Document(value, locations)


def parse(
    name: str, data: bytes, *, max_bytes: int = MAX_BYTES, merge: bool = False, letters: bool = False
) -> Document:
    """Parse a YAML file with one document.

    Args:
        name: the file's name, for messages.
        data: its content, UTF-8.
        max_bytes: a larger file is refused without parsing.
        merge: whether ``<<`` is supported, as in Helm's files.
        letters: whether y and n are true and false, as to Helm and kubectl; else they are texts.

    Raises:
        FileMistakes: the file cannot be parsed.
    """
    if len(data) > max_bytes:
        raise FileMistakes(name, [Mistake(0, f"too large, at most {max_bytes} bytes are read")])
    documents = _compose(name, data)
    builder = _Builder(merge=merge, letters=letters)
    value = builder.build(documents[0], ()) if documents else None
    if len(documents) > 1:
        sentence = (
            "another document begins here; only the first of a file is read, put the rest into files of their own"
        )
        mark = documents[1].start_mark
        builder.mistakes.append(Mistake(mark.line + 1, sentence, mark.column + 1))
    if builder.mistakes:
        raise FileMistakes(name, builder.mistakes)
    return Document(value, builder.locations)


def parse_each(
    name: str, data: bytes, *, max_bytes: int = MAX_BYTES, letters: bool = False
) -> list[tuple[Document, list[Mistake]]]:
    """Parse a YAML file that may have several documents: each, and what is wrong in it.

    Args:
        name: the file's name, for messages.
        data: its content, UTF-8.
        max_bytes: a larger file is refused without parsing.
        letters: whether y and n are true and false; see ``parse``.

    Raises:
        FileMistakes: the file cannot be parsed.
    """
    if len(data) > max_bytes:
        raise FileMistakes(name, [Mistake(0, f"too large, at most {max_bytes} bytes are read")])
    found = []
    for node in _compose(name, data):
        builder = _Builder(merge=True, letters=letters)
        value = builder.build(node, ())
        found.append((Document(value, builder.locations), builder.mistakes))
    return found


def _compose(name: str, data: bytes) -> list[yaml.Node]:
    """The first document, and those after it that are not empty."""
    try:
        documents = list(yaml.compose_all(data.decode("utf-8-sig"), Loader=_Loader))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        sentence = "is UTF-16, as PowerShell writes it: save it as UTF-8" if data[:2] in _UTF16 else "is not UTF-8"
        raise FileMistakes(name, [Mistake(line, sentence, 1)]) from error
    except _TooMuchError as error:
        raise FileMistakes(name, [Mistake(error.mark.line + 1, error.sentence, error.mark.column + 1)]) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        sentence = "not YAML: " + ", ".join(part for part in (error.context, error.problem) if part)
        lines = data.decode("utf-8-sig").splitlines()
        if mark and mark.line < len(lines) and "\t" in lines[mark.line][: mark.column + 1]:  # else it is the end
            sentence = "a tab: YAML is indented by spaces; write spaces instead"
        mistake = Mistake(mark.line + 1, sentence, mark.column + 1) if mark else Mistake(0, sentence)
        raise FileMistakes(name, [mistake]) from error
    except yaml.reader.ReaderError as error:
        before = data.decode("utf-8-sig")[: error.position]
        sentence = f"not text: the character #x{error.character:04x} is not allowed"
        line = before.count("\n") + 1
        raise FileMistakes(name, [Mistake(line, sentence, len(before) - before.rfind("\n"))]) from error
    except yaml.YAMLError as error:
        raise FileMistakes(name, [Mistake(0, f"not YAML: {error}")]) from error
    return [node for index, node in enumerate(documents) if index == 0 or node.tag != "tag:yaml.org,2002:null"]


class _TooMuchError(Exception):
    """The document is refused before it takes much time or memory."""

    def __init__(self, sentence: str, mark: yaml.Mark) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.mark = mark


class _Loader(dialect.Loader):
    """Counts the values while it builds them: aliases multiply, and a few lines can become gigabytes."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._nesting = 0
        self._values: dict[yaml.Node, float] = {}  # the number of values of each node

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        if self._nesting > _MAX_NESTING:
            raise _TooMuchError(_TOO_DEEP, mark)
        self._nesting += 1
        node = super().compose_node(parent, index)
        self._nesting -= 1
        if node is not None and self._count(node) > _MAX_NODES:
            raise _TooMuchError(_TOO_LARGE, mark)
        return node

    def _count(self, node: yaml.Node) -> float:
        if node not in self._values:
            if node.end_mark is None:
                return math.inf  # an alias of a node that is not finished: it contains itself
            below = node.value if isinstance(node, yaml.SequenceNode) else ()
            if isinstance(node, yaml.MappingNode):
                below = [value for _, value in node.value]
            self._values[node] = 1 + sum(self._values[each] for each in below)
        return self._values[node]


class _Builder:
    def __init__(self, *, merge: bool, letters: bool, merging: int = 0) -> None:
        self.locations: dict[Path, Location] = {}
        self.mistakes: list[Mistake] = []
        self._merge = merge
        self._letters = letters
        self._merging = merging

    def build(self, node: yaml.Node, path: Path) -> Any:
        self.locations.setdefault(path, _location(node))
        if len(path) > _MAX_DEPTH:
            if not self.mistakes:
                self._wrong(node, _TOO_DEEP, path)
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _wrong(self, node: yaml.Node, sentence: str, path: Path) -> None:
        location = _location(node)
        self.mistakes.append(Mistake(location.line, sentence, location.column, path))

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        result: dict[str, Any] = {}
        merged: list[yaml.Node] = []
        for key_node, value_node in node.value:
            key = key_node.value
            if not isinstance(key, str):
                self._wrong(key_node, "a key is a text, not a list or map", path)
            elif key_node.tag == _MERGE:
                merged.append(value_node)
                if not self._merge:
                    self._wrong(key_node, "'<<' is not supported; use templates", path)
            elif key in result:
                first = self.locations[(*path, key)].line
                self._wrong(key_node, f"{key!r} is there twice, first in line {first}", (*path, key))
            else:
                self.locations[(*path, key)] = _location(key_node)
                result[key] = self.build(value_node, (*path, key))
        for each in merged if self._merge else ():
            self._fill_in(each, result, path)
        return result

    def _fill_in(self, node: yaml.Node, result: dict[str, Any], path: Path) -> None:
        """The keys that ``<<`` adds: those that are missing. The first of several maps wins."""
        for each in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            if not isinstance(each, yaml.MappingNode):
                self._wrong(each, "'<<' takes a map, or a list of maps", path)
            elif self._merging > _MAX_DEPTH:
                self._wrong(each, _TOO_DEEP, path)
            else:
                inner = _Builder(merge=True, letters=self._letters, merging=self._merging + 1)
                brought = inner._mapping(each, path)
                self.locations |= {below: at for below, at in inner.locations.items() if below[len(path)] not in result}
                result.update({key: value for key, value in brought.items() if key not in result})
                self.mistakes += inner.mistakes

    def _scalar(self, node: yaml.Node, path: Path) -> Any:
        kind = node.tag.rpartition(":")[2]
        if kind in _TEXTS or (kind == "bool" and len(node.value) == 1 and not self._letters):
            return node.value
        value = dialect.value(node.value) if kind in _SCALARS else None
        if kind not in _SCALARS:
            self._wrong(node, f"the tag {node.tag[:80]} is not supported", path)
        elif dialect.tag(value) not in _SCALARS[kind] or (isinstance(value, float) and not math.isfinite(value)):
            self._wrong(node, f"{node.value[:80]!r} is not {_NAMED.get(kind, 'a number')}", path)
        else:
            if value is not None:
                self.locations[path] = self.locations[path]._replace(written=node.value)
            return value
        return None


def _location(node: yaml.Node) -> Location:
    return Location(node.start_mark.line + 1, node.start_mark.column + 1)
