"""The evictor as a program: caches of everything it looks at, its configuration, one leader, one cycle after the other.

It changes nothing in the cluster but the status of its own resource, its Lease and Events: this is a dry run.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial

from moorage.controller.leading import Program
from moorage.controller.ourselves import Ourselves
from moorage.kube import credentials
from moorage.kube.client import Client
from moorage.kube.events import EventRecorder
from moorage.kube.lease import LeaderElection
from moorage.kube.transport import Transport
from moorage.ops import health
from moorage.ops.settings import EvictorSettings

from . import metrics
from .cycle import Cycles, seen
from .following import Following
from .sources.watched import Watched
from .status import Status
from .telling import DRY_RUN, Telling
from .worker import Worker

logger = logging.getLogger(__name__)

COMPONENT = "moorage-evictor"


async def run(settings: EvictorSettings) -> None:
    """Run until cancelled.

    Args:
        settings: of ``moorage evictor``.

    Raises:
        KubeError: the credentials cannot be used.
        HealthError: the health server cannot be started.
    """
    logger.warning(DRY_RUN)
    checks = health.Health()
    async with (
        Transport(credentials.load(settings.kubeconfig, settings.context)) as transport,
        health.serve(checks, settings.health_address) as address,
    ):
        logger.info("health server listens", extra={"address": str(address)})
        await _Service(settings, transport, checks).run()


class _Service:
    """What lives as long as the process."""

    def __init__(self, settings: EvictorSettings, transport: Transport, checks: health.Health) -> None:
        self._settings = settings
        self._transport = transport
        self._following = Following(transport, settings, self._configure)
        self._watched = Watched(transport, beside=self._following.caches, changed=self._change)
        self._recorder = EventRecorder(transport, instance=settings.pod_name, component=COMPONENT)
        self._us = Ourselves(self._recorder, settings.namespace, settings.pod_name, self._our_uid)
        self._worker = Worker()
        self._cycles: Cycles | None = None
        election = LeaderElection(transport, settings.namespace, settings.lease_name, settings.pod_name)
        self._program = Program(self._watched, self._recorder, checks, election if settings.leader_election else None)

    async def run(self) -> None:
        try:
            await self._program.run(self._lead)
        finally:
            self._worker.close()

    async def _lead(self) -> None:
        """One term: nothing is kept of the one before but what is written down."""
        now = self._transport.clock.now
        status = Status(Client(self._transport), self._following.resources, now, self._program.leads)
        telling = Telling(self._recorder, self._us, status.chosen())
        looks = partial(self._worker.run, seen)
        interval = self._settings.cycle_interval
        self._cycles = Cycles(self._watched, self._following, looks, telling, status, now=now, interval=interval)
        telling.began()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._cycles.run(), name="cycles")
                group.create_task(status.run(), name="status")
        finally:
            self._cycles = None
            metrics.clear()

    def _change(self) -> None:
        if self._cycles is not None:
            self._cycles.changed.set()

    def _configure(self) -> None:
        self._change()
        if self._cycles is not None:
            self._cycles.configured.set()

    def _our_uid(self) -> str:
        return self._watched.uid_of_pod(f"{self._settings.namespace}/{self._settings.pod_name}")
