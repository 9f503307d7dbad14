"""A planner, two replicas of the pod pinner with their webhook, and Deployments whose pods are expected."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import yaml

from moorage.kube import resources
from moorage.kube.client import Client
from moorage.objects import Pod
from moorage.ops.parsing import Address
from moorage.pinner.names import PIN_ANNOTATION
from moorage.planner.board import Board
from moorage.planner.server import PlannerServer, ServerSettings
from moorage.protocol import CreatePlaceholder, ExpectPods, Owner, Promise, Slot
from tools.bench.common.errors import BenchError
from tools.demo.common.environment import kept_environment
from tools.demo.common.programs import ROOT
from tools.localcluster import LocalCluster
from tools.localcluster.ports import free_ports
from tools.localcluster.process import ManagedProcess, stop_all

NAMESPACE = "moorage-bench"
REPLICAS = ("a", "b")
NAME = "failover"
"""Of the Lease, the Secret and the webhook configuration."""
POOL = "moorage.bench/pool"
_CRD = ROOT / "schemas" / "crds" / "nodereservations.moorage.dev.yaml"
_PATIENCE = 90.0
_LOOK = 0.05

T = TypeVar("T")


async def until(probe: Callable[[], Awaitable[T | None]], what: str, seconds: float = _PATIENCE) -> T:
    """Ask again and again until there is an answer.

    Raises:
        BenchError: there is none in time.
    """
    end = time.monotonic() + seconds
    while (answer := await probe()) is None:
        if time.monotonic() > end:
            raise BenchError(f"not within {seconds:g} s: {what}")
        await asyncio.sleep(_LOOK)
    return answer


class Scene:
    """What is measured.

    Args:
        cluster: where.
        client: of an administrator.
        logs: folder of the replicas' logs.
    """

    def __init__(self, cluster: LocalCluster, client: Client, logs: Path) -> None:
        self._cluster, self.client, self._logs = cluster, client, logs
        self.board = Board()
        self._server = PlannerServer(self.board, ServerSettings(address=Address("127.0.0.1", 0)))
        self._replicas: dict[str, ManagedProcess] = {}

    async def start(self) -> None:
        """Begin."""
        definition = yaml.safe_load(_CRD.read_text())
        self._cluster.api.request("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
        await self.client.create(resources.NAMESPACES, {"metadata": {"name": NAMESPACE}})
        await self.client.create(resources.SECRETS, {"metadata": {"name": NAME}}, NAMESPACE)
        await self.client.create(resources.MUTATING_WEBHOOKS, {"metadata": {"name": NAME}, "webhooks": []})
        self.board.start(NAME, timedelta(hours=1))
        await self._server.start()
        for name in REPLICAS:
            self._replicas[name] = self._replica(name)
            self._replicas[name].start()
        await self.leader()

    def _replica(self, name: str) -> ManagedProcess:
        (port,) = free_ports(1)
        settings = {
            "MOORAGE_KUBECONFIG": str(self._cluster.kubeconfig),
            "MOORAGE_PLANNER_ADDRESS": f"127.0.0.1:{self._server.port}",
            "MOORAGE_PLANNER_PLAINTEXT": "true",
            "MOORAGE_NAMESPACE": NAMESPACE,
            "MOORAGE_LEASE_NAME": NAME,
            "MOORAGE_POD_NAME": name,
            "MOORAGE_HEALTH_ADDRESS": "127.0.0.1:0",
            "MOORAGE_WEBHOOK": "true",
            "MOORAGE_WEBHOOK_ADDRESS": f"127.0.0.1:{port}",
            "MOORAGE_WEBHOOK_URL": f"https://127.0.0.1:{port}/mutate",
            "MOORAGE_WEBHOOK_CONFIGURATION": NAME,
            "MOORAGE_WEBHOOK_SECRET": NAME,
        }
        program = [sys.executable, "-m", "moorage.cli", "pod-pinner"]
        environment = kept_environment() | settings
        return ManagedProcess(name, program, log=self._logs / f"{name}.log", env=environment, cwd=ROOT)

    async def stop(self) -> None:
        """End everything."""
        stop_all(list(self._replicas.values()), 5.0)
        await self._server.stop()

    async def holder(self) -> str:
        """The replica that holds the Lease; empty while none does."""
        found = await self.client.list(resources.LEASES, NAMESPACE)
        return next((each.spec.holder_identity or "" for each in found), "")

    async def leader(self) -> str:
        """The replica that leads, as soon as one does."""

        async def leads() -> str | None:
            return (await self.holder()).partition("_")[0] or None

        return await until(leads, "a leader")

    async def kill(self, name: str) -> float:
        """End a replica by SIGKILL; seconds until another one holds the Lease. Then it comes back."""
        before = await self.holder()
        self._replicas[name].kill()
        killed = time.monotonic()

        async def taken_over() -> float | None:
            return time.monotonic() - killed if await self.holder() not in ("", before) else None

        took = await until(taken_over, "another replica to lead")
        self._replicas[name].start()
        return took

    async def expect(self, app: str, nodes: Sequence[str], each: int) -> None:
        """Promise nodes, expect pods of a Deployment on them, and wait until the API server is told to ask."""
        for node in nodes:
            room = {"cpu": "8", "memory": "16Gi", "pods": "110"}
            labels = {"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64", POOL: app}
            self.board.issue(CreatePlaceholder(Promise(node, room, labels)))
            slot = Slot(Owner("Deployment", NAMESPACE, app), {"cpu": "100m"}, each)
            self.board.issue(ExpectPods(node, (slot,)))

        async def filled() -> bool | None:
            found = await self.client.get(resources.MUTATING_WEBHOOKS, NAME)
            return True if found.webhooks and {*nodes} <= await self._reserved() else None

        await until(filled, "the webhook to be configured")

    async def _reserved(self) -> set[str]:
        found = await self.client.list(resources.NODE_RESERVATIONS)
        return {each.metadata.name for each in found if each.spec.get("slots")}

    async def deploy(self, app: str, count: int) -> None:
        """Create a Deployment whose pods only the expected nodes take."""
        labels = {"app": app}
        container = {"name": "main", "image": "example.com/none", "resources": {"requests": {"cpu": "100m"}}}
        spec: dict[str, Any] = {"containers": [container], "nodeSelector": {POOL: app}}
        body = {
            "metadata": {"name": app},
            "spec": {
                "replicas": count,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": spec},
            },
        }
        await self.client.create(resources.DEPLOYMENTS, body, NAMESPACE)

    async def pods(self, app: str) -> list[Pod]:
        """The pods of a Deployment."""
        return [
            each for each in await self.client.list(resources.PODS, NAMESPACE) if each.metadata.labels["app"] == app
        ]


def pinned(pod: Pod, nodes: Sequence[str]) -> bool:
    """Whether a pod is on one of some nodes, by us."""
    return pod.spec.node_name in nodes and PIN_ANNOTATION in pod.metadata.annotations
