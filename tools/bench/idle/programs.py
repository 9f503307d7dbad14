"""The containers of the charts' pods, as processes of this checkout."""

from __future__ import annotations

import base64
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.bench.common.errors import BenchError
from tools.demo.common.environment import kept_environment
from tools.demo.common.programs import ROOT
from tools.localcluster import ClusterHandle
from tools.localcluster.api import ApiError
from tools.localcluster.kubeconfig import write_kubeconfig
from tools.localcluster.ports import free_ports
from tools.localcluster.process import ManagedProcess, stop_all

from .scene import EVICTOR, NAMESPACE, PINNER, PLANNER, pods, until

_LASTS = 6 * 3600
"""Lifetime of a token in seconds: longer than any run."""
_CORE = f"/api/v1/namespaces/{NAMESPACE}"
_CLIENT_SECRET = "moorage-planner-client"  # noqa: S105 - its name
_FILES = {"secret": "secrets", "configMap": "configmaps"}
"""Sources of mounted files, with their resources."""
_STOP_GRACE = 10.0
_PATIENCE = 120.0

Json = dict[str, Any]


@dataclass(frozen=True)
class Program:
    """One process.

    Attributes:
        pod: name of its pod.
        process: the process.
        health: host and port of its probes.
        container: the container of the chart.
    """

    pod: str
    process: ManagedProcess
    health: str
    container: Json

    @property
    def pid(self) -> int:
        """Process id.

        Raises:
            BenchError: it has ended.
        """
        if not self.process.running or self.process.pid is None:
            raise BenchError(
                f"{self.process.name} ended with exit code {self.process.exit_code}; log {self.process.log}: "
                f"{self.process.log_tail(3)}"
            )
        return self.process.pid


class Programs:
    """All programs of the installed charts.

    Args:
        cluster: with the charts.
        folder: for tokens and mounted files.
        logs: folder of their logs.
    """

    def __init__(self, cluster: ClusterHandle, folder: Path, logs: Path) -> None:
        self._cluster, self._folder, self._logs = cluster, folder, logs
        self._planner = ""
        self.running: list[Program] = []

    def start(self) -> None:
        """Start all: the planner, the pinners once it has filled its Secrets, and the evictor.

        Raises:
            BenchError: a program ended, or the Secrets were not filled in time.
        """
        (self._planner,) = (f"127.0.0.1:{port}" for port in free_ports(1))
        for pod in pods(self._cluster, PLANNER):
            self._start(pod, "planner", {"MOORAGE_LISTEN": self._planner, "MOORAGE_TLS_NAMES": "127.0.0.1"})
        until(self._filled, f"Secret {_CLIENT_SECRET} to be filled by the planner", _PATIENCE)
        for pod in pods(self._cluster, PINNER):
            self._start(pod, "pod-pinner", {"MOORAGE_PLANNER_ADDRESS": self._planner})
        for pod in pods(self._cluster, EVICTOR):
            self._start(pod, "evictor", {})

    def stop(self) -> None:
        """End all in order."""
        stop_all([each.process for each in self.running], _STOP_GRACE)

    def titles(self) -> dict[str, Program] | None:
        """All programs by their titles. None while no pinner leads."""
        leader = self._leader()
        if not leader:
            return None
        names = {PLANNER: "planner", EVICTOR: "evictor"}
        found = {}
        for each in self.running:
            chart = each.container["name"]
            role = "pinner, leader" if each.pod == leader else "pinner, standby"
            found[names.get(chart, role)] = each
        return dict(sorted(found.items(), key=lambda pair: ("pinner" not in pair[0], pair[0])))

    def _leader(self) -> str:
        """The pod of the leading pinner; empty when there is none."""
        names = {each["name"]: each.get("value") for each in self._container(PINNER)["env"]}
        path = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/{names['MOORAGE_LEASE_NAME']}"
        try:
            holder = self._cluster.api.get(path)["spec"].get("holderIdentity") or ""
        except ApiError:
            return ""
        return str(holder).partition("_")[0]

    def _container(self, chart: str) -> Json:
        return next(each.container for each in self.running if each.container["name"] == chart)

    def _filled(self) -> bool:
        for each in self.running:
            _ = each.pid
        return {"API_KEY", "ca.crt"} <= self._data("secrets", _CLIENT_SECRET).keys()

    def _start(self, pod: Json, command: str, changes: Mapping[str, str]) -> None:
        name = pod["metadata"]["name"]
        home = self._folder / name
        home.mkdir(mode=0o700)
        container = pod["spec"]["containers"][0]
        health, webhook = (f"127.0.0.1:{port}" for port in free_ports(2))
        environment = self._environment(pod, self._mount(pod, home))
        environment |= {
            "MOORAGE_KUBECONFIG": str(self._kubeconfig(pod, home)),
            "MOORAGE_HEALTH_ADDRESS": health,
            "MOORAGE_WEBHOOK_ADDRESS": webhook,
            **changes,
        }
        program = [sys.executable, "-m", "moorage.cli", command]
        log = self._logs / f"{name}.log"
        process = ManagedProcess(name, program, log=log, env=kept_environment() | environment, cwd=ROOT)
        self.running.append(Program(name, process, health, container))
        process.start()

    def _kubeconfig(self, pod: Json, home: Path) -> Path:
        """A kubeconfig with a token that is bound to the pod, as a kubelet fetches it."""
        meta, account = pod["metadata"], pod["spec"]["serviceAccountName"]
        bound = {"kind": "Pod", "apiVersion": "v1", "name": meta["name"], "uid": meta["uid"]}
        spec = {"spec": {"expirationSeconds": _LASTS, "boundObjectRef": bound}}
        made = self._cluster.api.request("POST", f"{_CORE}/serviceaccounts/{account}/token", spec)
        ca, token = self._cluster.ca_file.read_bytes(), made["status"]["token"]
        return write_kubeconfig(home / "kubeconfig", server=self._cluster.server, ca=ca, user=account, token=token)

    def _environment(self, pod: Json, mounted: Mapping[str, Path]) -> dict[str, str]:
        """The container's environment. Paths below a mount point are those of the mounted files."""
        fields = {f"metadata.{key}": pod["metadata"][key] for key in ("name", "namespace", "uid")}
        found = {}
        for each in pod["spec"]["containers"][0]["env"]:
            value = each.get("value", "")
            if "valueFrom" in each:
                value = fields[each["valueFrom"]["fieldRef"]["fieldPath"]]
            point, _, file = value.rpartition("/")
            found[each["name"]] = str(mounted[point] / file) if point in mounted else value
        return found

    def _mount(self, pod: Json, home: Path) -> dict[str, Path]:
        """Write the files of all Secrets and ConfigMaps. Returns the folder of each mount point."""
        volumes = {each["name"]: each for each in pod["spec"]["volumes"]}
        found = {}
        for mount in pod["spec"]["containers"][0]["volumeMounts"]:
            volume = volumes[mount["name"]]
            sources = volume.get("projected", {}).get("sources", [volume])
            read = [(plural, each[kind]) for each in sources for kind, plural in _FILES.items() if kind in each]
            read = [(plural, source) for plural, source in read if "items" in source]
            if not read:
                continue
            folder = found[mount["mountPath"]] = home / mount["name"]
            folder.mkdir()
            for plural, source in read:
                data = self._data(plural, source.get("name") or source["secretName"])
                for item in source["items"]:
                    if item["key"] in data:
                        (folder / item["path"]).write_bytes(data[item["key"]])
        return found

    def _data(self, plural: str, name: str) -> dict[str, bytes]:
        try:
            data = self._cluster.api.get(f"{_CORE}/{plural}/{name}").get("data") or {}
        except ApiError:
            return {}
        secret = plural == "secrets"
        return {key: base64.b64decode(value) if secret else value.encode() for key, value in data.items()}
