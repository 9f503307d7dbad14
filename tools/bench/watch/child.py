"""Child processes of the benchmark: commands are lines of input, answers are lines of JSON."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import tools.localcluster
from tools.bench.common.errors import BenchError

Answer = dict[str, Any]

_CHILD = Path(tools.localcluster.__file__).with_name("child.py")  # becomes the program, which ends with this process

TOKEN_VARIABLE = "MOORAGE_BENCH_TOKEN"  # noqa: S105 - the name of the environment variable that holds it


class Child:
    """A process that runs commands. It ends when it is closed, because its input ends, or with this process.

    Args:
        name: its name in messages.
        argv: program and arguments.
        log: file for its standard error.
    """

    def __init__(self, name: str, argv: Sequence[str], log: Path) -> None:
        self.name = name
        self.log = log
        self.started = time.monotonic()
        self._pending = b""
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_CHILD), str(os.getpid()), *argv],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                bufsize=0,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def tell(self, command: str) -> None:
        """Send one command.

        Raises:
            BenchError: the process has exited.
        """
        assert self._process.stdin
        try:
            self._process.stdin.write(command.encode() + b"\n")
        except OSError as error:
            raise self._failure(str(error)) from error

    def hear(self, timeout: float) -> Answer:
        """Wait for the next answer.

        Args:
            timeout: seconds.

        Raises:
            BenchError: no answer came in time, or the process has exited.
        """
        deadline = time.monotonic() + timeout
        while b"\n" not in self._pending:
            self._pending += self._read(deadline)
        line, _, self._pending = self._pending.partition(b"\n")
        answer: Answer = json.loads(line)
        return answer

    def ask(self, command: str, timeout: float) -> Answer:
        """Send a command and wait for its answer."""
        self.tell(command)
        return self.hear(timeout)

    def _read(self, deadline: float) -> bytes:
        assert self._process.stdout
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise self._failure("no answer in time")
        chunk = os.read(self._process.stdout.fileno(), 1 << 16)
        if not chunk:
            raise self._failure(f"it ended with exit code {self._process.wait()}")
        return chunk

    def _failure(self, reason: str) -> BenchError:
        last = self.log.read_text(errors="replace").strip().splitlines()[-1:]
        return BenchError(f"{self.name}: {reason}; {': '.join([*last, f'log {self.log.name}'])}")
