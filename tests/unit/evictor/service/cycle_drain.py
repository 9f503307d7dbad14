"""The acting evictor, over a cluster in memory: the real caches, cycles and drains, in virtual time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

from moorage.controller.fence import Fence
from moorage.controller.own_pod import OwnPod
from moorage.drain import Settings as Drains
from moorage.evictor import drain_reporting, kinds
from moorage.evictor.candidates import Policy
from moorage.evictor.compaction import History, Settings, never
from moorage.evictor.configuration import Configuration
from moorage.evictor.configuration_watch import CurrentConfiguration
from moorage.evictor.cycle import Computed, CycleLoop, compute
from moorage.evictor.cycle_drain import CycleDrain
from moorage.evictor.destinations import ReplacementMove, Reserving, Steering
from moorage.evictor.evaluation import Evaluation
from moorage.evictor.inventory import Inventory
from moorage.evictor.other_evictors import OtherEvictors
from moorage.evictor.recheck import Remaining, recheck
from moorage.evictor.sources.watched import WatchedCluster
from moorage.evictor.status import StatusUpdate
from moorage.evictor.verdict_counts import VerdictCounts
from moorage.kube.client import Client
from moorage.kube.http.transport import Transport
from tests.unit.drain.bed.bed import US, Bed
from tests.unit.pinner.bed.api import KINDS
from tests.unit.pinner.bed.refusals import Json

from .held import Recorder, in_force
from .pinning import Pinner

KINDS.update({each.plural: each for each in kinds.KINDS if each.plural not in KINDS})
ACTS = Configuration(
    policy=Policy(node_grace_period=timedelta(0), installation=US),
    choice=Settings(quiet_period=timedelta(0), most=1),
    interval=timedelta(seconds=30),
    dry_run=False,
    drains=Drains(parallel=2),
)
SECONDS = 10.0
"""Seconds that a stopping evictor may take."""


class Evictor(Bed):
    """A cluster with an evictor in it.

    Attributes:
        found: the effective configuration.
        history: the evictions of late, as they are known.
        said: the results to be stored.
        writes_down: whether that comes about.
        looks: the results of the cycles.
        thinks: seconds that a repeated simulation takes.
        thought: from and to, when it did.
        recorder: the Events.
        pinner: a pod pinner; it serves nothing at first.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.found: CurrentConfiguration = in_force(ACTS)
        self.history = History()
        self.said: list[StatusUpdate] = []
        self.writes_down = True
        self.looks: list[Evaluation] = []
        self.thinks = 0.2
        self.thought: list[tuple[float, float]] = []
        self.failures: list[str] = []
        self.recorder = Recorder()
        self.pinner = Pinner(self.api)
        self._watched = WatchedCluster(cast("Transport", self.wire), changed=self._change)
        self._acting: CycleDrain | None = None
        self._cycles: CycleLoop | None = None
        self._term: asyncio.Task[None] | None = None
        self._number = 1

    # --- what people do ---

    def configure(self, **changes: Any) -> None:
        """Somebody writes another configuration."""
        assert self.found.configuration is not None
        self._number += 1
        self.found = in_force(replace(self.found.configuration, **changes), self._number)
        self._change()
        if self._cycles is not None:
            self._cycles.configured.set()

    def deployment_of(self, name: str, namespace: str, replicas: int = 1) -> None:
        """Somebody installs an evictor."""
        labels = {"app.kubernetes.io/name": "castai-evictor"}
        self.api.create(
            "deployments", {"metadata": {"name": name, "labels": labels}, "spec": {"replicas": replicas}}, namespace
        )

    # --- time ---

    async def start(self) -> None:
        """The cluster lives from now on, and the evictor leads."""
        self.api.create("namespaces", {"metadata": {"name": "shop"}})
        for name in self.cluster.nodes:
            self.api.edit("nodes", name, self._give_room)
        for key, found in list(self.api.store.objects["deployments"].items()):
            replicas = found["spec"]["replicas"]
            status = {"observedGeneration": 100, "replicas": replicas, "updatedReplicas": replicas}
            self.api.edit("deployments", key, lambda each, status=status: each.update(status=status))  # type: ignore[misc]
        self.cluster.settle()
        await asyncio.sleep(5.0)
        self._tasks = [asyncio.create_task(self._watched.run())]
        await self._watched.wait_synced()
        self._tasks.append(asyncio.create_task(self.cluster.run(), name="cluster"))
        self._tasks.append(asyncio.create_task(self.pinner.run(), name="pinner"))
        self.begin_term()

    def begin_term(self) -> None:
        """Somebody leads who knows nothing."""
        us = OwnPod(self.recorder.as_recorder(), "castai-agent", "castai-evictor-1-x", lambda: "")
        client, clock = Client(cast("Transport", self.wire), patience=0.0), self.wire.clock
        reserving = Reserving(client, Fence(lambda: self.leads, 8), US, clock.now)
        self._acting = acting = CycleDrain(
            client,
            self._watched,
            self,
            self,
            self._ask,
            Steering(reserving, clock.now, self.now),
            OtherEvictors("castai-agent", "castai-evictor-1-x", US),
            drain_reporting.DrainReporter(self.recorder.as_recorder(), us),
            clock=clock,
            leads=lambda: self.leads,
            installation=US,
            monotonic=self.now,
            changed=self._change,
        )
        self._cycles = CycleLoop(
            self._watched, self, self._look, self, self, drains=acting, now=self.wire.clock.now, interval=30.0
        )
        self._term = asyncio.create_task(self._cycles.run(), name="term")

    async def kill(self) -> None:
        """Whoever leads is gone from one moment to the next."""
        assert self._term is not None
        assert self._acting is not None
        self._term.cancel()
        await asyncio.gather(self._term, return_exceptions=True)
        self._acting.close()
        self._cycles = self._acting = None

    async def stop(self) -> None:
        """Stop the leader, with a few seconds of grace."""
        assert self._acting is not None
        await self._acting.end(SECONDS)
        await self.kill()

    async def __aexit__(self, *error: Any) -> None:
        if self._cycles is not None:
            await self.kill()
        await super().__aexit__(*error)

    def _give_room(self, node: Json) -> None:
        room = {"cpu": "4", "memory": "8Gi", "pods": str(self.cluster.room)}
        node["status"].update(allocatable=room, capacity=room)

    def _change(self) -> None:
        if self._acting is not None and self._cycles is not None:
            self._acting.wake()
            self._cycles.changed.set()

    # --- what the cycles need ---

    async def _look(self, inventory: Inventory, configuration: Configuration, history: History) -> Computed:
        await asyncio.sleep(0.2)
        return compute(inventory, configuration, history, stopped=never)

    async def _ask(
        self,
        inventory: Inventory,
        configuration: Configuration,
        history: History,
        names: Collection[str],
        coming: Sequence[ReplacementMove],
        proposed: Mapping[str, str],
    ) -> Remaining:
        self.asked.append(tuple(names))
        began = self.now()
        await asyncio.sleep(self.thinks)
        self.thought.append((began, self.now()))
        return recheck(inventory, configuration, history, names, coming, proposed)

    def current(self) -> CurrentConfiguration:
        return self.found

    def remember(self, configuration: Configuration) -> History:
        return self.history.since(self.wire.clock.now() - configuration.choice.owner_window)

    def evicted(self, owner: str) -> None:
        self.history = self.history.with_evictions((owner,), self.wire.clock.now())

    async def settled(self, seconds: float) -> bool:
        await asyncio.sleep(0.1 if self.writes_down else seconds)
        return self.writes_down

    def say(self, said: StatusUpdate) -> None:
        self.said.append(said)

    def configured(self, found: CurrentConfiguration) -> None:
        pass

    def looked(self, evaluation: Evaluation, counts: VerdictCounts, seconds: float) -> None:  # noqa: ARG002
        self.looks.append(evaluation)

    def idle(self, result: str) -> None:
        pass

    def failed(self, error: Exception, seconds: float) -> None:  # noqa: ARG002
        self.failures.append(repr(error))

    # --- the record ---

    @property
    def acting(self) -> tuple[bool | None, str]:
        """How it stands, by the last status."""
        (found,) = [each for each in self.said[-1].conditions if each.type == "Acting"]
        return found.holds, found.reason

    @property
    def steering(self) -> tuple[bool | None, str]:
        """How it stands with steering, by the last status."""
        (found,) = [each for each in self.said[-1].conditions if each.type == "Steering"]
        return found.holds, found.reason

    @property
    def arrivals(self) -> Mapping[str, int]:
        """The nodes on which the replacements of all cycles run."""
        cycles: dict[str, Mapping[str, int]] = {}
        for said in self.said:
            if said.last_cycle is not None:
                cycles[said.last_cycle["time"]] = said.last_cycle["replacements"]
        total: Counter[str] = Counter()
        for each in cycles.values():
            total.update(each)
        return total

    @property
    def reserved(self) -> dict[str, Json]:
        """The slot reservations that there are, by node."""
        return self.api.store.objects["slotreservations"]

    @property
    def states(self) -> list[str]:
        """Every reported state, without repetitions."""
        found = [each.reason for said in self.said for each in said.conditions if each.type == "Acting"]
        return [each for number, each in enumerate(found) if number == 0 or found[number - 1] != each]

    @property
    def drained(self) -> Mapping[str, int]:
        """What has become of nodes over all cycles."""
        cycles: dict[str, Mapping[str, int]] = {}
        for said in self.said:
            if said.last_cycle is not None:
                cycles[said.last_cycle["time"]] = said.last_cycle["drained"]
        total: Counter[str] = Counter()
        for each in cycles.values():
            total.update(each)
        return total

    @property
    def evictions(self) -> list[float]:
        """When something was evicted."""
        return [at for at, resource, _, code in self.writes() if resource == "pods/eviction" and code < 300]

    def events_of(self, reason: str) -> list[str]:
        """The objects that have such an Event."""
        return [about for about, said, _ in self.recorder.events if said == reason]
