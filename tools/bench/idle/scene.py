"""A cluster with full nodes and Moorage's charts, as Helm installs them."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tools.bench.common.errors import BenchError
from tools.demo.common.programs import ROOT
from tools.localcluster import ClusterHandle, accounts
from tools.localcluster.process import go_settings
from tools.toolchain import ensure

NAMESPACE = "castai-agent"
PLANNER, PINNER, EVICTOR = "moorage-planner", "castai-pod-pinner", "castai-evictor"
CHARTS = {
    PLANNER: (),
    PINNER: (),
    EVICTOR: ("nodeGracePeriodMinutes=0", "quietPeriod=1s"),  # the nodes of a real cluster are old
}
"""The charts, in the order of their installation, with the values that are not the defaults."""
APPS = "apps"
_CPU = 4000
"""Allocatable CPU of a node, in thousandths of a core."""
_FULL = 0.9
_DEPLOYMENTS = f"/apis/apps/v1/namespaces/{APPS}/deployments"
_PATIENCE = 900.0
_IMAGE = "registry.example/team/service:1"

Json = dict[str, Any]


def fill(cluster: ClusterHandle, nodes: int, each: int, progress: Callable[[str], None]) -> list[str]:
    """Create nodes and fill them with running pods.

    Args:
        cluster: the cluster.
        nodes: number of nodes.
        each: pods on each node. One more finds no room there, so no node can be emptied.
        progress: receives a line per step.

    Returns:
        The names of the nodes.

    Raises:
        BenchError: the pods do not run in time.
    """
    cluster.start_kwok()
    names = cluster.create_kwok_nodes(nodes, cpu=f"{_CPU}m")
    progress(f"{nodes} nodes created")
    accounts.namespace(cluster, APPS)
    cluster.wait_service_account(APPS)
    for number in range(each):
        cluster.api.request("POST", _DEPLOYMENTS, _deployment(f"web-{number}", nodes, int(_CPU * _FULL / each)))
    until(lambda: _all_ready(cluster, APPS), f"{nodes * each} pods to run", _PATIENCE)
    progress(f"{nodes * each} pods run")
    return names


def install(cluster: ClusterHandle, progress: Callable[[str], None]) -> None:
    """Install all charts with Helm, and wait until kwok plays their pods.

    Raises:
        BenchError: Helm failed, or the pods do not run in time.
    """
    accounts.namespace(cluster, NAMESPACE)
    cluster.wait_service_account(NAMESPACE)
    helm = str(ensure(["helm"])["helm"])
    for chart, values in CHARTS.items():
        options = [word for value in values for word in ("--set", value)]
        command = [helm, "upgrade", "--install", chart, str(ROOT / "charts" / chart), "-n", NAMESPACE, *options]
        _run(command, cluster)
        progress(f"chart {chart} installed")
    until(lambda: _all_ready(cluster, NAMESPACE), "the pods of the charts to run", _PATIENCE)


def until(probe: Callable[[], bool], what: str, patience: float) -> None:
    """Call a probe every second until it returns true.

    Raises:
        BenchError: it did not in time.
    """
    end = time.monotonic() + patience
    while not probe():
        if time.monotonic() > end:
            raise BenchError(f"waited {patience:g} s for {what}")
        time.sleep(1)


def pods(cluster: ClusterHandle, chart: str) -> list[Json]:
    """The pods of a chart."""
    selector = f"app.kubernetes.io/instance%3D{chart}"
    found: list[Json] = cluster.api.get(f"/api/v1/namespaces/{NAMESPACE}/pods?labelSelector={selector}")["items"]
    return found


def _all_ready(cluster: ClusterHandle, namespace: str) -> bool:
    found = cluster.api.get(f"/apis/apps/v1/namespaces/{namespace}/deployments")["items"]
    return all(each["status"].get("readyReplicas", 0) >= each["spec"]["replicas"] for each in found)


def _run(command: Sequence[str], cluster: ClusterHandle) -> None:
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(cluster.directory),
        "KUBECONFIG": str(cluster.kubeconfig),
        **go_settings(),
    }
    done = subprocess.run(command, env=environment, cwd=Path("/"), capture_output=True, text=True)
    if done.returncode:
        raise BenchError(f"{' '.join(command[1:4])} failed: {done.stderr.strip()}")


def _deployment(name: str, replicas: int, cpu: int) -> Json:
    """Pods of which each node has one: the scheduler spreads them over hostnames."""
    labels = {"app": name}
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": labels},
    }
    container = {"name": "main", "image": _IMAGE, "resources": {"requests": {"cpu": f"{cpu}m", "memory": "1Gi"}}}
    return {
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [container], "topologySpreadConstraints": [spread]},
            },
        },
    }
