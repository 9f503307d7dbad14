"""Reads every revision of nodes, pods and budgets, and turns changes into events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from moorage.drain import names
from moorage.drain.names import Phase
from moorage.kube import resources
from moorage.kube.cache import Change, WatchCache
from moorage.kube.http.transport import Transport
from moorage.objects import Node
from moorage.objects.quantity import milli
from tools.demo.common.following import Followed, following
from tools.demo.common.pods import PodObserver
from tools.demo.common.stage import Stage

from . import manifests
from .events import NodeSeen, NodeState
from .scenario import PRICE_LABEL
from .state import State

_PHASES = {Phase.CHOSEN: NodeState.CHOSEN, Phase.DRAINING: NodeState.DRAINING, Phase.EMPTIED: NodeState.EMPTY}


def node_state(node: Node) -> NodeState:
    """The state of a node on the way to its deletion."""
    mark = names.read(node)
    return NodeState.RUNNING if mark is None else _PHASES.get(mark.phase, NodeState.RUNNING)


class Observer:
    """Caches of the demo's nodes, pods and budgets, and the events from their changes.

    Args:
        transport: connections to the API server.
        stage: receives the events.
    """

    def __init__(self, transport: Transport, stage: Stage[State]) -> None:
        self.nodes = WatchCache(transport, resources.NODES)
        self._pods = PodObserver(transport, stage, manifests.NAMESPACE)
        self._stage = stage
        self._seen: dict[str, tuple[NodeState, int, float]] = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Follow the API server while the context is open."""
        async with following(Followed(self.nodes, self._node), *self._pods.followed):
            yield

    def _node(self, change: Change[Node]) -> None:
        node = change.object
        cpu = milli(node.status.allocatable.get("cpu", "0"))
        price = float(node.metadata.labels.get(PRICE_LABEL, "0"))
        state = NodeState.DELETED if change.new is None else node_state(node)
        name = node.metadata.name
        if self._seen.get(name) != (state, cpu, price):  # only changes are events
            self._seen[name] = (state, cpu, price)
            self._stage.take(NodeSeen(at=self._stage.elapsed, node=name, state=state, cpu=cpu, price=price))
