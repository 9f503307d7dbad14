"""Shows a running or replayed demo: a live picture on a terminal, a line per sentence elsewhere."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol, Self, TextIO

from rich.console import Console
from rich.live import Live

from .demo import Demo
from .events import Event, Said
from .sentences import plain_line

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
            print(plain_line(event), file=self._stream, flush=True)

    def tick(self, now: float) -> None:
        """Nothing moves."""


class Picture:
    """A picture that is drawn anew, at most ten times a second."""

    def __init__(
        self, console: Console, demo: Demo[Any], heading: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._demo = demo
        self._heading = heading
        self._clock = clock
        self._state = demo.state()
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
        self._live.update(self._demo.render(self._state, self._heading, now), refresh=True)


def screen(stream: TextIO, demo: Demo[Any], heading: str) -> Screen:
    """What suits the output."""
    if stream.isatty() and os.environ.get("TERM") != "dumb":
        console = Console(file=stream, highlight=False, no_color=bool(os.environ.get("NO_COLOR")))
        return Picture(console, demo, heading)
    return Lines(stream)
