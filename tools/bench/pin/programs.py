"""The programs that are measured, as processes that end with this one."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tools.bench.common.errors import BenchError
from tools.bench.pin.scene import HOME
from tools.localcluster.process import ManagedProcess, stop_all

ROOT = Path(__file__).resolve().parents[3]
_STOP_GRACE = 10.0

Line = dict[str, Any]


class Program:
    """One process with its log; to be used as a context.

    Args:
        name: what messages call it.
        argv: program and arguments.
        folder: where its log is and where it runs.
    """

    def __init__(self, name: str, argv: Sequence[str], folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._offset = self.log.stat().st_size if self.log.exists() else 0
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(folder),
            "PYTHONPATH": os.pathsep.join([str(ROOT / "runtime"), str(ROOT)]),
        }
        self._process = ManagedProcess(name, argv, log=self.log, env=environment, cwd=ROOT)

    def __enter__(self) -> Self:
        self._process.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stop_all([self._process], _STOP_GRACE)

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process.pid is not None, "it was started"
        return self._process.pid

    def check(self) -> None:
        """See that it runs, or has ended well.

        Raises:
            BenchError: it has failed.
        """
        if not self._process.running and self._process.exit_code != 0:
            raise BenchError(f"{self.name} ended with exit code {self._process.exit_code}: {self._process.log_tail(3)}")

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.running

    def lines(self) -> Iterator[Line]:
        """The lines of JSON that it has written and that were not taken yet."""
        with self.log.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._offset += len(line)
                with suppress(json.JSONDecodeError):
                    yield json.loads(line)

    async def until(self, enough: Callable[[Line], bool], what: str, patience: float) -> None:
        """Read lines until one is enough.

        Args:
            enough: told each line, in order.
            what: what is waited for, for the error.
            patience: seconds.

        Raises:
            BenchError: it has failed, or the patience is over.
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
        kubeconfig: of the API server.
        planner: address of the planner.
        folder: see `Program`.
        profile: where cProfile's figures are written to, None for none.
    """

    def __init__(self, kubeconfig: Path, planner: str, folder: Path, profile: Path | None = None) -> None:
        flags = [
            f"--kubeconfig={kubeconfig}",
            f"--planner-address={planner}",
            "--planner-plaintext",
            f"--namespace={HOME}",
            "--pod-name=bench-pod-pinner",
            "--health-address=127.0.0.1:0",
            "--log-format=json",
        ]
        command = ["tools.bench.pin.profiled", str(profile)] if profile else ["moorage.cli"]
        super().__init__("pod-pinner", [sys.executable, "-m", *command, "pod-pinner", *flags], folder)
        self._health = ""

    async def started(self) -> None:
        """Return once it serves its metrics."""

        def listening(line: Line) -> bool:
            if line.get("message") != "health server listens":
                return False
            self._health = line["address"]
            return True

        await self.until(listening, "its health server", 60)

    def metrics(self) -> dict[str, float]:
        """Its metrics now, by name with labels."""
        with urllib.request.urlopen(f"http://{self._health}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        lines = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in lines}


class Planner(Program):
    """`moorage planner`, serving a plan file without asking the cluster.

    Args:
        plan: the file.
        address: where it listens.
        folder: see `Program`.
    """

    def __init__(self, plan: Path, address: str, folder: Path) -> None:
        flags = [f"--plan={plan}", f"--listen={address}", "--output=json", "--log-level=warning"]
        super().__init__("planner", [sys.executable, "-m", "moorage.cli", "planner", *flags], folder)
