"""A picture on a terminal that is drawn anew, until somebody presses q or Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
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
    """Have a key that ends it, and SIGTERM, set an event; the terminal is as it was after the context.

    Args:
        pressed: set when such a key was pressed, or nobody can press any more.
        stream: standard input by default; one that is no terminal has no keys.
    """
    keys, loop = stream or sys.stdin, asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, pressed.set)  # the terminal is given back then, too
    try:
        with _keys(keys, pressed) if keys.isatty() else nullcontext():
            yield
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


@contextmanager
def _keys(stream: TextIO, pressed: asyncio.Event) -> Iterator[None]:
    """Take each key as it is pressed, and show none."""
    descriptor, loop = stream.fileno(), asyncio.get_running_loop()
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
