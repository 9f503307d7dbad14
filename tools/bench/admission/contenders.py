"""The contenders: each puts another webhook, or none, between clients and the API server."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from moorage.controller import certificates
from moorage.kube.http.transport import Transport
from moorage.pinner.names import WEBHOOK
from moorage.pinner.webhook.configuration import PATH, Target, webhook
from moorage.protocol import ExpectPods, Owner, Slot
from tools.bench.admission import load, trivial
from tools.bench.admission.load import Load
from tools.bench.common.errors import BenchError
from tools.bench.pin import issuer
from tools.bench.pin.installation import Checkout
from tools.bench.pin.programs import Line, Pinner, Program
from tools.bench.pin.scene import HOME, NAMESPACE, Scene, node_name
from tools.image.inputs import ROOT
from tools.localcluster import LocalCluster
from tools.localcluster.ports import free_ports
from tools.toolchain import guard

NODES, SLOTS = 60, 50
"""Placeholders, and the pods that are expected on each: those of one Deployment."""
CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
_OURS, _TRIVIAL = "bench-pod-pinner", "bench-trivial"
_REQUESTS = {"cpu": "300m", "memory": "576Mi"}
_PATIENCE = 120.0
_REST = 2.0


@dataclass(frozen=True)
class Stage:
    """The objects that all measurements share.

    Attributes:
        cluster: the control plane.
        scene: creates and removes the objects.
        transport: connections to the control plane.
        load: creates pods.
        kubeconfig: the pinner's account on the API server.
        folder: for logs and certificates; removed with the cluster.
        lags: the longest delay of each pinner's event loop, in ms.
    """

    cluster: LocalCluster
    scene: Scene
    transport: Transport
    load: Load
    kubeconfig: Path
    folder: Path
    lags: list[float] = field(default_factory=list)

    async def prepare(self) -> None:
        """Create the empty Secret and webhook configuration, as the pinner's chart does."""
        self.cluster.api.request("POST", f"/api/v1/namespaces/{HOME}/secrets", {"metadata": {"name": _OURS}})
        self._configure(_OURS, [])
        self._configure(_TRIVIAL, [])

    def _configure(self, name: str, webhooks: list[dict[str, Any]]) -> None:
        self.cluster.api.request("POST", CONFIGURATIONS, {"metadata": {"name": name}, "webhooks": webhooks})

    def configure(self, name: str, webhooks: list[dict[str, Any]]) -> None:
        """Register a webhook with the API server."""
        path, patch = f"{CONFIGURATIONS}/{name}", {"webhooks": webhooks}
        self.cluster.api.request("PATCH", path, patch, "application/merge-patch+json")

    async def failed(self) -> float:
        """The number of failed webhook calls so far."""
        text = (await self.transport.request("GET", "/metrics", accept="text/plain")).decode()
        metric = "apiserver_admission_webhook_fail_open_count{"
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(metric))


@asynccontextmanager
async def nobody(stage: Stage) -> AsyncIterator[None]:
    """No webhook."""
    await stage.scene.fill(waiting=0, over=1)
    await asyncio.sleep(_REST)
    yield


@asynccontextmanager
async def idle(stage: Stage) -> AsyncIterator[None]:
    """The pinner without expected pods."""
    async with _leading(stage):
        await asyncio.sleep(_REST)
        yield


@asynccontextmanager
async def pinning(stage: Stage) -> AsyncIterator[None]:
    """The pinner with every pod expected."""
    async with _leading(stage) as planner:
        planner.issue(_expectation(index) for index in range(NODES))
        await ready(stage)
        yield
    stage.configure(_OURS, [])


@asynccontextmanager
async def trivially(stage: Stage) -> AsyncIterator[None]:
    """A webhook that decides nothing, on existing nodes."""
    await stage.scene.fill(waiting=0, over=1, nodes=NODES)
    (port,) = free_ports(1)
    data = certificates.fill(datetime.now(UTC), ["127.0.0.1"], "bench")
    for name in (certificates.CERTIFICATE, certificates.CERTIFICATE_KEY):
        (stage.folder / name).write_bytes(data[name])
    command = [sys.executable, "-m", trivial.__name__, str(stage.folder), str(port), str(NODES)]
    environment = {"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": f"{ROOT / 'runtime'}:{ROOT}"}

    def spawn(log: int) -> subprocess.Popen[bytes]:
        return guard.spawn(command, cwd=ROOT, env=environment, stdout=log)

    with Program("trivial", spawn, stage.folder) as program:
        await program.until(_said(trivial.LISTENS), "it to listen", _PATIENCE)
        target = Target(_TRIVIAL, {"url": f"https://127.0.0.1:{port}{PATH}"}, 2)
        entry = webhook(target, data[certificates.AUTHORITY])
        stage.configure(_TRIVIAL, [entry | {"name": WEBHOOK.replace("pod-pinner", "trivial")}])
        await ready(stage)
        yield
    stage.configure(_TRIVIAL, [])


async def ready(stage: Stage) -> None:
    """Wait until a pod of each Deployment would be pinned, and the API server is idle.

    Raises:
        BenchError: that did not happen in time.
    """
    await _until(stage.load.all_pinned, "pods to be pinned")
    await asyncio.sleep(_REST)


@asynccontextmanager
async def _leading(stage: Stage) -> AsyncIterator[issuer.Issuer]:
    """A pod pinner that leads and has made its placeholders."""
    await stage.scene.fill(waiting=0, over=1)
    port, planner = free_ports(2)
    more = [
        "--webhook",
        f"--webhook-address=127.0.0.1:{port}",
        f"--webhook-url=https://127.0.0.1:{port}{PATH}",
        f"--webhook-configuration={_OURS}",
        f"--webhook-secret={_OURS}",
    ]
    address = f"127.0.0.1:{planner}"
    with Pinner(Checkout(), stage.kubeconfig, address, stage.folder, more) as pinner:
        await pinner.started()
        async with issuer.issuer(address) as made:
            await made.applied(made.issue(issuer.placeholders(NODES)), _PATIENCE)
            yield made
            stage.lags.append(pinner.lag_ms())


def _expectation(index: int) -> ExpectPods:
    owner = Owner("Deployment", NAMESPACE, load.deployment(index % load.APPS))
    return ExpectPods(node_name(index), (Slot(owner, _REQUESTS, SLOTS),))


def _said(message: str) -> Callable[[Line], bool]:
    return lambda line: line.get("message") == message


async def _until(true: Callable[[], Awaitable[bool]], what: str) -> None:
    end = time.monotonic() + _PATIENCE
    while not await true():
        if time.monotonic() > end:
            raise BenchError(f"waited {_PATIENCE:g} s for {what}")
        await asyncio.sleep(0.2)
