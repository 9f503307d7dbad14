"""Events added up to what a person wants to see, and to what is checked in the end; pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from tools.demo.common import events
from tools.demo.common.events import Event

from .events import BudgetSeen, Judged, NodeSeen, NodeState, PodSeen, PodState, Watched


@dataclass
class NodeView:
    """One node: its CPU for pods (milli-cores), its price an hour, and what the report says of it."""

    name: str
    cpu: int = 0
    price: float = 0.0
    state: NodeState = NodeState.RUNNING
    goes: bool = False
    why: str = ""
    bought: bool = False
    """Whether it came after the report."""


@dataclass
class Workload:
    """One Deployment that is watched: its floor, and the fewest Ready pods that were ever seen."""

    name: str
    replicas: int
    floor: int
    budget: bool
    lowest: int


@dataclass
class State(events.State):
    """The demo after some events.

    Attributes:
        nodes: by name, in the order in which they were seen first; those that are deleted stay.
        pods: last event of each pod that exists, by name.
        workloads: those that are watched, by name.
        healthy: how many pods the status of each budget calls healthy, by Deployment.
        evicted: names of pods that have begun to leave since then.
        violations: a sentence for each time at which a PodDisruptionBudget wanted more healthy pods than there were.
    """

    nodes: dict[str, NodeView] = field(default_factory=dict)
    pods: dict[str, PodSeen] = field(default_factory=dict)
    workloads: dict[str, Workload] = field(default_factory=dict)
    healthy: dict[str, int] = field(default_factory=dict)
    evicted: set[str] = field(default_factory=set)
    violations: list[str] = field(default_factory=list)
    _reported: bool = False

    def apply(self, event: Event) -> None:
        """Take one event in."""
        super().apply(event)
        match event:
            case NodeSeen():
                self._node(event)
            case PodSeen():
                self._pod(event)
            case Watched(app=app):
                ready = self.ready(app)
                self.workloads[app] = Workload(app, event.replicas, event.floor, event.budget, ready)
            case BudgetSeen():
                self._budget(event)
            case Judged():
                node = self.nodes.setdefault(event.node, NodeView(event.node))
                node.goes, node.why, self._reported = event.goes, event.why, True

    def _node(self, event: NodeSeen) -> None:
        node = self.nodes.get(event.node)
        if node is None:
            node = self.nodes[event.node] = NodeView(event.node, bought=self._reported)
        node.state, node.cpu, node.price = event.state, event.cpu, event.price

    def _pod(self, event: PodSeen) -> None:
        if event.state is PodState.GONE:
            self.pods.pop(event.pod, None)
        else:
            self.pods[event.pod] = event
        if (watched := self.workloads.get(event.app)) is not None:
            watched.lowest = min(watched.lowest, self.ready(event.app))
            if event.state in (PodState.LEAVING, PodState.GONE):
                self.evicted.add(event.pod)

    def _budget(self, event: BudgetSeen) -> None:
        self.healthy[event.app] = event.healthy
        if event.app in self.workloads and event.healthy < event.desired:
            wanted = f"the PodDisruptionBudget of {event.app} wants {event.desired} healthy pods"
            self.violations.append(f"{wanted}, and there were {event.healthy}")

    # --- what it comes to ---

    def ready(self, app: str) -> int:
        """How many pods of a Deployment are Ready, and not on their way out."""
        return sum(pod.app == app and pod.state is PodState.READY for pod in self.pods.values())

    def pods_in(self, *states: PodState) -> int:
        """How many pods are in one of these states."""
        return sum(pod.state in states for pod in self.pods.values())

    def in_state(self, *states: NodeState) -> list[NodeView]:
        """The nodes that are in one of these states."""
        return [node for node in self.nodes.values() if node.state in states]

    @property
    def standing(self) -> list[NodeView]:
        """The nodes that there are."""
        return [node for node in self.nodes.values() if node.state is not NodeState.DELETED]

    @property
    def promised(self) -> list[NodeView]:
        """The nodes that could go by the report."""
        return [node for node in self.nodes.values() if node.goes]

    @property
    def deleted(self) -> list[NodeView]:
        """The nodes of the report that are gone."""
        return [node for node in self.in_state(NodeState.DELETED) if not node.bought]

    @property
    def bought(self) -> list[NodeView]:
        """The nodes that came after the report."""
        return [node for node in self.nodes.values() if node.bought]

    @property
    def cost(self) -> float:
        """What the nodes that there are cost an hour."""
        return sum(node.price for node in self.standing)

    @property
    def cost_before(self) -> float:
        """What all nodes of the report cost an hour."""
        return sum(node.price for node in self.nodes.values() if not node.bought)

    @property
    def use(self) -> float:
        """Which part of the CPU of the nodes that there are is requested by pods."""
        names = {node.name for node in self.standing}
        requested = sum(pod.cpu for pod in self.pods.values() if pod.node in names)
        return requested / max(1, sum(node.cpu for node in self.standing))

    def cpu(self) -> dict[str, Counter[PodState]]:
        """Milli-cores requested on each node, by the state of the pods."""
        used: dict[str, Counter[PodState]] = {name: Counter() for name in self.nodes}
        for pod in self.pods.values():
            if pod.node in used:
                used[pod.node][pod.state] += pod.cpu
        return used
