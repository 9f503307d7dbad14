"""How late the event loop is: while one callback runs, Leases, answers and streams wait for it.

A task sleeps, and sees by how much it wakes too late. It sleeps briefly while the process works, when that costs little
beside the work, and long while the process is idle.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import NoReturn

from prometheus_client import Gauge

LAG = Gauge(
    "moorage_event_loop_lag_seconds",
    "Longest delay of the event loop within the last one to two minutes: how long everything waited for one thing.",
)

BRIEF = 0.02
LONG = 1.0
"""Seconds between two looks while the process works, and while it is idle."""
WORKS = 0.05
"""Share of a core from which on a process works."""
WINDOW = 60.0
"""Seconds that the worst delay is remembered for, at least; at most twice that."""


class LoopLag:
    """Measures the delay of the event loop that it runs in.

    Args:
        monotonic: seconds on a clock that never goes back.
        cpu: seconds of CPU that the process has used.
    """

    def __init__(
        self, monotonic: Callable[[], float] = time.monotonic, cpu: Callable[[], float] = time.process_time
    ) -> None:
        self._monotonic, self._cpu = monotonic, cpu
        self._began = monotonic()
        self._before = self._worst = 0.0
        self._brief_until = self._began + WINDOW  # a start is work

    @property
    def worst(self) -> float:
        """Seconds of the longest delay in this window and the one before."""
        self._turn()
        return max(self._before, self._worst)

    async def watch(self, each: Callable[[], None]) -> NoReturn:
        """Measure until cancelled.

        Args:
            each: called after each look, at least every second while the loop runs.
        """
        LAG.set_function(lambda: self.worst)
        while True:
            asleep, used = self._monotonic(), self._cpu()
            pause = BRIEF if asleep < self._brief_until else LONG
            await asyncio.sleep(pause)
            awake = self._monotonic()
            if self._cpu() - used > WORKS * (awake - asleep):
                self._brief_until = max(self._brief_until, awake + LONG)
            self.note(awake - asleep - pause)
            each()

    def note(self, delay: float) -> None:
        """Take note of one delay, in seconds."""
        self._turn()
        self._worst = max(self._worst, delay)

    def _turn(self) -> None:
        """Begin another window when this one is over."""
        windows = int((self._monotonic() - self._began) / WINDOW)
        if windows:
            self._before = self._worst if windows == 1 else 0.0
            self._worst = 0.0
            self._began += windows * WINDOW
