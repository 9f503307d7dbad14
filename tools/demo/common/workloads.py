"""Deployments that are watched while their pods move: what happens to them, and what it adds up to; pure."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from . import events
from .events import Event


class PodState(enum.Enum):
    """How far a pod is."""

    PENDING = "pending"
    """On no node yet."""
    STARTING = "starting"
    READY = "ready"
    LEAVING = "leaving"
    """Evicted, and still on its node."""
    GONE = "gone"


class PodSeen(Event, frozen=True):
    """A pod is in this state now; ``node`` is empty until it is bound, ``cpu`` is its request in milli-cores."""

    pod: str
    app: str
    cpu: int
    state: PodState
    node: str = ""


class Watched(Event, frozen=True):
    """From now on it is watched how many pods of a Deployment are Ready: never fewer than its floor.

    ``budget`` says whether a PodDisruptionBudget sets the floor; else the Deployment's own strategy does.
    """

    app: str
    replicas: int
    floor: int
    budget: bool = False


class BudgetSeen(Event, frozen=True):
    """What the status of a Deployment's PodDisruptionBudget says now: pods that are healthy, and how many must be."""

    app: str
    healthy: int
    desired: int


@dataclass
class Workload:
    """One Deployment that is watched: its floor, and the fewest Ready pods that were ever seen."""

    name: str
    replicas: int
    floor: int
    budget: bool
    lowest: int


@dataclass
class Workloads(events.State):
    """Pods and their Deployments after some events.

    Attributes:
        pods: last event of each pod that exists, by name.
        workloads: those that are watched, by name.
        healthy: how many pods the status of each budget calls healthy, by Deployment.
        evicted: names of pods that have begun to leave since then.
        violations: a sentence for each time at which a PodDisruptionBudget wanted more healthy pods than there were.
    """

    pods: dict[str, PodSeen] = field(default_factory=dict)
    workloads: dict[str, Workload] = field(default_factory=dict)
    healthy: dict[str, int] = field(default_factory=dict)
    evicted: set[str] = field(default_factory=set)
    violations: list[str] = field(default_factory=list)

    def apply(self, event: Event) -> None:
        """Take one event in."""
        super().apply(event)
        match event:
            case PodSeen():
                self._pod(event)
            case Watched(app=app):
                ready = self.ready(app)
                self.workloads[app] = Workload(app, event.replicas, event.floor, event.budget, ready)
            case BudgetSeen():
                self._budget(event)

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

    def cpu_on(self, nodes: Iterable[str]) -> dict[str, Counter[PodState]]:
        """Milli-cores requested on each of some nodes, by the state of the pods."""
        used: dict[str, Counter[PodState]] = {name: Counter() for name in nodes}
        for pod in self.pods.values():
            if pod.node in used:
                used[pod.node][pod.state] += pod.cpu
        return used
