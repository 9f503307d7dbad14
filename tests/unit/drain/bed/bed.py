"""The test bed: a cluster in memory, and a drain over the real client and the real caches."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from types import SimpleNamespace, TracebackType
from typing import Any, Self, cast
from unittest import mock

from moorage.controller.fence import Fence
from moorage.drain import CachedCluster, ClusterState, Drainer, News, OnNode, Settings, Stance
from moorage.drain.batch import Ended, Policy
from moorage.drain.drainer import Drained
from moorage.kube import backoff, resources
from moorage.kube.cache import WatchCache
from moorage.kube.client import Client
from moorage.kube.http.transport import Transport
from moorage.kube.indexes import by_node
from moorage.objects import Node, Pod
from tests.unit.pinner.bed.bed import LIMIT, WINDOW
from tests.unit.pinner.bed.refusals import Json
from tests.unit.pinner.bed.wire import Wire

from .api import EvictionApi
from .cluster import NAMESPACE, Cluster
from .witness import Witness

US = "castai-agent/castai-evictor"


class Caches:
    """What whoever drains follows."""

    def __init__(self, transport: Transport) -> None:
        self.nodes = WatchCache(transport, resources.NODES)
        self.pods = WatchCache(transport, resources.PODS, indexes={"node": by_node})
        self.budgets = WatchCache(transport, resources.DISRUPTION_BUDGETS)
        kinds = (
            resources.REPLICA_SETS,
            resources.DEPLOYMENTS,
            resources.STATEFUL_SETS,
            resources.REPLICATION_CONTROLLERS,
        )
        self.workloads: Mapping[str, WatchCache[Any]] = {each.kind: WatchCache(transport, each) for each in kinds}

    @property
    def all(self) -> list[WatchCache[Any]]:
        return [self.nodes, self.pods, self.budgets, *self.workloads.values()]


class Bed:
    """An asynchronous context.

    Args:
        seed: of all that is left to chance.
        settings: how nodes are drained.

    Attributes:
        api: the server, for changes of other clients.
        wire: the connection, for faults.
        cluster: what acts by itself.
        witness: sees what must not be.
        news: what was told.
        wanted: what the simulation answers when it is asked which of some nodes could still go.
        holders: apps whose pods may not be moved.
        exempt: apps whose pods may be moved whatever is left.
        claimed: nodes that another program is at work on.
        leads: whether we may write.
    """

    def __init__(self, *, seed: int = 0, **settings: Any) -> None:
        loop = asyncio.get_running_loop()
        self.now = loop.time
        self.api = EvictionApi(loop.time)
        self.wire = Wire(self.api)
        self.wire.most = 4000
        self.cluster = Cluster(self.api, seed)
        self.witness = Witness(self.api, self.cluster)
        self.settings = Settings(**settings)
        self.news: list[News] = []
        self.wanted: Callable[[Sequence[str]], Collection[str]] = lambda remaining: remaining
        self.holders: set[str] = set()
        self.exempt: set[str] = set()
        self.claimed: set[str] = set()
        self.leads = True
        self.asked: list[tuple[str, ...]] = []
        self._seed = seed
        self._caches = Caches(cast("Transport", self.wire))
        self._tasks: list[asyncio.Task[None]] = []
        self._patches = ExitStack()
        self._random: object = None

    async def __aenter__(self) -> Self:
        self._random = random.getstate()
        random.seed(self._seed)
        backoff._chance.seed(self._seed)
        self._patches.enter_context(mock.patch("moorage.kube.cache.time", SimpleNamespace(monotonic=self.now)))
        logging.getLogger("moorage").setLevel(logging.CRITICAL)
        return self

    async def begin(self) -> Drainer:
        """The cluster is as it was put together: it lives from now on, and somebody leads."""
        self.cluster.settle()
        await asyncio.sleep(5.0)  # nobody is as young as what is to come
        self._tasks = [asyncio.create_task(cache.run()) for cache in self._caches.all]
        for cache in self._caches.all:
            await cache.wait_synced()
        self._tasks.append(asyncio.create_task(self.cluster.run(), name="cluster"))
        return self.lead()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._patches.close()
        random.setstate(cast("Any", self._random))
        logging.getLogger("moorage").setLevel(logging.NOTSET)

    def lead(self) -> Drainer:
        """A new term: nothing is known but what the cluster says."""
        drainer = Drainer(
            Client(cast("Transport", self.wire), patience=0.0),
            CachedCluster(self._caches),
            Fence(lambda: self.leads, 8),
            self.wire.clock,
            US,
            Policy(self._classify, lambda node, _: "Karpenter" if node.metadata.name in self.claimed else ""),
            self.settings,
            monotonic=self.now,
            tell=self.news.append,
        )
        self._drainers: list[Drainer] = [*getattr(self, "_drainers", []), drainer]
        return drainer

    def _classify(self, _: Node, pods: Sequence[Pod], __: ClusterState) -> Iterable[OnNode]:
        for pod in pods:
            app = pod.metadata.labels.get("app", "")
            if app in self.holders or not app:
                yield OnNode(pod, Stance.HOLDS, why="it is said to stay")
            else:
                yield OnNode(pod, Stance.MOVES, exempt=app in self.exempt)

    async def simulate(self, remaining: Sequence[str]) -> Collection[str]:
        """The simulation."""
        self.asked.append(tuple(remaining))
        await asyncio.sleep(0.3)
        return self.wanted(remaining)

    async def until(self, condition: Callable[[], object], within: float = 600.0, step: float = 0.01) -> None:
        """Let time pass until something is so."""
        end = self.now() + within
        while not condition():
            assert self.now() < end, self.writes()
            await asyncio.sleep(step)

    async def drain(self, drainer: Drainer, *nodes: str) -> Drained:
        """Empty nodes."""
        return await drainer.drain(nodes, self.simulate)

    async def peace(self, seconds: float = 60.0) -> Mapping[str, Ended]:
        """Nothing is in the way any more, and a new leader tidies up; then time passes."""
        self.wire.faults.lift()
        self.wire.lag.clear()
        self.wire.let_go()
        await asyncio.sleep(3.0)
        ended = await self.lead().clean_up()
        await asyncio.sleep(seconds)
        return ended

    # --- the record ---

    def node(self, name: str) -> Json:
        """A Node as it is stored."""
        found = self.api.read("nodes", name)
        assert found is not None
        return found

    def phase(self, name: str) -> str:
        """The phase in a node's mark."""
        text: str = self.node(name)["metadata"].get("annotations", {}).get("moorage.dev/drain", "")
        return text.partition('"phase":"')[2].partition('"')[0]

    def pods_on(self, name: str) -> list[str]:
        """The pods on a node, by name."""
        return sorted(pod["metadata"]["name"] for pod in self.cluster.on(name))

    def writes(self) -> list[tuple[float, str, str, int]]:
        """What we wrote, or tried to."""
        return [
            (each.at, each.resource, each.key, each.code)
            for each in self.api.audit
            if each.ours and each.verb in ("create", "patch", "update", "delete")
        ]

    def repeated(self) -> list[str]:
        """What was asked too often of one object."""
        found = []
        times: dict[tuple[str, str], list[float]] = {}
        for at, resource, key, _ in self.writes():
            kept = [each for each in times.get((resource, key), []) if each > at - WINDOW]
            times[resource, key] = [*kept, at]
            if len(times[resource, key]) > LIMIT:
                found.append(f"{resource} {key}: {len(times[resource, key])} times in {WINDOW:g} s")
        return found

    def wrong(self) -> list[str]:
        """Everything that must not be, once all has come to its end."""
        return [*self.witness.wrong, *self.witness.left(), *self.repeated()]


def shop(bed: Bed, nodes: int = 4) -> None:
    """A small cluster: three workloads over some nodes, one of them with a budget."""
    for number in range(nodes):
        bed.cluster.node(f"n{number}")
    bed.cluster.deployment("web", 4)
    bed.cluster.deployment("api", 3, 1, min_ready=5)
    bed.cluster.deployment("pay", 2)
    for number in range(4):
        bed.cluster.place("web", f"n{number % nodes}")
    for number in range(3):
        bed.cluster.place("api", f"n{number % nodes}")
    for number in range(2):
        bed.cluster.place("pay", f"n{number % nodes}")
    bed.cluster.budget("pay", "pay", minAvailable=1)


__all__ = ["NAMESPACE", "US", "Bed", "shop"]
