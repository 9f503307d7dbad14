"""The real planner and pod pinner as processes of ours, which may be killed and come back."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tools.localcluster.process import ManagedProcess, stop_all

from . import manifests
from .errors import DemoError

ROOT = Path(__file__).resolve().parents[2]
PLANNER = "planner"
PINNER = "pod-pinner"
LEASE = "moorage-demo"
STOP_GRACE = 5.0


class Programs:
    """Planner and pinner of one demo; they end with this process, however it ends.

    Args:
        logs: folder of their logs.
        environment: their whole environment.
        cluster: flags that lead to the API server.
        keep_open: file descriptors they inherit.
    """

    def __init__(
        self, logs: Path, environment: Mapping[str, str], cluster: Sequence[str], keep_open: Sequence[int] = ()
    ) -> None:
        self._logs = logs
        self._environment = dict(environment)
        self._cluster = list(cluster)
        self._keep_open = tuple(keep_open)
        self._running: dict[str, ManagedProcess] = {}
        self._killed = ""

    def start_planner(self, plan: Path, address: str) -> None:
        """Serve a plan file on loopback."""
        self._start(PLANNER, ["--plan", str(plan), "--listen", address])

    def start_pinner(self, planner: str) -> None:
        """Follow the planner at that address."""
        flags = [
            *self._cluster,
            f"--planner-address={planner}",
            "--planner-plaintext",
            f"--namespace={manifests.NAMESPACE}",
            "--pod-name=demo-pod-pinner",
            f"--lease-name={LEASE}",
            "--health-address=127.0.0.1:0",
            "--log-format=json",
        ]
        self._start(PINNER, flags)

    def _start(self, name: str, flags: Sequence[str]) -> None:
        process = ManagedProcess(
            name,
            [sys.executable, "-m", "moorage.cli", name, *flags],
            log=self._logs / f"{name}.log",
            env=self._environment,
            cwd=ROOT,
            keep_open=self._keep_open,
        )
        self._running[name] = process
        process.start()

    def kill(self, name: str) -> None:
        """End one by SIGKILL and start it again, as a kubelet does with a container."""
        process = self._running[name]
        self._killed = name
        try:
            process.kill()
            process.start()
        finally:
            self._killed = ""

    def check(self) -> None:
        """See that all run.

        Raises:
            DemoError: one has ended; the message has the end of its log.
        """
        for name, process in self._running.items():
            if not process.running and name != self._killed:
                raise DemoError(
                    f"moorage {name} ended with exit code {process.exit_code}; log {process.log}:\n{process.log_tail()}"
                )

    def stop(self) -> None:
        """End all in order."""
        stop_all(list(self._running.values()), STOP_GRACE)
        self._running.clear()
