"""Runs the programs of installed Deployments as local processes, for clusters without containers.

They have the arguments, environment, files and account of the Deployment.
"""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.e2e.helm.commands import NAMESPACE
from tests.e2e.helm.site import AGENT, APPS, RUNTIME
from tools.localcluster import ClusterHandle, accounts

PATIENCE = 60.0


class Processes:
    """Processes that live as long as the context manager.

    Args:
        cluster: where the Deployments are.
        folder: empty or missing; for their mounted files and logs.
    """

    def __init__(self, cluster: ClusterHandle, folder: Path) -> None:
        self._cluster = cluster
        self._folder = folder
        self._running = ExitStack()

    def __enter__(self) -> Self:
        self._folder.mkdir(exist_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.close()
        for log in self._folder.glob("*.log") if error is not None else ():
            print(f"{log.name}:\n{log.read_text()}")

    def start(self, deployment: str, **environment: str) -> None:
        """Begin the program of a Deployment.

        Args:
            deployment: its name.
            environment: variables that differ here.
        """
        pod = self._cluster.api.get(f"{APPS}/deployments/{deployment}")["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        volumes = {each["name"]: each for each in pod["volumes"]}
        places = {}
        for mount in container["volumeMounts"]:
            place = places[mount["mountPath"]] = self._folder / deployment / mount["name"]
            place.mkdir(parents=True)
            for name, content in self._files(volumes[mount["name"]]).items():
                (place / name).write_bytes(content)
        found = {each["name"]: _elsewhere(each.get("value", NAMESPACE), places) for each in container["env"]}
        kubeconfig = accounts.token(self._cluster, NAMESPACE, pod["serviceAccountName"], self._folder / "accounts")
        found |= {"MOORAGE_KUBECONFIG": str(kubeconfig), "MOORAGE_HEALTH_ADDRESS": "127.0.0.1:0", **environment}
        log = self._running.enter_context((self._folder / f"{deployment}.log").open("wb"))
        process = subprocess.Popen(
            [sys.executable, "-m", "moorage.cli", *container["args"]],
            env={"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": str(RUNTIME), **found},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        self._running.callback(process.wait, PATIENCE)
        self._running.callback(process.terminate)

    def _files(self, volume: Mapping[str, Any]) -> dict[str, bytes]:
        """The content of a volume, by file name."""
        sources = volume.get("projected", {}).get("sources", [volume])
        return {name: content for source in sources for name, content in self._entries(source).items()}

    def _entries(self, source: Mapping[str, Any]) -> dict[str, bytes]:
        if "configMap" in source:
            path, ref = "configmaps", source["configMap"]
        elif "secret" in source:
            path, ref = "secrets", source["secret"]
        else:
            return {}
        data = self._cluster.api.get(f"{AGENT}/{path}/{ref.get('name') or ref['secretName']}")["data"]
        items = ref.get("items") or [{"key": key, "path": key} for key in data]
        decode = base64.b64decode if path == "secrets" else str.encode
        return {each["path"]: decode(data[each["key"]]) for each in items}


def _elsewhere(value: str, places: Mapping[str, Path]) -> str:
    """What an environment variable says, with the folder that stands for the one that is mounted."""
    for mounted, place in places.items():
        if value.startswith(f"{mounted}/"):
            return f"{place}{value.removeprefix(mounted)}"
    return value
