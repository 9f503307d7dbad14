"""The planner as a program: plan file, cluster, server and view, running side by side."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine
from typing import Any

from moorage.files.mistakes import FileMistakes
from moorage.kube import credentials

from . import tally
from .board import Board
from .cluster import Cluster
from .engine import Engine
from .operation import Operation, operation
from .plan import Plan
from .rebalancing import Rebalancer
from .server import PlannerServer, ServerSettings
from .settings import PlannerSettings
from .source import PlanFile
from .stage import Stage
from .view import View, choose

logger = logging.getLogger(__name__)

POLL_SECONDS = 1.0
"""How often the plan file is looked at; a mounted ConfigMap follows only after a minute anyway."""
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
    """

    def __init__(self, settings: PlannerSettings, operated: Operation | None = None, view: View | None = None) -> None:
        self._settings = settings
        self._operation = operated or Operation(settings)
        self._board = Board()
        self._engine = Engine(self._board)
        self._source = PlanFile(settings.plan, rebalancing=settings.rebalancing)
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
            self._start(self._follow_file(), "plan file")
            await self._ended.wait()
            for task in self._background:
                if task.done():
                    task.result()
            self._rebalancer.check()
            lacking = [str(each) for each in self._engine.lacking]
            summary = tally.troubles(self._board) + lacking + self._rebalancer.troubles
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

    async def _serve(self, plan: Plan) -> None:
        """Begin with a plan; pods that the plan does not name by uid follow when the cluster is known."""
        wanted = plan.needs_cluster
        if wanted is not None and self._cluster is None:
            access = credentials.load(self._settings.kubeconfig, self._settings.context)
            logger.info("pods are looked up in the cluster", extra={"server": access.server, "for": str(wanted)})
            self._cluster = Cluster(access)
            self._start(self._cluster.run(), "pods")
            self._start(self._follow_pods(self._cluster), "assignment")
        await self._rebalancer.end()
        self._began = time.monotonic()
        self._rebalancer.begin(plan)
        self._engine.begin(plan)
        if wanted is None:
            self._engine.look(())
        elif self._cluster is not None:
            self._cluster.changed.set()
        fields = {"plan": plan.name, "epoch": self._board.epoch, "nodes": len(plan.nodes), "digest": plan.digest[:12]}
        logger.info("plan is served", extra=fields)
        self._view.serving(plan)
        self._operation.served(plan)

    async def _follow_file(self) -> None:
        """Serve the plan, and again whenever it changes."""
        await self._operation.wait_complete()
        plan = await self._first_plan()
        await self.server.start()
        await self._serve(plan)
        self._start(self._refresh(), "view")
        if self._settings.once:
            self._start(self._finished(), "once")
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                changed = self._source.changed()
                if changed is not None:
                    await self._serve(changed)
            except (FileMistakes, credentials.CredentialsError) as error:
                self._broken(str(error))

    def _tell_stage(self, stage: Stage, why: str) -> None:
        self._operation.rebalancing(stage, why)
        self._view.rebalancing(stage, why)

    async def _first_plan(self) -> Plan:
        """The plan to begin with; a planner that stays up waits for one that can be used."""
        while True:
            try:
                plan = self._source.changed()
                if plan is not None:
                    return plan
            except FileMistakes as error:
                if not self._operation.stays_up:
                    raise
                self._broken(str(error))
            await asyncio.sleep(POLL_SECONDS)

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
            if self._engine.complete and tally.counts(self._board).open == 0 and not self._rebalancer.open:
                return
            plan = self._engine.plan
            if plan is not None and time.monotonic() - self._began > plan.expecting.total_seconds() + PATIENCE:
                return
            await asyncio.sleep(REFRESH_SECONDS)
