"""Lines and progress on standard error: rewritten in place on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TextIO

PLAIN_SECONDS = 15.0
TERMINAL_SECONDS = 0.2


class Console:
    """Tells a person what happens. Standard output stays free for answers."""

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
        """Show how far it is, not more often than is useful on this kind of output.

        Args:
            text: the whole state; it replaces what was shown before.
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
        """Remove what `progress` left on the terminal's line."""
        if self._open:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._open = False
