"""A seeded cluster on a control plane, watched from the contender's start to its end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from moorage.kube import credentials, resources
from moorage.kube.cache import Change, WatchCache
from moorage.kube.http.transport import Transport
from moorage.objects import Node, Pod
from tools.bench.compaction.clusters import Cluster
from tools.localcluster import LocalCluster

from .tally import Tally, floors


class Scene:
    """The observed state of the cluster.

    Args:
        cluster: the control plane, empty at first.
        seeded: the objects to create.
        transport: connections to the API server.

    Attributes:
        tally: counts of pods.
        gone: times at which nodes were deleted.
        bought: nodes that joined later.
        pods_on: number of pods on each node at the beginning.
        changed: time of the last change of the cluster.
    """

    def __init__(self, cluster: LocalCluster, seeded: Cluster, transport: Transport) -> None:
        self.cluster, self.seeded, self.transport = cluster, seeded, transport
        self.tally = Tally(floors(seeded))
        self.gone: dict[str, float] = {}
        self.bought: dict[str, Node] = {}
        self.pods_on: dict[str, int] = {}
        self.changed = time.monotonic()
        self._first = {node.metadata.name for node in seeded.nodes}

    def begin(self) -> None:
        """Count changes from now on as the contender's."""
        self.pods_on = {name: self.tally.on([name]) for name in self._first}
        self.tally.begin()
        self.changed = time.monotonic()

    def on_pod(self, change: Change[Pod]) -> None:
        """A pod has changed."""
        now = time.monotonic()
        self.tally.see(change.object, now, gone=change.new is None)
        if change.old is None or change.new is None or change.old.spec.node_name != change.new.spec.node_name:
            self.changed = now

    def on_node(self, change: Change[Node]) -> None:
        """A node has changed."""
        name = change.object.metadata.name
        if change.new is None:
            self.changed = self.gone[name] = time.monotonic()
        elif name not in self._first:
            self.bought[name] = change.new
        elif change.old is not None and change.old.spec != change.new.spec:
            self.changed = time.monotonic()


@asynccontextmanager
async def watched(cluster: LocalCluster, seeded: Cluster) -> AsyncIterator[Scene]:
    """Follow every revision of all pods and nodes.

    Args:
        cluster: the control plane, empty at first.
        seeded: the objects to create.
    """
    async with Transport(credentials.load(cluster.kubeconfig)) as transport:
        scene = Scene(cluster, seeded, transport)
        pods: WatchCache[Pod] = WatchCache(transport, resources.PODS)
        nodes: WatchCache[Node] = WatchCache(transport, resources.NODES)
        pods.subscribe(scene.on_pod)
        nodes.subscribe(scene.on_node)
        tasks = [asyncio.create_task(pods.run()), asyncio.create_task(nodes.run())]
        try:
            await pods.wait_synced()
            await nodes.wait_synced()
            yield scene
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
