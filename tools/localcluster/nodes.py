"""Nodes on demand: hollow kubelets (the real kubelet over a fake runtime) and kwok's simulated nodes."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tools.localcluster.api import ApiClient, ApiError
from tools.localcluster.binaries import binaries
from tools.localcluster.errors import ClusterError
from tools.localcluster.kubeconfig import write_kubeconfig
from tools.localcluster.leftovers import remove_kubelet_leftovers
from tools.localcluster.pki import issue, load_authority
from tools.localcluster.ports import free_ports
from tools.localcluster.process import ManagedProcess, stop_all

KWOK = "kwok"
KWOK_ANNOTATION = "kwok.x-k8s.io/node"
KWOK_STAGES = Path(__file__).with_name("kwok.yaml")
_KWOK_NODE_ADDRESS = "198.51.100.1"  # a documentation address: nothing answers there
_PORT_ATTEMPTS = 3
_STOP_GRACE = 0.5


@dataclass(frozen=True)
class Surroundings:
    """What a node's process needs from its cluster.

    `spawn` makes a process (not started yet) from its name and command.
    """

    directory: Path
    server: str
    kubeconfig: Path
    api: ApiClient
    spawn: Callable[[str, Sequence[str]], ManagedProcess]


class Pace(NamedTuple):
    """Times of kwok's pods in seconds: least and most until they are ready, and until they are deleted."""

    ready: tuple[float, float] = (0, 0)
    gone: float = 0


AT_ONCE = Pace()


class NodeProcesses:
    """The node processes that this process has started for a cluster."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._in = surroundings
        self._kubelets: dict[str, ManagedProcess] = {}
        self._kwok: ManagedProcess | None = None

    def start_hollow_kubelet(
        self,
        name: str,
        extended_resources: Mapping[str, str | int],
        node_labels: Mapping[str, str],
        register_with_taints: Sequence[str],
        max_pods: int,
    ) -> ManagedProcess:
        """Starts a hollow kubelet under its own identity; see `ClusterHandle.start_hollow_kubelet`."""
        if name in self._kubelets and self._kubelets[name].running:
            raise ClusterError(f"hollow kubelet {name} runs already")
        home = self.home(name)
        home.mkdir(parents=True, exist_ok=True)
        authority = load_authority(self._in.directory / "pki", "ca")
        kubeconfig = write_kubeconfig(
            home / "kubeconfig",
            server=self._in.server,
            ca=authority.pair.certificate,
            user=f"system:node:{name}",
            client=issue(authority, f"system:node:{name}", ["system:nodes"]),
        )
        flags = {
            "morph": "kubelet",
            "name": name,
            "kubeconfig": str(kubeconfig),
            "cert-dir": str(home / "pki"),
            "use-host-image-service": "false",
            "kubelet-read-only-port": "0",
            "max-pods": str(max_pods),
        }
        for flag, pairs in (("extended-resources", extended_resources), ("node-labels", node_labels)):
            if pairs:
                flags[flag] = ",".join(f"{key}={value}" for key, value in pairs.items())
        if register_with_taints:
            flags["register-with-taints"] = ",".join(register_with_taints)
        return self._start_on_free_port(name, flags)

    def _start_on_free_port(self, name: str, flags: Mapping[str, str]) -> ManagedProcess:
        program = str(binaries(["kubemark"])["kubemark"])
        for _ in range(_PORT_ATTEMPTS):
            # kubemark always listens on all addresses.
            port = free_ports(1, "0.0.0.0")[0]  # noqa: S104
            command = [program, *(f"--{flag}={value}" for flag, value in flags.items())]
            kubelet = self._in.spawn(f"node-{name}", [*command, f"--kubelet-port={port}"])
            self._kubelets[name] = kubelet
            kubelet.start()
            if self._listens(kubelet, port):
                return kubelet
            if not kubelet.lost_its_port:
                break
        raise ClusterError(
            f"hollow kubelet {name} ended with exit code {kubelet.exit_code}; log {kubelet.log}:\n{kubelet.log_tail()}",
            kubelet.log.parent,
        )

    def _listens(self, kubelet: ManagedProcess, port: int) -> bool:
        deadline = time.monotonic() + 60
        while kubelet.running:
            if _owns_listener(kubelet.pid, port):
                return True
            if time.monotonic() > deadline:
                raise ClusterError(f"{kubelet.name} does not listen after 60 s; log {kubelet.log}", kubelet.log.parent)
            time.sleep(0.05)
        return False

    def home(self, name: str) -> Path:
        """Folder with the files of a hollow kubelet."""
        return self._in.directory / "nodes" / name

    def kubelet(self, name: str) -> ManagedProcess:
        """The hollow kubelet of that name, if this process has started it."""
        try:
            return self._kubelets[name]
        except KeyError:
            raise ClusterError(f"no hollow kubelet {name} was started by this process") from None

    @property
    def kubelet_names(self) -> list[str]:
        """Names of the hollow kubelets that this process has started and not stopped."""
        return list(self._kubelets)

    def stop_kubelet(self, name: str, grace: float = _STOP_GRACE) -> None:
        """Ends a hollow kubelet. Its Node object stays, as for a machine that is switched off."""
        kubelet = self.kubelet(name)
        stop_all([kubelet], grace)
        remove_kubelet_leftovers(kubelet.log)
        self._kubelets.pop(name, None)

    def start_kwok(self, pace: Pace) -> ManagedProcess:
        """Starts kwok's controller. Does nothing while it runs."""
        if self._kwok is not None and self._kwok.running:
            return self._kwok
        stages = KWOK_STAGES
        if pace != AT_ONCE:
            stages = self._in.directory / stages.name
            stages.write_text(paced(KWOK_STAGES.read_text(), pace))
        command = [
            str(binaries([KWOK])[KWOK]),
            f"--kubeconfig={self._in.kubeconfig}",
            f"--config={stages}",
            "--manage-all-nodes=false",
            f"--manage-nodes-with-annotation-selector={KWOK_ANNOTATION}=fake",
            "--node-lease-duration-seconds=40",  # without Leases no pod stays Ready longer than a minute
            "--node-port=0",
            f"--node-ip={_KWOK_NODE_ADDRESS}",
        ]
        self._kwok = self._in.spawn(KWOK, command)
        self._kwok.start()
        return self._kwok

    def create_kwok_nodes(self, names: Sequence[str], node: Callable[[str], dict[str, Any]]) -> None:
        """Creates the Node objects of kwok nodes."""
        if self._kwok is None or not self._kwok.running:
            raise ClusterError("kwok does not run: call start_kwok() first")
        for name in names:
            try:
                self._in.api.request("POST", "/api/v1/nodes", node(name))
            except ApiError as error:
                raise ClusterError(f"kwok node {name} was not created: {error}") from error

    def stop(self) -> None:
        """Ends every node process."""
        running = [*self._kubelets.values(), *([self._kwok] if self._kwok else [])]
        stop_all(running, _STOP_GRACE)
        remove_kubelet_leftovers(*(kubelet.log for kubelet in self._kubelets.values()))
        self._kubelets.clear()
        self._kwok = None


def kwok_node(
    name: str, capacity: Mapping[str, str], labels: Mapping[str, str], taints: Sequence[Mapping[str, str]]
) -> dict[str, Any]:
    """A Node object that kwok simulates."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {KWOK_ANNOTATION: "fake"},
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/arch": "amd64",
                "kubernetes.io/os": "linux",
                "type": "kwok",
                **labels,
            },
        },
        "spec": {"taints": [dict(taint) for taint in taints], "providerID": f"kwok://{name}"},
        "status": {"capacity": dict(capacity), "allocatable": dict(capacity)},
    }


def paced(stages: str, pace: Pace) -> str:
    """Stages for kwok (YAML), with delays for pods."""
    delays = {"pod-running": pace.ready, "pod-deleted": (pace.gone, pace.gone)}
    found = list(yaml.safe_load_all(stages))
    for stage in found:
        least, most = (round(1000 * each) for each in delays.get(stage["metadata"]["name"], (0, 0)))
        if most:  # kwok's jitter is the upper limit
            stage["spec"]["delay"] = {"durationMilliseconds": least, "jitterDurationMilliseconds": most}
    return yaml.safe_dump_all(found, sort_keys=False)


def _owns_listener(pid: int | None, port: int) -> bool:
    """Whether the process itself listens on a TCP port."""
    inodes = _socket_inodes(pid)
    for table in ("tcp", "tcp6"):
        for line in _proc_lines(f"/proc/{pid}/net/{table}"):
            fields = line.split()
            listening = fields[3] == "0A"
            if listening and int(fields[1].rpartition(":")[2], 16) == port and fields[9] in inodes:
                return True
    return False


def _socket_inodes(pid: int | None) -> set[str]:
    inodes = set()
    with contextlib.suppress(FileNotFoundError):  # the process has ended
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with contextlib.suppress(FileNotFoundError):  # it has been closed meanwhile
                target = os.readlink(entry.path)
                if target.startswith("socket:["):
                    inodes.add(target[8:-1])
    return inodes


def _proc_lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()[1:]
    except OSError:
        return []
