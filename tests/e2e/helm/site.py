"""A cluster, a chart repository and a user's shell for an installation."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from tests.e2e.helm import commands
from tests.e2e.helm.shell import Done, Shell
from tools.helmrepo import Repository
from tools.localcluster import ClusterHandle
from tools.localcluster.api import ApiError

T = TypeVar("T")
PATIENCE = 120.0
RUNTIME = Path(__file__).parents[3] / "runtime"
AGENT = f"/api/v1/namespaces/{commands.NAMESPACE}"
APPS = f"/apis/apps/v1/namespaces/{commands.NAMESPACE}"
CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/nodereservations.moorage.dev"
SELECTOR = f"app.kubernetes.io/name%3Dcastai-pod-pinner,app.kubernetes.io/instance%3D{commands.RELEASE}"


class Site:
    """The place of an installation.

    Args:
        cluster: running.
        repository: served, with the charts in it.
        home: empty folder for the shells.
    """

    def __init__(self, cluster: ClusterHandle, repository: Repository, home: Path) -> None:
        self.cluster = cluster
        self.repository = repository
        self._home = home
        self._shells: dict[str, Shell] = {}
        self.broken = ""
        """The step that failed, when one has: those after it have nothing to stand on."""

    def shell(self, helm: str = "helm") -> Shell:
        """A shell in which `helm` is that tool, with the repository added as the guide says.

        The closed product's repository is there too, as every customer has it; its address is ours here, so that its
        published commands can be tried.
        """
        if helm not in self._shells:
            shell = Shell(self._home / helm, self.cluster.kubeconfig, helm)
            shell(commands.PUBLISHED_REPO_ADD.replace(commands.PUBLISHED_URL, self.repository.url))
            shell(commands.REPO_ADD.replace(commands.GUIDE_URL, self.repository.url))
            shell(commands.REPO_UPDATE)
            self._shells[helm] = shell
        return self._shells[helm]

    def file(self, name: str, content: object) -> Path:
        """Write a file for `-f`; JSON is YAML."""
        path = self._home / name
        path.write_text(json.dumps(content, indent=1))
        return path

    # --- what is there ---

    def get(self, path: str) -> dict[str, Any] | None:
        """An object, or None."""
        try:
            found: dict[str, Any] = self.cluster.api.get(path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise
        return found

    def deployment(self, name: str = commands.RELEASE) -> dict[str, Any]:
        """A Deployment that must exist."""
        found: dict[str, Any] = self.cluster.api.get(f"{APPS}/deployments/{name}")
        return found

    def container(self, name: str = commands.RELEASE) -> dict[str, Any]:
        """The only container of a Deployment's pods."""
        (container,) = self.deployment(name)["spec"]["template"]["spec"]["containers"]
        assert isinstance(container, dict)
        return container

    def managed(self) -> str:
        """The label for managers, which Deployment and pods have alike."""
        deployment = self.deployment()
        both = (deployment, deployment["spec"]["template"])
        (label,) = {each["metadata"]["labels"]["charts.cast.ai/managed"] for each in both}
        return str(label)

    def pods(self, selector: str = SELECTOR) -> list[dict[str, Any]]:
        """The pods that are there and not on their way out."""
        found = self.cluster.api.get(f"{AGENT}/pods?labelSelector={selector}")["items"]
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def gone(self, selector: str = SELECTOR) -> bool:
        """Whether not even a pod on its way out is there."""
        return not self.cluster.api.get(f"{AGENT}/pods?labelSelector={selector}")["items"]

    def nodes_have_leases(self) -> bool:
        """Whether every kubelet has made its Lease: it does so some moments after its node is Ready."""
        kinds = "/api/v1/nodes", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
        nodes, leases = ({each["metadata"]["name"] for each in self.cluster.api.get(kind)["items"]} for kind in kinds)
        return nodes <= leases

    # --- waiting ---

    def until(self, probe: Callable[[], T | None], what: str) -> T:
        """What the probe answers once that is neither None nor False nor empty."""
        end, pause = time.monotonic() + PATIENCE, 0.05
        while not (answer := probe()):
            assert time.monotonic() < end, f"waited {PATIENCE:g} s for {what}{self._state()}"
            time.sleep(pause)
            pause = min(0.25, 2 * pause)  # each look is a connection of its own
        return answer

    def until_ready(self, replicas: int = 2, name: str = commands.RELEASE) -> Done:
        """The listing of Deployments once all replicas are of the latest template, ready, and no others are left."""

        def rolled_out() -> bool:
            deployment = self.deployment(name)
            status = deployment["status"]
            counts = [status.get(key, 0) for key in ("replicas", "updatedReplicas", "readyReplicas")]
            seen = status.get("observedGeneration") == deployment["metadata"]["generation"]
            return seen and counts == [replicas] * 3

        self.until(rolled_out, f"{replicas} ready replicas of {name}")
        shown = self.shell()(commands.DEPLOYMENTS)
        ready = f"{replicas}/{replicas}"
        assert shown.row(name)[1] == ready, str(shown)
        return shown

    def _state(self) -> str:
        """What a person would look at now."""
        shell = self.shell()
        looks = (
            f"kubectl get all -n {commands.NAMESPACE} -o wide",
            f"kubectl get events -n {commands.NAMESPACE} --sort-by=.lastTimestamp",
            f"kubectl logs -n {commands.NAMESPACE} -l app.kubernetes.io/instance={commands.RELEASE} --tail=20 --prefix",
        )
        return "".join(f"\n\n{_end(str(shell.run(look)))}" for look in looks)


def cleanup(cluster: ClusterHandle) -> str:
    """The steps before uninstalling. Returns the output."""
    command = [sys.executable, "-m", "moorage.cli", "cleanup", "--yes", f"--kubeconfig={cluster.kubeconfig}"]
    done = subprocess.run(command, cwd=RUNTIME, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _end(text: str) -> str:
    """The command, and the last lines of its output."""
    first, *rest = text.splitlines()
    return "\n".join([first, *rest[-20:]])
