"""The measured programs, as processes that end with this one."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tools.bench.common.errors import BenchError
from tools.bench.pin.installation import Installation
from tools.bench.pin.scene import HOME
from tools.toolchain import guard

Line = dict[str, Any]


class Program:
    """A process with its log, as a context manager.

    Args:
        name: its name in messages.
        spawn: starts it with its output to a file descriptor, and returns the process of its guard.
        folder: for its log.
    """

    def __init__(self, name: str, spawn: Callable[[int], subprocess.Popen[bytes]], folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._offset = self.log.stat().st_size if self.log.exists() else 0
        self._spawn = spawn
        self._guard: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self.log.open("ab") as log:
            self._guard = self._spawn(log.fileno())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        guard.end(self._process)

    @property
    def pid(self) -> int:
        """Its process id, once it has written a line."""
        return guard.program(self._process)

    @property
    def _process(self) -> subprocess.Popen[bytes]:
        assert self._guard is not None, "it was started"
        return self._guard

    def check(self) -> None:
        """Check that it runs or has exited with 0.

        Raises:
            BenchError: it has failed.
        """
        code = self._process.poll()
        if code:  # neither None nor 0
            last = "\n".join(self.log.read_text(errors="replace").splitlines()[-3:])
            raise BenchError(f"{self.name} ended with exit code {code}: {last}")

    def lines(self) -> Iterator[Line]:
        """The lines of JSON that it has written since the last call."""
        with self.log.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._offset += len(line)
                with suppress(json.JSONDecodeError):
                    yield json.loads(line)

    async def until(self, enough: Callable[[Line], bool], what: str, patience: float) -> None:
        """Read lines until one of them is sufficient.

        Args:
            enough: the condition; called with each line in order.
            what: the condition in words, for the error.
            patience: seconds.

        Raises:
            BenchError: it has failed, or the time is over.
        """
        deadline = time.monotonic() + patience
        while True:
            if any(enough(line) for line in self.lines()):
                return
            self.check()
            if time.monotonic() > deadline:
                raise BenchError(f"{self.name}: waited {patience:g} s for {what}; log {self.log.name}")
            await asyncio.sleep(0.05)


class Pinner(Program):
    """`moorage pod-pinner`, the only replica.

    Args:
        installation: how it is run.
        kubeconfig: of the API server, in the shared folder.
        planner: address of the planner.
        folder: see `Program`.
        more: additional flags.
    """

    def __init__(
        self, installation: Installation, kubeconfig: Path, planner: str, folder: Path, more: Sequence[str] = ()
    ) -> None:
        arguments = [
            "pod-pinner",
            f"--kubeconfig={installation.path(kubeconfig)}",
            f"--planner-address={planner}",
            "--planner-plaintext",
            f"--namespace={HOME}",
            "--pod-name=bench-pod-pinner",
            "--health-address=127.0.0.1:0",
            "--log-format=json",
            *more,
        ]
        super().__init__("pod-pinner", lambda log: installation.spawn(arguments, log), folder)
        self._health = ""
        self._lag = 0.0

    async def started(self) -> None:
        """Return once it serves its metrics."""

        def listening(line: Line) -> bool:
            if line.get("message") != "health server listens":
                return False
            self._health = line["address"]
            return True

        await self.until(listening, "its health server", 60)

    def metrics(self) -> dict[str, float]:
        """Its current metrics, by name with labels."""
        with urllib.request.urlopen(f"http://{self._health}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        lines = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in lines}

    def lag_ms(self) -> float:
        """The longest delay of its event loop so far, in ms, if it is asked once a minute."""
        self._lag = max(self._lag, self.metrics()["moorage_event_loop_lag_seconds"])
        return 1000 * self._lag


class Planner(Program):
    """`moorage planner` with a plan file that needs no access to the cluster.

    Args:
        installation: how it is run.
        plan: the file, in the shared folder.
        address: the address on which it listens.
        folder: see `Program`.
    """

    def __init__(self, installation: Installation, plan: Path, address: str, folder: Path) -> None:
        flags = [f"--plan={installation.path(plan)}", f"--listen={address}", "--output=json", "--log-level=warning"]
        super().__init__("planner", lambda log: installation.spawn(["planner", *flags], log), folder)
