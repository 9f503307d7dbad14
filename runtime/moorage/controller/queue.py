"""A work queue of keys, as in client-go (util/workqueue): a key is never lost, and has one worker at a time.

A key can be added at once, after a delay, or with low priority. A low-priority key is handed out when no worker is busy
with another key, or when it has waited too long. Low-priority keys are worked on one at a time, with pauses while there
is other work, because their requests would delay the next pins.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

from moorage.kube.backoff import Backoff
from moorage.ops.slices import Turns

LOW_PRIORITY_PATIENCE = 20.0
"""Seconds after which a low-priority key is handed out first."""
PAUSE_FACTOR = 4.0
"""After a low-priority key, the pause before the next one, as a multiple of the time it took. There is no pause when no
other key was worked on lately."""
LONGEST_PAUSE = 0.5
LATELY = 1.0
"""Longest pause, and what counts as lately, in seconds."""
_EARLY = 0.01
"""Seconds by which a timer may fire early, because event loops round."""


class KeyQueue:
    """A queue of keys.

    Args:
        base: first ceiling, in seconds, of the back-off of a failing key.
        cap: highest ceiling, in seconds.
        on_waiting: is called with the number of waiting keys when it changes; for a metric.
        monotonic: seconds on a clock that never goes back, also while a task runs.
    """

    def __init__(
        self,
        *,
        base: float,
        cap: float,
        on_waiting: Callable[[int], object] = lambda _: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._turns = Turns(clock=monotonic)
        self._base, self._cap, self._on_waiting = base, cap, on_waiting
        self._ready: deque[str] = deque()
        self._waiting: set[str] = set()  # keys in _ready, or to be added to it when their worker is done
        self._busy: set[str] = set()
        self._low_priority_busy: tuple[str, float] | None = (
            None  # the low-priority key that a worker has, and since when
        )
        self._paused_until = 0.0
        self._worked_at = float("-inf")  # when the last work on a key of normal priority ended
        self._low_priority: dict[str, float] = {}  # key to the loop time at which it is due, ordered by it
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._backoffs: dict[str, Backoff] = {}
        self._idle: deque[asyncio.Future[None]] = deque()  # workers that wait for a key; one at a time is woken

    @property
    def busy(self) -> bool:
        """Whether a key of normal priority waits or is worked on."""
        return bool(self._ready) or len(self._busy) > (self._low_priority_busy is not None)

    def add(self, key: str) -> None:
        """Add a key. If a worker has it now, it is handed out once more afterwards."""
        if key in self._waiting:
            return
        self._waiting.add(key)
        if key not in self._busy:
            self._ready.append(key)
            self._wake()
        self._on_waiting(len(self._waiting))

    def add_after(self, key: str, seconds: float) -> None:
        """Add a key after a delay in seconds. If it was added several times, the earliest time applies."""
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        when = loop.time() + max(seconds, 0.0)
        if timer is not None:
            if timer.when() <= when:
                return
            timer.cancel()
        self._timers[key] = loop.call_at(when, self._timer_fired, key)

    def add_low_priority(self, key: str, seconds: float) -> None:
        """Add a key with low priority, after a delay in seconds."""
        if key not in self._low_priority:
            loop = asyncio.get_running_loop()
            due = self._low_priority[key] = loop.time() + seconds
            loop.call_at(due, self._wake)

    def retry(self, key: str) -> float:
        """Add a key again after a failure. Returns the delay in seconds."""
        delay = self._backoffs.setdefault(key, Backoff(self._base, self._cap, least=0.5)).next()
        self.add_after(key, delay)
        return delay

    def forget_failures(self, key: str) -> None:
        """Reset the back-off of a key."""
        self._backoffs.pop(key, None)

    async def get(self) -> tuple[str, bool]:
        """Wait for the next key; also returns whether it has low priority. Call ``done`` afterwards.

        Work that waits for nothing would go on for all keys in a row, so other tasks have their turn here.
        """
        await self._turns.give()
        loop = asyncio.get_running_loop()
        while (found := self._next(loop.time())) is None:
            woken = loop.create_future()
            self._idle.append(woken)
            try:
                await woken
            except asyncio.CancelledError:
                if woken.done() and not woken.cancelled():
                    self._wake()  # another worker must take the key that we were woken for
                raise
        self._busy.add(found[0])
        if found[1]:
            self._low_priority_busy = (found[0], loop.time())
        return found

    def done(self, key: str) -> None:
        """A worker is done with a key."""
        self._busy.discard(key)
        now = asyncio.get_running_loop().time()
        if self._low_priority_busy is not None and self._low_priority_busy[0] == key:
            self._record_pause(now, now - self._low_priority_busy[1])
        else:
            self._worked_at = now
        if key in self._waiting:
            self._ready.append(key)
        self._wake()

    def close(self) -> None:
        """Cancel all timers."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _record_pause(self, now: float, spent: float) -> None:
        """A worker was busy with a low-priority key for this many seconds."""
        self._low_priority_busy = None
        if now - self._worked_at < LATELY:
            self._paused_until = now + min(spent * PAUSE_FACTOR, LONGEST_PAUSE)
            asyncio.get_running_loop().call_at(self._paused_until, self._wake)

    def _next(self, now: float) -> tuple[str, bool] | None:
        chosen = None
        if self._low_priority and self._low_priority_busy is None:
            calm = not self._ready and not self._busy and now + _EARLY >= self._paused_until
            chosen = self._first_low_priority(now + _EARLY if calm else now - LOW_PRIORITY_PATIENCE)
        if chosen is not None:
            del self._low_priority[chosen]
            return chosen, True
        if not self._ready:
            return None
        key = self._ready.popleft()
        self._waiting.discard(key)
        self._on_waiting(len(self._waiting))
        return key, False

    def _first_low_priority(self, moment: float) -> str | None:
        """The first low-priority key that was due by then. Keys that a worker has, or will get anyway, are skipped."""
        for key, due in self._low_priority.items():
            if due > moment:
                return None
            if key not in self._busy and key not in self._waiting:
                return key
        return None

    def _wake(self) -> None:
        """Wake one idle worker to check for a key."""
        while self._idle:
            woken = self._idle.popleft()
            if not woken.done():
                woken.set_result(None)
                return

    def _timer_fired(self, key: str) -> None:
        self._timers.pop(key, None)
        self.add(key)
