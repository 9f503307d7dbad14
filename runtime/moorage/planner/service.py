"""The planner as a program: source, cluster, server and view, running side by side."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine
from contextlib import aclosing
from typing import Any

from moorage.kube import credentials

from . import outcomes
from .cluster import Cluster
from .file_source import PlanFile
from .instruction_store import Board
from .operation import Operation, operation
from .plan import Plan
from .plan_issuer import Engine
from .rebalancing import Rebalancer
from .server import PlannerServer, ServerSettings
from .settings import PlannerSettings
from .source import NodeChange, Served, Source, Unusable
from .stage import Stage
from .view import View, choose

logger = logging.getLogger(__name__)

SETTLE_SECONDS = 0.1
"""How long pods may go on changing before they are looked at again: a rollout changes hundreds at once."""
REFRESH_SECONDS = 0.25
PATIENCE = 30.0
"""Seconds after the plan's deadline in which last answers may arrive."""


async def run(settings: PlannerSettings) -> int:
    """Serve the plan until cancelled, or with ``--once`` until everything is answered.

    Returns:
        0; with ``--once`` 1 when something was not applied.

    Raises:
        FileMistakes: the plan file is not a plan.
        ServerError: the address cannot be listened on.
        CredentialsError: the plan needs a cluster, and there is no way to it.
        OperationError: the planner cannot be operated as its settings say.
    """
    async with operation(settings) as operated:
        return await Planner(settings, operated).run()


class Planner:
    """One run of the planner.

    Args:
        settings: what to serve, where, to whom.
        operated: what it does besides when it runs in a cluster; by default what the settings say, without a cluster.
        view: what is shown; chosen by the settings by default.
        source: what decides; by default the plan file of the settings.
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
        self._board = Board()
        self._engine = Engine(self._board)
        self._source: Source = source or PlanFile(settings.plan, rebalancing=settings.rebalancing)
        pair, api_key = self._operation.pair, self._operation.api_key
        self.server = PlannerServer(self._board, ServerSettings(address=settings.listen, pair=pair, api_key=api_key))
        self._view = view or choose(self._board, settings.output, lambda: sorted(self.server.pinners.values()))
        self._board.on_ack(self._view.acknowledged)
        self._cluster: Cluster | None = None
        self._background: list[asyncio.Task[Any]] = []
        self._ended = asyncio.Event()  # something in the background has
        self._rebalancer = Rebalancer(settings, self._board, self._tell_stage, self._ended.set)
        self._began = 0.0

    async def run(self) -> int:
        """See the function of the same name."""
        summary: list[str] | None = None
        self._operation.needs("plan", lambda: self._engine.plan is not None)
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
            lacking = [str(each) for each in self._engine.lacking]
            summary = outcomes.troubles(self._board) + lacking + self._rebalancer.troubles
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
        """Serve what the source says, and every change of it."""
        await self._operation.wait_complete()
        async with aclosing(self._source.changes()) as changes:
            async for change in changes:
                if isinstance(change, Unusable):
                    if self._engine.plan is None and not self._operation.stays_up:
                        raise change.error
                    self._broken(str(change.error))
                elif self._engine.plan is None:
                    await self._begin(change)
                else:
                    try:
                        await self._take(change)
                    except credentials.CredentialsError as error:
                        self._broken(str(error))

    async def _begin(self, first: Served | NodeChange) -> None:
        """Listen, and serve the first plan."""
        await self.server.start()
        await self._take(first)
        self._start(self._refresh(), "view")
        if self._settings.once:
            self._start(self._finished(), "once")

    async def _take(self, change: Served | NodeChange) -> None:
        if isinstance(change, Served):
            await self._serve(change.plan)
            return
        plan = self._engine.change(change)
        self._reach(plan)
        self._look_up(plan)
        self._rebalancer.follow(plan)
        logger.info("plan has changed", extra={"plan": plan.name, "epoch": self._board.epoch, "nodes": len(plan.nodes)})

    async def _serve(self, plan: Plan) -> None:
        """Begin with a plan; pods that the plan does not name by uid follow when the cluster is known."""
        self._reach(plan)
        await self._rebalancer.end()
        self._began = time.monotonic()
        self._rebalancer.begin(plan)
        self._engine.begin(plan)
        self._look_up(plan)
        fields = {"plan": plan.name, "epoch": self._board.epoch, "nodes": len(plan.nodes), "digest": plan.digest[:12]}
        logger.info("plan is served", extra=fields)
        self._view.serving(plan)
        self._operation.served(plan)

    def _reach(self, plan: Plan) -> None:
        """Follow the cluster's pods, if the plan does not name all of them by uid.

        Raises:
            CredentialsError: there is no way to the cluster.
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
        """Have the plan's pods pinned: now, or once the cluster's are known."""
        if plan.needs_cluster is None:
            self._engine.look(())
        elif self._cluster is not None:
            self._cluster.changed.set()

    def _tell_stage(self, stage: Stage, why: str) -> None:
        self._operation.rebalancing(stage, why)
        self._view.rebalancing(stage, why)

    def _broken(self, error: str) -> None:
        self._operation.broken(error, before=self._engine.plan)
        self._view.broken(error)

    async def _follow_pods(self, cluster: Cluster) -> None:
        await cluster.wait_synced()
        known: dict[str, dict[str, str]] = {}
        while True:
            plan = self._engine.plan
            assert plan is not None  # noqa: S101 - a plan is what started this
            if plan.name not in known:
                known[plan.name] = await cluster.pinned_by(plan.name)
                continue  # another plan may be served by now
            if plan.needs_cluster is not None:
                self._engine.look(cluster, known[plan.name])
            await cluster.changed.wait()
            await asyncio.sleep(SETTLE_SECONDS)
            cluster.changed.clear()

    async def _refresh(self) -> None:
        while True:
            self._view.refresh()
            await asyncio.sleep(REFRESH_SECONDS)

    async def _finished(self) -> None:
        """Return when everything is finally answered, or cannot be any more."""
        while True:
            if self._engine.complete and outcomes.counts(self._board).open == 0 and not self._rebalancer.open:
                return
            plan = self._engine.plan
            if plan is not None and time.monotonic() - self._began > plan.expecting.total_seconds() + PATIENCE:
                return
            await asyncio.sleep(REFRESH_SECONDS)
