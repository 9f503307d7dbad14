"""The pod pinner as a program: one leader of several replicas, its caches, its stream, its work.

Every replica follows the cluster; only the leader connects to the planner and writes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from moorage.controller import process, scaled
from moorage.controller.fence import Fence, NotLeading
from moorage.controller.leading import Program, lease_watch
from moorage.controller.own_pod import OwnPod
from moorage.controller.role import Role
from moorage.kube import errors, resources
from moorage.kube.backoff import Backoff
from moorage.kube.client import Client
from moorage.kube.events import EventRecorder
from moorage.kube.http.transport import Transport
from moorage.kube.lease import LeaderElection
from moorage.ops import compat, health, heap
from moorage.ops.settings import PinnerSettings
from moorage.ops.version import version
from moorage.protocol import Instruction

from .decisions import slot_reservations
from .decisions.ends import Ends
from .names import LEADER, ROLE_LABEL
from .options import Options
from .rights import CLUSTER_CONTROLLER
from .state.caches import Caches
from .stream.client import InstructionStream
from .stream.connection import Cause
from .stream.settings import StreamSettings
from .term import Term
from .webhook import endpoint
from .webhook.admission import Admission

if TYPE_CHECKING:
    from .webhook.service import WebhookService

logger = logging.getLogger(__name__)

BRIEFLY = 2.0
"""Seconds that a write may take on which nothing depends: nothing waits for it any longer."""
ROLE_REFRESH = 30.0
"""Seconds between two looks at it."""


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
    async with process.opened(settings, checks) as transport:
        await _Service(settings, transport, checks).run()


class _Service:
    """What lives as long as the process."""

    def __init__(self, settings: PinnerSettings, transport: Transport, checks: health.Health) -> None:
        self._settings = settings
        self._transport = transport
        self._caches = Caches.over(transport)
        self._ends = Ends(Options().most_ends, transport.clock.now)  # whoever leads next has seen as much
        self._caches.pods.subscribe(self._ends.follow)
        self._recorder = EventRecorder(transport, instance=settings.pod_name)
        election = LeaderElection(transport, settings.namespace, settings.lease_name, settings.pod_name)
        lease = lease_watch(transport, settings.namespace, settings.lease_name)
        self._program = Program(self._caches, self._recorder, checks, election, lease=lease)
        self._us = OwnPod(self._recorder, settings.namespace, settings.pod_name, self._our_uid)
        self._role = Role(Client(transport), settings.namespace, settings.pod_name, ROLE_LABEL, LEADER)
        serves = settings.webhook and not settings.dry_run  # which fills no Secret and labels no pod
        self._webhook = self._make_webhook(checks) if serves else None
        self._cluster_id = settings.cluster_id

    def _make_webhook(self, checks: health.Health) -> WebhookService:
        from .webhook import from_settings  # whoever serves none need not load it

        webhook = from_settings.make(
            self._settings,
            self._transport,
            self._program.leads,
            lambda sentence: self._us.tell("Warning", "WebhookCertificate", "Serve", sentence),
        )
        checks.needs("webhook certificate", lambda: webhook.ready)
        return webhook

    async def run(self) -> None:
        beside = {"webhook": self._webhook.run()} if self._webhook is not None else {}
        if self._webhook is not None and self._settings.destinations != slot_reservations.OFF:
            beside["slot reservations"] = self._caches.slot_reservations.run()
        await self._program.run(self._lead, prepare=self._prepare, beside=beside)

    async def _prepare(self) -> None:
        if self._webhook is not None:
            await self._show_role(leads=False)
        await self._identify()

    async def _show_role(self, *, leads: bool) -> None:
        """Label our pod, if that can be done; without it the API server reaches nobody, and creates pods as ever."""
        await _tried(self._role.show(leads=leads), "our pod cannot be labelled with its role")

    async def _keep_role(self) -> NoReturn:
        """Be found by the Service as long as we lead: somebody may take the label off."""
        try:
            while True:
                await self._show_role(leads=True)
                await asyncio.sleep(ROLE_REFRESH)
        finally:
            await self._show_role(leads=False)

    async def _lead(self) -> None:
        """One term: everything is made anew, and what was begun is found in the cluster."""
        settings = StreamSettings.of(self._settings, cluster_id=self._cluster_id, version=version())
        stream = InstructionStream(settings, on_problem=self._stream_problem)
        work = self._work(stream)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(work.run(), name="pinner")
                group.create_task(self._follow(stream, work), name="stream")
                group.create_task(self._advise(), name="advice")
                if self._webhook is not None:
                    group.create_task(self._keep_role(), name="role")
        except asyncio.CancelledError:
            await self._withdraw_if_scaled_to_zero()
            raise

    async def _withdraw_if_scaled_to_zero(self) -> None:
        """Leave nothing behind when nobody is to follow us: neither on SIGTERM alone, nor in a rolling upgrade."""
        settings, client = self._settings, Client(self._transport, patience=0.0)
        if not self._program.leads() or settings.dry_run or not settings.deployment:
            return
        if not await scaled.to_zero(client, settings.namespace, settings.deployment):
            return
        from .withdrawal import withdraw  # what it needs of moorage.drain is not kept in memory until then

        fence, caches = Fence(self._program.leads, Options().writes_in_flight), self._caches
        if (admission := self._admission()) is not None:
            await _tried(admission.withdraw(client, fence), "webhook configuration not emptied")
        seconds = settings.stop_grace / 2  # the rest is for Events, and for giving the Lease up
        await withdraw(client, fence, caches.nodes, caches.pods, caches.reservations, seconds=seconds)

    def _admission(self) -> Admission | None:
        return Admission(self._webhook, endpoint.target(self._settings)) if self._webhook is not None else None

    def _work(self, stream: InstructionStream) -> Work:
        # Whoever waits with a request holds up what else is to be done for its node: the pinner waits without one.
        client, clock = Client(self._transport, patience=0.0), self._transport.clock
        options = Options(profile=self._settings.profile, destinations=self._settings.destinations)
        if self._settings.dry_run:
            from .commands.dry_run import DryRun  # a leader that acts need not load it

            return DryRun(client, self._caches, clock, options, acks=stream.ack, ends=self._ends)
        return Term(
            client,
            self._caches,
            self._recorder,
            clock,
            self._program.leads,
            options,
            admission=self._admission(),
            acks=stream.ack,
            reports=stream.report,
            serves=stream.serves,
            name=self._settings.pod_name,
            ends=self._ends,
            taken_over=heap.keep,
        )

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
            self._us.tell("Normal", "DryRun", "Start", note)
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
        self._us.tell("Warning", "ManagedByCastAI", "Start", note)

    def _stream_problem(self, cause: Cause, sentence: str) -> None:
        """Tell people who look at our pod what keeps us from the planner."""
        reason = "".join(word.capitalize() for word in cause.value.split("-"))
        self._us.tell("Warning", f"Stream{reason}", "Connect", sentence)

    def _our_uid(self) -> str:
        pod = self._caches.pods.get(f"{self._settings.namespace}/{self._settings.pod_name}")
        return pod.metadata.uid if pod is not None else ""

    async def _identify(self) -> None:
        """Find out the uid of namespace kube-system, which every cluster has and no two share."""
        backoff = Backoff()
        known = bool(self._cluster_id)
        while not known:
            try:
                found = await Client(self._transport).get(resources.NAMESPACES, "kube-system")
                self._cluster_id, known = found.metadata.uid, True
            except errors.KubeError as error:
                delay = backoff.next()
                fields = {"error": str(error), "delay_s": round(delay, 2)}
                logger.warning("the cluster's identity is not known yet, trying again", extra=fields)
                await asyncio.sleep(delay)


async def _tried(work: Coroutine[Any, Any, None], complaint: str) -> None:
    """Do something without which the rest is done all the same."""
    try:
        async with compat.timeout(BRIEFLY):
            await work
    except (errors.KubeError, NotLeading, TimeoutError) as error:
        logger.warning(complaint, extra={"error": str(error) or "no answer in time"})
