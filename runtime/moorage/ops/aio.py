"""Runs the coroutine of a program until it ends or a signal stops it, and returns the exit code."""

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
"""Objects that are created between two garbage collections. Requests create thousands of small objects that end with
them. Python's default of 700 made the collector walk them again and again, which took half of its CPU."""


def run(
    program: Callable[[], Coroutine[Any, Any, int | None]],
    *,
    known: tuple[type[Exception], ...],
    grace: float = 20.0,
) -> int:
    """Run a coroutine on uvloop. SIGTERM and SIGINT cancel it, and it may clean up.

    Args:
        program: returns the coroutine. Its result is the exit code (None: 0).
        known: errors whose text is all that a user needs.
        grace: seconds for the clean-up. After them, or on a second signal, the process exits at once.

    Returns:
        The exit code: the program's own; 0 after SIGTERM, 130 after SIGINT, 1 after an error, which is logged.
    """
    import uvloop  # imported here, so that `moorage --help` need not load it

    from . import memory

    memory.give_back()
    gc.set_threshold(_YOUNG, *gc.get_threshold()[1:])
    gc.collect()  # what imports have left; nobody waits yet
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
    """``asyncio.run`` for a command that a user may interrupt at any moment, without warnings of asyncio.

    Args:
        command: returns the coroutine.

    Returns:
        The result of the coroutine.

    Raises:
        KeyboardInterrupt: a signal arrived whose handler raises it. The loop is closed, and the tasks have cleaned up.
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
    """Defer signals that stop a process to the end of the block.

    Blocking them would only move them to another thread.
    """
    came: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        came.append(number)

    # Only the main thread handles signals, so other threads are never interrupted.
    numbers = _STOPPING if threading.current_thread() is threading.main_thread() else ()
    with ExitStack() as handlers:  # each handler is restored, even if another signal is handled in between
        for number in numbers:
            if (handler := signal.getsignal(number)) is not None:  # None: a handler in C, which is not ours to replace
                signal.signal(number, note)
                handlers.callback(signal.signal, number, handler)
        yield
    for each in came:
        signal.raise_signal(each)


def _report(error: Exception, known: tuple[type[Exception], ...]) -> int:
    """Log the error: a known one by its text only, any other one as a defect."""
    for each in _leaves(error):
        if isinstance(each, known):
            logger.error("program ended by an error", extra={"error": str(each)})
        else:
            logger.critical(
                "program ended by a defect, please report it",
                extra={"error": f"{type(each).__name__}: {each}"},
                exc_info=each,
            )
    return FAILED


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """All errors in an exception group, at any depth."""
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
        # A thread, because the event loop itself may hang.
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
