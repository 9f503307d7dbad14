"""A picture on a terminal that is drawn anew, until somebody presses q or Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console

QUIT = frozenset("qQ\x03\x1b")
"""Keys that end it: q, Ctrl-C where the terminal does not make a signal of it, and Escape."""


def console(stream: TextIO | None = None) -> Console:
    """A console for pictures: colours only where they are wanted.

    Args:
        stream: standard output by default.
    """
    return Console(file=stream or sys.stdout, highlight=False, no_color=bool(os.environ.get("NO_COLOR")))


@contextmanager
def quit_key(pressed: asyncio.Event, stream: TextIO | None = None) -> Iterator[None]:
    """Have a key that ends it set an event; the terminal is as it was after the context.

    Args:
        pressed: set when such a key was pressed, or nobody can press any more.
        stream: standard input by default; one that is no terminal has no keys.
    """
    keys = stream or sys.stdin
    if not keys.isatty():
        yield
        return
    descriptor, loop = keys.fileno(), asyncio.get_running_loop()
    before = termios.tcgetattr(descriptor)

    def read() -> None:
        typed = os.read(descriptor, 64).decode(errors="replace")
        if not typed or not QUIT.isdisjoint(typed):
            pressed.set()

    tty.setcbreak(descriptor)
    loop.add_reader(descriptor, read)
    try:
        yield
    finally:
        loop.remove_reader(descriptor)
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
