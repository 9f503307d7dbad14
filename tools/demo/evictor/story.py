"""The evictor's story: a cluster with too many nodes, the report, and the drains."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

from moorage.kube import credentials
from moorage.kube.client import Client
from moorage.kube.http.transport import Transport
from tools.demo.common.apps import App
from tools.demo.common.environment import kept_environment
from tools.demo.common.pods import watch_floors
from tools.demo.common.programs import Processes
from tools.demo.common.stage import Stage
from tools.demo.common.workloads import PodState
from tools.demo.errors import DemoError
from tools.localcluster import LocalCluster

from . import account, report, settings, world
from .check import Outcome, verify
from .events import Judged, NodeState
from .observe import Observer
from .progress import Progress
from .report import Report
from .scenario import INSTANCE_TYPE, scaled
from .state import State

STEP_SECONDS = 240.0
ACT_SECONDS = 300.0
READING_SECONDS = 3.0
"""Seconds for which only the report is on the screen."""
_PERIOD = 0.2
_UNDER_WAY = (NodeState.CHOSEN, NodeState.DRAINING, NodeState.EMPTY)
Json = dict[str, Any]


class Story:
    """Runs the story once.

    Args:
        cluster: a control plane without objects.
        stage: receives the events.
        nodes: number of nodes.
    """

    def __init__(self, cluster: LocalCluster, stage: Stage[State], nodes: int) -> None:
        self._cluster = cluster
        self._stage = stage
        self._nodes = nodes
        self._apps: Sequence[App] = scaled(nodes)
        self._programs = Processes(cluster.logs, kept_environment())

    async def tell(self) -> Outcome:
        """Run the story to its end, and check it.

        Raises:
            DemoError: a step did not end in time, or the evictor exited.
            KubeError: the API server refused a request.
        """
        began = self._stage.elapsed
        async with Transport(credentials.load(self._cluster.kubeconfig)) as transport:
            client, observer = Client(transport), Observer(transport, self._stage)
            async with observer.running():
                await self._bought(client, observer)
                await self._populated(client)
                promise = await self._reported()
                uids = {node.metadata.name: node.metadata.uid for node in observer.nodes}
                try:
                    late = await self._acted()
                    outcome = await verify(client, self._stage.state, promise, uids, late)
                finally:
                    await asyncio.to_thread(self._programs.stop)
        return dataclasses.replace(outcome, seconds=round(self._stage.elapsed - began, 1))

    # --- the steps ---

    async def _bought(self, client: Client, observer: Observer) -> None:
        """Have Karpenter buy all nodes."""
        (least, most), gone = world.PACE
        self._stage.say(
            f"Karpenter buys {self._nodes} nodes ({INSTANCE_TYPE}); kwok plays them, and their pods, which are Ready "
            f"after {least:g} to {most:g} s and gone after {gone:g} s"
        )
        await asyncio.to_thread(world.start, self._cluster)
        await world.order(client, self._nodes)

        def all_take_pods() -> bool:
            nodes = list(observer.nodes)
            return len(nodes) == self._nodes and all(node.ready and not node.spec.taints for node in nodes)

        await _until(all_take_pods, f"{self._nodes} nodes to be ready", STEP_SECONDS)

    async def _populated(self, client: Client) -> None:
        """Create the Deployments, wait until all pods are Ready, and watch them from then on."""
        await world.populate(client, self._apps)
        wanted = sum(app.replicas for app in self._apps) + 1

        def all_ready(state: State) -> bool:
            healthy = all(state.healthy.get(app.name) == app.replicas for app in self._apps if app.budget is not None)
            return healthy and len(state.pods) == state.pods_in(PodState.READY) == wanted

        await self._stage.until(all_ready, f"{wanted} pods to be Ready", STEP_SECONDS)
        watch_floors(self._stage, self._apps)
        state = self._stage.state
        self._stage.good(
            f"{self._nodes} nodes, {len(self._apps)} Deployments, {wanted} pods: {100 * state.use:.0f} % of the CPU is "
            f"used, {state.cost:.2f} an hour"
        )
        prices = {INSTANCE_TYPE: max(node.price for node in state.nodes.values())}
        await asyncio.to_thread(world.prepare, self._cluster, prices, min(state.nodes))
        await _until(lambda: world.is_served(self._cluster), "EvictorConfig to be served", STEP_SECONDS)
        await asyncio.to_thread(world.configure, self._cluster)
        await asyncio.to_thread(world.set_pool, self._cluster, settings.CONSOLIDATE_AFTER)

    async def _reported(self) -> Report:
        """Run the report, and show it."""
        self._stage.say(f"set for a short run: {settings.told()}")
        found = await asyncio.to_thread(report.ask, self._cluster.kubeconfig, kept_environment())
        for name in sorted(self._stage.state.nodes):
            goes, why = name in found.going, found.kept.get(name, "")
            self._stage.take(Judged(at=self._stage.elapsed, node=name, goes=goes, why=why))
        self._stage.good(found.sentence)
        for reason in found.reasons:
            self._stage.say(reason)
        await asyncio.sleep(READING_SECONDS)
        return found

    async def _acted(self) -> str:
        """Let the evictor act until no node is left to empty. Returns what did not happen in time, or an empty text."""
        config = await asyncio.to_thread(account.evictor, self._cluster)
        flags = [f"--kubeconfig={config}", *settings.service_flags()]
        await asyncio.to_thread(self._programs.start, "evictor", flags)
        self._stage.good("moorage evictor acts; it may not delete nodes, that is for Karpenter")
        progress = Progress(self._stage)
        async with self._programs.looked_after():
            end = time.monotonic() + ACT_SECONDS
            while not await self._is_over():
                progress.tell()
                if time.monotonic() > end:
                    return f"after {ACT_SECONDS:g} s there were still nodes on their way out: {self._under_way()}"
                await asyncio.sleep(_PERIOD)
        return ""

    async def _is_over(self) -> bool:
        """Whether no drain is under way, and the evictor reports that none will follow."""
        state = self._stage.state
        if state.in_state(*_UNDER_WAY) or state.pods_in(PodState.READY) != len(state.pods):
            return False
        return at_rest(await asyncio.to_thread(world.status, self._cluster))

    def _under_way(self) -> str:
        counts = {each.value: len(self._stage.state.in_state(each)) for each in _UNDER_WAY}
        return ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "the evictor says so"


def at_rest(status: Json) -> bool:
    """Whether the evictor's status says that its last cycle chose no node."""
    acting = {each["type"]: each.get("reason") for each in status.get("conditions", ())}.get("Acting")
    return acting == "Idle" and status.get("lastCycle", {}).get("going") == 0


async def _until(holds: Callable[[], bool], what: str, seconds: float) -> None:
    """Wait for a condition that no event reports.

    Raises:
        DemoError: it did not become true in time.
    """
    end = time.monotonic() + seconds
    while not await asyncio.to_thread(holds):
        if time.monotonic() > end:
            raise DemoError(f"waited {seconds:g} s for {what}")
        await asyncio.sleep(_PERIOD)
