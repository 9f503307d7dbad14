"""YAML as ``kubectl get -o yaml`` writes it: maps, lists and plain values, of any number.

PyYAML's own loaders do not work here: the C loader crashes on deep nesting, and the Python loader takes minutes for a
large cluster.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

MAX_DEPTH = 200
_WHOLE = re.compile(r"[-+]?[0-9]{1,18}")
_NUMBER = re.compile(r"[-+]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][-+]?[0-9]+)?")
_WORDS = {"": None, "~": None, "null": None, "Null": None, "NULL": None, "true": True, "false": False}
_Events: Any = getattr(yaml, "CLoader", yaml.Loader)


class NotYaml(Exception):
    """The text is no YAML of kubectl's; the message names the reason and the line, and quotes nothing."""


def documents(data: bytes) -> Iterator[Any]:
    """Yield the values of all documents.

    Args:
        data: UTF-8.

    Raises:
        NotYaml: it cannot be read.
    """
    builder = _Builder()
    try:
        for event in yaml.parse(data, Loader=_Events):
            if isinstance(event, yaml.DocumentEndEvent):
                yield builder.take()
            else:
                builder.add(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise NotYaml(f"{_line(mark)}{error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise NotYaml("it has characters that are not allowed in text") from error


class _Builder:
    """Builds values from events, without recursion."""

    def __init__(self) -> None:
        self._root: Any = None
        self._open: list[tuple[Any, list[str]]] = []  # a map or list, and the key that waits for its value

    def take(self) -> Any:
        found, self._root = self._root, None
        return found

    def add(self, event: Any) -> None:
        if isinstance(event, yaml.ScalarEvent):
            self._value(event)
        elif isinstance(event, yaml.CollectionStartEvent):
            made: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
            if len(self._open) >= MAX_DEPTH:
                raise NotYaml(f"{_line(event.start_mark)}it is nested more than {MAX_DEPTH} levels deep")
            self._put(made, event)
            self._open.append((made, []))
        elif isinstance(event, yaml.CollectionEndEvent):
            self._open.pop()
        elif isinstance(event, yaml.AliasEvent):
            raise NotYaml(f"{_line(event.start_mark)}it has an alias, which kubectl never writes")

    def _value(self, event: Any) -> None:
        holder, key = self._open[-1] if self._open else (None, [])
        if isinstance(holder, dict) and not key:
            key.append(event.value)
        else:
            self._put(_plain(event.value) if event.implicit[0] else event.value, event)

    def _put(self, value: Any, event: Any) -> None:
        if not self._open:
            self._root = value
            return
        holder, key = self._open[-1]
        if isinstance(holder, list):
            holder.append(value)
        elif key:
            holder[key.pop()] = value
        else:
            raise NotYaml(f"{_line(event.start_mark)}a key is no text")


def _plain(text: str) -> Any:
    """The value of a scalar without quotes."""
    if text in _WORDS:
        return _WORDS[text]
    if _WHOLE.fullmatch(text):
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) else text


def _line(mark: Any) -> str:
    return f"line {mark.line + 1}: " if mark is not None else ""
