"""Reads every revision of nodes, pods and budgets, and says what changed, as events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from moorage.drain import names
from moorage.drain.names import Phase
from moorage.kube import resources
from moorage.kube.cache import Change, WatchCache
from moorage.kube.transport import Transport
from moorage.kube.watch import Selection
from moorage.objects import Node, Pod, PodDisruptionBudget
from moorage.objects.quantity import milli
from tools.demo.common.following import Followed, following
from tools.demo.common.stage import Stage

from . import manifests
from .events import BudgetSeen, NodeSeen, NodeState, PodSeen, PodState
from .scenario import PRICE_LABEL
from .state import State

_PHASES = {Phase.CHOSEN: NodeState.CHOSEN, Phase.DRAINING: NodeState.DRAINING, Phase.EMPTIED: NodeState.EMPTY}


def node_state(node: Node) -> NodeState:
    """How far a node is on its way out."""
    mark = names.read(node)
    return NodeState.RUNNING if mark is None else _PHASES.get(mark.phase, NodeState.RUNNING)


def pod_state(pod: Pod) -> PodState:
    """How far a pod is; one that is being deleted serves nobody, whatever it says."""
    if pod.metadata.deletion_timestamp is not None or pod.finished:
        return PodState.LEAVING
    if not pod.spec.node_name:
        return PodState.PENDING
    ready = any(each.type == "Ready" and each.status == "True" for each in pod.status.conditions)
    return PodState.READY if ready else PodState.STARTING


class Observer:
    """Caches of the demo's nodes, pods and budgets, and the events they cause.

    Args:
        transport: connections to the API server.
        stage: takes the events.
    """

    def __init__(self, transport: Transport, stage: Stage[State]) -> None:
        here = Selection(namespace=manifests.NAMESPACE)
        self.nodes = WatchCache(transport, resources.NODES)
        self.pods = WatchCache(transport, resources.PODS, selection=here)
        self.budgets = WatchCache(transport, resources.DISRUPTION_BUDGETS, selection=here)
        self._stage = stage
        self._seen: dict[str, NodeSeen | PodSeen] = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Follow the server while the context lasts."""
        async with following(
            Followed(self.nodes, self._node), Followed(self.pods, self._pod), Followed(self.budgets, self._budget)
        ):
            yield

    def _node(self, change: Change[Node]) -> None:
        node = change.object
        cpu = milli(node.status.allocatable.get("cpu", "0"))
        price = float(node.metadata.labels.get(PRICE_LABEL, "0"))
        state = NodeState.DELETED if change.new is None else node_state(node)
        name = node.metadata.name
        self._tell(name, NodeSeen(at=self._stage.elapsed, node=name, state=state, cpu=cpu, price=price))

    def _pod(self, change: Change[Pod]) -> None:
        pod = change.object
        found = PodSeen(
            at=self._stage.elapsed,
            pod=pod.metadata.name,
            app=pod.metadata.labels.get("app", ""),
            cpu=sum(milli(each.resources.requests.get("cpu", "0")) for each in pod.spec.containers),
            state=PodState.GONE if change.new is None else pod_state(pod),
            node=pod.spec.node_name,
        )
        self._tell(found.pod, found)

    def _budget(self, change: Change[PodDisruptionBudget]) -> None:
        status = change.object.status
        if change.new is not None:
            name = change.object.metadata.name
            found = BudgetSeen(
                at=self._stage.elapsed, app=name, healthy=status.current_healthy, desired=status.desired_healthy
            )
            self._stage.take(found)

    def _tell(self, name: str, found: NodeSeen | PodSeen) -> None:
        """Only changes are events."""
        before = self._seen.get(name)
        if before is None or _but_time(before) != _but_time(found):
            self._seen[name] = found
            self._stage.take(found)


def _but_time(seen: NodeSeen | PodSeen) -> tuple[object, ...]:
    if isinstance(seen, NodeSeen):
        return seen.state, seen.cpu, seen.price
    return seen.state, seen.node
