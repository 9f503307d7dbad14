"""Pods of a small program (tools/podimages) that show a cluster from inside."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tools.localcluster import ClusterHandle, images
from tools.localcluster.binaries import binaries

T = TypeVar("T")
IMAGE = "localhost/moorage-probe:1"
HANG = 60.0  # seconds after which a wait gives up; nothing is judged by how long it took
_RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def probe_image(folder: Path) -> Path:
    """Writes the archive of an image with only the probe."""
    return images.write_archive(folder / "probe.tar", IMAGE, {"probe": binaries(["probe"])["probe"]}, ["/probe"])


def probe_spec(**more: Any) -> dict[str, Any]:
    """Spec of a pod that serves the probe under the restricted Pod Security profile."""
    container = {
        "name": "probe",
        "image": IMAGE,
        "args": ["serve"],
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1},
        "securityContext": _RESTRICTED,
    }
    return {"containers": [container], "terminationGracePeriodSeconds": 5, **more}


@dataclass(frozen=True)
class Space:
    """A namespace of the cluster, and `kubectl` in it."""

    cluster: ClusterHandle
    name: str

    def create(self, kind: str, body: dict[str, Any]) -> Any:
        """Creates an object of a kind by its API path, for example "api/v1/pods"."""
        group, _, resource = kind.rpartition("/")
        return self.cluster.api.request("POST", f"/{group}/namespaces/{self.name}/{resource}", body)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs kubectl in the namespace, whatever comes of it."""
        command = [str(binaries(["kubectl"])["kubectl"]), f"--kubeconfig={self.cluster.kubeconfig}", "-n", self.name]
        return subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)

    def kubectl(self, *arguments: str) -> str:
        """Runs kubectl in the namespace and returns its output."""
        answer = self.run(*arguments)
        assert answer.returncode == 0, f"kubectl {' '.join(arguments)}: {answer.stderr}{self.events()}"
        return answer.stdout

    def pods(self) -> list[dict[str, Any]]:
        """All pods."""
        items: list[dict[str, Any]] = self.cluster.api.get(f"/api/v1/namespaces/{self.name}/pods")["items"]
        return items

    def ready_pods(self, count: int) -> list[dict[str, Any]]:
        """Waits until exactly `count` pods exist and are Ready, and returns them."""

        def ready() -> list[dict[str, Any]]:
            pods = [pod for pod in self.pods() if _condition(pod, "Ready")]
            return pods if len(pods) == count == len(self.pods()) else []

        return until(ready, lambda: f"{json.dumps([pod['status'] for pod in self.pods()], indent=1)}\n{self.events()}")

    def events(self) -> str:
        """What happened here, for messages of failures."""
        items = self.cluster.api.get(f"/api/v1/namespaces/{self.name}/events")["items"]
        return "".join(f"\n{event['reason']}: {event['message']}" for event in items)


def until(seen: Callable[[], T], shown: Callable[[], str]) -> T:
    """Waits until something is true, and returns it."""
    deadline = time.monotonic() + HANG
    while not (found := seen()):
        assert time.monotonic() < deadline, shown()
        time.sleep(0.1)
    return found


def _condition(pod: dict[str, Any], kind: str) -> bool:
    return any(c["type"] == kind and c["status"] == "True" for c in pod["status"].get("conditions", ()))
