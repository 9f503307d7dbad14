"""The compared programs, as processes on a cluster of their own."""

from __future__ import annotations

import os
import re
import sys
import time
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import msgspec
import yaml

from moorage.objects import Node, Pod
from moorage.scheduling.requests import allocatable, placed
from tools.bench.common.errors import BenchError
from tools.bench.compaction.clusters import Cluster
from tools.localcluster import LocalCluster
from tools.localcluster.binaries import binaries
from tools.localcluster.ports import free_ports
from tools.localcluster.process import ManagedProcess

MOORAGE, HARD, SOFT = "moorage", "moorage-destinations", "moorage-destinations-soft"
DEFAULT, MOST = "descheduler", "descheduler-most"
OURS = {MOORAGE: "", HARD: "hard", SOFT: "soft"}
"""Moorage's contenders, each with how a pod pinner beside it brings replacements to their simulated nodes."""
NAMES = (*OURS, DEFAULT, MOST)
SETTINGS = {
    "cycle-interval": "1s",
    "node-grace-period-minutes": "0",
    "quiet-period": "0s",
    "target-utilization": "100",
    "target-node-percentage": "100",
    "max-target-nodes-per-cycle": "5000",
    "parallel-drains": "10",
}
"""Moorage's settings: all nodes at once, also nodes that are one minute old, and nodes may be filled up."""
INTERVAL = "20s"
"""Interval of descheduler's runs. Pods take as long to become ready."""
_HIGHEST, _STEP = 50, 5
_ABOVE = 0.1
_CRD = Path("schemas/crds/evictorconfigs.autoscaling.cast.ai.yaml")
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_CONFIGS = "/apis/autoscaling.cast.ai/v1alpha1/evictorconfigs"
NAMESPACE = "default"
_PATIENCE = 60.0
_TRIES = 3

Json = dict[str, Any]


def scheduler_configuration(kubeconfig: Path) -> str:
    """A kube-scheduler that fills nodes, as descheduler's documentation recommends."""
    resources = [{"name": name, "weight": 1} for name in ("cpu", "memory")]
    scoring = {"scoringStrategy": {"type": "MostAllocated", "resources": resources}}
    profile = {
        "schedulerName": "default-scheduler",
        "pluginConfig": [{"name": "NodeResourcesFit", "args": scoring}],
    }
    return yaml.safe_dump(
        {
            "apiVersion": "kubescheduler.config.k8s.io/v1",
            "kind": "KubeSchedulerConfiguration",
            "leaderElection": {"leaderElect": False},
            "clientConnection": {"kubeconfig": str(kubeconfig), "qps": 5000, "burst": 5000},
            "profiles": [profile],
        }
    )


def policy(threshold: int) -> str:
    """Descheduler's policy.

    Args:
        threshold: the largest requested part of CPU and memory of an underutilised node, in percent.
    """
    high = {"thresholds": {"cpu": threshold, "memory": threshold}}
    profile = {
        "name": "compaction",
        "pluginConfig": [
            {"name": "HighNodeUtilization", "args": high},
            {"name": "DefaultEvictor", "args": {"nodeFit": True, "minReplicas": 2}},
        ],
        "plugins": {"balance": {"enabled": ["HighNodeUtilization"]}},
    }
    made = {"apiVersion": "descheduler/v1alpha2", "kind": "DeschedulerPolicy", "profiles": [profile]}
    return yaml.safe_dump(made)


def threshold(cluster: Cluster) -> int:
    """The highest threshold with which descheduler acts: a tenth of the nodes is not underutilised.

    If all nodes are underutilised, it does nothing.

    Args:
        cluster: the cluster at the beginning.
    """
    used = _used(cluster.nodes, cluster.pods)
    for percent in range(_HIGHEST, 0, -_STEP):
        if sum(max(parts) * 100 > percent for parts in used.values()) >= _ABOVE * len(used):
            return percent
    raise BenchError("no threshold leaves a tenth of the nodes above it: the cluster is empty")


def utilisation(nodes: Sequence[Node], pods: Sequence[Pod], gone: Collection[str]) -> float:
    """The requested part of the remaining nodes' CPU or memory, whichever is larger.

    Args:
        nodes: all nodes at the beginning.
        pods: all pods at the beginning. Pods of DaemonSets on deleted nodes are gone, and all others run elsewhere.
        gone: names of deleted nodes.
    """
    asked, offered = Counter[str](), Counter[str]()
    for node in nodes:
        if node.metadata.name not in gone:
            offered.update(allocatable(node.status.allocatable)[0])
    for pod in pods:
        owner = pod.metadata.owner_references[0]
        if owner.kind != "DaemonSet" or pod.spec.node_name not in gone:
            asked.update(placed(pod))
    return max(asked[name] / max(offered[name], 1) for name in ("cpu", "memory"))


def _used(nodes: Sequence[Node], pods: Sequence[Pod]) -> dict[str, tuple[float, float]]:
    """The requested parts of CPU and memory on each node."""
    used = {node.metadata.name: [0, 0] for node in nodes}
    for pod in pods:
        asked = placed(pod)
        used[pod.spec.node_name][0] += asked.get("cpu", 0)
        used[pod.spec.node_name][1] += asked.get("memory", 0)
    offered = {node.metadata.name: allocatable(node.status.allocatable)[0] for node in nodes}
    return {name: (cpu / offered[name]["cpu"], mem / offered[name]["memory"]) for name, (cpu, mem) in used.items()}


def prepare(cluster: LocalCluster) -> None:
    """Create the definition of EvictorConfig and the resource. Moorage stores its evictions in its status."""
    cluster.api.request("POST", DEFINITIONS, yaml.safe_load(_CRD.read_text()))
    manifest = {"apiVersion": "autoscaling.cast.ai/v1alpha1", "kind": "EvictorConfig", "spec": {}}
    deadline = time.monotonic() + _PATIENCE
    while not cluster.api.answers_ok(_CONFIGS):
        if time.monotonic() > deadline:
            raise BenchError(f"EvictorConfig is not served after {_PATIENCE:g} s; logs in {cluster.logs}")
        time.sleep(0.1)
    cluster.api.request("POST", _CONFIGS, manifest | {"metadata": {"name": "evictor-config"}})


def promised(cluster: LocalCluster, folder: Path) -> Json:
    """The report of `moorage evictor --once` on the current cluster.

    Args:
        cluster: Karpenter runs on it.
        folder: for its log.

    Raises:
        BenchError: it failed several times. A new API server may be slow at first.
    """
    report = folder / "report.json"
    once = _moorage(cluster, folder, ["--once", "-o", "json", f"--output-file={report}"], "moorage-once")
    for _ in range(_TRIES):
        once.start()
        while once.running:
            time.sleep(0.1)
        if once.exit_code == 0:
            found: Json = msgspec.json.decode(report.read_bytes())
            return found
    raise BenchError(f"moorage evictor --once ended with exit code {once.exit_code}: {once.log_tail()}")


def moorage(cluster: LocalCluster, folder: Path, port: int) -> ManagedProcess:
    """`moorage evictor` in acting mode.

    Args:
        cluster: the cluster.
        folder: for its log.
        port: the port of its metrics.
    """
    flags = [
        "--dry-run=false",
        f"--namespace={NAMESPACE}",
        "--pod-name=bench-evictor",
        f"--health-address=127.0.0.1:{port}",
        "--leader-election=false",
        "--log-format=json",
    ]
    return _moorage(cluster, folder, flags, "moorage")


def _moorage(cluster: LocalCluster, folder: Path, flags: Sequence[str], name: str) -> ManagedProcess:
    settings = [f"--{flag}={value}" for flag, value in SETTINGS.items()]
    command = [sys.executable, "-m", "moorage.cli", "evictor", f"--kubeconfig={cluster.kubeconfig}", *settings, *flags]
    return process(name, command, folder)


def descheduler(cluster: LocalCluster, folder: Path, percent: int) -> ManagedProcess:
    """Descheduler with HighNodeUtilization.

    Args:
        cluster: the cluster.
        folder: for its policy and log.
        percent: see `policy`.
    """
    path = folder / "policy.yaml"
    path.write_text(policy(percent))
    command = [
        str(binaries(["descheduler"])["descheduler"]),
        f"--kubeconfig={cluster.kubeconfig}",
        f"--policy-config-file={path}",
        f"--descheduling-interval={INTERVAL}",
        "--bind-address=127.0.0.1",
        f"--secure-port={free_ports(1)[0]}",
        f"--cert-dir={folder}",
        "--client-connection-qps=5000",
        "--client-connection-burst=5000",
        "-v=1",
    ]
    return process("descheduler", command, folder)


def come(metrics: str) -> tuple[int, int]:
    """The number of replacements that came to their simulated node, and of those that came to another.

    Args:
        metrics: of the evictor.
    """
    found = dict(re.findall(r'^moorage_evictor_replacements_total\{place="(\w+)"\} (\S+)$', metrics, re.MULTILINE))
    return int(float(found.get("as_simulated", 0))), int(float(found.get("elsewhere", 0)))


def process(name: str, command: Sequence[str], folder: Path) -> ManagedProcess:
    """A program of the checkout, with only PATH from our environment.

    Args:
        name: of its log.
        command: the program with its arguments.
        folder: for its log and files.
    """
    here = Path.cwd()
    environment = {"PATH": os.environ.get("PATH", ""), "HOME": str(folder), "PYTHONPATH": str(here / "runtime")}
    return ManagedProcess(name, command, log=folder / f"{name}.log", env=environment, cwd=folder)
