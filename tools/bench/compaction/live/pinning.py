"""A pod pinner with its webhook, for an evictor whose replacements are steered."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

from moorage.ops.parsing import Address
from moorage.planner.instruction_store import InstructionStore
from moorage.planner.server import PlannerServer, ServerSettings
from tools.bench.common.errors import BenchError
from tools.localcluster import LocalCluster
from tools.localcluster.ports import free_ports
from tools.localcluster.process import ManagedProcess, stop_all

from .contenders import DEFINITIONS, NAMESPACE, process

_KINDS = ("nodereservations", "slotreservations")
_CRDS = Path("schemas/crds")
_NAME = "bench-pinner"
"""Name of the Lease, the Secret and the webhook configuration."""
_WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
_LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/{_NAME}"
_PATIENCE = 60.0
_GRACE = 10.0


@asynccontextmanager
async def pinner(cluster: LocalCluster, folder: Path, how: str) -> AsyncIterator[None]:
    """A leading pod pinner, while the context is open.

    Args:
        cluster: the cluster.
        folder: for its log.
        how: ``hard`` or ``soft``: how it brings pods to nodes on which they are expected.

    Raises:
        BenchError: it does not become the leader.
    """
    board = InstructionStore()
    board.start(_NAME, timedelta(hours=1))
    server = PlannerServer(board, ServerSettings(address=Address("127.0.0.1", 0)))
    await server.start()
    running = _process(folder, cluster.kubeconfig, server.port, how)
    try:
        await asyncio.to_thread(_prepare, cluster)
        running.start()
        await _until(lambda: bool(cluster.api.answers_ok(_LEASE)), f"a pod pinner that leads; its log is in {folder}")
        yield
        if not running.running:
            raise BenchError(f"the pod pinner ended with exit code {running.exit_code}: {running.log_tail()}")
    finally:
        await asyncio.to_thread(stop_all, [running], _GRACE)
        await server.stop()


def _prepare(cluster: LocalCluster) -> None:
    """Create the objects of its chart."""
    for kind in _KINDS:
        cluster.api.request("POST", DEFINITIONS, yaml.safe_load((_CRDS / f"{kind}.moorage.dev.yaml").read_text()))
    made: dict[str, Any] = {"metadata": {"name": _NAME}}
    cluster.api.request("POST", f"/api/v1/namespaces/{NAMESPACE}/secrets", made)
    cluster.api.request("POST", _WEBHOOKS, {**made, "webhooks": []})
    end = time.monotonic() + _PATIENCE
    while not all(cluster.api.answers_ok(f"/apis/moorage.dev/v1alpha1/{kind}") for kind in _KINDS):
        if time.monotonic() > end:
            raise BenchError(f"waited {_PATIENCE:g} s for our kinds to be served")
        time.sleep(0.1)


def _process(folder: Path, kubeconfig: Path, planner: int, how: str) -> ManagedProcess:
    port = free_ports(1)[0]
    flags = [
        f"--kubeconfig={kubeconfig}",
        f"--planner-address=127.0.0.1:{planner}",
        "--planner-plaintext",
        f"--namespace={NAMESPACE}",
        f"--lease-name={_NAME}",
        f"--pod-name={_NAME}",
        "--health-address=127.0.0.1:0",
        "--webhook",
        f"--webhook-address=127.0.0.1:{port}",
        f"--webhook-url=https://127.0.0.1:{port}/mutate",
        f"--webhook-configuration={_NAME}",
        f"--webhook-secret={_NAME}",
        f"--destinations={how}",
        "--log-format=json",
    ]
    return process("pinner", [sys.executable, "-m", "moorage.cli", "pod-pinner", *flags], folder)


async def _until(holds: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + _PATIENCE
    while not await asyncio.to_thread(holds):
        if time.monotonic() > end:
            raise BenchError(f"waited {_PATIENCE:g} s for {what}")
        await asyncio.sleep(0.2)
