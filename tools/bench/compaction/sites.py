"""Nodes and kinds of pods while a cluster is made: how large they are, and what is still free."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

ZONES = ("a", "b", "c")
CPU, MEMORY = 16_000, 64 * 1024
"""Thousandths of a core and MiB of a node; some are twice as large."""
AGENT = (100, 256)
"""What a DaemonSet's pod takes of each."""
SPREAD, APART, ZONAL, SINGLE = "spread", "apart", "zonal", "single"
"""What pods may wish for: to be even over zones, on nodes without their like, in one zone, to be the only replica."""


class Item(NamedTuple):
    """A kind of pod: a workload, of which a node has at most one."""

    name: str
    cpu: int
    memory: int
    wish: str


@dataclass(slots=True)
class Site:
    """A node while the cluster is made.

    Attributes:
        kept: whether somebody has forbidden to remove it.
    """

    name: str
    zone: str
    pool: str
    size: int
    cpu: int = 0
    memory: int = 0
    items: list[Item] = field(default_factory=list)
    kept: bool = False

    def __post_init__(self) -> None:
        self.cpu, self.memory = room(self.size)

    def put(self, item: Item) -> None:
        """Place a pod."""
        self.items.append(item)
        self.cpu -= item.cpu
        self.memory -= item.memory

    def take_off(self, item: Item) -> None:
        """Take a pod away again."""
        self.items.remove(item)
        self.cpu += item.cpu
        self.memory += item.memory

    def takes(self, item: Item) -> bool:
        """Whether there is room for a pod, and none like it there already."""
        return item.cpu <= self.cpu and item.memory <= self.memory and item not in self.items


def room(size: int) -> tuple[int, int]:
    """What a node has for pods."""
    return size * CPU - AGENT[0], size * MEMORY - AGENT[1]


def sites(nodes: int, *, mixed: bool) -> list[Site]:
    """The nodes of a cluster, empty: three in a row are alike, one in each zone.

    Args:
        nodes: how many.
        mixed: whether there are two pools and two sizes.
    """
    found = []
    for number in range(nodes):
        triple = number // 3
        pool, size = (
            ("batch" if triple % 5 == 4 else "general", 1 + (triple % 7 in (1, 5))) if mixed else ("general", 1)
        )
        found.append(Site(f"node-{number:05}", ZONES[number % 3], pool, size))
    return found
