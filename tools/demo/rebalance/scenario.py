"""The rebalancing demo's workloads: half-empty nodes, and fewer nodes that replace them. No I/O.

The expected pods are packed as evenly as possible. Pods that request devices are pending from the beginning: no old
node has any device, and the plan names these pods for the new nodes that do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tools.demo.common.apps import App
from tools.demo.scenario import CAPACITY, ZONES

NODES = 12
"""The number of nodes for which the replicas are chosen."""
LEAST_NODES = 4
"""With fewer nodes the drains have no middle in which a leader can be killed."""
MOST_NODES = 16
"""Each node is a process of 85 MB, and so are the nodes that replace them."""
DEVICE = "nvidia.com/gpu"
WITH_DEVICES = 2
"""The number of new nodes with devices."""
FILL = 900
"""Promised milli-cores of a new node, on average. Pods that the scheduler places meanwhile must fit, too."""
APPS = (
    App("web", 12, 100),
    App("api", 9, 150, budget=2),
    App("search", 6, 150),
    App("cart", 4, 100, budget=1),
    App("mail", 2, 100),
)
TRAINER = App("trainer", 4, 100)
"""Each of its pods requests a device, which no old node has."""


@dataclass(frozen=True)
class Target:
    """A node of the plan: the number of expected pods of each Deployment, and the number of its devices."""

    name: str
    zone: str
    slots: Mapping[str, int]
    devices: int = 0


@dataclass(frozen=True)
class Scenario:
    """The whole scenario.

    Attributes:
        old: names of the nodes to be emptied.
        apps: the Deployments whose pods are moved.
        trainer: the Deployment whose pods request devices.
        targets: the new nodes.
    """

    old: Sequence[str]
    apps: Sequence[App]
    trainer: App
    targets: Sequence[Target]

    @property
    def slots(self) -> int:
        """The number of expected pods on all new nodes together."""
        return sum(sum(target.slots.values()) for target in self.targets)

    @property
    def pods(self) -> int:
        """The number of pods at the end."""
        return self.trainer.replicas + sum(app.replicas for app in self.apps)


def scenario(nodes: int) -> Scenario:
    """The scenario for this many nodes to be emptied."""
    apps = tuple(_scaled(app, nodes) for app in APPS)
    trainer = replace(TRAINER, replicas=WITH_DEVICES * max(1, round(TRAINER.replicas * nodes / NODES / WITH_DEVICES)))
    return Scenario([f"old-{number:02}" for number in range(1, nodes + 1)], apps, trainer, _targets(apps, trainer))


def _scaled(app: App, nodes: int) -> App:
    """A Deployment for a cluster of this many nodes, with about the use of twelve nodes."""

    def part(count: int, least: int) -> int:
        return max(least, round(count * nodes / NODES))

    budget = None if app.budget is None else part(app.budget, 1)
    return replace(app, replicas=part(app.replicas, 2), budget=budget)


def _targets(apps: Sequence[App], trainer: App) -> tuple[Target, ...]:
    """As many nodes as needed. Each pod goes to the emptiest of them. Nodes with devices come last."""
    wanted = sum(app.replicas * app.cpu for app in (*apps, trainer))
    count = max(WITH_DEVICES, -(-wanted // FILL))
    devices = [0] * (count - WITH_DEVICES) + [trainer.replicas // WITH_DEVICES] * WITH_DEVICES
    load = [each * trainer.cpu for each in devices]
    slots: list[Counter[str]] = [Counter() for _ in range(count)]
    for app in sorted(apps, key=lambda app: -app.cpu):
        for _ in range(app.replicas):
            emptiest = load.index(min(load))
            load[emptiest] += app.cpu
            slots[emptiest][app.name] += 1
    assert max(load) <= CAPACITY
    return tuple(
        Target(f"new-{index + 1}", ZONES[index % len(ZONES)], dict(slots[index]), devices[index])
        for index in range(count)
    )
