"""Parses every command on the pages."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[3]
PATTERNS = ("*.md", "docs/**/*.md", "terraform/*.md", "pulumi/*.md", "examples/**/*.md")
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
PARTS = frozenset({"|", "||", "&&", ";"})


class Command(NamedTuple):
    """One simple command.

    Attributes:
        page: where it stands, from the root of the repository.
        words: program and arguments, without redirections.
    """

    page: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page}: {shlex.join(self.words)}"


def all_of_them() -> list[Command]:
    """Every simple command of every block that is marked as ``sh`` or ``console``."""
    found = []
    for path in sorted({path for pattern in PATTERNS for path in ROOT.glob(pattern)}):
        for language, body in FENCE.findall(path.read_text()):
            lines = _lines(body) if language == "sh" else _typed(body) if language == "console" else ()
            for line in lines:
                found += [Command(str(path.relative_to(ROOT)), words) for words in simple(line)]
    return found


def _lines(body: str) -> Iterator[str]:
    """Lines with those that go on with ``\\`` or ``|``."""
    joined = re.sub(r"\|\s*\n", "| ", body.replace("\\\n", " "))
    yield from (line for line in joined.splitlines() if line.strip())


def _typed(body: str) -> Iterator[str]:
    """The commands at a prompt. The other lines are output."""
    yield from (line[2:] for line in _lines(body) if line.startswith(("$ ", "# ")))


def simple(line: str) -> Iterator[tuple[str, ...]]:
    """The simple commands of a line.

    Args:
        line: as a user types it.
    """
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;>")
    lexer.whitespace_split = True
    words: list[str] = []
    for word in [*lexer, ";"]:
        if word not in PARTS:
            words.append(word)
            continue
        if ">" in words:
            words = words[: words.index(">")]
        if words:
            yield tuple(words)
        words = []
