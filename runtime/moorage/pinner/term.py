"""The pinner as a whole: instructions in, answers out, and the cluster made to be as they say."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from moorage.controller.fence import Fence
from moorage.controller.queue import KeyQueue
from moorage.kube.backoff import Backoff
from moorage.kube.client import Client
from moorage.kube.clock import ServerClock
from moorage.objects import Pod
from moorage.ops import heap
from moorage.ops.slices import in_slices
from moorage.protocol import Ack, Instruction, NodeReport, Webhook

from . import metrics
from .decisions import slot_reservations
from .decisions.ends import Ends
from .decisions.sweeps import Sweeps
from .destinations.controller import SlotReservationController
from .instructions.accept import Acceptance
from .instructions.answers import Answers
from .instructions.inbox import Inbox
from .node.attempts import Attempts
from .node.controller import NodeController
from .node.executor import Executor
from .node.leases import LeaseKeeper
from .node.reports import Reports
from .options import Options
from .refusal import Refusal
from .reporting import Recorder, Reporter
from .state.caches import Caches
from .state.cluster import ClusterState
from .state.stored import IntentStore
from .webhook.admission import Admission
from .webhook.mutate import Mutator

Works = dict[str, Coroutine[Any, Any, None]]
"""What is done side by side, by name."""


class Term:
    """One term of one leader: whatever earlier ones began is found in the cluster and finished.

    Args:
        client: reads and writes.
        caches: the watch caches; somebody else runs them.
        recorder: writes the Events.
        clock: the API server's time.
        is_leader: asked before each write.
        options: choices.
        admission: the webhook; None: pods are not pinned while they are created.
        acks: takes the answers; called from the event loop, must not block.
        reports: takes what is to be said of nodes; likewise.
        serves: told whether pods are pinned while they are created; likewise.
        name: of our pod.
        ends: what became of pins; it follows the pods already, and knows of earlier terms. None: of this term only.
        monotonic: seconds on a clock that never goes back.
        taken_over: called once all that the caches hold is taken over.
    """

    def __init__(
        self,
        client: Client,
        caches: Caches,
        recorder: Recorder,
        clock: ServerClock,
        is_leader: Callable[[], bool],
        options: Options = Options(),  # noqa: B008 - immutable
        *,
        admission: Admission | None = None,
        acks: Callable[[Ack], None],
        reports: Callable[[NodeReport], None] = lambda _: None,
        serves: Callable[[Webhook], None] = lambda _: None,
        name: str = "",
        ends: Ends | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        taken_over: Callable[[], None] = lambda: None,
    ) -> None:
        self._client, self._caches, self._clock, self._is_leader = client, caches, clock, is_leader
        self._options, self._admission, self._monotonic = options, admission, monotonic
        self._serves, self._name, self._taken_over = serves, name, taken_over
        self._ends = ends
        self._reporter, self._reports = Reporter(recorder), Reports(reports)
        self._inbox = Inbox(monotonic)
        self._answers = Answers(self._inbox, acks, self._reporter)
        base, cap = options.retry_base, options.retry_cap
        self._queue = KeyQueue(base=base, cap=cap, on_waiting=metrics.QUEUED.set, monotonic=monotonic)
        self._slots = KeyQueue(base=base, cap=cap, monotonic=monotonic)

    def submit(self, instruction: Instruction) -> None:
        """Take an instruction; its answers come later, one ACCEPTED at most and one that is final."""
        self._inbox.receive(instruction)
        self._queue.add(instruction.node)

    async def run(self) -> None:
        """Work until cancelled; begins once the caches are complete."""
        await self._caches.wait_synced()
        options = self._options
        ends = self._ends or Ends(options.most_ends, self._clock.now)
        unfollow = self._caches.pods.subscribe(ends.follow) if self._ends is None else None
        steers = self._admission is not None and options.destinations != slot_reservations.OFF
        cluster = ClusterState(
            self._caches,
            default_profile=options.profile,
            enqueue=self._queue.add,
            enqueue_later=lambda name: self._queue.add_after(name, options.settle_delay),
            enqueue_slots=self._slots.add if steers else lambda _: None,
            ends=ends,
        )
        ends.on_capped = partial(self._on_capped, cluster)
        try:
            with heap.uncollected():
                await in_slices(cluster.follow(), clock=self._monotonic)
                self._taken_over()
            await self._work(cluster)
        finally:
            ends.on_capped = None
            if unfollow is not None:
                unfollow()
            cluster.close()
            self._queue.close()
            self._slots.close()

    async def _work(self, cluster: ClusterState) -> None:
        """Do what is to be done, with all that is known."""
        fence = Fence(self._is_leader, self._options.writes_in_flight)
        sweeps = Sweeps(self._options.sweeps_per_hour, self._monotonic)
        works = {
            "snapshot": cluster.wait_unusable(),
            "pinner loop": self._nodes(cluster, fence, sweeps).run(),
            "lease keeper": self._leases(cluster).run(),
        }
        if self._admission is not None:
            works |= self._webhook(self._admission, cluster, fence)
        async with asyncio.TaskGroup() as group:
            for name, work in works.items():
                group.create_task(work, name=name)

    def _nodes(self, cluster: ClusterState, fence: Fence, sweeps: Sweeps) -> NodeController:
        """What does all that instructions and reservations say."""
        options = self._options
        backoff = partial(Backoff, options.repeat_base, options.repeat_cap, least=0.5)
        intent_store = IntentStore(self._client, cluster, fence, backoff, self._monotonic)
        attempts = Attempts(options.repeat_base, options.repeat_cap, self._monotonic)
        executor = Executor(
            self._client,
            cluster,
            self._reporter,
            sweeps,
            intent_store,
            fence,
            attempts,
            received=self._inbox.received,
            monotonic=self._monotonic,
        )
        acceptance = Acceptance(
            cluster, executor.read_pod, intent_store, self._inbox, self._answers, sweeps, self._clock, options
        )
        return NodeController(
            cluster,
            executor,
            attempts,
            acceptance,
            self._answers,
            self._queue,
            sweeps,
            self._reporter,
            self._reports,
            self._clock,
            options,
        )

    def _on_capped(self, cluster: ClusterState, pod: Pod, why: Refusal) -> None:
        """Tell people, and look at every node: pods of that owner may wait there or be nominated."""
        self._reporter.owner_capped(pod, why)
        for name in cluster.reserved:
            self._queue.add(name)

    def _leases(self, cluster: ClusterState) -> LeaseKeeper:
        """What holds the Leases of placeholders."""
        return LeaseKeeper(
            self._client.transport,
            cluster,
            self._reporter,
            self._clock,
            is_leader=self._is_leader,
            interval=self._options.lease_interval,
            busy=lambda: self._queue.busy,
            monotonic=self._monotonic,
        )

    def _webhook(self, admission: Admission, cluster: ClusterState, fence: Fence) -> Works:
        """What pins pods while they are created, and sees to what is expected on nodes that run."""
        hard = self._options.destinations == slot_reservations.HARD
        mutator = Mutator(cluster, self._clock, self._is_leader, hard=hard)
        slot_controller = SlotReservationController(
            self._client,
            cluster,
            fence,
            self._slots,
            self._reporter,
            self._clock,
            self._name,
            expects=admission.recheck,
            monotonic=self._monotonic,
        )

        def report(serving: bool) -> None:
            self._report_serving(serving=serving)
            slot_controller.set_serving(serving=serving)

        self._report_serving(serving=False)
        return {
            "webhook": admission.term(self._client, fence, cluster.expected, mutator, self._clock, report),
            "slot reservations": slot_controller.run(),
        }

    def _report_serving(self, *, serving: bool) -> None:
        """API servers ask about pods that are created, or do not."""
        self._serves(Webhook.SERVING if serving else Webhook.IDLE)
