"""A planner, two replicas of the pod pinner with their webhook, and Deployments whose pods are expected."""

from __future__ import annotations

import asyncio
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import yaml

from moorage.kube import resources
from moorage.kube.client import Client
from moorage.objects import Pod
from moorage.ops.parsing import Address
from moorage.pinner.names import LEADER, PIN_ANNOTATION, ROLE_LABEL
from moorage.planner.instruction_store import InstructionStore
from moorage.planner.server import PlannerServer, ServerSettings
from moorage.protocol import CreatePlaceholder, ExpectPods, Owner, Promise, Slot
from tools.bench.common.errors import BenchError
from tools.bench.failover import pods
from tools.demo.common.environment import kept_environment
from tools.demo.common.programs import ROOT
from tools.localcluster import LocalCluster
from tools.localcluster.ports import free_ports
from tools.localcluster.process import ManagedProcess, stop_all

NAMESPACE = "moorage-bench"
REPLICAS = ("a", "b")
NAME = "failover"
"""Name of the Lease, the Secret and the webhook configuration."""
_CRD = ROOT / "schemas" / "crds" / "nodereservations.moorage.dev.yaml"
_PATIENCE = 90.0
_LOOK = 0.05

T = TypeVar("T")


async def until(probe: Callable[[], Awaitable[T | None]], what: str, seconds: float = _PATIENCE) -> T:
    """Call a probe until it returns an answer.

    Raises:
        BenchError: it did not in time.
    """
    end = time.monotonic() + seconds
    while (answer := await probe()) is None:
        if time.monotonic() > end:
            raise BenchError(f"not within {seconds:g} s: {what}")
        await asyncio.sleep(_LOOK)
    return answer


class Scene:
    """The measured programs.

    Args:
        cluster: the control plane.
        client: of an administrator.
        logs: folder of the replicas' logs.
    """

    def __init__(self, cluster: LocalCluster, client: Client, logs: Path) -> None:
        self._cluster, self.client, self._logs = cluster, client, logs
        self.board = InstructionStore()
        self._server = PlannerServer(self.board, ServerSettings(address=Address("127.0.0.1", 0)))
        self._replicas: dict[str, ManagedProcess] = {}
        self._probes: dict[str, int] = {}  # port of /readyz, by replica

    async def start(self) -> None:
        """Start everything."""
        definition = yaml.safe_load(_CRD.read_text())
        self._cluster.api.request("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
        await self.client.create(resources.NAMESPACES, {"metadata": {"name": NAMESPACE}})
        await self.client.create(resources.SECRETS, {"metadata": {"name": NAME}}, NAMESPACE)
        await self.client.create(resources.MUTATING_WEBHOOKS, {"metadata": {"name": NAME}, "webhooks": []})
        self.board.start(NAME, timedelta(hours=1))
        await self._server.start()
        for name in REPLICAS:
            await self.client.create(resources.PODS, pods.plain(name=name), NAMESPACE)  # for the leader's label
            self._replicas[name] = self._replica(name)
            self._replicas[name].start()
        await self.leader()

    def _replica(self, name: str) -> ManagedProcess:
        port, self._probes[name] = free_ports(2)
        settings = {
            "MOORAGE_KUBECONFIG": str(self._cluster.kubeconfig),
            "MOORAGE_PLANNER_ADDRESS": f"127.0.0.1:{self._server.port}",
            "MOORAGE_PLANNER_PLAINTEXT": "true",
            "MOORAGE_NAMESPACE": NAMESPACE,
            "MOORAGE_LEASE_NAME": NAME,
            "MOORAGE_POD_NAME": name,
            "MOORAGE_HEALTH_ADDRESS": f"127.0.0.1:{self._probes[name]}",
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
        """Stop everything."""
        stop_all(list(self._replicas.values()), 5.0)
        await self._server.stop()

    async def holder(self) -> str:
        """The replica that holds the Lease. Empty if none does."""
        found = await self.client.list(resources.LEASES, NAMESPACE)
        return next((each.spec.holder_identity or "" for each in found), "")

    async def leader(self) -> str:
        """The leading replica, once there is one."""

        async def leads() -> str | None:
            return (await self.holder()).partition("_")[0] or None

        return await until(leads, "a leader")

    async def all_ready(self) -> None:
        """Wait until each replica is ready to lead, as a rolling update waits for the other replicas."""

        async def ready(port: int) -> bool | None:
            url = f"http://127.0.0.1:{port}/readyz"
            try:
                await asyncio.to_thread(urllib.request.urlopen, url, timeout=5)
            except OSError:
                return None
            return True

        for name in REPLICAS:
            await until(lambda port=self._probes[name]: ready(port), f"replica {name} to be ready")  # type: ignore[misc]

    async def kill(self, name: str) -> float:
        """Kill a replica by SIGKILL. Returns the seconds until another one holds the Lease. Then it starts again."""
        before = await self.holder()
        self._replicas[name].kill()
        killed = time.monotonic()

        async def taken_over() -> float | None:
            return time.monotonic() - killed if await self.holder() not in ("", before) else None

        took = await until(taken_over, "another replica to lead")
        self._replicas[name].start()
        return took

    async def hand_over(self, name: str, app: str) -> tuple[float, float, float]:
        """End the leader by SIGTERM, and wait for the other replica. Then the first is started again.

        Args:
            name: of the leader.
            app: a Deployment with more expected pods.

        Returns:
            Seconds until the other replica holds the Lease, until its pod also has the leader's label, and until it
            also
            pins a pod while it is created.
        """
        (other,) = {*REPLICAS} - {name}
        self._replicas[name].terminate()
        began = time.monotonic()

        async def holds() -> float | None:
            return time.monotonic() - began if (await self.holder()).startswith(f"{other}_") else None

        async def labelled() -> float | None:
            pod = await self.client.get(resources.PODS, other, NAMESPACE)
            return time.monotonic() - began if pod.metadata.labels.get(ROLE_LABEL) == LEADER else None

        async def serves() -> float | None:
            return time.monotonic() - began if (await self.create_expected(app)).spec.node_name else None

        held = await until(holds, "another replica to hold the Lease")
        shown = await until(labelled, "its pod to have the leader's label")
        served = await until(serves, "a pod to be pinned as it is created")

        async def ended() -> bool | None:
            return None if self._replicas[name].running else True

        await until(ended, "the replica to end")
        self._replicas[name].start()
        return held, shown, served

    def kill_all(self) -> None:
        """Kill both replicas by SIGKILL. They are not started again."""
        for replica in self._replicas.values():
            replica.kill()

    async def expect(self, app: str, nodes: Sequence[str], each: int) -> None:
        """Promise nodes, expect pods of a Deployment on them, and wait until the webhook is registered."""
        for node in nodes:
            room = {"cpu": "8", "memory": "16Gi", "pods": "110"}
            labels = {"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64", pods.POOL: app}
            self.board.issue(CreatePlaceholder(Promise(node, room, labels)))
            slot = Slot(Owner("Deployment", NAMESPACE, app), {"cpu": "100m"}, each)
            self.board.issue(ExpectPods(node, (slot,)))

        async def filled() -> bool | None:
            found = await self.client.get(resources.MUTATING_WEBHOOKS, NAME)
            return True if found.webhooks and {*nodes} <= await self._reserved() else None

        await until(filled, "the webhook to be configured")

    async def create_expected(self, app: str) -> Pod:
        """A pod of a Deployment as its creation would return it (dry run: nothing is stored)."""
        return await self.client.create(resources.PODS, pods.expected(app, NAMESPACE), NAMESPACE, dry_run=True)

    async def create(self, *, asked: bool) -> None:
        """Create a pod without a scheduler. The webhook is called for it or not."""
        await self.client.create(resources.PODS, pods.plain(asked=asked), NAMESPACE)

    async def failed_calls(self) -> float:
        """The number of failed webhook calls so far, from the API server's metrics."""
        text = (await self.client.transport.request("GET", "/metrics", accept="text/plain")).decode()
        metric = "apiserver_admission_webhook_fail_open_count{"
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(metric))

    async def ours(self) -> set[str]:
        """The uids of the leader's objects: placeholders, reservations, and pinned pods."""
        made = [*await self.client.list(resources.NODES), *await self.client.list(resources.NODE_RESERVATIONS)]
        made += [each for each in await self.client.list(resources.PODS, NAMESPACE) if each.spec.node_name]
        return {each.metadata.uid for each in made}

    async def _reserved(self) -> set[str]:
        found = await self.client.list(resources.NODE_RESERVATIONS)
        return {each.metadata.name for each in found if each.spec.get("slots")}

    async def deploy(self, app: str, count: int) -> None:
        """Create a Deployment whose pods fit only the expected nodes."""
        await self.client.create(resources.DEPLOYMENTS, pods.deployment(app, count), NAMESPACE)

    async def pods(self, app: str) -> list[Pod]:
        """The pods of a Deployment."""
        found = await self.client.list(resources.PODS, NAMESPACE)
        return [each for each in found if each.metadata.labels.get("app") == app]


def pinned(pod: Pod, nodes: Sequence[str]) -> bool:
    """Whether the pinner has put a pod on one of some nodes."""
    return pod.spec.node_name in nodes and PIN_ANNOTATION in pod.metadata.annotations
