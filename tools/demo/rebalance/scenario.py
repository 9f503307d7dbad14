"""What the rebalancing's demo is about: nodes that are half empty, and the fewer ones that are to replace them. Pure.

What is expected where is packed as evenly as can be. Pods that want devices wait from the beginning: no old node has
any, and the plan names them for those of the new nodes that bring some.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tools.demo.common.apps import App
from tools.demo.scenario import CAPACITY, ZONES

NODES = 12
"""So many nodes the replicas are meant for."""
LEAST_NODES = 4
"""On fewer there would be no middle in which a leader could be killed."""
MOST_NODES = 16
"""Each is a process of 85 MB, and so are those that replace them."""
DEVICE = "nvidia.com/gpu"
WITH_DEVICES = 2
"""So many of the new nodes bring devices."""
FILL = 900
"""Milli-cores of a new node that are promised, on average; what the scheduler places in between must fit, too."""
APPS = (
    App("web", 12, 100),
    App("api", 9, 150, budget=2),
    App("search", 6, 150),
    App("cart", 4, 100, budget=1),
    App("mail", 2, 100),
)
TRAINER = App("trainer", 4, 100)
"""Each of its pods wants a device, which no old node has."""


@dataclass(frozen=True)
class Target:
    """One node of the plan: how many pods of each Deployment are expected there, and how many devices it brings."""

    name: str
    zone: str
    slots: Mapping[str, int]
    devices: int = 0


@dataclass(frozen=True)
class Scenario:
    """All of it.

    Attributes:
        old: names of the nodes that are to be emptied.
        apps: the Deployments whose pods are moved.
        trainer: the one whose pods wait for devices.
        targets: the nodes that are to come.
    """

    old: Sequence[str]
    apps: Sequence[App]
    trainer: App
    targets: Sequence[Target]

    @property
    def slots(self) -> int:
        """How many pods are expected on all new nodes together."""
        return sum(sum(target.slots.values()) for target in self.targets)

    @property
    def pods(self) -> int:
        """How many pods there are to be."""
        return self.trainer.replicas + sum(app.replicas for app in self.apps)


def scenario(nodes: int) -> Scenario:
    """The demo with so many nodes to be emptied."""
    apps = tuple(_scaled(app, nodes) for app in APPS)
    trainer = replace(TRAINER, replicas=WITH_DEVICES * max(1, round(TRAINER.replicas * nodes / NODES / WITH_DEVICES)))
    return Scenario([f"old-{number:02}" for number in range(1, nodes + 1)], apps, trainer, _targets(apps, trainer))


def _scaled(app: App, nodes: int) -> App:
    """A Deployment of a cluster of so many nodes: about as much of each as of twelve."""

    def part(count: int, least: int) -> int:
        return max(least, round(count * nodes / NODES))

    budget = None if app.budget is None else part(app.budget, 1)
    return replace(app, replicas=part(app.replicas, 2), budget=budget)


def _targets(apps: Sequence[App], trainer: App) -> tuple[Target, ...]:
    """As many nodes as are needed, each pod on the emptiest of them; those with devices are the last ones."""
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
