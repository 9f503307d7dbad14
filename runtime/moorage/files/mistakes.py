"""A mistake in a file and its location."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

Path = tuple[str | int, ...]
_LONGEST_NAME = 80


class Mistake(NamedTuple):
    """A mistake.

    Attributes:
        line: counted from 1; 0 means the whole file.
        sentence: the problem, beginning with the key where that helps.
        column: counted from 1; 0 when there is no line.
        path: keys and indexes from the top of the file.
    """

    line: int
    sentence: str
    column: int = 0
    path: Path = ()

    def __str__(self) -> str:
        """``line 7: …``."""
        return f"line {self.line}: {self.sentence}" if self.line else self.sentence

    @property
    def full_sentence(self) -> str:
        """The sentence after the complete path of its key: ``nodes[0].count: 0 is too small, at least 1``."""
        if not self.path:
            return self.sentence
        key = next((part for part in reversed(self.path) if isinstance(part, str)), "")
        return f"{dotted(self.path)}: {self.sentence.removeprefix(f'{key}: ')}"

    def located(self, name: str) -> str:
        """The mistake in the form of compilers: ``values.yaml:7:3: castai.grpcURL: …``."""
        return f"{name}:{self.line or 1}:{self.column or 1}: {self.full_sentence}"


class FileMistakes(Exception):
    """A file cannot be used. ``mistakes`` gives the reasons, line by line."""

    def __init__(self, name: str, mistakes: list[Mistake]) -> None:
        self.name = name
        self.mistakes = sorted(mistakes, key=lambda mistake: (mistake.line, mistake.column, mistake.sentence))
        super().__init__("\n".join(f"{name}: {mistake}" for mistake in self.mistakes))


def get(value: Any, key: str) -> Any:
    """What is in a file under a key with dots: None where nothing is.

    Args:
        value: the content of the file.
        key: its parts contain no dots.
    """
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def one_line(text: str) -> str:
    """A text with JSON's escapes for what would break the line, or move the cursor of a terminal."""
    return "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in text)


def dotted(path: Path) -> str:
    """A path as users write it: ``nodes[3].labels["example.com/zone"]``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
            continue
        name = part if len(part) <= _LONGEST_NAME else f"{part[:_LONGEST_NAME]}..."
        if part.replace("-", "").replace("_", "").isalnum():
            text += f".{name}" if text else name
        else:
            text += f"[{one_line(json.dumps(name, ensure_ascii=False))}]"
    return text
