"""Shows a running or replayed demo: a live picture on a terminal, a line per sentence elsewhere."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self, TextIO

from rich.console import Console
from rich.live import Live

from .events import Event, Mark, Said
from .state import State
from .view import plain_line, render

FRAME = 0.1
"""Seconds between two pictures: more would only cost the cluster's CPU."""


class Screen(Protocol):
    """Shows events; a context manager, because a terminal must be given back."""

    def __enter__(self) -> Self:
        """Take the terminal."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give it back, with the last picture on it."""

    def show(self, event: Event) -> None:
        """One more event."""

    def tick(self, now: float) -> None:
        """Time goes on: seconds since the start."""


class Lines:
    """A plain line for each sentence."""

    def __init__(self, stream: TextIO, heading: str = "") -> None:
        self._stream = stream
        self._heading = heading

    def __enter__(self) -> Self:
        if self._heading:
            print(self._heading, file=self._stream, flush=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to give back."""

    def show(self, event: Event) -> None:
        """Print it when it is a sentence."""
        if isinstance(event, Said):
            print(plain_line(event.at, event.mark, event.sentence), file=self._stream, flush=True)

    def tick(self, now: float) -> None:
        """Nothing moves."""


class Picture:
    """A picture that is drawn anew, at most ten times a second."""

    def __init__(self, console: Console, heading: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._heading = heading
        self._clock = clock
        self._state = State()
        self._drawn = -FRAME
        # No refreshing thread: it would read the state while it changes.
        self._live = Live(console=console, auto_refresh=False, vertical_overflow="crop")

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._draw(self._state.at)
        self._live.__exit__(kind, error, trace)

    def show(self, event: Event) -> None:
        """Take it in, and draw when it is time."""
        self._state.apply(event)
        if isinstance(event, Said):
            self._draw(event.at)
        else:
            self.tick(event.at)

    def tick(self, now: float) -> None:
        """Draw when it is time."""
        if self._clock() - self._drawn >= FRAME:
            self._draw(now)

    def _draw(self, now: float) -> None:
        self._drawn = self._clock()
        self._live.update(render(self._state, heading=self._heading, now=now), refresh=True)


def screen(stream: TextIO, heading: str) -> Screen:
    """What suits the output."""
    if stream.isatty() and os.environ.get("TERM") != "dumb":
        return Picture(Console(file=stream, highlight=False, no_color=bool(os.environ.get("NO_COLOR"))), heading)
    return Lines(stream)


def print_line(stream: TextIO, sentence: str, mark: Mark = Mark.STEP) -> None:
    """One line outside of a story."""
    colours = {Mark.STEP: 36, Mark.GOOD: 32, Mark.BAD: 31}
    shown = mark.value
    if stream.isatty() and not os.environ.get("NO_COLOR"):
        shown = f"\x1b[{colours[mark]}m{shown}\x1b[0m"
    print(f"{shown} {sentence}", file=stream, flush=True)
