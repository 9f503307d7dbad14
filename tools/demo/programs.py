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
        self.start(PINNER, [*self._cluster, *pinner_flags(planner, "demo-pod-pinner")])


def pinner_flags(planner: str, pod: str) -> list[str]:
    """Flags of a pod pinner, apart from those that lead to the API server.

    Args:
        planner: the planner's address.
        pod: the name of its pod, by which replicas are told from each other.
    """
    return [
        f"--planner-address={planner}",
        "--planner-plaintext",
        f"--namespace={manifests.NAMESPACE}",
        f"--pod-name={pod}",
        f"--lease-name={LEASE}",
        "--health-address=127.0.0.1:0",
        "--log-format=json",
    ]
