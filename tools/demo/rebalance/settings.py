"""The flags of planner and pinner in the demo: those of their charts, but on loopback."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.demo import manifests
from tools.demo.programs import pinner_flags
from tools.localcluster.ports import free_ports

WEBHOOK = "moorage-demo"
"""Name of the webhook configuration and of the Secret with its certificate."""
_PATIENCE = 10
"""Seconds that the API server waits for the webhook. The chart's 2 are too short if two processors run 17 nodes."""


@dataclass(frozen=True)
class Replica:
    """A replica of the pod pinner: its name, which is also its pod's, and the port of its webhook."""

    name: str
    port: int

    @property
    def url(self) -> str:
        """The URL of its webhook."""
        return f"https://127.0.0.1:{self.port}/mutate"

    def flags(self, kubeconfig: Path, planner: str) -> list[str]:
        """Flags of ``moorage pod-pinner``.

        Args:
            kubeconfig: of its account.
            planner: the planner's address.
        """
        return [
            f"--kubeconfig={kubeconfig}",
            *pinner_flags(planner, self.name),
            "--webhook=true",
            f"--webhook-address=127.0.0.1:{self.port}",
            f"--webhook-url={self.url}",
            f"--webhook-configuration={WEBHOOK}",
            f"--webhook-secret={WEBHOOK}",
            f"--webhook-timeout={_PATIENCE}",
        ]


def replicas() -> Sequence[Replica]:
    """Both replicas."""
    return [Replica(name, port) for name, port in zip(("pinner-a", "pinner-b"), free_ports(2), strict=True)]


def planner_flags(kubeconfig: Path, plan: Path, address: str) -> list[str]:
    """Flags of ``moorage planner --once``."""
    return [
        f"--kubeconfig={kubeconfig}",
        f"--plan={plan}",
        f"--listen={address}",
        f"--namespace={manifests.NAMESPACE}",
        "--once",
        "--output=json",
        "--log-format=json",
    ]
