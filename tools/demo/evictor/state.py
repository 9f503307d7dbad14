"""Events added up to what a person wants to see, and to what is checked in the end; pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from tools.demo.common.events import Event
from tools.demo.common.workloads import PodState, Workloads

from .events import Judged, NodeSeen, NodeState


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
class State(Workloads):
    """The demo after some events.

    Attributes:
        nodes: by name, in the order in which they were seen first; those that are deleted stay.
    """

    nodes: dict[str, NodeView] = field(default_factory=dict)
    _reported: bool = False

    def apply(self, event: Event) -> None:
        """Take one event in."""
        super().apply(event)
        match event:
            case NodeSeen():
                self._node(event)
            case Judged():
                node = self.nodes.setdefault(event.node, NodeView(event.node))
                node.goes, node.why, self._reported = event.goes, event.why, True

    def _node(self, event: NodeSeen) -> None:
        node = self.nodes.get(event.node)
        if node is None:
            node = self.nodes[event.node] = NodeView(event.node, bought=self._reported)
        node.state, node.cpu, node.price = event.state, event.cpu, event.price

    # --- what it comes to ---

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
        return self.cpu_on(self.nodes)
