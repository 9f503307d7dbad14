"""Carries out served plans of kind rebalance, one after another."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from moorage.ops.settings import PLANNER

from ..instruction_store import InstructionStore
from ..plan import Plan
from ..settings import PlannerSettings
from ..stage import Stage

if TYPE_CHECKING:  # loaded only for such a plan
    from moorage.kube.events import EventRecorder
    from moorage.kube.http.transport import Transport
    from moorage.kube.lease import LeaderElection

    from .rebalancing import Rebalancing

GIVING_BACK = 10.0
"""Time limit, in seconds, for rolling back nodes when a plan is replaced or the planner stops. Pods are not waited for.
"""


class Rebalancer:
    """Carries out the rebalancings of one planner.

    Args:
        settings: the planner's settings.
        store: acknowledgements and reports.
        tell: is called at each stage.
        ended: is called when a rebalancing has ended with an error, which ``check`` raises.
    """

    def __init__(
        self,
        settings: PlannerSettings,
        store: InstructionStore,
        tell: Callable[[Stage, str], None],
        ended: Callable[[], None],
    ) -> None:
        self._settings, self._store, self._tell, self._ended = settings, store, tell, ended
        self._current: Rebalancing | None = None
        self._transport: Transport | None = None
        self._recorder: EventRecorder | None = None
        self._writing: asyncio.Task[None] | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def open(self) -> bool:
        """Whether something is left to do."""
        return self._current is not None and not self._current.stage.final

    @property
    def troubles(self) -> list[str]:
        """A sentence for everything that was not done."""
        return self._current.troubles if self._current is not None else []

    def begin(self, plan: Plan) -> None:
        """Start to carry out a plan, if it is of this kind. The one before must have been ended.

        Nothing happens before the caller's next await. By then the plan's instructions are in the store.

        Raises:
            CredentialsError: there are no credentials for the cluster.
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
            self._store,
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
        """Use the nodes of the changed plan."""
        if self._current is not None:
            self._current.follow(plan)

    async def end(self) -> None:
        """Roll back drains that have started, and drop the plan."""
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
        """Write the queued Events."""
        recorder, writing = self._recorder, self._writing
        self._recorder = self._writing = None
        if recorder is not None and writing is not None:
            await recorder.close()
            writing.cancel()  # it may be waiting for an API server that does not answer
            await asyncio.gather(writing, return_exceptions=True)

    def check(self) -> None:
        """Raise the error of a rebalancing, if there is one."""
        if self._task is not None and self._task.done():
            self._task.result()

    def _election(self, transport: Transport) -> LeaderElection:
        from moorage.kube.lease import LeaderElection

        settings = self._settings
        return LeaderElection(transport, settings.namespace, settings.lease_name, self._us)

    @property
    def _us(self) -> str:
        """The name of this planner among others, for people."""
        return self._settings.pod_name or socket.gethostname().lower()
