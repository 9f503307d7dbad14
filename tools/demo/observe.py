"""Reads the cluster and says what changed, as events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from moorage.cli.pictures import reading
from moorage.cli.pictures.reading import pod_state
from moorage.kube import resources
from moorage.kube.cache import Change, WatchCache
from moorage.kube.http.transport import Transport
from moorage.kube.watch import Selection
from moorage.objects import Node, Pod

from . import manifests
from .common.following import Followed, following
from .events import NodeState, PodSeen, PodState
from .scenario import APPS
from .stage import Stage

_CPU = {app.name: app.cpu for app in APPS}


def node_state(node: Node, *, switched_on: bool) -> NodeState:
    """How far a node of a plan is: until it was ready, its machine is joining.

    Args:
        node: as the API server has it.
        switched_on: whether its machine was started.
    """
    found = reading.node_state(node, switched_on=switched_on)
    return NodeState.JOINING if found is NodeState.NOT_READY else found


class Observer:
    """Caches of the demo's nodes and pods, and the events they cause.

    Args:
        transport: connections to the API server.
        stage: takes the events.
    """

    def __init__(self, transport: Transport, stage: Stage) -> None:
        ours = Selection(labels=manifests.SELECTOR)
        self.nodes = WatchCache(transport, resources.NODES, selection=ours)
        self.pods = WatchCache(
            transport, resources.PODS, selection=Selection(namespace=manifests.NAMESPACE, labels=manifests.SELECTOR)
        )
        self._stage = stage
        self._switched_on: set[str] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Follow the server while the context lasts."""
        async with following(Followed(self.nodes, self._node), Followed(self.pods, self._pod)):
            yield

    def switched_on(self, name: str) -> None:
        """A machine was started for this node."""
        self._switched_on.add(name)
        if (node := self.nodes.get(name)) is not None:
            self._stage.node(name, node_state(node, switched_on=True))

    def _node(self, change: Change[Node]) -> None:
        name = change.object.metadata.name
        gone = change.new is None
        state = NodeState.GONE if gone else node_state(change.object, switched_on=name in self._switched_on)
        self._stage.node(name, state)

    def _pod(self, change: Change[Pod]) -> None:
        pod = change.object
        app = pod.metadata.labels.get("app", "")
        self._stage.pod(
            PodSeen(
                at=self._stage.elapsed,
                pod=pod.key,
                app=app,
                cpu=_CPU.get(app, 0),
                state=PodState.GONE if change.new is None else pod_state(pod),
                node=pod.spec.node_name,
            )
        )
