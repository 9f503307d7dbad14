"""The real planner and pod pinner as processes of ours, which may be killed and come back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from . import manifests
from .common.programs import ROOT as ROOT
from .common.programs import Processes

PLANNER = "planner"
PINNER = "pod-pinner"
LEASE = "moorage-demo"


class Programs(Processes):
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
        super().__init__(logs, environment, keep_open)
        self._cluster = list(cluster)

    def start_planner(self, plan: Path, address: str) -> None:
        """Serve a plan file on loopback."""
        self.start(PLANNER, ["--plan", str(plan), "--listen", address])

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
        self.start(PINNER, flags)
