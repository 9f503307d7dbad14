"""Runs a program's coroutine until it ends or a signal asks it to, and turns how it ended into an exit code."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")

logger = logging.getLogger(__name__)

FAILED = 1
WRONG_USAGE = 2
INTERRUPTED = 130
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_YOUNG = 20_000
"""Objects that are made between two looks for garbage. Requests under way are thousands of small ones that end with
them: to walk all of them again after every 700 (Python's own choice) took half of what the collector took."""


def run(
    program: Callable[[], Coroutine[Any, Any, int | None]],
    *,
    known: tuple[type[Exception], ...],
    grace: float = 20.0,
) -> int:
    """Run a coroutine on uvloop; SIGTERM and SIGINT cancel it, and it may clean up.

    Args:
        program: makes the coroutine; what it returns becomes the exit code (None: 0).
        known: errors whose text says all a person needs.
        grace: seconds the clean-up may take; after them, or on a second signal, the process ends as it is.

    Returns:
        The exit code: the program's own; 0 after SIGTERM, 130 after SIGINT, 1 after an error, which is logged.
    """
    import uvloop  # here, so that `moorage --help` need not load it

    gc.set_threshold(_YOUNG, *gc.get_threshold()[1:])
    with _runner(uvloop.new_event_loop) as runner:
        supervisor = _Supervisor(runner.get_loop(), grace)
        try:
            code = runner.run(supervisor.run(program))
        except asyncio.CancelledError:
            code = 0
        except Exception as error:
            return _report(error, known)
    return INTERRUPTED if supervisor.stopped_by == signal.SIGINT else code


def run_command(command: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """``asyncio.run`` for what a person may interrupt at any moment: no half-made event loop is left to complain.

    Args:
        command: makes the coroutine.

    Returns:
        What the coroutine returns.

    Raises:
        KeyboardInterrupt: a signal came whose handler raises it; the loop is closed and tasks have cleaned up.
    """
    with _runner() as runner:
        return runner.run(command())


@contextmanager
def _runner(loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None) -> Iterator[asyncio.Runner]:
    with ExitStack() as stack:
        with _signals_after():
            runner = stack.enter_context(asyncio.Runner(loop_factory=loop_factory))
        yield runner


@contextmanager
def _signals_after() -> Iterator[None]:
    """Have signals that stop a process handled after this; to block them would only move them to another thread."""
    came: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        came.append(number)

    # Only the main thread handles signals, so nothing interrupts another one.
    numbers = _STOPPING if threading.current_thread() is threading.main_thread() else ()
    with ExitStack() as handlers:  # each is set back, also when another one's signal is handled meanwhile
        for number in numbers:
            if (handler := signal.getsignal(number)) is not None:  # None: somebody's in C, not ours to take
                signal.signal(number, note)
                handlers.callback(signal.signal, number, handler)
        yield
    for each in came:
        signal.raise_signal(each)


def _report(error: Exception, known: tuple[type[Exception], ...]) -> int:
    """Log how it ended: known errors by their text alone, everything else as the fault that it is."""
    for each in _leaves(error):
        if isinstance(each, known):
            logger.error("program ended by an error", extra={"error": str(each)})
        else:
            logger.critical(
                "program ended by a fault of its own, please report it",
                extra={"error": f"{type(each).__name__}: {each}"},
                exc_info=each,
            )
    return FAILED


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """The errors in a task group's group, however nested."""
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error


class _Supervisor:
    def __init__(self, loop: asyncio.AbstractEventLoop, grace: float) -> None:
        self._loop = loop
        self._grace = grace
        self._task: asyncio.Task[int | None] | None = None
        self.stopped_by: signal.Signals | None = None

    async def run(self, program: Callable[[], Coroutine[Any, Any, int | None]]) -> int:
        """The program in a task of its own, which signals cancel."""
        self._task = asyncio.ensure_future(program())
        for number in _SIGNALS:
            self._loop.add_signal_handler(number, self._stop, number)
        try:
            return await self._task or 0
        finally:
            for number in _SIGNALS:
                self._loop.remove_signal_handler(number)

    def _stop(self, number: signal.Signals) -> None:
        assert self._task is not None  # noqa: S101 - handlers are set after it
        if self.stopped_by is not None:
            logger.warning("stopped at once by a second signal", extra={"signal": number.name})
            _leave(128 + number)
        self.stopped_by = number
        logger.info("stopping", extra={"signal": number.name})
        self._task.cancel()
        # A thread, because what hangs may be the loop itself.
        timer = threading.Timer(self._grace, self._give_up)
        timer.daemon = True
        timer.start()

    def _give_up(self) -> None:
        logger.error(
            "stopping took too long, ending without cleaning up",
            extra={"grace_s": self._grace, "tasks": sorted(t.get_name() for t in asyncio.all_tasks(self._loop))},
        )
        _leave(FAILED)


def _leave(code: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
