"""Events added up to what a person wants to see; pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from .common import events
from .common.events import Event
from .events import NodeSeen, NodeState, PodSeen, PodState, Promised


@dataclass
class NodeView:
    """One node: what was promised (milli-cores, pods) and how far it is."""

    name: str
    capacity: int = 0
    promised: int = 0
    promised_pods: int = 0
    state: NodeState = NodeState.PLANNED


@dataclass
class State(events.State):
    """The demo after some events.

    Attributes:
        nodes: by name, in the plan's order.
        pods: last event of each pod that exists, by name.
    """

    nodes: dict[str, NodeView] = field(default_factory=dict)
    pods: dict[str, PodSeen] = field(default_factory=dict)

    def apply(self, event: Event) -> None:
        """Take one event in."""
        super().apply(event)
        match event:
            case Promised():
                node = self._node(event.node)
                node.capacity, node.promised, node.promised_pods = event.capacity, event.promised, event.pods
            case NodeSeen():
                self._node(event.node).state = event.state
            case PodSeen(state=PodState.GONE):
                self.pods.pop(event.pod, None)
            case PodSeen():
                self.pods[event.pod] = event

    def _node(self, name: str) -> NodeView:
        return self.nodes.setdefault(name, NodeView(name))

    def nodes_in(self, *states: NodeState) -> int:
        """How many nodes are in one of these states."""
        return sum(node.state in states for node in self.nodes.values())

    def pods_in(self, *states: PodState) -> int:
        """How many pods are in one of these states."""
        return sum(pod.state in states for pod in self.pods.values())

    def on(self, node: str) -> list[PodSeen]:
        """The pods bound to a node."""
        return [pod for pod in self.pods.values() if pod.node == node]

    def cpu(self, node: str) -> Counter[PodState]:
        """Milli-cores requested by a node's pods, by state."""
        used: Counter[PodState] = Counter()
        for pod in self.on(node):
            used[pod.state] += pod.cpu
        return used
