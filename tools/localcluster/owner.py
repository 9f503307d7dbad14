"""A cluster that lives as long as the process that started it."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from tools import auditlog
from tools.localcluster import cgroups, components, dns, host, network, real, realnode
from tools.localcluster.binaries import binaries
from tools.localcluster.cluster import ClusterHandle
from tools.localcluster.components import ControlPlane, Ports
from tools.localcluster.errors import ClusterError, PortTaken
from tools.localcluster.leftovers import remove_leftovers
from tools.localcluster.options import ClusterOptions
from tools.localcluster.process import ManagedProcess, start_time, stop_all
from tools.localcluster.state import (
    ClusterState,
    ComponentState,
    Lock,
    cluster_dir,
    keep_failed_logs,
    remove_stale,
)

_START_ATTEMPTS = 3
_STOP_GRACE = 0.4
_STOP_ORDER = (
    components.COREDNS,
    components.SCHEDULER,
    components.CONTROLLER_MANAGER,
    components.API_SERVER,
    components.ETCD,
    components.SWITCH,
)


class LocalCluster(ClusterHandle):
    """A control plane on free loopback ports, owned by this process.

    `start`, or the context manager, returns when pods can be created. However this process ends, the kernel ends every
    child with it. `stop` also removes the folder; otherwise the next start does.

    Args:
        name: name of the folder; by default a unique one.
        options: options of the control plane.
        progress: receives one line per step of the start.
        kind: "supervisor" in the process behind `task cluster:up`.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        options: ClusterOptions | None = None,
        progress: Callable[[str], None] | None = None,
        kind: str = "library",
    ) -> None:
        name = name or f"own-{os.getpid()}-{secrets.token_hex(3)}"
        owner = os.getpid()
        state = ClusterState(name, kind, owner, start_time(owner) or 0)
        super().__init__(cluster_dir(name), state)
        self._options = options or ClusterOptions()
        state.default_options = replace(self._options, real=0) == ClusterOptions()
        state.real = self._options.real
        self._report = progress
        self._started_at = 0.0
        self._lock: Lock | None = None
        self._processes: dict[str, ManagedProcess] = {}

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop_after(error)

    def _stop_after(self, error: BaseException | None) -> None:
        kept = self.stop(keep_logs=isinstance(error, Exception))
        if isinstance(error, ClusterError) and kept is not None:
            error.logs_moved(self.logs, kept)
        elif error is not None and kept is not None:
            error.add_note(f"logs of cluster {self.name} are kept in {kept}")

    def start(self, timeout: float = 120) -> Self:
        """Starts the control plane and waits until it is ready, at most `timeout` seconds after the tools exist.

        Raises:
            ClusterError: tools are missing, a cluster of this name runs, or a component failed. The logs
                of a failed start are kept, and the message names their folder.
        """
        tools = binaries(["demo"])
        if self._options.real:
            host.check("cluster")
            binaries(real.TOOLS)
        self._started_at = time.monotonic()
        try:
            remove_stale()
            self._lock = Lock.take_empty(self.directory)
            if self._lock is None:
                raise ClusterError(f"a cluster {self.name} runs already: `task cluster:status` shows it")
            self._start_with_ports(tools, timeout)
        except OSError as error:
            self._stop_after(error)
            raise ClusterError(
                f"cluster {self.name} was not started: {error}; make room or rights below {self.directory}, "
                "or set MOORAGE_CLUSTERS_DIR to another folder"
            ) from error
        except BaseException as error:
            self._stop_after(error)
            raise
        return self

    def _start_with_ports(self, tools: dict[str, Path], timeout: float) -> None:
        for attempt in range(1, _START_ATTEMPTS + 1):
            try:
                options = self._with_network() if self._options.real else self._options
                self._launch(ControlPlane(self.directory, options, Ports.choose(), tools), timeout)
                return
            except PortTaken as error:
                if attempt == _START_ATTEMPTS:
                    raise
                self._progress(f"{error}; trying again with other ports")
                self._stop_components()

    def _launch(self, plane: ControlPlane, timeout: float) -> None:
        self.logs.mkdir(exist_ok=True)
        state = self._state
        state.server, state.tools = plane.server, {name: str(path) for name, path in plane.tools.items()}
        state.admin_token = plane.write_files()
        self._progress(f"logs in {self.logs}; starting etcd and kube-apiserver on {plane.server}")
        for component, port in plane.components.items():
            if component == components.CONTROLLER_MANAGER:
                # The other components exit if the API server has not created their roles yet.
                self._wait_component(components.API_SERVER, timeout)
                self._progress("kube-apiserver is ready; starting the other components")
            self._spawn(component, plane.command(component), port)
        self.wait_ready(timeout)
        self._progress("all components are ready")
        if self._options.real:
            self._start_real(timeout)
        state.ready = True
        state.write(self.directory)

    def _with_network(self) -> ClusterOptions:
        """Creates the network of real nodes, and returns the options with the API server on it."""
        self.logs.mkdir(exist_ok=True)
        switch = self._spawn(components.SWITCH, network.switch_command(), 0)
        network.wait_own_network(switch)
        interface = f"moor{cgroups.digest(self.directory)}"
        with host.exclusive("network"):
            chosen = network.choose(interface, self._options.service_cidr)
            chosen.connect_host(switch)
        self._state.network = chosen.as_state()
        return replace(self._options, bind_address=chosen.host, advertise_address=chosen.host)

    def _start_real(self, timeout: float) -> None:
        net, program = network.Network.from_state(self._state.network), binaries(real.TOOLS)[components.COREDNS]
        dns.write_files(self.directory, self.server, net)
        dns.grant(self.api)
        switch = self.component_pid(components.SWITCH)
        self._spawn(components.COREDNS, dns.command(program, self.directory, switch), dns.READY_PORT)
        if realnode.snapshotter(self.directory) == "native":
            kind = realnode.file_system(self.directory)
            self._progress(f"containers' file systems are copies, slow and large: overlays do not work on {kind}")
        names = [f"real-{number}" for number in range(1, self._options.real + 1)]
        for name in names:
            self._progress(f"starting real node {name}")
            self.start_real_node(name)
        for name in names:
            self.wait_node_ready(name, timeout)
        deadline = time.monotonic() + timeout
        while not dns.is_ready(net):
            self._check_alive()
            if time.monotonic() > deadline:
                raise ClusterError(f"the cluster's DNS server is not ready after {timeout:.0f} s", self.logs)
            time.sleep(0.05)
        self._progress(f"ready: {', '.join(names)} and DNS")

    def _spawn(self, component: str, command: Sequence[str], port: int) -> int:
        process = self._processes[component] = self._new_process(component, command)
        process.start()
        self._record(component, port)
        return process.pid or 0

    def _record(self, component: str, port: int) -> None:
        process = self._processes[component]
        pid = process.pid or 0
        self._state.components[component] = ComponentState(pid, start_time(pid) or 0, port, str(process.log))
        self._state.write(self.directory)

    def _progress(self, message: str) -> None:
        if self._report is not None:
            self._report(f"{time.monotonic() - self._started_at:5.1f} s  {message}")

    @property
    def _inherited(self) -> tuple[int, ...]:
        return (self._lock.descriptor,) if self._lock else ()

    def _check_alive(self) -> None:
        for component, process in self._processes.items():
            if not process.running:
                problem = PortTaken if process.lost_its_port else ClusterError
                raise problem(
                    f"{component} ended with exit code {process.exit_code}; log {process.log}:\n{process.log_tail()}",
                    self.logs,
                )

    def note_exits(self) -> list[str]:
        """Records components that exited by themselves, so that `status` shows them, and returns their names."""
        ended = []
        for component, process in self._processes.items():
            state = self._state.components[component]
            if not process.running and state.exit_code is None:
                state.exit_code = process.exit_code
                ended.append(component)
        if ended:
            self._state.write(self.directory)
        return ended

    def restart(self, component: str, timeout: float = 120) -> None:
        """Starts a component again with the same ports and data. If it runs, it is ended first.

        Returns when the whole control plane is ready.

        Raises:
            ClusterError: the component does not exist, or it does not start.
        """
        port = self._component(component).port
        if component == components.SWITCH:
            raise ClusterError("the switch cannot come back without its cables: stop the cluster and start it again")
        process = self._processes[component]
        stop_all([process], _STOP_GRACE)
        process.start()
        self._record(component, port)
        self.wait_ready(timeout)

    def kill(self, component: str) -> None:
        """Kills a component by SIGKILL and waits for its end."""
        self._component(component)
        self._processes[component].kill()

    def stop(self, *, keep_logs: bool = False) -> Path | None:
        """Ends everything and removes the folder. Does nothing if the cluster does not run.

        Args:
            keep_logs: move the logs away first, as after a failure.

        Returns:
            Folder of the kept logs, if any.
        """
        if self._lock is None:
            return None
        self._state.ready = False
        self.stop_nodes()
        real.switch_off(self.directory)  # also those of other processes
        self._stop_components()
        if self._api is not None:
            self._api.close()
        remove_leftovers(self.directory)
        auditlog.hand_over(self.audit_log, self.name)
        kept = keep_failed_logs(self.directory) if keep_logs and self.logs.is_dir() else None
        self._lock.remove_directory()
        self._lock = None
        return kept

    def _stop_components(self) -> None:
        if self._state.network:
            network.Network.from_state(self._state.network).disconnect_host()
        for component in _STOP_ORDER:
            if component in self._processes:
                stop_all([self._processes[component]], _STOP_GRACE)
        self._processes.clear()
        self._state.components.clear()
        self._state.network.clear()
