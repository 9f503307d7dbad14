"""Which cluster the demo plays on, and how machines are switched on there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Protocol

from moorage.kube import credentials
from moorage.kube.credentials import Access
from tools.localcluster import LocalCluster
from tools.localcluster.components import API_SERVER

from . import account
from .common.environment import kept_environment as kept_environment


class Target(Protocol):
    """A cluster to play on."""

    @property
    def logs(self) -> Path:
        """Folder for logs."""

    @property
    def directory(self) -> Path:
        """Folder for everything else."""

    @property
    def prefix(self) -> str:
        """What names of the demo's nodes begin with."""

    @property
    def is_own(self) -> bool:
        """Whether the cluster is the demo's own, thrown away afterwards."""

    @property
    def flags(self) -> Sequence[str]:
        """Flags of moorage's programs that lead to the API server."""

    @property
    def environment(self) -> Mapping[str, str]:
        """The whole environment of moorage's programs."""

    @property
    def keep_open(self) -> Sequence[int]:
        """File descriptors that processes inherit."""

    def access(self) -> Access:
        """The way to the API server."""

    def switch_on(self, node: str) -> None:
        """Start the machine of a node; blocks until its kubelet serves."""


class OwnCluster:
    """The demo's own control plane and hollow kubelets.

    Args:
        cluster: running.
    """

    prefix = "demo"
    is_own = True
    keep_open: Sequence[int] = ()

    def __init__(self, cluster: LocalCluster) -> None:
        self._cluster = cluster
        self.logs = cluster.logs
        self.directory = cluster.directory
        self.environment = kept_environment()

    @cached_property
    def flags(self) -> Sequence[str]:
        """Flags by which the pinner has the chart's rights and no more; made when they are first asked for."""
        return [f"--kubeconfig={account.pinner(self._cluster)}"]

    def access(self) -> Access:
        """The administrator's."""
        return credentials.load(self._cluster.kubeconfig)

    def switch_on(self, node: str) -> None:
        """Start a hollow kubelet."""
        self._cluster.start_hollow_kubelet(node)

    def kill_api_server(self, say: Callable[[str], None]) -> None:
        """End the API server by SIGKILL and start it again on the same port; blocks until all is ready."""
        self._cluster.kill(API_SERVER)
        say("kube-apiserver was killed, starting it again")
        self._cluster.restart(API_SERVER)
