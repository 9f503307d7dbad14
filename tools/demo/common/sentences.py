"""How a sentence of a story is shown: in a picture, and as a plain line."""

from __future__ import annotations

import os
from typing import TextIO

from rich.text import Text

from .events import Mark, Said

_STYLE = {Mark.STEP: "cyan", Mark.GOOD: "green", Mark.BAD: "bold red"}
_CODES = {Mark.STEP: 36, Mark.GOOD: 32, Mark.BAD: 31}


def line(said: Said) -> Text:
    """A sentence in a picture."""
    return Text.assemble(
        (f"{said.at:5.1f} s  ", "bright_black"), (said.mark.value, _STYLE[said.mark]), f" {said.sentence}"
    )


def plain_line(said: Said) -> str:
    """A sentence for output that is no terminal."""
    return f"{said.at:5.1f} s  {said.mark.value} {said.sentence}"


def print_line(stream: TextIO, sentence: str, mark: Mark = Mark.STEP) -> None:
    """One line outside of a story."""
    shown = mark.value
    if stream.isatty() and not os.environ.get("NO_COLOR"):
        shown = f"\x1b[{_CODES[mark]}m{shown}\x1b[0m"
    print(f"{shown} {sentence}", file=stream, flush=True)
