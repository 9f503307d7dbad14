"""A work queue of keys, as client-go's (util/workqueue): one worker per key at a time, nothing forgotten, no key twice.

Three ways in: at once, after some time, and quietly: a key that was put in quietly is handed out when nobody works on
anything else, or when it has waited too long. Quiet work is done one by one and, while there is other work every now
and then, with rests: what it asks of the API server would otherwise make the next pins wait.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from moorage.kube.backoff import Backoff

QUIET_PATIENCE = 20.0
"""Seconds after which a quiet key goes first."""
QUIET_REST = 4.0
"""How many times as long as a quiet key has taken none is handed out, unless nobody else has worked lately."""
LONGEST_REST = 0.5
LATELY = 1.0
"""Seconds, both."""
_EARLY = 0.01
"""Seconds by which a timer may ring too early: event loops round."""


class KeyQueue:
    """Keys to look at.

    Args:
        base: first ceiling (seconds) of the delays of a key that fails.
        cap: highest ceiling of them.
        on_waiting: told how many keys wait, whenever that changes; for a metric.
    """

    def __init__(self, *, base: float, cap: float, on_waiting: Callable[[int], object] = lambda _: None) -> None:
        self._base, self._cap, self._on_waiting = base, cap, on_waiting
        self._ready: deque[str] = deque()
        self._waiting: set[str] = set()  # in _ready, or to be once they are done
        self._busy: set[str] = set()
        self._quietly_busy: tuple[str, float] | None = None  # and since when
        self._rest_until = 0.0
        self._worked_at = float("-inf")  # when somebody has last worked on a key that did not come quietly
        self._quiet: dict[str, float] = {}  # key to the loop time at which it may be handed out; in that order
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._backoffs: dict[str, Backoff] = {}
        self._idle: deque[asyncio.Future[None]] = deque()  # workers without a key, woken one by one

    @property
    def busy(self) -> bool:
        """Whether there is work that did not come quietly."""
        return bool(self._ready) or len(self._busy) > (self._quietly_busy is not None)

    def add(self, key: str) -> None:
        """Look at a key soon; if somebody is looking at it, once more afterwards."""
        if key in self._waiting:
            return
        self._waiting.add(key)
        if key not in self._busy:
            self._ready.append(key)
            self._wake()
        self._on_waiting(len(self._waiting))

    def add_after(self, key: str, seconds: float) -> None:
        """Look at a key after some seconds; of several such wishes the earliest counts."""
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        when = loop.time() + max(seconds, 0.0)
        if timer is not None:
            if timer.when() <= when:
                return
            timer.cancel()
        self._timers[key] = loop.call_at(when, self._ring, key)

    def add_quietly(self, key: str, seconds: float) -> None:
        """Look at a key when there is nothing better to do, after some seconds at the earliest."""
        if key not in self._quiet:
            loop = asyncio.get_running_loop()
            due = self._quiet[key] = loop.time() + seconds
            loop.call_at(due, self._wake)

    def retry(self, key: str) -> float:
        """Look at a key again after a failure; returns the seconds until then."""
        delay = self._backoffs.setdefault(key, Backoff(self._base, self._cap, least=0.5)).next()
        self.add_after(key, delay)
        return delay

    def forgive(self, key: str) -> None:
        """Forget the failures of a key."""
        self._backoffs.pop(key, None)

    async def get(self) -> tuple[str, bool]:
        """The next key, and whether it comes quietly; ``done`` must follow."""
        loop = asyncio.get_running_loop()
        while (found := self._next(loop.time())) is None:
            woken = loop.create_future()
            self._idle.append(woken)
            try:
                await woken
            except asyncio.CancelledError:
                if woken.done() and not woken.cancelled():
                    self._wake()  # somebody else must take what we were woken for
                raise
        self._busy.add(found[0])
        if found[1]:
            self._quietly_busy = (found[0], loop.time())
        return found

    def done(self, key: str) -> None:
        """Somebody has looked at a key."""
        self._busy.discard(key)
        now = asyncio.get_running_loop().time()
        if self._quietly_busy is not None and self._quietly_busy[0] == key:
            self._rest(now, now - self._quietly_busy[1])
        else:
            self._worked_at = now
        if key in self._waiting:
            self._ready.append(key)
        self._wake()

    def close(self) -> None:
        """Ring no more."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _rest(self, now: float, spent: float) -> None:
        """Somebody has looked at a quiet key, for so many seconds."""
        self._quietly_busy = None
        if now - self._worked_at < LATELY:
            self._rest_until = now + min(spent * QUIET_REST, LONGEST_REST)
            asyncio.get_running_loop().call_at(self._rest_until, self._wake)

    def _next(self, now: float) -> tuple[str, bool] | None:
        quiet = None
        if self._quiet and self._quietly_busy is None:
            calm = not self._ready and not self._busy and now + _EARLY >= self._rest_until
            quiet = self._quiet_since(now + _EARLY if calm else now - QUIET_PATIENCE)
        if quiet is not None:
            del self._quiet[quiet]
            return quiet, True
        if not self._ready:
            return None
        key = self._ready.popleft()
        self._waiting.discard(key)
        self._on_waiting(len(self._waiting))
        return key, False

    def _quiet_since(self, moment: float) -> str | None:
        """The first quiet key that was due by then; not one that somebody looks at, or will anyway."""
        for key, due in self._quiet.items():
            if due > moment:
                return None
            if key not in self._busy and key not in self._waiting:
                return key
        return None

    def _wake(self) -> None:
        """Let one idle worker see whether there is a key for it."""
        while self._idle:
            woken = self._idle.popleft()
            if not woken.done():
                woken.set_result(None)
                return

    def _ring(self, key: str) -> None:
        self._timers.pop(key, None)
        self.add(key)
