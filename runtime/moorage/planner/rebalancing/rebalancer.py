"""Carries out the plans of kind rebalance among those that are served, one after the other."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from moorage.ops.settings import PLANNER

from ..instruction_store import Board
from ..plan import Plan
from ..settings import PlannerSettings
from ..stage import Stage

if TYPE_CHECKING:  # whoever serves no such plan need not load it
    from moorage.kube.events import EventRecorder
    from moorage.kube.http.transport import Transport
    from moorage.kube.lease import LeaderElection

    from .rebalancing import Rebalancing

GIVING_BACK = 10.0
"""Seconds that giving nodes back may take when a plan is replaced, or the planner stopped; no pod is waited for."""


class Rebalancer:
    """Those of one planner.

    Args:
        settings: where the cluster is, and who we are.
        board: what was answered and reported.
        tell: tells people of each stage.
        ended: called when it has ended by an error, which ``check`` raises.
    """

    def __init__(
        self, settings: PlannerSettings, board: Board, tell: Callable[[Stage, str], None], ended: Callable[[], None]
    ) -> None:
        self._settings, self._board, self._tell, self._ended = settings, board, tell, ended
        self._current: Rebalancing | None = None
        self._transport: Transport | None = None
        self._recorder: EventRecorder | None = None
        self._writing: asyncio.Task[None] | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def open(self) -> bool:
        """Whether something is still to be done."""
        return self._current is not None and not self._current.stage.final

    @property
    def troubles(self) -> list[str]:
        """A sentence for everything that did not come to be."""
        return self._current.troubles if self._current is not None else []

    def begin(self, plan: Plan) -> None:
        """Carry a plan out, if it is of that kind; the one before has been ended.

        Nothing is done before the caller waits for something: by then the plan's instructions are on the board.

        Raises:
            CredentialsError: there is no way to the cluster.
        """
        if plan.rebalance is None:
            return
        from moorage.kube import credentials
        from moorage.kube.events import EventRecorder
        from moorage.kube.http.transport import Transport

        from .rebalancing import Rebalancing

        settings = self._settings
        self._transport = Transport(credentials.load(settings.kubeconfig, settings.context))
        self._recorder = EventRecorder(self._transport, instance=self._us, component=PLANNER)
        self._current = Rebalancing(
            plan,
            self._board,
            self._transport,
            cluster=settings.cluster_id,
            installation=settings.installation,
            election=self._election(self._transport) if settings.leader_election else None,
            tell=self._tell,
            recorder=self._recorder,
        )
        self._writing = asyncio.create_task(self._recorder.run(), name="planner events on nodes")
        self._task = asyncio.create_task(self._current.run(), name="planner rebalancing")
        self._task.add_done_callback(lambda task: self._ended() if task is self._task else None)

    def follow(self, plan: Plan) -> None:
        """Take the nodes of the plan as they are now."""
        if self._current is not None:
            self._current.follow(plan)

    async def end(self) -> None:
        """Give back what is under way, and forget the plan."""
        current, task, transport = self._current, self._task, self._transport
        self._current = self._task = self._transport = None
        if current is None or task is None or transport is None:
            return
        try:
            await current.end(GIVING_BACK)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self._end_events()
            await transport.close()

    async def _end_events(self) -> None:
        """Write what is left to be told."""
        recorder, writing = self._recorder, self._writing
        self._recorder = self._writing = None
        if recorder is not None and writing is not None:
            await recorder.close()
            writing.cancel()  # it may be waiting for an API server that does not answer
            await asyncio.gather(writing, return_exceptions=True)

    def check(self) -> None:
        """Raise what it has ended by, if it has."""
        if self._task is not None and self._task.done():
            self._task.result()

    def _election(self, transport: Transport) -> LeaderElection:
        from moorage.kube.lease import LeaderElection

        settings = self._settings
        return LeaderElection(transport, settings.namespace, settings.lease_name, self._us)

    @property
    def _us(self) -> str:
        """This planner among others, for people."""
        return self._settings.pod_name or socket.gethostname().lower()
