"""Output on standard error: a terminal shows progress in place, and other outputs get a line now and then."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TextIO

PLAIN_SECONDS = 15.0
TERMINAL_SECONDS = 0.2


class Console:
    """Prints messages and progress. Standard output stays free for results."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._last = time.monotonic()
        self._open = False

    def say(self, text: str) -> None:
        """Print one line.

        Args:
            text: the sentence.
        """
        self.clear()
        self._stream.write(f"{text}\n")
        self._stream.flush()

    def progress(self, text: str) -> None:
        """Show the progress, at most as often as is useful for this kind of output.

        Args:
            text: the whole state. It replaces the last one.
        """
        now = time.monotonic()
        if now - self._last < (TERMINAL_SECONDS if self._terminal else PLAIN_SECONDS):
            return
        self._last = now
        if self._terminal:
            width = shutil.get_terminal_size().columns - 1
            self._stream.write(f"\r\x1b[K{text[:width]}")
            self._open = True
        else:
            self._stream.write(f"{text}\n")
        self._stream.flush()

    def clear(self) -> None:
        """Remove the text of `progress` from the terminal's line."""
        if self._open:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._open = False
