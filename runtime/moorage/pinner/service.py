"""The pod pinner as a program: one leader of several replicas, its caches, its stream, its work.

Every replica follows the cluster, so that a new leader begins at once; only the leader connects to the planner and
writes. A term ends by cancelling whatever is under way: the next leader finds the intent in the cluster and goes on.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from contextlib import aclosing
from typing import Protocol

from moorage.kube import credentials, errors, resources
from moorage.kube.backoff import Backoff
from moorage.kube.client import Client
from moorage.kube.events import EventRecorder, EventType, ObjectRef
from moorage.kube.lease import LeaderElection
from moorage.kube.transport import Transport
from moorage.ops import health
from moorage.ops.settings import PinnerSettings
from moorage.ops.version import version
from moorage.protocol import Instruction

from .caches import Caches
from .dry_run import DryRun
from .options import Options
from .pinner import Pinner
from .rights import CLUSTER_CONTROLLER
from .stream import InstructionStream
from .stream_channel import Cause
from .stream_settings import StreamSettings

logger = logging.getLogger(__name__)

BEAT = 5.0
STUCK = 60.0
"""Seconds without a beat of the event loop after which the process should be restarted."""


class Work(Protocol):
    """What a leader does with instructions."""

    def submit(self, instruction: Instruction) -> None:
        """Take one; never blocks."""

    async def run(self) -> None:
        """Work until cancelled."""


async def run(settings: PinnerSettings) -> None:
    """Run until cancelled.

    Args:
        settings: of ``moorage pod-pinner``.

    Raises:
        KubeError: the credentials cannot be used.
        HealthError: the health server cannot be started.
    """
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
        self._able = asyncio.Event()
        self._election = LeaderElection(transport, settings.namespace, settings.lease_name, settings.pod_name)

    async def run(self) -> None:
        for cache in self._caches.all:
            self._checks.needs(f"cache of {cache.resource.plural}", lambda cache=cache: cache.synced)  # type: ignore[misc]
        try:
            async with asyncio.TaskGroup() as group:
                for name, work in (
                    ("caches", self._caches.run()),
                    ("events", self._recorder.run()),
                    ("election", self._campaign()),
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

    async def _campaign(self) -> None:
        """Take part in the election once we could lead: who holds the Lease and knows nothing keeps others from it."""
        await self._able.wait()
        await self._election.run()

    async def _terms(self) -> None:
        """Lead whenever we are the leader."""
        cluster_id = self._settings.cluster_id or await self._cluster_id()
        await self._caches.wait_synced()
        gc.collect()
        gc.freeze()  # what was listed lives on; to walk all of it again each minute stopped everything for 0.1 s
        self._able.set()
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
        settings = StreamSettings.of(self._settings, cluster_id=cluster_id, version=version())
        stream = InstructionStream(settings, on_problem=self._stream_problem)
        work = self._work(stream)
        async with asyncio.TaskGroup() as group:
            group.create_task(work.run(), name="pinner")
            group.create_task(self._follow(stream, work), name="stream")
            group.create_task(self._advise(), name="advice")

    def _work(self, stream: InstructionStream) -> Work:
        # Whoever waits with a request holds up what else is to be done for its node: the pinner waits without one.
        client, clock = Client(self._transport, patience=0.0), self._transport.clock
        options = Options(profile=self._settings.profile)
        if self._settings.dry_run:
            return DryRun(client, self._caches, clock, options, acks=stream.ack)
        leads = self._election.is_leader
        return Pinner(client, self._caches, self._recorder, clock, leads, options, acks=stream.ack)

    async def _follow(self, stream: InstructionStream, work: Work) -> None:
        await self._caches.wait_synced()
        async with aclosing(stream.messages()) as messages:
            async for message in messages:
                if isinstance(message, Instruction):
                    work.submit(message)

    async def _advise(self) -> None:
        """Tell people, once a term, what they may not expect of this installation."""
        await self._caches.wait_synced()
        if self._settings.dry_run:
            note = "Instructions are judged and answered, and nothing is changed in the cluster"
            logger.warning("this is a dry run, nothing is changed in the cluster")
            self._tell("Normal", "DryRun", "Start", note)
        if not self._settings.managed:
            return
        namespace = self._settings.namespace
        try:
            await Client(self._transport).get(resources.DEPLOYMENTS, CLUSTER_CONTROLLER, namespace)
        except (errors.NotFound, errors.Forbidden):
            return
        except errors.KubeError as error:
            logger.debug("cluster controller was not looked for", extra={"error": str(error)})
            return
        note = (
            f"{CLUSTER_CONTROLLER} runs in namespace {namespace}, and this installation is labelled "
            "charts.cast.ai/managed=true: it may be scaled or upgraded from outside. To keep it your own, upgrade the "
            "release with --reset-then-reuse-values --set managedByCASTAI=false"
        )
        logger.warning("a cluster controller runs beside an installation that is labelled as managed by it")
        self._tell("Warning", "ManagedByCastAI", "Start", note)

    def _stream_problem(self, cause: Cause, sentence: str) -> None:
        """Tell people who look at our pod what keeps us from the planner."""
        reason = "".join(word.capitalize() for word in cause.value.split("-"))
        self._tell("Warning", f"Stream{reason}", "Connect", sentence)

    def _tell(self, kind: EventType, reason: str, action: str, note: str) -> None:
        """Record an Event on our own pod, by its uid: that is how ``kubectl describe`` finds it."""
        name, namespace = self._settings.pod_name, self._settings.namespace
        pod = self._caches.pods.get(f"{namespace}/{name}")
        us = ObjectRef("v1", "Pod", name, namespace, pod.metadata.uid if pod is not None else "")
        self._recorder.record(us, type=kind, reason=reason, action=action, note=note)

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
