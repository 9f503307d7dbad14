"""One rebalancing: wait until every node of the plan is Ready, drain the replaced nodes, then end all expectations.

If a node of the plan does not come, everything is taken back: no pods are expected any more, and no node is drained. No
state is stored. After a restart, the planner finds in the cluster what was done already, and does the rest.
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
from moorage.wording import counted

from ..instruction_store import InstructionStore
from ..plan import Plan
from ..stage import Stage
from .emptying import SETTINGS, Emptying
from .targets import Targets

logger = logging.getLogger("moorage.planner.rebalancing")

SLACK = 30.0
"""Seconds after the plan's deadline during which the pinner reports the results: it knows the API server's time."""
GLANCE = 1.0
"""The most seconds between two checks."""


Tell = Callable[[Stage, str], None]
"""Called at the beginning of each stage, with a sentence for people."""


class Rebalancing:
    """The rebalancing of one served plan.

    Args:
        plan: a plan of kind rebalance, whose instructions are in the store.
        store: acknowledgements and reports.
        transport: the connections to the API server of the rebalanced cluster.
        cluster: the cluster id of its pod pinners; empty means the uid of its namespace kube-system.
        installation: the id of our installation, in the marks of nodes.
        election: the election; None when there is one planner only.
        tell: is called at each stage.
        recorder: writes Events on the nodes; the caller runs it.
        settings: how nodes are drained.
    """

    def __init__(
        self,
        plan: Plan,
        store: InstructionStore,
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
        self._plan, self._what, self._store = plan, plan.rebalance, store
        self._transport, self._known_cluster = transport, cluster
        self._election, self._tell = election, tell
        self._targets: Targets | None = None
        self._emptying = Emptying(transport, installation, self._leads, self._paused, recorder, settings)
        self.stage = Stage.ARRIVING
        self.why = ""

    def follow(self, plan: Plan) -> None:
        """Use the changed nodes of the plan. The nodes to drain stay the same."""
        self._plan = plan
        if self._targets is not None:
            self._targets.follow(plan)

    @property
    def troubles(self) -> list[str]:
        """A sentence for everything that was not done; none while it may still be."""
        if self.stage is Stage.WITHDRAWN:
            return [f"the rebalancing was taken back: {self.why}"]
        left = self._emptying.open if self.stage is Stage.INCOMPLETE else {}
        return [f"node {name} was not emptied: {why or 'its turn did not come'}" for name, why in left.items()]

    async def run(self) -> None:
        """Run the rebalancing, then check emptied nodes until cancelled.

        Raises:
            ExceptionGroup: a part of it has ended with an error.
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
        """Stop, and roll back drains that have started. After this, ``run`` may be cancelled.

        Args:
            seconds: the time limit.
        """
        await self._emptying.end(seconds)

    # --- stages ---

    async def _stages(self) -> None:
        self._targets = Targets(self._plan, self._store, await self._cluster())
        lost = await self._arrive(self._targets)
        if lost:
            for action in self._targets.withdrawal():
                self._store.issue(action)
            self._enter(Stage.WITHDRAWN, lost)
        else:
            self._enter(Stage.EMPTYING, _all(len(self._plan.nodes), "Ready"))
            await self._empty(self._targets)
        if not self._emptying.ended:
            await self._emptying.clean_up()

    async def _arrive(self, targets: Targets) -> str:
        """Wait for the plan's nodes. Returns why one of them never comes, or an empty text when all are Ready."""
        end = asyncio.get_running_loop().time() + self._plan.lasting.total_seconds() + SLACK
        changed = asyncio.Event()
        unsubscribe = self._store.reports.subscribe(changed.set)
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
        """Log what is waited for, each time it changes."""
        if why != self.why:
            self.why = why
            logger.info("nodes of the plan are waited for", extra={"plan": self._plan.name, "why": why})

    async def _empty(self, targets: Targets) -> None:
        await self._emptying.empty(self._what.drain, self._what.within.total_seconds())
        if self._emptying.ended:
            return
        for action in targets.release():
            self._store.issue(action)
        left = self._emptying.open
        if left:
            self._enter(Stage.INCOMPLETE, f"{len(left)} of {counted(len(self._what.drain), 'node')} still not empty")
        else:
            self._enter(Stage.DONE, _all(len(self._what.drain), "empty"))

    def _enter(self, stage: Stage, why: str) -> None:
        self.stage, self.why = stage, why
        level = logging.WARNING if stage in (Stage.INCOMPLETE, Stage.WITHDRAWN) else logging.INFO
        logger.log(level, "rebalancing", extra={"plan": self._plan.name, "stage": stage.value, "why": why})
        self._tell(stage, why)

    # --- identity of the cluster ---

    def _leads(self) -> bool:
        return self._election is None or self._election.is_leader()

    def _paused(self) -> str:
        return self._targets.paused if self._targets is not None else "the cluster is not known yet"

    async def _cluster(self) -> str:
        """The cluster id that the pinners use."""
        backoff = Backoff()
        while not self._known_cluster:
            try:
                namespace = await Client(self._transport).get(resources.NAMESPACES, "kube-system")
                self._known_cluster = namespace.metadata.uid
            except KubeError as error:
                delay = backoff.next()
                self.why = f"the cluster's id is unknown: {error}"
                fields = {"error": str(error), "delay_s": round(delay, 2)}
                logger.warning("the cluster's identity is not known yet, trying again", extra=fields)
                await asyncio.sleep(delay)
        return self._known_cluster


def _all(count: int, state: str) -> str:
    return f"{'its one node is' if count == 1 else f'all {count} nodes are'} {state}"
