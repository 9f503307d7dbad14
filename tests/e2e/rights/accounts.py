"""Moorage's programs as local processes, with the accounts and the environment of the charts."""

from __future__ import annotations

import base64
import json
import socket
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.demo.errors import DemoError
from tools.demo.programs import ROOT, Programs
from tools.demo.targets import kept_environment
from tools.localcluster import ClusterHandle, accounts
from tools.localcluster.api import ApiError
from tools.localcluster.ports import free_ports
from tools.localcluster.process import ManagedProcess, stop_all

NAMESPACE = "castai-agent"
PINNER = "castai-pod-pinner"
PLANNER = "moorage-planner"
EVICTOR = "castai-evictor"
CLIENT_SECRET = "moorage-planner-client"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
MACHINE = "rights-ours"
"""The node in the replicas' pods: without a Node no Service includes them."""
STOP_GRACE = 10.0
PATIENCE = 60.0


def user(account: str) -> str:
    """The user name of a service account in the audit log."""
    return accounts.user(NAMESPACE, account)


def kubeconfig(cluster: ClusterHandle, account: str, folder: Path) -> Path:
    """A kubeconfig with a service account's token, as its pods have it."""
    return accounts.token(cluster, NAMESPACE, account, folder)


def environment(cluster: ClusterHandle, pod: Mapping[str, Any], name: str) -> dict[str, str]:
    """The environment that a kubelet would give the only container of a pod.

    Args:
        cluster: has the Secrets and ConfigMaps.
        pod: its spec.
        name: of the pod.
    """
    (container,) = pod["containers"]
    assert not container.get("envFrom"), "nothing here reads envFrom"
    found = {each["name"]: _value(cluster, each, name) for each in container.get("env", ())}
    return {key: value for key, value in found.items() if value is not None}


def _value(cluster: ClusterHandle, variable: Mapping[str, Any], pod: str) -> str | None:
    source = variable.get("valueFrom")
    if source is None:
        return str(variable.get("value", ""))
    if "fieldRef" in source:
        fields = {"metadata.name": pod, "metadata.namespace": NAMESPACE, "metadata.uid": str(uuid.uuid4())}
        return fields[source["fieldRef"]["fieldPath"]]
    for kind, plural in (("secretKeyRef", "secrets"), ("configMapKeyRef", "configmaps")):
        if kind in source:
            return _entry(cluster, plural, source[kind])
    raise AssertionError(f"nothing here can give {variable}")


def _entry(cluster: ClusterHandle, plural: str, reference: Mapping[str, Any]) -> str | None:
    try:
        data = cluster.api.get(f"/api/v1/namespaces/{NAMESPACE}/{plural}/{reference['name']}").get("data") or {}
    except ApiError:
        data = {}
    if reference["key"] not in data:
        assert reference.get("optional"), f"the pod would not start without {reference}"
        return None
    value = str(data[reference["key"]])
    return base64.b64decode(value).decode() if plural == "secrets" else value


def _own_address() -> str:
    """An address of this machine that is not on loopback; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])


class Installed(Programs):
    """Planner, two replicas of the pinner and the evictor under the charts' accounts; go on until `end`.

    Args:
        cluster: with all charts installed.
        folder: for logs, tokens and mounted files.
    """

    def __init__(self, cluster: ClusterHandle, folder: Path) -> None:
        super().__init__(folder, {}, ())
        self._handle = cluster
        self.folder = folder
        self._address = ""
        self.plan = Path()
        self._replicas: list[str] = []
        self.address = _own_address()
        """Where the API server reaches the replicas: no endpoint of a Service may be on loopback."""

    def _launch(self, name: str, words: Sequence[str], deployment: str, **changes: str) -> None:
        path = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{deployment}"
        pod = self._handle.api.get(path)["spec"]["template"]["spec"]
        account = kubeconfig(self._handle, pod["serviceAccountName"], self.folder)
        changes |= {"MOORAGE_KUBECONFIG": str(account), "MOORAGE_HEALTH_ADDRESS": "127.0.0.1:0"}
        self._running[name] = ManagedProcess(
            name,
            [sys.executable, "-m", "moorage.cli", *words],
            log=self.folder / f"{name}.log",
            env={**kept_environment(), **environment(self._handle, pod, name), **changes},
            cwd=ROOT,
        )
        self._running[name].start()

    def start_planner(self, plan: Path, address: str) -> None:
        """Serve a plan with certificate and key that the planner makes itself."""
        self.plan = plan
        self._launch(
            "planner-0",
            ["planner"],
            PLANNER,
            MOORAGE_PLAN=str(plan),
            MOORAGE_LISTEN=address,
            MOORAGE_TLS_NAMES="127.0.0.1",
        )

    def start_pinner(self, planner: str) -> None:
        """Mount the client Secret once the planner has filled it, and start two replicas."""
        self._address = planner
        end = time.monotonic() + PATIENCE
        path = f"/api/v1/namespaces/{NAMESPACE}/secrets/{CLIENT_SECRET}"
        while not {"API_KEY", "ca.crt"} <= (data := self._handle.api.get(path).get("data") or {}).keys():
            self.check()
            if time.monotonic() > end:
                raise DemoError(f"the planner has not filled Secret {CLIENT_SECRET}")
            time.sleep(0.1)
        for file, key in (("api-key", "API_KEY"), ("ca.crt", "ca.crt")):
            (self.folder / file).write_bytes(base64.b64decode(data[key]))
        for name in ("pinner-0", "pinner-1"):
            self.start_replica(name)

    def start_replica(self, name: str) -> None:
        """Start one replica of the pinner, and make the pod that it takes itself to be in."""
        (port,) = free_ports(1, self.address)
        self._make_pod(name, port)
        self._launch(name, ["pod-pinner"], PINNER, **self.mounted, MOORAGE_WEBHOOK_ADDRESS=f"{self.address}:{port}")

    def _make_pod(self, name: str, port: int) -> None:
        """A pod that the Service of the webhook can select, and that no scheduler and no ReplicaSet touches."""
        path = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{PINNER}"
        labels = self._handle.api.get(path)["spec"]["selector"]["matchLabels"]
        ports = [{"name": "webhook", "containerPort": port}]
        container = {"name": "main", "image": "registry.invalid/main:1", "ports": ports}
        spec = {"schedulerName": "nobody", "containers": [container]}
        self._handle.api.request("POST", PODS, {"metadata": {"name": name, "labels": labels}, "spec": spec})
        self._replicas.append(name)

    def put_behind_the_service(self) -> None:
        """Report the pods as ready, as a kubelet does. Without a Lease their Node lives under a minute."""
        api, ready = self._handle.api, [{"type": "Ready", "status": "True"}]
        api.request("POST", "/api/v1/nodes", {"metadata": {"name": MACHINE}, "spec": {"unschedulable": True}})
        status = {"phase": "Running", "podIP": self.address, "podIPs": [{"ip": self.address}], "conditions": ready}
        for name in self._replicas:
            binding = {"metadata": {"name": name}, "target": {"kind": "Node", "name": MACHINE}}
            api.request("POST", f"{PODS}/{name}/binding", binding)
            api.request("PATCH", f"{PODS}/{name}/status", {"status": status}, "application/merge-patch+json")

    def start_evictor(self) -> None:
        """Start the evictor."""
        self._launch("evictor-0", ["evictor"], EVICTOR, MOORAGE_CYCLE_INTERVAL="1s")

    @property
    def mounted(self) -> dict[str, str]:
        """The pinner's access to the planner, with the files that a kubelet would mount."""
        return {
            "MOORAGE_PLANNER_ADDRESS": self._address,
            "MOORAGE_API_KEY_FILE": str(self.folder / "api-key"),
            "MOORAGE_PLANNER_CA_FILE": str(self.folder / "ca.crt"),
        }

    def lines(self, name: str) -> list[dict[str, Any]]:
        """The log of a program."""
        whole = (self.folder / f"{name}.log").read_text().rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines() if line.startswith("{")]

    def stop_one(self, name: str) -> None:
        """End one in order."""
        stop_all([self._running.pop(name)], STOP_GRACE)

    def stop(self) -> None:
        """After the demo, more functions of the programs are used."""

    def end(self) -> None:
        """End all in order."""
        stop_all(list(self._running.values()), STOP_GRACE)
        self._running.clear()
