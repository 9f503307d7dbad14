"""Watches a drain: every revision of pods and nodes, and every state that must not occur."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from moorage.drain import Mark, Phase
from moorage.drain import names as marks
from moorage.kube import resources
from moorage.kube.cache import Change, WatchCache
from moorage.kube.http.transport import Transport
from moorage.objects import Node, Pod

UNDER_WAY = (Phase.CHOSEN, Phase.DRAINING)


class Seen:
    """Follows pods and nodes.

    Args:
        transport: requests of an account that may read them.
        floors: the number of pods of an app that must always be Ready, by its label ``app``.

    Attributes:
        wrong: states that must not occur and did, one sentence each.
        dead: the node that was killed together with its pods. Empty if none was.
        drained: nodes that have been in drain.
    """

    def __init__(self, transport: Transport, floors: Mapping[str, int]) -> None:
        self.wrong: list[str] = []
        self.dead = ""
        self.drained: set[str] = set()
        self._floors = floors
        self._begun = asyncio.Event()
        self._pods: WatchCache[Pod] = WatchCache(transport, resources.PODS)
        self._nodes: WatchCache[Node] = WatchCache(transport, resources.NODES)

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Follow while the context is open."""
        tasks = [asyncio.create_task(each.run()) for each in (self._pods, self._nodes)]
        try:
            await self._pods.wait_synced()
            await self._nodes.wait_synced()
            self._pods.subscribe(self._on_pod)
            self._nodes.subscribe(self._on_node)
            yield
        finally:
            for each in tasks:
                each.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def begun(self, seconds: float) -> bool:
        """Whether a drain begins within some seconds."""
        try:
            await asyncio.wait_for(self._begun.wait(), seconds)
        except TimeoutError:
            return False
        return True

    def marks(self) -> dict[str, Mark]:
        """The current marks by node."""
        found = {each.metadata.name: mark(each) for each in self._nodes}
        return {name: each for name, each in found.items() if each is not None}

    def nodes(self) -> list[Node]:
        """The current nodes."""
        return list(self._nodes)

    def _on_pod(self, change: Change[Pod]) -> None:
        """Record an app below its floor, unless the killed node is the reason."""
        before, after = change.old, change.new
        if before is None or not _serves(before) or (after is not None and _serves(after)):
            return
        app = before.metadata.labels.get("app", "")
        ready = sum(1 for each in self._pods if each.metadata.labels.get("app") == app and _serves(each))
        if ready < self._floors.get(app, 0) and before.spec.node_name != self.dead:
            self.wrong.append(f"{app} had {ready} Ready pods without {before.key}, fewer than {self._floors[app]}")

    def _on_node(self, change: Change[Node]) -> None:
        node = change.new
        if node is None:
            return
        found, name = mark(node), node.metadata.name
        if found is not None and not found.phase.over:
            self._begun.set()
        if found is not None and found.phase is Phase.DRAINING:
            self.drained.add(name)
        if node.spec.unschedulable and not (found is not None and found.cordoned):
            self.wrong.append(f"{name} was cordoned, but its mark does not record it: {found}")


def mark(node: Node) -> Mark | None:
    """The mark of a node. A mark that cannot be read counts as none."""
    try:
        return marks.read(node)
    except marks.UnreadableMark:
        return None


def _serves(pod: Pod) -> bool:
    ready = any(each.type == "Ready" and each.status == "True" for each in pod.status.conditions)
    return ready and pod.metadata.deletion_timestamp is None
