"""A cluster, a chart repository, and users who install with Terraform and with Helm."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.helm.shell import Done
from tests.terraform.terraform import Terraform
from tools.helmrepo import Repository
from tools.localcluster import ClusterHandle
from tools.localcluster.api import ApiError
from tools.toolchain import ensure

NAMESPACE = "castai-agent"
PLANNER = "moorage-planner"
PINNER = "castai-pod-pinner"
PATIENCE = 120.0


class Person:
    """Somebody with a root module that installs Moorage.

    Args:
        terraform: theirs.
        name: of the folder.
    """

    def __init__(self, terraform: Terraform, name: str) -> None:
        self.terraform = terraform
        self._name = name
        self.folder = terraform.home / name

    def write(self, **components: Any) -> None:
        """The root module, with the components of the root module over all."""
        first = not self.folder.exists()
        self.terraform.root(
            self._name, {"module": {"moorage": {"source": "../terraform", **components}}, "provider": {"helm": {}}}
        )
        if first:
            self.terraform(self.folder, "init", "-input=false")

    def apply(self) -> Done:
        """Apply, whatever comes of it."""
        return self.terraform.run(self.folder, "apply", "-auto-approve", "-input=false", "-no-color")

    def applied(self) -> str:
        """Apply, which must succeed."""
        done = self.apply()
        assert done.code == 0, str(done)
        return done.out

    def plan(self) -> Done:
        """Plan. Exit code 0: no changes; 2: changes."""
        return self.terraform.run(self.folder, "plan", "-detailed-exitcode", "-input=false", "-no-color")

    def destroy(self) -> Done:
        """Destroy, whatever comes of it."""
        return self.terraform.run(self.folder, "destroy", "-auto-approve", "-input=false", "-no-color")

    def destroyed(self) -> None:
        """Destroy all.

        The definition of NodeReservation stays, on purpose. Provider 1.x takes that for a failure; all else is gone.
        """
        done = self.destroy()
        if done.code != 0:
            assert re.search(r"Error: manifest-\d", done.err), str(done)
            done = self.destroy()
        assert done.code == 0, str(done)


class Place:
    """The place of an installation.

    Args:
        cluster: running, with nodes.
        repository: served, with our charts.
        folders: for homes.
    """

    def __init__(self, cluster: ClusterHandle, repository: Repository, folders: pytest.TempPathFactory) -> None:
        self.cluster = cluster
        self.repository = repository
        self._folders = folders
        self._helm = ensure(["helm"])["helm"]
        self._terraform = Terraform(folders.mktemp("terraform"), cluster.kubeconfig)

    def person(self, name: str, kubeconfig: Path | None = None) -> Person:
        """Somebody with an empty folder, who reaches the cluster as usual or in a way of their own."""
        own = Terraform(self._folders.mktemp(name), kubeconfig) if kubeconfig else self._terraform
        return Person(own, name)

    def helm(self, *arguments: str) -> str:
        """Run Helm, which must succeed."""
        command = [str(self._helm), *arguments, "--kubeconfig", str(self.cluster.kubeconfig)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def releases(self) -> dict[str, dict[str, Any]]:
        """What Helm has installed, in whatever state: by name."""
        found: dict[str, dict[str, Any]] = {}
        for secret in self._items(f"/api/v1/namespaces/{NAMESPACE}/secrets?labelSelector=owner%3Dhelm"):
            labels = secret["metadata"]["labels"]
            if int(labels["version"]) > int(found.get(labels["name"], {"version": 0})["version"]):
                found[labels["name"]] = labels
        return found

    def deployment(self, name: str) -> dict[str, Any]:
        """A Deployment that must exist."""
        found: dict[str, Any] = self.cluster.api.get(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{name}")
        return found

    def values(self, release: str) -> dict[str, Any]:
        """What a release was given."""
        found: dict[str, Any] = json.loads(self.helm("get", "values", release, "-n", NAMESPACE, "-o", "json"))
        return found

    def until(self, probe: Callable[[], object], what: str) -> None:
        """Wait until the probe answers something."""
        end = time.monotonic() + PATIENCE
        while not probe():
            assert time.monotonic() < end, f"waited {PATIENCE:g} s for {what}"
            time.sleep(0.1)

    def _items(self, path: str) -> list[dict[str, Any]]:
        try:
            found: list[dict[str, Any]] = self.cluster.api.get(path)["items"]
        except ApiError as error:
            if error.status == 404:
                return []
            raise
        return found
