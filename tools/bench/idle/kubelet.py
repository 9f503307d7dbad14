"""What kubelets and Prometheus do to an idle cluster: they report nodes, probe pods and scrape metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import aiohttp

from tools.localcluster import ClusterHandle
from tools.localcluster.api import ApiError

STATUS_PERIOD = 300.0
"""Seconds between two reports of an unchanged node (kubelet's nodeStatusReportFrequency)."""
SCRAPE_PERIOD = 30.0
_IMAGES = 50
"""Images in a node's status (kubelet's nodeStatusMaxImages)."""
_CONDITIONS = ("MemoryPressure", "DiskPressure", "PIDPressure", "Ready")
_STRATEGIC = "application/strategic-merge-patch+json"
_IN_FLIGHT = 4

Json = dict[str, Any]


class Heartbeats:
    """The status reports of all nodes.

    Args:
        cluster: the cluster.
        nodes: names of its nodes.
    """

    def __init__(self, cluster: ClusterHandle, nodes: Sequence[str]) -> None:
        self._cluster, self._nodes = cluster, nodes

    def fill(self) -> None:
        """Report all nodes once, with their images."""
        images = [
            {"names": [f"registry.example/team/service-{i}@sha256:{i:064x}"], "sizeBytes": 1_000_000 * i}
            for i in range(1, _IMAGES + 1)
        ]
        with ThreadPoolExecutor(_IN_FLIGHT) as pool:
            for done in [pool.submit(self._report, name, {"images": images}) for name in self._nodes]:
                done.result()

    async def run(self) -> None:
        """Report one node after the other until cancelled."""
        while True:
            for name in self._nodes:
                await asyncio.sleep(STATUS_PERIOD / len(self._nodes))
                with suppress(ApiError, OSError):  # the next report comes
                    await asyncio.to_thread(self._report, name, {})

    def _report(self, name: str, more: Json) -> None:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        conditions = [{"type": each, "lastHeartbeatTime": now} for each in _CONDITIONS]
        status = {"status": {"conditions": conditions, **more}}
        self._cluster.api.request("PATCH", f"/api/v1/nodes/{name}/status", status, _STRATEGIC)


async def visit(address: str, container: Json) -> None:
    """Probe a process and scrape its metrics as its chart says, until cancelled.

    Args:
        address: its host and port for health.
        container: the container of the chart.
    """
    probes = [container[kind] for kind in ("livenessProbe", "readinessProbe")]
    asked = [(each["httpGet"]["path"], float(each["periodSeconds"])) for each in probes]
    connector = aiohttp.TCPConnector(force_close=True)  # as a kubelet
    async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as group:
        for path, period in [*asked, ("/metrics", SCRAPE_PERIOD)]:
            group.create_task(_again_and_again(lambda path=path: answers(session, address, path), period))  # type: ignore[misc]


async def answers(session: aiohttp.ClientSession, address: str, path: str) -> bool:
    """Whether a path answers 200."""
    try:
        async with session.get(f"http://{address}{path}") as answer:
            await answer.read()
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


async def _again_and_again(do: Callable[[], Awaitable[object]], period: float) -> None:
    while True:
        await do()
        await asyncio.sleep(period)
