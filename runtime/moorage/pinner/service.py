"""The pod pinner as a program: one leader of several replicas, its caches, its stream, its work.

Every replica follows the cluster, so that a new leader begins at once; only the leader connects to the planner and
writes. A term ends by cancelling whatever is under way: the next leader finds the intent in the cluster and goes on.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing

from moorage.kube import credentials, errors, resources
from moorage.kube.backoff import Backoff
from moorage.kube.client import Client
from moorage.kube.events import EventRecorder, ObjectRef
from moorage.kube.lease import LeaderElection
from moorage.kube.transport import Transport
from moorage.ops import health
from moorage.ops.configuration import SettingsError
from moorage.ops.settings import PinnerSettings
from moorage.protocol import Instruction

from .caches import Caches
from .options import Options
from .pinner import Pinner
from .stream import InstructionStream, StreamSettings
from .stream_channel import Cause

logger = logging.getLogger(__name__)

BEAT = 5.0
STUCK = 60.0
"""Seconds without a beat of the event loop after which the process should be restarted."""


async def run(settings: PinnerSettings) -> None:
    """Run until cancelled.

    Args:
        settings: of ``moorage pod-pinner``.

    Raises:
        SettingsError: the settings cannot be used.
        KubeError: the credentials cannot be used.
        HealthError: the health server cannot be started.
    """
    if settings.dry_run:
        raise SettingsError("MOORAGE_DRY_RUN (--dry-run) cannot be done by the pod pinner yet. Remove it")
    checks = health.Health()
    async with (
        Transport(credentials.load(settings.kubeconfig, settings.context)) as transport,
        health.serve(checks, settings.health_address) as address,
    ):
        logger.info("health server listens", extra={"address": str(address)})
        await _Service(settings, transport, checks).run()


class _Service:
    """What lives as long as the process."""

    def __init__(self, settings: PinnerSettings, transport: Transport, checks: health.Health) -> None:
        self._settings = settings
        self._transport = transport
        self._checks = checks
        self._caches = Caches.over(transport)
        self._recorder = EventRecorder(transport, instance=settings.pod_name)
        self._election = LeaderElection(transport, settings.namespace, settings.lease_name, settings.pod_name)

    async def run(self) -> None:
        for cache in self._caches.all:
            self._checks.needs(f"cache of {cache.resource.plural}", lambda cache=cache: cache.synced)  # type: ignore[misc]
        try:
            async with asyncio.TaskGroup() as group:
                for name, work in (
                    ("caches", self._caches.run()),
                    ("events", self._recorder.run()),
                    ("election", self._election.run()),
                    ("terms", self._terms()),
                    ("beat", self._beat()),
                ):
                    self._checks.task(name, group.create_task(work, name=name))
        finally:
            await self._recorder.close()

    async def _beat(self) -> None:
        """Show that the event loop turns."""
        loop = self._checks.loop("event loop", max_age=STUCK)
        while True:
            loop.beat()
            await asyncio.sleep(BEAT)

    async def _terms(self) -> None:
        """Lead whenever we are the leader."""
        cluster_id = self._settings.cluster_id or await self._cluster_id()
        while True:
            await self._election.became_leader.wait()
            term = asyncio.create_task(self._lead(cluster_id), name="term")
            lost = asyncio.create_task(self._election.lost.wait(), name="lost")
            try:
                await asyncio.wait({term, lost}, return_when=asyncio.FIRST_COMPLETED)
                if term.done():
                    term.result()  # never without an error
            finally:
                for task in (term, lost):
                    task.cancel()
                await asyncio.gather(term, lost, return_exceptions=True)

    async def _lead(self, cluster_id: str) -> None:
        """One term: everything is made anew, and what was begun is found in the cluster."""
        stream = InstructionStream(
            StreamSettings.of(self._settings, cluster_id=cluster_id), on_problem=self._stream_problem
        )
        pinner = Pinner(
            Client(self._transport),
            self._caches,
            self._recorder,
            self._transport.clock,
            self._election.is_leader,
            Options(profile=self._settings.profile),
            acks=stream.ack,
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(pinner.run(), name="pinner")
            group.create_task(self._follow(stream, pinner), name="stream")

    async def _follow(self, stream: InstructionStream, pinner: Pinner) -> None:
        await self._caches.wait_synced()
        async with aclosing(stream.messages()) as messages:
            async for message in messages:
                if isinstance(message, Instruction):
                    pinner.submit(message)

    def _stream_problem(self, cause: Cause, sentence: str) -> None:
        """Tell people who look at our pod what keeps us from the planner."""
        us = ObjectRef("v1", "Pod", self._settings.pod_name, self._settings.namespace)
        reason = "".join(word.capitalize() for word in cause.value.split("-"))
        self._recorder.record(us, type="Warning", reason=f"Stream{reason}", action="Connect", note=sentence)

    async def _cluster_id(self) -> str:
        """The uid of namespace kube-system, which every cluster has and no two share."""
        backoff = Backoff()
        while True:
            try:
                return (await Client(self._transport).get(resources.NAMESPACES, "kube-system")).metadata.uid
            except errors.KubeError as error:
                delay = backoff.next()
                fields = {"error": str(error), "delay_s": round(delay, 2)}
                logger.warning("the cluster's identity is not known yet, trying again", extra=fields)
                await asyncio.sleep(delay)
