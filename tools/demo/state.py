"""Events added up to what a person wants to see; pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from .common import events
from .common.events import Event
from .events import NodeSeen, NodeState, Phase, PodSeen, PodState, Promised, SchedulerAlone
from .scenario import as_bought


@dataclass
class NodeView:
    """One node: what was promised (milli-cores, pods, pods by app), how far it is, and since when it is ready."""

    name: str
    capacity: int = 0
    promised: int = 0
    promised_pods: int = 0
    apps: Mapping[str, int] = field(default_factory=dict)
    state: NodeState = NodeState.PLANNED
    ready_at: float | None = None


@dataclass
class State(events.State):
    """The demo after some events.

    Attributes:
        nodes: by name, in the plan's order.
        pods: last event of each pod that exists, by name.
        phase: the part of the story that is told; None before the first.
        pinned: the pods as Moorage has placed them, once kube-scheduler has its turn; None before.
    """

    nodes: dict[str, NodeView] = field(default_factory=dict)
    pods: dict[str, PodSeen] = field(default_factory=dict)
    phase: Phase | None = None
    pinned: dict[str, PodSeen] | None = None

    def apply(self, event: Event) -> None:
        """Take one event in."""
        super().apply(event)
        match event:
            case Promised():
                node = self._node(event.node)
                node.capacity, node.promised, node.promised_pods = event.capacity, event.promised, event.pods
                node.apps = event.apps
            case NodeSeen():
                node = self._node(event.node)
                node.state = event.state
                if event.state is NodeState.READY and node.ready_at is None:
                    node.ready_at = event.at
            case Phase():
                self.phase = event
            case SchedulerAlone():
                self.pinned = dict(self.pods)
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

    def as_bought(self, pods: Mapping[str, PodSeen]) -> int:
        """How many pods are on a node that was bought for them.

        Args:
            pods: last event of each, by name.
        """
        placed: dict[str, Counter[str]] = {}
        for pod in pods.values():
            placed.setdefault(pod.node, Counter())[pod.app] += 1
        return as_bought({name: node.apps for name, node in self.nodes.items()}, placed)
