"""One rebalancing: wait until every node of the plan is Ready, empty those that go, and expect nothing more.

When a node of the plan never comes, all is taken back: pods are expected nowhere any more, and no node is emptied.
Nothing is kept: whoever serves the plan again finds what is done already in the cluster, and adds what is missing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from moorage.drain import Settings
from moorage.kube import resources
from moorage.kube.backoff import Backoff
from moorage.kube.client import Client
from moorage.kube.errors import KubeError
from moorage.kube.events import EventRecorder
from moorage.kube.http.transport import Transport
from moorage.kube.lease import LeaderElection

from ..instruction_store import Board
from ..plan import Plan
from ..stage import Stage
from .emptying import SETTINGS, Emptying
from .targets import Targets

logger = logging.getLogger("moorage.planner.rebalancing")

SLACK = 30.0
"""Seconds after the plan's deadline in which the pinner says itself what has become of nodes: it knows the API server's
time."""
GLANCE = 1.0
"""Seconds between two looks at how it stands, at most."""


Tell = Callable[[Stage, str], None]
"""Told of each stage as it begins, with a sentence for people."""


class Rebalancing:
    """Of one plan that is served.

    Args:
        plan: of kind rebalance; its instructions are on the board.
        board: what was answered and reported.
        transport: the connections to the API server of the cluster that is rebalanced.
        cluster: how its pod pinners call it; empty: by the uid of its namespace kube-system.
        installation: which planner we are, in marks of nodes.
        election: for the Lease; None where there is but one planner.
        tell: tells people.
        recorder: writes Events on the nodes; somebody runs it.
        settings: how nodes are drained.
    """

    def __init__(
        self,
        plan: Plan,
        board: Board,
        transport: Transport,
        *,
        cluster: str,
        installation: str,
        election: LeaderElection | None,
        tell: Tell,
        recorder: EventRecorder,
        settings: Settings = SETTINGS,
    ) -> None:
        assert plan.rebalance is not None  # noqa: S101 - of that kind
        self._plan, self._what, self._board = plan, plan.rebalance, board
        self._transport, self._known_cluster = transport, cluster
        self._election, self._tell = election, tell
        self._targets: Targets | None = None
        self._emptying = Emptying(transport, installation, self._leads, self._paused, recorder, settings)
        self.stage = Stage.ARRIVING
        self.why = ""

    def follow(self, plan: Plan) -> None:
        """Wait for, and take back, the nodes of the plan as they are now; what is emptied stays the same."""
        self._plan = plan
        if self._targets is not None:
            self._targets.follow(plan)

    @property
    def troubles(self) -> list[str]:
        """A sentence for everything that did not come to be; none while it may yet."""
        if self.stage is Stage.WITHDRAWN:
            return [f"the rebalancing was taken back: {self.why}"]
        left = self._emptying.open if self.stage is Stage.INCOMPLETE else {}
        return [f"node {name} was not emptied: {why or 'its turn did not come'}" for name, why in left.items()]

    async def run(self) -> None:
        """Rebalance, then look after emptied nodes until cancelled.

        Raises:
            ExceptionGroup: a part of it has ended by an error.
        """
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._emptying.follow(), name="cluster")
                if self._election is not None:
                    group.create_task(self._election.run(), name="election")
                group.create_task(self._stages(), name="rebalancing stages")
        finally:
            self._emptying.close()

    async def end(self, seconds: float) -> None:
        """Stop, and give back what is under way; then ``run`` may be cancelled.

        Args:
            seconds: how long that may take.
        """
        await self._emptying.end(seconds)

    # --- stages ---

    async def _stages(self) -> None:
        self._targets = Targets(self._plan, self._board, await self._cluster())
        lost = await self._arrive(self._targets)
        if lost:
            for action in self._targets.withdrawal():
                self._board.issue(action)
            self._enter(Stage.WITHDRAWN, lost)
        else:
            self._enter(Stage.EMPTYING, f"all {len(self._plan.nodes)} nodes are Ready")
            await self._empty(self._targets)
        if not self._emptying.ended:
            await self._emptying.tidy()

    async def _arrive(self, targets: Targets) -> str:
        """Wait for the plan's nodes; returns why one of them never comes, or nothing when all are Ready."""
        end = asyncio.get_running_loop().time() + self._plan.lasting.total_seconds() + SLACK
        changed = asyncio.Event()
        unsubscribe = self._board.reports.subscribe(changed.set)
        try:
            while True:
                changed.clear()
                waiting = next(targets.waiting, "")
                lost = targets.lost
                if not lost and waiting and asyncio.get_running_loop().time() >= end:
                    lost = f"the deadline has passed: {waiting}"
                if lost or not waiting:
                    return lost
                self._wait_for(waiting)
                with suppress(TimeoutError):
                    async with asyncio.timeout(GLANCE):
                        await changed.wait()
        finally:
            unsubscribe()

    def _wait_for(self, why: str) -> None:
        """Say, each time it is something else, what is waited for."""
        if why != self.why:
            self.why = why
            logger.info("nodes of the plan are waited for", extra={"plan": self._plan.name, "why": why})

    async def _empty(self, targets: Targets) -> None:
        await self._emptying.empty(self._what.drain, self._what.within.total_seconds())
        if self._emptying.ended:
            return
        for action in targets.release():
            self._board.issue(action)
        left = self._emptying.open
        if left:
            self._enter(Stage.INCOMPLETE, f"{len(left)} of {len(self._what.drain)} nodes were not emptied")
        else:
            self._enter(Stage.DONE, f"all {len(self._what.drain)} nodes are empty")

    def _enter(self, stage: Stage, why: str) -> None:
        self.stage, self.why = stage, why
        level = logging.WARNING if stage in (Stage.INCOMPLETE, Stage.WITHDRAWN) else logging.INFO
        logger.log(level, "rebalancing", extra={"plan": self._plan.name, "stage": stage.value, "why": why})
        self._tell(stage, why)

    # --- pieces ---

    def _leads(self) -> bool:
        return self._election is None or self._election.is_leader()

    def _paused(self) -> str:
        return self._targets.paused if self._targets is not None else "the cluster is not known yet"

    async def _cluster(self) -> str:
        """How pinners of the cluster call it."""
        backoff = Backoff()
        while not self._known_cluster:
            try:
                found = await Client(self._transport).get(resources.NAMESPACES, "kube-system")
                self._known_cluster = found.metadata.uid
            except KubeError as error:
                delay = backoff.next()
                self.why = f"the cluster cannot be told from others: {error}"
                fields = {"error": str(error), "delay_s": round(delay, 2)}
                logger.warning("the cluster's identity is not known yet, trying again", extra=fields)
                await asyncio.sleep(delay)
        return self._known_cluster
