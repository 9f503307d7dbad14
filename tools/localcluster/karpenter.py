"""The real Karpenter, with its kwok provider, whose machines are only Node objects."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import yaml

from tools.localcluster.api import ApiClient
from tools.localcluster.binaries import binaries
from tools.localcluster.errors import ClusterError
from tools.localcluster.ports import free_ports
from tools.localcluster.process import ManagedProcess

NAME = "karpenter"
NODE_CLASSES = "/apis/karpenter.kwok.sh/v1alpha1/kwoknodeclasses"
NODE_POOLS = "/apis/karpenter.sh/v1/nodepools"
NODE_CLAIMS = "/apis/karpenter.sh/v1/nodeclaims"
_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_APPLY = "application/apply-patch+yaml"
_READY_SECONDS = 60
_PORT_ATTEMPTS = 3

Spawn = Callable[[str, Sequence[str], Mapping[str, str]], ManagedProcess]
"""Makes a process (not started yet) from its name, its command and additional environment variables."""


def start(api: ApiClient, kubeconfig: Path, spawn: Spawn) -> ManagedProcess:
    """Applies Karpenter's definitions, starts it and waits until it is ready; see `ClusterHandle.start_karpenter`."""
    program = binaries([NAME])[NAME]
    define(api)
    for _ in range(_PORT_ATTEMPTS):
        metrics, health = free_ports(2, "0.0.0.0")  # noqa: S104 - it listens on all addresses, whatever we ask for
        flags = [f"--metrics-port={metrics}", f"--health-probe-port={health}", "--disable-leader-election"]
        environment = {"KUBECONFIG": str(kubeconfig), "SYSTEM_NAMESPACE": "kube-system"}
        process = spawn(NAME, [str(program), *flags], environment)
        process.start()
        if _is_ready(process, health):
            return process
        if not process.lost_its_port:
            break
    raise ClusterError(
        f"Karpenter ended with exit code {process.exit_code}; log {process.log}:\n{process.log_tail()}",
        process.log.parent,
    )


MOST_CPU = 1000
"""Default limit of the cores of all nodes of a NodePool."""


def create_pool(
    api: ApiClient,
    name: str,
    disruption: Mapping[str, Any],
    instance_types: Sequence[str],
    most_cpu: int = MOST_CPU,
    *,
    labels: Mapping[str, str] | None = None,
    startup_taints: Sequence[Mapping[str, str]] = (),
) -> None:
    """Creates or changes a NodePool and its KWOKNodeClass; see `ClusterHandle.apply_node_pool`."""
    wanted = {
        "kubernetes.io/arch": ["amd64"],
        "kubernetes.io/os": ["linux"],
        "karpenter.sh/capacity-type": ["on-demand"],
        "node.kubernetes.io/instance-type": list(instance_types),
    }
    node = {
        "requirements": [{"key": key, "operator": "In", "values": values} for key, values in wanted.items() if values],
        "nodeClassRef": {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": name},
        "expireAfter": "Never",
        "startupTaints": [dict(taint) for taint in startup_taints],
    }
    template = {"metadata": {"labels": dict(labels or {})}, "spec": node}
    spec = {"template": template, "limits": {"cpu": str(most_cpu)}, "disruption": dict(disruption)}
    create_class(api, name)
    _apply(api, NODE_POOLS, {"apiVersion": "karpenter.sh/v1", "kind": "NodePool", "spec": spec}, name)


def create_class(api: ApiClient, name: str) -> None:
    """Creates a KWOKNodeClass. NodeClaims can use it without a NodePool."""
    _apply(api, NODE_CLASSES, {"apiVersion": "karpenter.kwok.sh/v1alpha1", "kind": "KWOKNodeClass"}, name)


def define(api: ApiClient) -> None:
    """Applies the definitions beside the program, and waits until they are served."""
    for path in sorted(binaries([NAME])[NAME].parent.glob("karpenter*.yaml")):
        definition = yaml.safe_load(path.read_text())
        _apply(api, _DEFINITIONS, definition, definition["metadata"]["name"])
    deadline = time.monotonic() + _READY_SECONDS
    while not all(api.answers_ok(f"{path}?limit=1") for path in (NODE_CLASSES, NODE_POOLS, NODE_CLAIMS)):
        if time.monotonic() > deadline:
            raise ClusterError(f"Karpenter's definitions are not served after {_READY_SECONDS} s")
        time.sleep(0.05)


def _apply(api: ApiClient, collection: str, thing: dict[str, Any], name: str) -> None:
    body = thing | {"metadata": thing.get("metadata", {}) | {"name": name}}
    api.request("PATCH", f"{collection}/{name}?fieldManager=localcluster&force=true", body, _APPLY)


def _is_ready(process: ManagedProcess, port: int) -> bool:
    """Whether it becomes ready. False if it exits before."""
    deadline = time.monotonic() + _READY_SECONDS
    while process.running:
        if _answers(port):
            return True
        if time.monotonic() > deadline:
            raise ClusterError(f"Karpenter is not ready after {_READY_SECONDS} s; log {process.log}")
        time.sleep(0.05)
    return False


def _answers(port: int) -> bool:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
