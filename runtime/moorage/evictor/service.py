"""The evictor as a program: watch caches, configuration, leader election, and one cycle after the other.

In a dry run it writes only the status of its own resource, its Lease, and Events. Otherwise it also empties nodes; it
never deletes a node.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial

from moorage.controller import process
from moorage.controller.fence import Fence
from moorage.controller.leading import Program, lease_watch
from moorage.controller.own_pod import OwnPod
from moorage.kube.client import Client
from moorage.kube.events import EventRecorder
from moorage.kube.http.transport import Transport
from moorage.kube.lease import LeaderElection
from moorage.ops import health
from moorage.ops.settings import EvictorSettings

from . import drain_reporting, metrics
from .configuration_watch import ConfigurationWatch
from .cycle import CycleLoop, compute
from .cycle_drain import AT_ONCE, CycleDrain
from .cycle_reporting import ACTS, DRY_RUN, CycleReporter
from .destinations import Reserving, Steering
from .other_evictors import OtherEvictors
from .recheck import recheck
from .sources.watched import WatchedCluster
from .status import Status
from .worker import Worker

logger = logging.getLogger(__name__)

COMPONENT = "moorage-evictor"
GIVING_BACK = 10.0
"""Seconds that giving nodes back may take at the end of a term, if there is as much; no pod is waited for."""


async def run(settings: EvictorSettings) -> None:
    """Run until cancelled.

    Args:
        settings: of ``moorage evictor``.

    Raises:
        KubeError: the credentials cannot be used.
        HealthError: the health server cannot be started.
    """
    logger.warning(DRY_RUN if settings.dry_run else ACTS)
    checks = health.Health()
    async with process.opened(settings, checks) as transport:
        await _Service(settings, transport, checks).run()


class _Service:
    """What lives as long as the process."""

    def __init__(self, settings: EvictorSettings, transport: Transport, checks: health.Health) -> None:
        self._settings = settings
        self._transport = transport
        self._configuration_watch = ConfigurationWatch(transport, settings, self._configure)
        self._watched = WatchedCluster(transport, beside=self._configuration_watch.caches, changed=self._change)
        self._recorder = EventRecorder(transport, instance=settings.pod_name, component=COMPONENT)
        self._us = OwnPod(self._recorder, settings.namespace, settings.pod_name, self._our_uid)
        self._worker = Worker()
        self._cycles: CycleLoop | None = None
        self._acting: CycleDrain | None = None
        self._program = self._make_program(checks)

    def _make_program(self, checks: health.Health) -> Program:
        settings, transport = self._settings, self._transport
        if not settings.leader_election:
            return Program(self._watched, self._recorder, checks, None)
        election = LeaderElection(transport, settings.namespace, settings.lease_name, settings.pod_name)
        lease = lease_watch(transport, settings.namespace, settings.lease_name)
        return Program(self._watched, self._recorder, checks, election, lease=lease)

    async def run(self) -> None:
        try:
            await self._program.run(self._lead)
        finally:
            self._worker.close()

    async def _lead(self) -> None:
        """One term of leadership; from the term before it knows only what is written in the cluster."""
        now = self._transport.clock.now
        status = Status(Client(self._transport), self._configuration_watch.resources, now, self._program.leads)
        reporter = CycleReporter(self._recorder, self._us, status.chosen())
        looks = partial(self._worker.run, compute)
        interval = self._settings.cycle_interval
        self._acting = acting = self._drains(status)
        self._cycles = CycleLoop(
            self._watched, self._configuration_watch, looks, reporter, status, drains=acting, now=now, interval=interval
        )
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._cycles.run(), name="cycles")
                group.create_task(status.run(), name="status")
                try:
                    await asyncio.get_running_loop().create_future()  # until the term ends
                finally:
                    await acting.end(min(GIVING_BACK, self._settings.stop_grace / 2))
        finally:
            self._cycles = self._acting = None
            acting.close()
            metrics.clear()

    def _drains(self, status: Status) -> CycleDrain:
        """What drains nodes in this term."""
        settings, clock = self._settings, self._transport.clock
        client, monotonic = Client(self._transport, patience=0.0), asyncio.get_running_loop().time
        reserving = Reserving(client, Fence(self._program.leads, AT_ONCE), settings.installation, clock.now)
        return CycleDrain(
            client,
            self._watched,
            self._configuration_watch,
            status,
            partial(self._worker.run, recheck),
            Steering(reserving, clock.now, monotonic, enabled=settings.destinations),
            OtherEvictors(settings.namespace, settings.pod_name, settings.installation),
            drain_reporting.DrainReporter(self._recorder, self._us),
            clock=clock,
            leads=self._program.leads,
            installation=settings.installation,
            monotonic=monotonic,
            changed=self._change,
        )

    def _change(self) -> None:
        if self._acting is not None:
            self._acting.wake()
        if self._cycles is not None:
            self._cycles.changed.set()

    def _configure(self) -> None:
        self._change()
        if self._cycles is not None:
            self._cycles.configured.set()

    def _our_uid(self) -> str:
        return self._watched.uid_of_pod(f"{self._settings.namespace}/{self._settings.pod_name}")
