"""Programs of moorage as processes of ours, which may be killed and come back."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tools.demo.errors import DemoError
from tools.localcluster.process import ManagedProcess, stop_all

ROOT = Path(__file__).resolve().parents[3]
STOP_GRACE = 5.0
_LOOK_PERIOD = 0.5


class Processes:
    """Programs of one demo; they end with this process, however it ends.

    Args:
        logs: folder of their logs.
        environment: their whole environment.
        keep_open: file descriptors they inherit.
    """

    def __init__(self, logs: Path, environment: Mapping[str, str], keep_open: Sequence[int] = ()) -> None:
        self._logs = logs
        self._environment = dict(environment)
        self._keep_open = tuple(keep_open)
        self._running: dict[str, ManagedProcess] = {}
        self._may_be_away: set[str] = set()

    def start(self, name: str, flags: Sequence[str], subcommand: str = "", *, ends: bool = False) -> None:
        """Start a subcommand of ``moorage``.

        Args:
            name: of the process, and of its log.
            flags: of the subcommand.
            subcommand: which; the one of that name by default.
            ends: whether it is to end by itself; ``ended`` waits for it.
        """
        process = ManagedProcess(
            name,
            [sys.executable, "-m", "moorage.cli", subcommand or name, *flags],
            log=self._logs / f"{name}.log",
            env=self._environment,
            cwd=ROOT,
            keep_open=self._keep_open,
        )
        self._running[name] = process
        if ends:
            self._may_be_away.add(name)
        process.start()

    def kill(self, name: str) -> None:
        """End one by SIGKILL, and leave it so until ``start_again``."""
        self._may_be_away.add(name)
        self._running[name].kill()

    def start_again(self, name: str) -> None:
        """Start one that was killed, as a kubelet does with a container."""
        self._running[name].start()
        self._may_be_away.discard(name)

    async def ended(self, name: str, seconds: float) -> int:
        """Wait until one that is to end has ended; returns its exit code.

        Args:
            name: which.
            seconds: how long at most.

        Raises:
            DemoError: it goes on.
        """
        process, end = self._running[name], time.monotonic() + seconds
        while (code := process.exit_code) is None:
            if time.monotonic() > end:
                raise DemoError(f"moorage {name} goes on after {seconds:g} s; log {process.log}:\n{process.log_tail()}")
            await asyncio.sleep(_LOOK_PERIOD)
        return code

    def log(self, name: str) -> Path:
        """What a program has written."""
        return self._running[name].log

    def check(self) -> None:
        """See that all run.

        Raises:
            DemoError: one has ended; the message has the end of its log.
        """
        for name, process in self._running.items():
            if not process.running and name not in self._may_be_away:
                raise DemoError(
                    f"moorage {name} ended with exit code {process.exit_code}; log {process.log}:\n{process.log_tail()}"
                )

    def stop(self) -> None:
        """End all in order."""
        stop_all(list(self._running.values()), STOP_GRACE)
        self._running.clear()

    @asynccontextmanager
    async def looked_after(self) -> AsyncIterator[None]:
        """Look after all while the context lasts.

        Raises:
            DemoError: one has ended by itself; the context was interrupted.
        """
        owner = asyncio.current_task()
        assert owner is not None
        looking = asyncio.create_task(self._look_after(owner))
        try:
            yield
        except asyncio.CancelledError:
            if looking.done() and not looking.cancelled() and (error := looking.exception()) is not None:
                owner.uncancel()
                raise error from None
            raise
        finally:
            looking.cancel()

    async def _look_after(self, owner: asyncio.Task[object]) -> None:
        while True:
            try:
                self.check()
            except DemoError:
                owner.cancel()
                raise
            await asyncio.sleep(_LOOK_PERIOD)
