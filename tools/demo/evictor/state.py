"""Adds up events to the state that is shown and checked. No I/O."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from tools.demo.common.events import Event
from tools.demo.common.workloads import PodState, Workloads

from .events import Judged, NodeSeen, NodeState


@dataclass
class NodeView:
    """A node: its CPU for pods (milli-cores), its price per hour, and its result in the report."""

    name: str
    cpu: int = 0
    price: float = 0.0
    state: NodeState = NodeState.RUNNING
    goes: bool = False
    why: str = ""
    bought: bool = False
    """Whether it joined after the report."""


@dataclass
class State(Workloads):
    """The demo's state after some events.

    Attributes:
        nodes: by name, in the order of their first event. Deleted nodes stay.
    """

    nodes: dict[str, NodeView] = field(default_factory=dict)
    _reported: bool = False

    def apply(self, event: Event) -> None:
        """Apply an event."""
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

    # --- results ---

    def in_state(self, *states: NodeState) -> list[NodeView]:
        """The nodes in one of these states."""
        return [node for node in self.nodes.values() if node.state in states]

    @property
    def standing(self) -> list[NodeView]:
        """The nodes that exist."""
        return [node for node in self.nodes.values() if node.state is not NodeState.DELETED]

    @property
    def promised(self) -> list[NodeView]:
        """The nodes that could be emptied by the report."""
        return [node for node in self.nodes.values() if node.goes]

    @property
    def deleted(self) -> list[NodeView]:
        """The deleted nodes of the report."""
        return [node for node in self.in_state(NodeState.DELETED) if not node.bought]

    @property
    def bought(self) -> list[NodeView]:
        """The nodes that joined after the report."""
        return [node for node in self.nodes.values() if node.bought]

    @property
    def cost(self) -> float:
        """Price per hour of the nodes that exist."""
        return sum(node.price for node in self.standing)

    @property
    def cost_before(self) -> float:
        """Price per hour of all nodes of the report."""
        return sum(node.price for node in self.nodes.values() if not node.bought)

    @property
    def use(self) -> float:
        """The part of the existing nodes' CPU that pods request."""
        names = {node.name for node in self.standing}
        requested = sum(pod.cpu for pod in self.pods.values() if pod.node in names)
        return requested / max(1, sum(node.cpu for node in self.standing))

    def cpu(self) -> dict[str, Counter[PodState]]:
        """Requested milli-cores on each node, by the state of the pods."""
        return self.cpu_on(self.nodes)
