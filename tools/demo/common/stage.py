"""Where events arrive: they change the state, go to whoever shows or records them, and wake who waits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from tools.demo.errors import DemoError

from .events import Event, Mark, Said, State

S = TypeVar("S", bound=State)


class Stage(Generic[S]):
    """The running demo's state.

    Args:
        state: before any event.
        sinks: each is told every event, in order.
        clock: seconds on a clock that never goes back (for tests).
    """

    def __init__(self, state: S, *sinks: Callable[[Event], None], clock: Callable[[], float] = time.monotonic) -> None:
        self.state = state
        self._sinks = sinks
        self._clock = clock
        self._started = clock()
        self._changed = asyncio.Event()

    @property
    def elapsed(self) -> float:
        """Seconds since the start, to the millisecond."""
        return round(self._clock() - self._started, 3)

    def say(self, sentence: str, mark: Mark = Mark.STEP) -> None:
        """Tell something worth a line."""
        self.take(Said(at=self.elapsed, sentence=sentence, mark=mark))

    def good(self, sentence: str) -> None:
        """Tell about something achieved."""
        self.say(sentence, Mark.GOOD)

    def take(self, event: Event) -> None:
        """Let an event happen."""
        self.state.apply(event)
        for sink in self._sinks:
            sink(event)
        self._changed.set()

    async def until(self, condition: Callable[[S], bool], what: str, seconds: float) -> None:
        """Return once the condition holds.

        Args:
            condition: of the state.
            what: what is waited for, for the error.
            seconds: how long at most.

        Raises:
            DemoError: it did not come to hold in time.
        """
        try:
            async with asyncio.timeout(seconds):
                while not condition(self.state):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError as error:
            raise DemoError(f"waited {seconds:g} s for {what}") from error
