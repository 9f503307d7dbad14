"""A running cluster as a Python object."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.localcluster import components, host, karpenter, real
from tools.localcluster.api import ApiClient, ApiError
from tools.localcluster.errors import ClusterError
from tools.localcluster.network import Network
from tools.localcluster.nodes import AT_ONCE, NodeProcesses, Pace, Surroundings, kwok_node
from tools.localcluster.process import ManagedProcess, go_settings, signal_exactly, start_time, stop_all
from tools.localcluster.state import ClusterState, ComponentState, cluster_dir, is_running

_STOP_GRACE = 0.5


class ClusterHandle:
    """A running cluster that several processes may share. Nodes started through this handle end with this process."""

    def __init__(self, directory: Path, state: ClusterState) -> None:
        self.directory = directory
        self._state = state
        self._nodes: NodeProcesses | None = None
        self._real: real.RealNodes | None = None
        self._karpenter: ManagedProcess | None = None
        self._api: ApiClient | None = None

    @property
    def name(self) -> str:
        """Name of the cluster."""
        return self._state.name

    @property
    def server(self) -> str:
        """URL of the API server."""
        return self._state.server

    @property
    def admin_token(self) -> str:
        """Bearer token of a user of group system:masters."""
        return self._state.admin_token

    @property
    def kubeconfig(self) -> Path:
        """Kubeconfig of an administrator, with a client certificate."""
        return self.directory / "kubeconfig"

    @property
    def ca_file(self) -> Path:
        """CA certificate of the API server and of all its clients."""
        return self.directory / "pki" / "ca.crt"

    @property
    def logs(self) -> Path:
        """Folder of all log files."""
        return self.directory / "logs"

    @property
    def audit_log(self) -> Path:
        """The API server's audit log, one JSON event a line."""
        return self.logs / "audit.log"

    @property
    def tools(self) -> dict[str, str]:
        """Paths of the programs that the cluster was started with."""
        return self._state.tools

    @property
    def has_default_options(self) -> bool:
        """Whether it was started with the default `ClusterOptions`, except for real nodes."""
        return self._state.default_options

    @property
    def real_at_start(self) -> int:
        """Number of real nodes that it was started with (`ClusterOptions.real`)."""
        return self._state.real

    @property
    def is_healthy(self) -> bool:
        """Whether every component runs and the API server is ready."""
        alive = all(start_time(each.pid) == each.start_time for each in self._state.components.values())
        return alive and self.api.answers_ok("/readyz")

    @property
    def api(self) -> ApiClient:
        """Administrator's requests for the harness itself."""
        if self._api is None or not self._api.is_for(self.server, self.admin_token):  # a start may try other ports
            self._api = ApiClient(self.server, self.ca_file, self.admin_token)
        return self._api

    def component_pid(self, component: str) -> int:
        """Process id of a control-plane component.

        Raises:
            ClusterError: the component does not exist or does not run.
        """
        state = self._component(component)
        if start_time(state.pid) != state.start_time:
            raise ClusterError(f"{component} of cluster {self.name} does not run; log {state.log}", self.logs)
        return state.pid

    def kill(self, component: str) -> None:
        """Kills a component by SIGKILL and waits for its end."""
        state = self._component(component)
        while signal_exactly(state.pid, state.start_time, signal.SIGKILL):
            time.sleep(0.01)

    def _component(self, component: str) -> ComponentState:
        try:
            return self._state.components[component]
        except KeyError:
            known = ", ".join(self._state.components)
            raise ClusterError(f"cluster {self.name} has no component {component} (it has {known})") from None

    def wait_ready(self, timeout: float = 120) -> None:
        """Waits until API server, controllers and scheduler are ready and pods can be created.

        Raises:
            ClusterError: a component exited, or `timeout` seconds have passed.
        """
        deadline = time.monotonic() + timeout
        for component in (components.API_SERVER, components.CONTROLLER_MANAGER, components.SCHEDULER):
            if component in self._state.components:
                self._wait_component(component, deadline - time.monotonic())
        self.wait_service_account("default", max(1.0, deadline - time.monotonic()))

    def _wait_component(self, component: str, timeout: float) -> None:
        state = self._component(component)
        url = self.server if component == components.API_SERVER else f"https://127.0.0.1:{state.port}"
        # kube-controller-manager has no /readyz.
        path = "/healthz" if component == components.CONTROLLER_MANAGER else "/readyz"
        api, deadline = ApiClient(url, self.ca_file, self.admin_token), time.monotonic() + timeout
        while not api.answers_ok(path):
            self._check_alive()
            if time.monotonic() > deadline:
                raise ClusterError(f"{component} is not ready after {timeout:.0f} s; log {state.log}", self.logs)
            time.sleep(0.05)

    def _check_alive(self) -> None:
        for component in self._state.components:
            self.component_pid(component)

    def wait_service_account(self, namespace: str, timeout: float = 60) -> None:
        """Waits until a namespace has its service account. Without it no pod can be created."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/default"
        api, deadline = self.api, time.monotonic() + timeout
        while not api.answers_ok(path):
            if time.monotonic() > deadline:
                log = self._component(components.CONTROLLER_MANAGER).log
                raise ClusterError(f"namespace {namespace} got no service account; log {log}", self.logs)
            time.sleep(0.02)

    # Nodes ----------------------------------------------------------------------------------------------

    def start_hollow_kubelet(
        self,
        name: str,
        *,
        extended_resources: Mapping[str, str | int] | None = None,
        node_labels: Mapping[str, str] | None = None,
        register_with_taints: Sequence[str] = (),
        max_pods: int = 110,
    ) -> int:
        """Starts a real kubelet over a fake runtime as `system:node:NAME`, and returns its process id.

        It reports 1 core, 3840Mi of memory, `max_pods` pods and the extended resources. It returns once the kubelet
        serves; `wait_node_ready` waits for the Node. The kubelet ends with this process.

        Args:
            name: name of the Node it registers or adopts.
            extended_resources: quantity by resource name.
            node_labels: labels the kubelet sets on a Node it registers (not on one it adopts).
            register_with_taints: taints "key=value:effect" of a Node it registers (not of one it adopts).
            max_pods: the largest number of pods.

        Raises:
            ClusterError: it exited at once; the message has the end of its log.
        """
        kubelet = self._node_processes.start_hollow_kubelet(
            name, extended_resources or {}, node_labels or {}, register_with_taints, max_pods
        )
        if kubelet.pid is None:
            raise ClusterError(f"hollow kubelet {name} was not started")
        return kubelet.pid

    def stop_hollow_kubelet(self, name: str) -> None:
        """Ends a hollow kubelet by SIGTERM. Its Node object stays."""
        self._node_processes.stop_kubelet(name)

    def kill_hollow_kubelet(self, name: str) -> None:
        """Kills a hollow kubelet by SIGKILL, as if the machine lost power. Its Node object stays."""
        self._node_processes.stop_kubelet(name, grace=0)

    def hollow_kubeconfig(self, name: str) -> Path:
        """Kubeconfig with the identity `system:node:NAME` of a hollow kubelet that was started before."""
        return self._node_processes.home(name) / "kubeconfig"

    @property
    def hollow_kubelets(self) -> list[str]:
        """Names of the hollow kubelets that this process runs on the cluster."""
        return self._node_processes.kubelet_names

    def start_kwok(self, pace: Pace = AT_ONCE) -> None:
        """Starts kwok, which simulates every Node annotated kwok.x-k8s.io/node=fake. It ends with this process.

        Does nothing while it runs.

        Args:
            pace: how long pods take to become ready and to be deleted.
        """
        self._node_processes.start_kwok(pace)

    def create_kwok_nodes(
        self,
        count: int,
        *,
        cpu: str = "4",
        memory: str = "16Gi",
        pods: int = 110,
        prefix: str = "kwok",
        labels: Mapping[str, str] | None = None,
        taints: Sequence[Mapping[str, str]] = (),
        extended_resources: Mapping[str, str] | None = None,
    ) -> list[str]:
        """Creates `count` Nodes PREFIX-0, PREFIX-1, … for kwok, and returns their names.

        Raises:
            ClusterError: kwok does not run, or the API server refused a Node.
        """
        names = [f"{prefix}-{index}" for index in range(count)]
        capacity = {"cpu": cpu, "memory": memory, "pods": str(pods), **(extended_resources or {})}
        self._node_processes.create_kwok_nodes(names, lambda name: kwok_node(name, capacity, labels or {}, taints))
        return names

    def start_karpenter(self) -> None:
        """Starts Karpenter with its definitions, with kwok for its nodes. It ends with this process.

        Its nodes are those of its kwok provider. It buys nodes once there is a NodePool (`apply_node_pool`). Does
        nothing while it runs.

        Raises:
            ClusterError: it exited or did not become ready; the message has the end of its log.
        """
        if self._karpenter is None or not self._karpenter.running:
            self.start_kwok()
            self._karpenter = karpenter.start(self.api, self.kubeconfig, self._new_process)

    def apply_node_pool(
        self,
        name: str = "default",
        *,
        consolidation_policy: str = "WhenEmpty",
        consolidate_after: str = "10s",
        instance_types: Sequence[str] = (),
        budgets: Sequence[Mapping[str, Any]] = (),
        most_cpu: int = karpenter.MOST_CPU,
        labels: Mapping[str, str] | None = None,
        startup_taints: Sequence[Mapping[str, str]] = (),
    ) -> None:
        """Creates or changes a NodePool of amd64 Linux on-demand nodes, with a KWOKNodeClass of the same name.

        Args:
            name: name of both.
            consolidation_policy: WhenEmpty, WhenEmptyOrUnderutilized or Balanced.
            consolidate_after: how long a node stays unchanged after the last change of its pods, or Never.
            instance_types: instance types that may be bought, for example c-4x-amd64-linux (4 cores, 8Gi); empty: any.
            budgets: how many nodes may be deleted at a time, by reason; empty: Karpenter's default.
            most_cpu: limit of the cores of all its nodes.
            labels: labels of its nodes.
            startup_taints: taints that its nodes have at first, and that another program removes.
        """
        disruption: dict[str, Any] = {
            "consolidationPolicy": consolidation_policy,
            "consolidateAfter": consolidate_after,
        }
        if budgets:
            disruption["budgets"] = [dict(each) for each in budgets]
        karpenter.create_pool(
            self.api, name, disruption, instance_types, most_cpu, labels=labels, startup_taints=startup_taints
        )

    def define_karpenter(self) -> None:
        """Applies Karpenter's definitions without starting it, for NodePools and NodeClaims that exist earlier."""
        karpenter.define(self.api)

    # Real nodes -----------------------------------------------------------------------------------------

    def start_real_node(
        self,
        name: str,
        *,
        node_labels: Mapping[str, str] | None = None,
        register_with_taints: Sequence[str] = (),
        max_pods: int = 110,
    ) -> None:
        """Starts a node whose containers really run, on a machine (namespaces) of its own.

        It returns once the kubelet serves; `wait_node_ready` waits for the Node. Everything on the machine ends with
        this process. A name that ran before starts the same machine again, images and volumes included.

        Args:
            name: name of the Node it registers or adopts.
            node_labels: labels the kubelet sets on a Node it registers (not on one it adopts).
            register_with_taints: taints "key=value:effect" of a Node it registers (not of one it adopts).
            max_pods: the largest number of pods.

        Raises:
            ClusterError: the cluster has no network for real nodes, this machine lacks something, or a
                program exited; the message has the end of its log.
        """
        self._real_nodes.start(name, node_labels or {}, register_with_taints, max_pods)

    def stop_real_node(self, name: str) -> None:
        """Stops a real node, kubelet first. Its Node object stays."""
        self._real_nodes.stop(name)

    def kill_real_node(self, name: str) -> None:
        """Kills a real node and its containers, as if the machine lost power. Its Node object stays."""
        self._real_nodes.stop(name, grace=0)

    def restart_on_node(self, name: str, program: str = real.KUBELET) -> None:
        """Kills `kubelet`, `containerd` or `kube-proxy` of a real node by SIGKILL and starts it again."""
        self._real_nodes.restart(name, program)

    def run_on_node(self, name: str, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Runs a program of this machine inside a real node as root, and returns its output."""
        return real.run_on(self.directory, name, command)

    def load_image(self, archive: Path) -> list[str]:
        """Makes the images of an OCI or Docker archive usable on all real nodes, later ones included.

        If the same file is already loaded, it costs almost nothing.

        Returns:
            Full names of the images, for a pod's `image`.

        Raises:
            ClusterError: it is not an image archive, names no image in full, or containerd refuses it.
        """
        return real.load_everywhere(self.directory, archive)

    @property
    def real_nodes(self) -> list[str]:
        """Names of the running real nodes, from all processes."""
        return list(real.machines(self.directory))

    @property
    def _real_nodes(self) -> real.RealNodes:
        if not self._state.network:
            raise ClusterError(
                f"cluster {self.name} has no network for real nodes: start it with ClusterOptions(real=1), "
                "or `./taskw cluster:up -- --real`"
            )
        if self._real is None:
            switch = self.component_pid(components.SWITCH)
            self._real = real.RealNodes(self._surroundings, Network.from_state(self._state.network), switch)
        return self._real

    def wait_node_ready(self, name: str, timeout: float = 60) -> dict[str, Any]:
        """Waits until a Node is Ready and returns it as decoded JSON.

        Raises:
            ClusterError: `timeout` seconds have passed.
        """
        api, deadline = self.api, time.monotonic() + timeout
        seen = "not registered"
        while time.monotonic() < deadline:
            try:
                node: dict[str, Any] = api.get(f"/api/v1/nodes/{name}")
            except ApiError as error:
                seen = str(error)
            else:
                conditions = {c["type"]: c["status"] for c in node["status"].get("conditions", ())}
                if conditions.get("Ready") == "True":
                    return node
                seen = f"conditions {conditions}"
            time.sleep(0.05)
        raise ClusterError(f"node {name} is not Ready after {timeout:.0f} s: {seen}; logs {self.logs}", self.logs)

    @property
    def _node_processes(self) -> NodeProcesses:
        if self._nodes is None:
            self._nodes = NodeProcesses(self._surroundings)
        return self._nodes

    @property
    def _surroundings(self) -> Surroundings:
        return Surroundings(self.directory, self.server, self.kubeconfig, self.api, self._new_process)

    def _new_process(
        self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> ManagedProcess:
        """A process of this cluster with a minimal environment: no proxies, no credentials of the user."""
        own = {
            "PATH": host.search_path(),
            "HOME": str(self.directory),
            "TMPDIR": str(self.directory),
            **go_settings(),
        }
        return ManagedProcess(
            name,
            command,
            log=self.logs / f"{name}.log",
            env=own | dict(environment or {}),
            cwd=self.directory,
            keep_open=self._inherited,
        )

    @property
    def _inherited(self) -> Sequence[int]:
        return ()

    def stop_nodes(self) -> None:
        """Ends the kubelets, kwok and Karpenter of this process, real nodes included. Node objects stay."""
        if self._karpenter is not None:
            stop_all([self._karpenter], _STOP_GRACE)
            self._karpenter = None
        if self._nodes is not None:
            self._nodes.stop()
        if self._real is not None:
            self._real.stop_all()


def attach(name: str) -> ClusterHandle:
    """Returns a handle to a cluster that another process owns.

    Raises:
        ClusterError: it does not run, or is not ready yet.
    """
    directory = cluster_dir(name)
    state = ClusterState.read(directory)
    if state is None or not is_running(directory):
        raise ClusterError(f"no cluster {name} runs: `task cluster:up` starts one")
    if not state.ready:
        raise ClusterError(f"cluster {name} is being started or stopped by process {state.owner_pid}")
    return ClusterHandle(directory, state)
