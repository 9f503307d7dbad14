"""A cluster of the user's: shows what will be created, asks, plays, and removes everything again."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO, TypeVar

import yaml

from moorage.kube import credentials
from moorage.kube.client import Client
from moorage.kube.credentials import Access
from moorage.kube.http.transport import Transport
from moorage.ops.aio import run_command
from tools.localcluster.binaries import binaries
from tools.localcluster.leftovers import remove_kubelet_leftovers
from tools.localcluster.pki import write_private
from tools.localcluster.ports import free_ports
from tools.localcluster.process import ManagedProcess, go_settings, stop_all
from tools.localcluster.state import Lock, cluster_dir, remove_stale

from . import kubelet_access, manifests, removal
from .common.events import Mark
from .common.sentences import print_line
from .errors import DemoError
from .scenario import APPS, CAPACITY, MEMORY, replicas

T = TypeVar("T")
_STOP_GRACE = 0.5
_KUBELET_SECONDS = 60.0


class Declined(Exception):
    """The user said no."""


class ExistingCluster:
    """The cluster of a kubeconfig context, for as long as the context manager lasts.

    Args:
        context: name of the kubeconfig context. The current one is never used unnamed.
        yes: do not ask.
        stream: where questions are shown.
    """

    prefix = "moorage-demo"
    is_own = False

    def __init__(self, context: str, *, yes: bool, stream: TextIO) -> None:
        self._context = context
        self._yes = yes
        self._stream = stream
        self._kubelets: dict[str, ManagedProcess] = {}
        self._kubeconfig = Path()
        self._lock: Lock | None = None
        self._agreed = False  # until then nothing is changed, and nothing removed
        self.directory = cluster_dir(f"context-{os.getpid()}")
        self.logs = self.directory / "logs"
        self.flags = [f"--context={context}"]
        # Exec plugins of the context may need anything of it; MOORAGE_* variables are settings of other programs.
        self.environment: Mapping[str, str] = {k: v for k, v in os.environ.items() if not k.startswith("MOORAGE_")}

    @property
    def keep_open(self) -> Sequence[int]:
        """The folder's lock, so that it is known to be in use while any process of ours runs."""
        return (self._lock.descriptor,) if self._lock else ()

    def access(self) -> Access:
        """The context's."""
        return credentials.load(None, self._context)

    def __enter__(self) -> Self:
        remove_stale()
        self._lock = Lock.take_empty(self.directory)
        if self._lock is None:
            raise DemoError(f"{self.directory} is in use: another demo of this process id runs")
        try:
            self.logs.mkdir()
            self._run(self._agree)
            self._agreed = True
            self._run(self._prepare)
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def _run(self, work: Callable[[Client], Coroutine[Any, Any, T]]) -> T:
        async def connected() -> T:
            async with Transport(self.access()) as transport:
                return await work(Client(transport))

        return run_command(connected)

    # --- before ---

    async def _agree(self, client: Client) -> None:
        """Show what is there and what will be; go on only with a yes."""
        server = client.transport.access.server
        await removal.refuse_foreign(client)
        old = await removal.find(client)
        if old:
            lines = "\n".join(f"  {each.kind} {each.name}" for each in old)
            self._print(f"An earlier demo has left behind in {server}:\n{lines}")
            self._ask("Remove this first?")
            await removal.remove_all(client)
        self._print(self._announcement(server))
        self._ask("Go ahead?")

    def _announcement(self, server: str) -> str:
        crds = "\n".join(f"  CustomResourceDefinition {name}, if it is not there" for name in removal.our_crds())
        apps = ", ".join(f"{app.name} × {app.replicas}" for app in APPS)
        return (
            f"This will create in the cluster at {server} (context {self._context}):\n{crds}\n"
            f"  Namespace {manifests.NAMESPACE} with Deployments {apps}: {replicas()} pods for its own nodes only\n"
            f"  12 Nodes {self.prefix}-01 … with {CAPACITY}m CPU and {MEMORY} each, tainted {manifests.LABEL}\n"
            f"  ServiceAccount, ClusterRole and ClusterRoleBinding {kubelet_access.NAME}\n"
            "and remove all of it at the end, also after Ctrl-C. The machines are hollow kubelets on this computer:\n"
            "DaemonSets that tolerate every taint will seem to run there. A cloud controller deletes Nodes without an\n"
            "instance for: use kind, minikube, k3d or another test cluster."
        )

    def _print(self, text: str) -> None:
        print(text, file=self._stream, flush=True)

    def _ask(self, question: str) -> None:
        if self._yes:
            return
        if not sys.stdin.isatty():
            raise Declined("nobody is at a terminal to ask: use --yes to go ahead; nothing was changed")
        print(f"{question} [y/N] ", end="", file=self._stream, flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise Declined("you said no; nothing was changed")

    async def _prepare(self, client: Client) -> None:
        """An identity for the kubelets, with a token of an hour."""
        await kubelet_access.create(client)
        config = await kubelet_access.kubeconfig(client)
        self._kubeconfig = self.directory / "kubelet.kubeconfig"
        write_private(self._kubeconfig, yaml.safe_dump(config).encode())

    # --- meanwhile ---

    def switch_on(self, node: str) -> None:
        """Start a hollow kubelet with the service account's token.

        Raises:
            DemoError: it ended, or does not serve; the message has the end of its log.
        """
        program = str(binaries(["kubemark"])["kubemark"])
        port = free_ports(1, "0.0.0.0")[0]  # noqa: S104 - kubemark listens on all addresses, whatever we ask for
        flags = {
            "morph": "kubelet",
            "name": node,
            "kubeconfig": str(self._kubeconfig),
            "cert-dir": str(self.directory / node),
            "use-host-image-service": "false",
            "kubelet-read-only-port": "0",
            "max-pods": "110",
            "kubelet-port": str(port),
        }
        kubelet = ManagedProcess(
            f"node-{node}",
            [program, *(f"--{flag}={value}" for flag, value in flags.items())],
            log=self.logs / f"node-{node}.log",
            env={"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self.directory), **go_settings()},
            cwd=self.directory,
            keep_open=self.keep_open,
        )
        self._kubelets[node] = kubelet
        kubelet.start()
        end = time.monotonic() + _KUBELET_SECONDS
        while not _answers(port):
            if not kubelet.running or time.monotonic() > end:
                raise DemoError(f"the kubelet of {node} does not serve; log {kubelet.log}:\n{kubelet.log_tail()}")
            time.sleep(0.05)

    # --- after ---

    def _remove(self) -> None:
        """End the kubelets, remove what was created, and the folder with the token."""
        stop_all(list(self._kubelets.values()), _STOP_GRACE)
        remove_kubelet_leftovers(*(kubelet.log for kubelet in self._kubelets.values()))
        try:
            if self._agreed and self._run(removal.find):
                print_line(self._stream, f"removing everything from {self._context}")
                left = self._run(removal.remove_all)
                if left:
                    names = ", ".join(f"{each.kind} {each.name}" for each in left)
                    print_line(self._stream, f"not removed: {names}; the next demo offers to do it again", Mark.BAD)
        finally:
            if self._lock is not None:
                self._lock.remove_directory()
                self._lock = None


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False
