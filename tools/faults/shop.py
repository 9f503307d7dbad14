"""A cluster at low use and an evictor that empties it: Deployments with and without budgets on simulated nodes."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple

from tools.charts.rights import rules
from tools.demo.programs import ROOT
from tools.demo.targets import kept_environment
from tools.demo.world import definitions
from tools.localcluster import ClusterOptions, LocalCluster, accounts
from tools.localcluster.api import ApiError
from tools.localcluster.process import ManagedProcess

CHART, NAMESPACE, SHOP = "castai-evictor", "castai-agent", "shop"
US = f"{NAMESPACE}/{CHART}"
ACCOUNT = accounts.user(NAMESPACE, CHART)
CONFIGS = "/apis/autoscaling.cast.ai/v1alpha1/evictorconfigs"
NODES = 5
PATIENCE = 120.0
_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_NAMES = {"leaseName": CHART, "rulesConfigMap": f"{CHART}-config", "pricesConfigMap": f"{CHART}-prices"}
_GRACE = {"node-monitor-grace-period": "20s", "node-monitor-period": "1s"}
"""Kubelets renew their Leases every 10 s."""
_PATIENT = {"node-monitor-grace-period": "10m"}
"""kwok's nodes do not fail, and its pods do not become Ready again, so an unavailable API server must not matter."""
_TOLERATE = {f"default-{taint}-toleration-seconds": "5" for taint in ("not-ready", "unreachable")}
Json = dict[str, Any]


class Gone(Exception):
    """A condition did not become true in time. The text names it."""


class App(NamedTuple):
    """A Deployment.

    Attributes:
        name: its name, and its pods' label ``app``.
        replicas: the number of its pods.
        floor: the number of pods that are always Ready.
        part: requests of a pod, in percent of a node.
        budget: whether it has a PodDisruptionBudget.
    """

    name: str
    replicas: int
    floor: int
    part: int
    budget: bool = False


APPS = (
    App("web", 10, 8, 8, budget=True),
    App("api", 10, 9, 8),
    App("cart", 4, 3, 8),
    App("solo", 1, 1, 10),
)


class Shop:
    """The cluster, as a context manager. Stories run on it one after the other.

    Args:
        hollow: whether its nodes are kubelets, which can be killed; otherwise kwok simulates them.
    """

    def __init__(self, *, hollow: bool) -> None:
        self.hollow = hollow
        dying = ClusterOptions(controller_manager_flags=_GRACE, apiserver_flags=_TOLERATE)
        self.cluster = LocalCluster(options=dying if hollow else ClusterOptions(controller_manager_flags=_PATIENT))
        self.nodes: list[str] = []
        self._stories = 0

    def __enter__(self) -> Shop:
        self.cluster.start()
        try:
            self._furnish()
        except BaseException:
            self.cluster.stop(keep_logs=True)
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.cluster.stop(keep_logs=error[0] is not None)

    def _furnish(self) -> None:
        cluster = self.cluster
        for each in (NAMESPACE, SHOP):
            accounts.namespace(cluster, each)
            cluster.wait_service_account(each)
        for definition in definitions():
            if definition["spec"]["names"]["kind"] == "EvictorConfig":
                cluster.api.request("POST", _DEFINITIONS, definition)
        until(lambda: cluster.api.answers_ok(CONFIGS), "EvictorConfig to be served")
        self.grant()
        kind = {"apiVersion": "autoscaling.cast.ai/v1alpha1", "kind": "EvictorConfig", "spec": {}}
        cluster.api.request("POST", CONFIGS, kind | {"metadata": {"name": "evictor-config"}})
        if not self.hollow:
            cluster.start_kwok()

    def grant(self) -> None:
        """Give the evictor the rights of a chart with ``dryRun: false``."""
        everywhere = [
            rule for part in ("clusterRules", "actingRules", "destinationRules") for rule in rules(CHART, part)
        ]
        accounts.grant(self.cluster, ACCOUNT, CHART, everywhere)
        accounts.grant(self.cluster, ACCOUNT, CHART, rules(CHART, "ownRules", _NAMES), within=NAMESPACE)

    def revoke(self) -> None:
        """Remove all cluster-wide rights of the evictor. It keeps those in its own namespace."""
        self._delete(f"/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/{CHART}")

    # --- one story ---

    def open(self) -> None:
        """Create the nodes and the Deployments, and wait until the scheduler has spread the pods."""
        self._stories += 1
        prefix = f"{'hollow' if self.hollow else 'kwok'}-{self._stories}"
        if self.hollow:
            self.nodes = [f"{prefix}-{index}" for index in range(NODES)]
            for name in self.nodes:
                self.cluster.start_hollow_kubelet(name)
        else:
            self.nodes = self.cluster.create_kwok_nodes(NODES, cpu="1", memory="4Gi", prefix=prefix)
        until(lambda: all(_takes_pods(self.node(name)) for name in self.nodes), "nodes that take pods")
        for app in APPS:
            if app.budget:
                spec = {"maxUnavailable": app.replicas - app.floor, "selector": {"matchLabels": {"app": app.name}}}
                budget = {"metadata": {"name": app.name}, "spec": spec}
                self.cluster.api.request("POST", _path("policy", "poddisruptionbudgets"), budget)
            self.cluster.api.request("POST", _path("apps", "deployments"), _deployment(app))
        until(self.complete, "all pods to be Ready")

    def close(self) -> None:
        """Delete everything that the story has created."""
        for group, kind in (("apps", "deployments"), ("policy", "poddisruptionbudgets")):
            for each in self.cluster.api.get(_path(group, kind))["items"]:
                self._delete(f"{_path(group, kind)}/{each['metadata']['name']}")
        for name in self.cluster.hollow_kubelets:
            self.cluster.kill_hollow_kubelet(name)
        until(self._swept, "the pods to be gone")
        for name in self.nodes:
            self._delete(f"/api/v1/nodes/{name}")

    def _swept(self) -> bool:
        """Whether all pods are gone. Pods of dead nodes do not go by themselves, so they are deleted."""
        pods = self.pods()
        for each in pods:
            if each["metadata"].get("deletionTimestamp"):
                self._delete(f"/api/v1/namespaces/{SHOP}/pods/{each['metadata']['name']}", {"gracePeriodSeconds": 0})
        return not pods

    def _delete(self, path: str, options: Json | None = None) -> None:
        try:
            self.cluster.api.request("DELETE", path, options or {"propagationPolicy": "Background"})
        except ApiError as error:
            if error.status != 404:
                raise

    def evictor(self) -> Evictor:
        """The evictor as a process that has not been started."""
        folder = self.cluster.directory / f"evictor-{self._stories}"
        config = accounts.service_account(self.cluster, NAMESPACE, CHART, folder)
        return Evictor(config, self.cluster.logs / f"evictor-{self._stories}.log")

    # --- what exists ---

    def node(self, name: str) -> Json:
        """The Node as JSON."""
        found: Json = self.cluster.api.get(f"/api/v1/nodes/{name}")
        return found

    def pods(self) -> list[Json]:
        """The Deployments' pods."""
        found: list[Json] = self.cluster.api.get(f"/api/v1/namespaces/{SHOP}/pods")["items"]
        return found

    def complete(self) -> bool:
        """Whether all pods of every Deployment are Ready."""
        found = self.cluster.api.get(_path("apps", "deployments"))["items"]
        ready = {each["metadata"]["name"]: each["status"].get("readyReplicas", 0) for each in found}
        return ready == {app.name: app.replicas for app in APPS}

    def status(self) -> Json:
        """The evictor's stored state."""
        found: Json = self.cluster.api.get(f"{CONFIGS}/evictor-config").get("status", {})
        return found


class Evictor:
    """``moorage evictor`` in acting mode, as a chart starts it, but with shorter waits.

    Args:
        kubeconfig: kubeconfig of its account.
        log: file for the output of all its processes.
    """

    def __init__(self, kubeconfig: Path, log: Path) -> None:
        flags = {
            "kubeconfig": kubeconfig,
            "namespace": NAMESPACE,
            "pod-name": f"{CHART}-1-x",
            "lease-name": CHART,
            "health-address": "127.0.0.1:0",
            "log-format": "json",
            "dry-run": "false",
            "cycle-interval": "1s",
            "quiet-period": "0s",
            "node-grace-period-minutes": "0",
            "target-node-percentage": "100",
            "drain-timeout": "60s",
        }
        command = [sys.executable, "-m", "moorage.cli", "evictor", *(f"--{key}={each}" for key, each in flags.items())]
        self.process = ManagedProcess("evictor", command, log=log, env=kept_environment(), cwd=ROOT)
        self._log = log

    def stop(self) -> int | None:
        """End it with SIGTERM. Returns the exit code."""
        self.process.terminate()
        until(lambda: not self.process.running, "the evictor to end")
        return self.process.exit_code

    def said(self) -> Iterator[Json]:
        """Every line of the log of all its processes."""
        text = self._log.read_text(errors="replace") if self._log.exists() else ""
        for line in text.splitlines():
            try:
                yield json.loads(line)
            except ValueError:
                yield {"message": line, "level": "error"}  # a traceback, or a part of a line of a killed process


def until(holds: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
    """Wait for a condition.

    Args:
        holds: the condition. It is checked again after errors of the API server.
        what: the condition in words.
        seconds: the longest wait.

    Raises:
        Gone: it did not become true.
    """
    end, last = time.monotonic() + seconds, ""
    while True:
        try:
            if holds():
                return
        except (ApiError, OSError, HTTPException) as error:
            last = f": {error}"
        if time.monotonic() > end:
            raise Gone(f"waited {seconds:g} s for {what}{last}")
        time.sleep(0.1)


def _path(group: str, kind: str) -> str:
    return f"/apis/{group}/v1/namespaces/{SHOP}/{kind}"


def _takes_pods(node: Json) -> bool:
    ready = {each["type"]: each["status"] for each in node["status"].get("conditions", ())}.get("Ready")
    return ready == "True" and not node["spec"].get("taints")


def _deployment(app: App) -> Json:
    labels = {"app": app.name}
    requests = {"cpu": f"{10 * app.part}m", "memory": "32Mi"}
    containers: Sequence[Json] = [
        {"name": "main", "image": "registry.invalid/main:1", "resources": {"requests": requests}}
    ]
    pod = {"terminationGracePeriodSeconds": 1, "automountServiceAccountToken": False, "containers": containers}
    spec = {
        "replicas": app.replicas,
        "minReadySeconds": 3,
        "strategy": {"rollingUpdate": {"maxUnavailable": 1}},
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    return {"metadata": {"name": app.name}, "spec": spec}
