"""Runs one evaluation at a time in a thread, so that caches, Lease and probes go on meanwhile."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from moorage.ops import heap

T = TypeVar("T")

SWITCH_INTERVAL = 0.0005
"""Seconds after which the thread must let the event loop run when that has something to do; Python's own are 5 ms, and
the loop waits for them after each of its system calls."""


class Worker:
    """Runs one function at a time."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="look")

    def close(self) -> None:
        """Accept no more work."""
        self._threads.shutdown(wait=False)

    async def run(self, work: Callable[..., T], *args: Any) -> T:
        """Run a function in the thread, and return what it returns.

        Args:
            work: the function; it is given ``stopped`` besides, and should raise once that returns true.
            args: for it.

        Raises:
            CancelledError: we were cancelled; the function has ended by then, because a thread cannot be made to.
        """
        asked = threading.Event()
        loop = asyncio.get_running_loop()
        with _switching_often(), heap.uncollected():
            running = loop.run_in_executor(self._threads, lambda: work(*args, stopped=asked.is_set))
            try:
                return await asyncio.shield(running)
            except asyncio.CancelledError:
                asked.set()
                await asyncio.wait([running])
                if not running.cancelled():
                    running.exception()  # the caller is gone
                raise


@contextmanager
def _switching_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(min(SWITCH_INTERVAL, before))
    try:
        yield
    finally:
        sys.setswitchinterval(before)
