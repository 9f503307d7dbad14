"""Adds up events to the state that is shown and checked. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field

from tools.demo.common.events import Event
from tools.demo.common.workloads import PodSeen, Workloads

from .events import (
    Coming,
    Failed,
    Going,
    Killed,
    LeaderSeen,
    NewSeen,
    Nominated,
    OldSeen,
    Planned,
    SlotsSeen,
    WebhookSeen,
)


@dataclass
class OldNode:
    """A node to be emptied, and its CPU for pods (milli-cores)."""

    name: str
    cpu: int = 0
    state: Going = Going.RUNNING
    ready: bool = False


@dataclass
class NewNode:
    """A node of the plan: its promise, its state, and what has filled its slots."""

    name: str
    cpu: int = 0
    slots: int = 0
    devices: int = 0
    state: Coming = Coming.PLANNED
    filled: SlotsSeen = field(default_factory=lambda: SlotsSeen(at=0, node=""))

    @property
    def taken(self) -> int:
        """The number of its filled slots."""
        return self.filled.webhook + self.filled.steered + self.filled.binding + self.filled.scheduler


@dataclass
class State(Workloads):
    """The demo's state after some events.

    Attributes:
        old: the nodes to be emptied, by name.
        new: the nodes of the plan, by name, in the plan's order.
        nominated: the node to which the pinner has nominated a pod, by the pod's name.
        failed: names of pods that have been Failed at any time.
        leader: the replica that holds the Lease. Empty: none or unknown.
        webhook: the replica whose webhook is registered. Empty: none.
        killed: the event of the kill, or None.
        evicted_before: number of pods that had begun to leave by then.
        took_over: when another replica held the Lease after it (seconds since the start).
        served_again: when the webhook of that replica was registered.
        unasked: names of pods that were created in between, while no webhook was registered.
    """

    old: dict[str, OldNode] = field(default_factory=dict)
    new: dict[str, NewNode] = field(default_factory=dict)
    nominated: dict[str, str] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    leader: str = ""
    webhook: str = ""
    killed: Killed | None = None
    evicted_before: int = 0
    took_over: float | None = None
    served_again: float | None = None
    unasked: set[str] = field(default_factory=set)

    def apply(self, event: Event) -> None:
        """Apply an event."""
        if isinstance(event, PodSeen) and self.killed and self.served_again is None and event.pod not in self.pods:
            self.unasked.add(event.pod)
        super().apply(event)
        match event:
            case OldSeen(node=name):
                self.old[name] = OldNode(name, event.cpu, event.state, event.ready)
            case Planned(node=name):
                self.new[name] = NewNode(name, event.cpu, event.slots, event.devices)
            case NewSeen(node=name):
                self.new.setdefault(name, NewNode(name)).state = event.state
            case SlotsSeen(node=name):
                self.new.setdefault(name, NewNode(name)).filled = event
            case Nominated():
                self.nominated[event.pod] = event.node
            case Failed():
                self.failed.add(event.pod)
            case LeaderSeen():
                self._leader(event)
            case WebhookSeen():
                self.webhook = event.replica
                self._succession(event.at)
            case Killed():
                self.killed, self.evicted_before = event, len(self.evicted)

    def _leader(self, event: LeaderSeen) -> None:
        self.leader = event.replica
        if self.killed and self.took_over is None and event.replica not in ("", self.killed.replica):
            self.took_over = event.at
        self._succession(event.at)

    def _succession(self, at: float) -> None:
        """The Lease and the webhook have separate watches, so either event may come first."""
        if self.took_over is not None and self.served_again is None and self.webhook == self.leader:
            self.served_again = at

    # --- results ---

    def old_in(self, *states: Going) -> list[OldNode]:
        """The nodes to be emptied that are in one of these states."""
        return [node for node in self.old.values() if node.state in states]

    def new_in(self, *states: Coming) -> list[NewNode]:
        """The nodes of the plan that are in one of these states."""
        return [node for node in self.new.values() if node.state in states]

    @property
    def takeover(self) -> float | None:
        """Seconds from the kill until another replica held the Lease."""
        return None if self.killed is None or self.took_over is None else self.took_over - self.killed.at

    @property
    def silence(self) -> float | None:
        """Seconds from the kill until the webhook of another replica was registered."""
        return None if self.killed is None or self.served_again is None else self.served_again - self.killed.at
