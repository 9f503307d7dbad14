"""The pods that would have to be moved from each node, and the evictions that this uses up."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from moorage.objects import Pod


class MovingPod(NamedTuple):
    """A pod that would have to be moved.

    Attributes:
        key: the pod's.
        pod: its replacement.
        owner: the uid of the controller that its eviction counts for.
    """

    key: str
    pod: Pod
    owner: str


@dataclass(slots=True)
class Load:
    """The pods of a node that may be emptied.

    Attributes:
        name: the node.
        slot: its slot in the snapshot.
        price: what it costs.
        gain: what is left of that when its pods' moves are counted.
        moving: its pods.
        spends: how many evictions of each allowance they need.
    """

    name: str
    slot: int
    price: float
    gain: float
    moving: list[MovingPod] = field(default_factory=list)
    spends: Counter[str] = field(default_factory=Counter)
