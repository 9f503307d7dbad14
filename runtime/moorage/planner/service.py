"""Runs the planner: source, cluster, server and view in parallel."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine
from contextlib import aclosing
from typing import Any

from moorage.kube import credentials
from moorage.ops import heap

from . import outcomes
from .cluster import Cluster
from .file_source import PlanFile
from .instruction_store import InstructionStore
from .operation import Operation, operation
from .plan import Plan
from .plan_issuer import PlanIssuer
from .rebalancing import Rebalancer
from .server import PlannerServer, ServerSettings
from .settings import PlannerSettings
from .source import NodeChange, Served, Source, Unusable
from .stage import Stage
from .view import View, choose

logger = logging.getLogger(__name__)

SETTLE_SECONDS = 0.1
"""Seconds to collect changes of pods before the next assignment: a rollout changes hundreds at once."""
REFRESH_SECONDS = 0.25
PATIENCE = 30.0
"""Seconds after the plan's deadline during which acknowledgements may arrive."""


async def run(settings: PlannerSettings) -> int:
    """Serve the plan until cancelled, or with ``--once`` until everything is acknowledged.

    Returns:
        0; with ``--once`` 1 when something was not applied.

    Raises:
        FileMistakes: the plan file is not a valid plan.
        ServerError: the address cannot be used.
        CredentialsError: the plan needs the cluster, and there are no credentials.
        OperationError: the planner cannot be operated with its settings.
    """
    async with operation(settings) as operated:
        return await Planner(settings, operated).run()


class Planner:
    """One run of the planner.

    Args:
        settings: the planner's settings.
        operated: the parts for a cluster; by default those that the settings require, without a cluster.
        view: shows the progress; by default the one of the settings.
        source: where the plan comes from; by default the plan file of the settings.
    """

    def __init__(
        self,
        settings: PlannerSettings,
        operated: Operation | None = None,
        view: View | None = None,
        source: Source | None = None,
    ) -> None:
        self._settings = settings
        self._operation = operated or Operation(settings)
        self._store = InstructionStore()
        self._issuer = PlanIssuer(self._store)
        self._source: Source = source or PlanFile(settings.plan, rebalancing=settings.rebalancing)
        pair, api_key = self._operation.pair, self._operation.api_key
        self.server = PlannerServer(self._store, ServerSettings(address=settings.listen, pair=pair, api_key=api_key))
        self._view = view or choose(self._store, settings.output, lambda: sorted(self.server.pinners.values()))
        self._store.on_ack(self._view.acknowledged)
        self._cluster: Cluster | None = None
        self._background: list[asyncio.Task[Any]] = []
        self._planning = asyncio.Lock()  # the plan changes, or pods are assigned
        self._ended = asyncio.Event()  # a background task has ended with an error
        self._rebalancer = Rebalancer(settings, self._store, self._tell_stage, self._ended.set)
        self._began = 0.0

    async def run(self) -> int:
        """See ``run`` of this module."""
        summary: list[str] | None = None
        self._operation.needs("plan", lambda: self._issuer.plan is not None)
        self._operation.needs("server", lambda: self.server.port != 0)
        try:
            for name, work in self._operation.works().items():
                self._start(work, name)
            self._start(self._follow_source(), "source")
            await self._ended.wait()
            for task in self._background:
                if task.done():
                    task.result()
            self._rebalancer.check()
            lacking = [str(each) for each in self._issuer.lacking]
            summary = outcomes.troubles(self._store) + lacking + self._rebalancer.troubles
            return 1 if summary else 0
        finally:
            await self._rebalancer.end()
            for task in self._background:
                task.cancel()
            await asyncio.gather(*self._background, return_exceptions=True)
            await self.server.stop()
            self._view.close(summary)

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=f"planner {name}")
        task.add_done_callback(lambda _: self._ended.set())
        self._background.append(task)

    async def _follow_source(self) -> None:
        """Serve the source's plan and all changes of it."""
        await self._operation.wait_complete()
        async with aclosing(self._source.changes()) as changes:
            async for change in changes:
                if isinstance(change, Unusable):
                    if self._issuer.plan is None and not self._operation.stays_up:
                        raise change.error
                    self._broken(str(change.error))
                elif self._issuer.plan is None:
                    await self._begin(change)
                else:
                    try:
                        await self._take(change)
                    except credentials.CredentialsError as error:
                        self._broken(str(error))

    async def _begin(self, first: Served | NodeChange) -> None:
        """Start the server, and serve the first plan."""
        await self.server.start()
        await self._take(first)
        if self._view.live:  # lines need no refresh, and four wake-ups a second are half of an idle planner's CPU
            self._start(self._refresh(), "view")
        if self._settings.once:
            self._start(self._finished(), "once")

    async def _take(self, change: Served | NodeChange) -> None:
        if isinstance(change, Served):
            await self._serve(change.plan)
            return
        async with self._planning:
            plan = self._issuer.change(change)
            self._reach(plan)
            self._look_up(plan)
        self._rebalancer.follow(plan)
        logger.info("plan has changed", extra={"plan": plan.name, "epoch": self._store.epoch, "nodes": len(plan.nodes)})

    async def _serve(self, plan: Plan) -> None:
        """Start with a plan. Pods that it does not name by uid follow when the cluster is known."""
        self._reach(plan)
        await self._rebalancer.end()
        self._began = time.monotonic()
        async with self._planning:
            self._rebalancer.begin(plan)
            self._issuer.begin(plan)
            self._look_up(plan)
        fields = {"plan": plan.name, "epoch": self._store.epoch, "nodes": len(plan.nodes), "digest": plan.digest[:12]}
        logger.info("plan is served", extra=fields)
        self._view.serving(plan)
        self._operation.served(plan)

    def _reach(self, plan: Plan) -> None:
        """Watch the cluster's pods, unless the plan names all of them by uid.

        Raises:
            CredentialsError: there are no credentials for the cluster.
        """
        wanted = plan.needs_cluster
        if wanted is None or self._cluster is not None:
            return
        access = credentials.load(self._settings.kubeconfig, self._settings.context)
        logger.info("pods are looked up in the cluster", extra={"server": access.server, "for": str(wanted)})
        self._cluster = Cluster(access)
        self._start(self._cluster.run(), "pods")
        self._start(self._follow_pods(self._cluster), "assignment")

    def _look_up(self, plan: Plan) -> None:
        """Pin the plan's pods: now, or when the cluster's pods are known."""
        if plan.needs_cluster is None:
            self._issuer.look(())
        elif self._cluster is not None:
            self._cluster.changed.set()

    def _tell_stage(self, stage: Stage, why: str) -> None:
        self._operation.rebalancing(stage, why)
        self._view.rebalancing(stage, why)

    def _broken(self, error: str) -> None:
        self._operation.broken(error, before=self._issuer.plan)
        self._view.broken(error)

    async def _follow_pods(self, cluster: Cluster) -> None:
        await cluster.wait_synced()
        heap.keep()
        known: dict[str, dict[str, str]] = {}
        while True:
            plan = self._issuer.plan
            assert plan is not None  # noqa: S101 - a plan is what started this
            if plan.name not in known:
                known[plan.name] = await cluster.pinned_by(plan.name)
                continue  # the plan may have been replaced
            if plan.needs_cluster is not None:
                async with self._planning:
                    if self._issuer.plan is not plan:
                        continue
                    await self._issuer.look_aside(cluster, known[plan.name])
            await cluster.changed.wait()
            await asyncio.sleep(SETTLE_SECONDS)
            cluster.changed.clear()

    async def _refresh(self) -> None:
        while True:
            self._view.refresh()
            await asyncio.sleep(REFRESH_SECONDS)

    async def _finished(self) -> None:
        """Wait until everything is finally acknowledged, or cannot be any more."""
        while True:
            if self._issuer.complete and outcomes.counts(self._store).open == 0 and not self._rebalancer.open:
                return
            plan = self._issuer.plan
            if plan is not None and time.monotonic() - self._began > plan.expecting.total_seconds() + PATIENCE:
                return
            await asyncio.sleep(REFRESH_SECONDS)
