"""What a terminal may show: colours when they are wanted, and no text that moves the cursor."""

from __future__ import annotations

import codecs
import io
import os
import sys
from typing import TextIO

_ESCAPED = "moorage.escaped"
RED, GREEN, YELLOW, GREY = 31, 32, 33, 90


def colours(stream: TextIO | None = None) -> bool:
    """Whether colours are shown: the stream is a terminal, and NO_COLOR (https://no-color.org) is not set.

    Args:
        stream: standard output by default.
    """
    return (stream or sys.stdout).isatty() and not os.environ.get("NO_COLOR")


def painted(text: str, colour: int) -> str:
    """A text in a colour.

    Args:
        text: what is shown.
        colour: the number of an ANSI colour (SGR).
    """
    return f"\x1b[{colour}m{text}\x1b[0m"


def escape_what_is_unknown_to(stream: TextIO) -> None:
    """Have characters that a stream's encoding lacks written as JSON writes them, which is right in JSON and in text.

    Args:
        stream: standard output; None when it is closed.
    """
    if isinstance(stream, io.TextIOWrapper):
        codecs.register_error(_ESCAPED, _escaped)
        stream.reconfigure(errors=_ESCAPED)


def _escaped(error: UnicodeError) -> tuple[str, int]:
    import json  # only an encoding that is not UTF-8 needs it

    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


def plain(text: str) -> str:
    """The text without control characters, which could move the cursor."""
    return "".join(each if each.isprintable() else "?" for each in text)
