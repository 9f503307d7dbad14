"""Nodes and kinds of pods while a cluster is created: sizes, and free resources."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

ZONES = ("a", "b", "c")
CPU, MEMORY = 16_000, 64 * 1024
"""CPU (thousandths of a core) and memory (MiB) of a node. Some nodes are twice as large."""
AGENT = (100, 256)
"""Requests of a DaemonSet's pod for each."""
SPREAD, APART, ZONAL, SINGLE = "spread", "apart", "zonal", "single"
"""Constraints of pods: spread over zones, one per node, in one zone, a single replica."""


class Item(NamedTuple):
    """A kind of pod: a workload with at most one pod on a node."""

    name: str
    cpu: int
    memory: int
    wish: str


@dataclass(slots=True)
class Site:
    """A node while the cluster is created.

    Attributes:
        kept: whether its removal is forbidden.
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
        """Remove a pod."""
        self.items.remove(item)
        self.cpu += item.cpu
        self.memory += item.memory

    def takes(self, item: Item) -> bool:
        """Whether a pod has room, and the node has no pod of its kind."""
        return item.cpu <= self.cpu and item.memory <= self.memory and item not in self.items


def room(size: int) -> tuple[int, int]:
    """The node's allocatable resources."""
    return size * CPU - AGENT[0], size * MEMORY - AGENT[1]


def sites(nodes: int, *, mixed: bool) -> list[Site]:
    """The empty nodes of a cluster: three in a row are equal, one in each zone.

    Args:
        nodes: number of nodes.
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
