"""What the demo is about: four Deployments, and the packing a planner would choose for their pods. Pure.

The packing is first-fit decreasing, which fills one node after the other: kube-scheduler, left to itself, would spread
the pods evenly. So the placement at the end shows whose decision it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

CAPACITY = 1000
"""Milli-cores of a machine: a hollow kubelet reports 1 core and 3840Mi, whatever is asked of it."""
MEMORY = "3840Mi"
FILL = 850
"""Milli-cores of it that are promised; on an existing cluster the rest is for DaemonSets."""


@dataclass(frozen=True)
class App:
    """One Deployment: replicas, and each one's request in milli-cores."""

    name: str
    replicas: int
    cpu: int


@dataclass(frozen=True)
class Replica:
    """One pod of an app, as it was found in the cluster."""

    app: str
    namespace: str
    name: str
    uid: str
    cpu: int

    @property
    def key(self) -> str:
        """``namespace/name``."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True)
class Machine:
    """One node of the plan and the pods meant for it."""

    name: str
    zone: str
    pods: tuple[Replica, ...]

    @property
    def promised(self) -> int:
        """Milli-cores its pods request."""
        return sum(pod.cpu for pod in self.pods)


APPS = (App("web", 24, 100), App("api", 18, 150), App("worker", 12, 250), App("cache", 6, 300))
ZONES = ("demo-a", "demo-b", "demo-c")


def replicas(apps: Sequence[App] = APPS) -> int:
    """How many pods there will be."""
    return sum(app.replicas for app in apps)


def plan(pods: Sequence[Replica], *, prefix: str = "demo") -> tuple[Machine, ...]:
    """Pack pods onto as few machines as first-fit decreasing needs.

    Args:
        pods: all replicas; the result does not depend on their names.
        prefix: what the machines' names begin with.
    """
    bins: list[list[Replica]] = []
    for pod in sorted(pods, key=lambda each: (-each.cpu, each.app, each.name)):
        for group in bins:
            if sum(each.cpu for each in group) + pod.cpu <= FILL:
                group.append(pod)
                break
        else:
            bins.append([pod])
    return tuple(
        Machine(f"{prefix}-{index + 1:02}", ZONES[index % len(ZONES)], tuple(group)) for index, group in enumerate(bins)
    )


def shape(placement: Mapping[str, str], apps: Mapping[str, str]) -> dict[str, dict[str, int]]:
    """A placement without the pods' random names: how many pods of each app are on each node.

    Args:
        placement: node by pod.
        apps: app by pod.
    """
    found: dict[str, dict[str, int]] = {}
    for pod, node in sorted(placement.items(), key=lambda item: (item[1], apps[item[0]])):
        counts = found.setdefault(node, {})
        counts[apps[pod]] = counts.get(apps[pod], 0) + 1
    return found


def bought(machines: Sequence[Machine]) -> dict[str, dict[str, int]]:
    """For how many pods of each app each node of a plan is bought."""
    return shape(
        {pod.key: machine.name for machine in machines for pod in machine.pods},
        {pod.key: pod.app for machine in machines for pod in machine.pods},
    )


def as_bought(plan: Mapping[str, Mapping[str, int]], placed: Mapping[str, Mapping[str, int]]) -> int:
    """How many pods are on a node that was bought for them; pods of one app count as alike.

    Args:
        plan: for how many pods of each app each node was bought.
        placed: how many pods of each app are on each node.
    """
    return sum(
        min(count, placed.get(node, {}).get(app, 0)) for node, apps in plan.items() for app, count in apps.items()
    )
