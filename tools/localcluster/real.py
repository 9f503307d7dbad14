"""Real nodes of a cluster: kubelets whose containers really run, each on a machine of its own."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.localcluster import cgroups, host, images
from tools.localcluster.binaries import binaries
from tools.localcluster.errors import ClusterError
from tools.localcluster.network import MAX_NODES, Network
from tools.localcluster.nodes import Surroundings
from tools.localcluster.process import ManagedProcess, signal_exactly, start_time, stop_all
from tools.localcluster.realnode import CONTAINERD_SOCKET, KUBELET_PORT, PAUSE_IMAGE, RealNode, snapshotter

TOOLS = ("kubelet", "kube-proxy", "pause", "coredns")
KUBELET, CONTAINERD, KUBE_PROXY = "kubelet", "containerd", "kube-proxy"
_MACHINE = Path(__file__).with_name("machine.py")
_HIDDEN = ("/run", "/var/run", "/var/lib", "/var/log")  # each machine has its own
_START_SECONDS = 60.0
_STOP_GRACE = 5.0


class RealNodes:
    """The real nodes that this process has started for a cluster, and access to those of other processes.

    Args:
        surroundings: the cluster.
        network: its addresses.
        switch: pid of the process that keeps its switch.
    """

    def __init__(self, surroundings: Surroundings, network: Network, switch: int) -> None:
        self._in = surroundings
        self._network = network
        self._switch = switch
        self._programs: dict[str, dict[str, ManagedProcess]] = {}  # the programs by node, the machine included

    @property
    def names(self) -> list[str]:
        """Names of the real nodes that this process has started and not stopped."""
        return list(self._programs)

    def start(self, name: str, labels: Mapping[str, str], taints: Sequence[str], max_pods: int) -> None:
        """Starts a machine with containerd, kubelet and kube-proxy; see `ClusterHandle.start_real_node`."""
        host.check("cluster")
        if name in machines(self._in.directory):
            raise ClusterError(f"real node {name} runs already")
        tools = binaries(TOOLS)
        _check_visible(self._in.directory, *tools.values())
        programs = self._programs[name] = {}
        try:
            self._start(name, programs, tools, labels, taints, max_pods)
        except BaseException:
            self.stop(name, grace=0)
            raise

    def _start(
        self,
        name: str,
        programs: dict[str, ManagedProcess],
        tools: Mapping[str, Path],
        labels: Mapping[str, str],
        taints: Sequence[str],
        max_pods: int,
    ) -> None:
        home = self._home(name)
        home.mkdir(parents=True, exist_ok=True)
        with host.exclusive(f"nodes-{cgroups.digest(self._in.directory)}"):
            number = self._number(name)
            group = f"{cgroups.parent(self._in.directory)}/{name}"
            node = RealNode(
                name, number, home, self._in.directory / "pki", self._in.server, self._network, group, tools
            )
            others = machines(self._in.directory)
            machine = programs["machine"] = self._machine(node)
            pid = machine.pid or 0
            self._network.connect_node(
                number, pid, self._switch, [(other["number"], other["pid"]) for other in others.values()]
            )
            _write_entry(home, {"number": number, "pid": pid, "start_time": start_time(pid)})
        node.write_files()
        self._run(node, CONTAINERD, node.containerd(), pid)
        self._wait(programs[CONTAINERD], lambda: _serves_unix(Path(f"/proc/{pid}/root{CONTAINERD_SOCKET}")))
        pause = images.write_archive(home / "pause.tar", PAUSE_IMAGE, {"pause": tools["pause"]}, ["/pause"])
        for archive in (pause, *known_images(self._in.directory)):
            load_image(self._in.directory, name, archive)
        self._run(node, KUBE_PROXY, node.kube_proxy(), pid)
        self._run(node, KUBELET, node.kubelet(labels, taints, max_pods), pid)
        address = (self._network.node(number), KUBELET_PORT)
        self._wait(programs[KUBELET], lambda: _serves_tcp(address))

    def _number(self, name: str) -> int:
        """The earlier number of a node of this name, else the first free one."""
        entries = {folder.parent.name: _read_entry(folder) for folder in _entry_files(self._in.directory)}
        if known := entries.get(name):
            return int(known["number"])
        taken = {entry["number"] for entry in entries.values() if entry}
        free = [number for number in range(1, MAX_NODES + 1) if number not in taken]
        if not free:
            raise ClusterError(f"a cluster can have {MAX_NODES} real nodes")
        return free[0]

    def _machine(self, node: RealNode) -> ManagedProcess:
        logs = self._in.directory / "logs" / f"{node.name}-pods"
        logs.mkdir(parents=True, exist_ok=True)
        (node.home / "var-lib").mkdir(exist_ok=True)
        with contextlib.suppress(FileExistsError):
            (node.home / "var-log").symlink_to(logs)
        up = node.home / "up"
        up.unlink(missing_ok=True)
        cgroups.remove(node.cgroup)  # a kubelet would wait for the dead containers of an earlier start
        cgroups.create(node.cgroup)
        command = [sys.executable, "-I", "-S", str(_MACHINE), "init", str(node.home), node.name]
        machine = self._in.spawn(f"{node.name}-machine", command)
        machine.start()
        self._wait(machine, up.exists)
        return machine

    def _run(self, node: RealNode, program: str, command: Sequence[str], machine: int) -> None:
        process = self._in.spawn(f"{node.name}-{program}", _entering(machine, command))
        self._programs[node.name][program] = process
        process.start()

    def _wait(self, process: ManagedProcess, is_up: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not is_up():
            if not process.running:
                ended = f"{process.name} ended with exit code {process.exit_code}"
                raise ClusterError(f"{ended}; log {process.log}:\n{process.log_tail()}", process.log.parent)
            if time.monotonic() > deadline:
                raise ClusterError(
                    f"{process.name} does not serve after {_START_SECONDS:.0f} s; log {process.log}", process.log.parent
                )
            time.sleep(0.02)

    def restart(self, name: str, program: str) -> None:
        """Kills a program of a node by SIGKILL and starts it again. Containers keep running."""
        process = self._program(name, program)
        process.kill()
        process.start()

    def kill(self, name: str, program: str) -> None:
        """Kills a program of a node by SIGKILL. Containers keep running."""
        self._program(name, program).kill()

    def _program(self, name: str, program: str) -> ManagedProcess:
        try:
            return self._programs[name][program]
        except KeyError:
            raise ClusterError(f"no real node {name} with a program {program} was started by this process") from None

    def stop(self, name: str, grace: float = _STOP_GRACE) -> None:
        """Stops a machine. Its Node object and its disk stay, and `start` starts it again."""
        if name not in self._programs:
            raise ClusterError(f"no real node {name} was started by this process")
        programs = self._programs.pop(name)
        machine = programs.pop("machine", None)
        if grace:
            stop_all([programs[each] for each in (KUBELET,) if each in programs], grace)
        # The machine's end ends everything on it. `grace` is the kernel's time for that.
        stop_all([machine] if machine else [], _STOP_GRACE)
        stop_all(list(programs.values()), 0)

    def stop_all(self) -> None:
        """Stops all machines that this process has started."""
        for name in self.names:
            self.stop(name, grace=0)

    def _home(self, name: str) -> Path:
        return self._in.directory / "nodes" / name


def machines(directory: Path) -> dict[str, dict[str, Any]]:
    """The running machines of a cluster: `number`, `pid` and `start_time` by node name."""
    found = {}
    for file in _entry_files(directory):
        entry = _read_entry(file)
        if entry and start_time(entry["pid"]) == entry["start_time"]:
            found[file.parent.name] = entry
    return found


def switch_off(directory: Path) -> None:
    """Ends every machine of a cluster, from all processes."""
    for entry in machines(directory).values():
        while signal_exactly(entry["pid"], entry["start_time"], signal.SIGTERM):
            time.sleep(0.01)


def run_on(directory: Path, name: str, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Runs a program on a node's machine, as root of that machine.

    Raises:
        ClusterError: the node does not run.
    """
    entry = machines(directory).get(name)
    if entry is None:
        raise ClusterError(f"no real node {name} runs; these do: {', '.join(machines(directory)) or 'none'}")
    program = [host.program(command[0]), *command[1:]]
    environment = {"PATH": host.search_path(), "HOME": str(directory)}
    return subprocess.run(
        _entering(entry["pid"], program), cwd=directory, env=environment, capture_output=True, text=True, check=False
    )


def load_image(directory: Path, name: str, archive: Path) -> list[str]:
    """Makes the images of an archive usable on a node. Does nothing if the same file is already loaded.

    Returns:
        Full names of the images.

    Raises:
        ClusterError: it is not an image archive, the node does not run, or containerd refuses it.
    """
    found = images.names(archive)
    status = archive.stat()
    record = directory / "nodes" / name / "images.json"
    loaded = json.loads(record.read_text()) if record.exists() else {}
    mark = [str(archive), status.st_size, status.st_mtime_ns]
    if all(loaded.get(image) == mark for image in found):
        return found
    ctr = ["ctr", "--address", CONTAINERD_SOCKET, "--namespace", "k8s.io", "images"]
    answer = run_on(directory, name, [*ctr, "import", "--snapshotter", snapshotter(directory), str(archive)])
    if answer.returncode != 0:
        raise ClusterError(f"{archive} was not loaded on node {name}: {answer.stderr.strip()}")
    # containerd's CRI plugin marks an image some time after `import` has returned.
    deadline, managed = time.monotonic() + _START_SECONDS, 'labels."io.cri-containerd.image"==managed'
    while not set(found) <= set(run_on(directory, name, [*ctr, "list", "-q", managed]).stdout.split()):
        if time.monotonic() > deadline:
            raise ClusterError(f"containerd on node {name} does not show {', '.join(found)} after loading {archive}")
        time.sleep(0.05)
    draft = record.with_suffix(".new")
    draft.write_text(json.dumps({**loaded, **dict.fromkeys(found, mark)}))
    draft.replace(record)
    return found


def known_images(directory: Path) -> list[Path]:
    """Archives that are loaded on every node, and will be on new nodes. Deleted files are left out."""
    file = directory / "images.json"
    listed = [Path(line) for line in json.loads(file.read_text())] if file.exists() else []
    return [path for path in listed if path.exists()]


def load_everywhere(directory: Path, archive: Path) -> list[str]:
    """Makes the images of an archive usable on all real nodes, later ones included. Returns their names."""
    archive = archive.absolute()
    found = images.names(archive)
    with host.exclusive(f"images-{cgroups.digest(directory)}"):
        listed = dict.fromkeys([*(str(path) for path in known_images(directory)), str(archive)])
        new = directory / "images.json.new"
        new.write_text(json.dumps(list(listed)))
        new.replace(directory / "images.json")  # in one step, also if this process is killed
        for name in machines(directory):
            load_image(directory, name, archive)
    return found


def _entering(machine: int, command: Sequence[str]) -> list[str]:
    return [sys.executable, "-I", "-S", str(_MACHINE), "enter", str(machine), *command]


def _entry_files(directory: Path) -> list[Path]:
    return sorted((directory / "nodes").glob("*/machine.json"))


def _write_entry(home: Path, entry: Mapping[str, object]) -> None:
    draft = home / ".machine.json"
    draft.write_text(json.dumps(entry))
    draft.replace(home / "machine.json")


def _read_entry(file: Path) -> dict[str, Any] | None:
    try:
        entry: dict[str, Any] = json.loads(file.read_text())
    except (OSError, ValueError):
        return None
    return entry


def _check_visible(*paths: Path) -> None:
    for path in paths:
        for hidden in _HIDDEN:
            if path.is_relative_to(hidden):
                raise ClusterError(
                    f"{path} cannot be used on a real node, which has a {hidden} of its own: "
                    "set MOORAGE_CLUSTERS_DIR and MOORAGE_TOOLS_DIR to folders elsewhere"
                )


def _serves_unix(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def _serves_tcp(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=1).close()
    except OSError:
        return False
    return True
