"""The plan: which nodes are chosen, and why the others are not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from .prices import Unit
from .reasons import KeptFinding


class Move(NamedTuple):
    """The node that the replacement of a pod fits.

    Attributes:
        pod: the pod that is evicted, ``namespace/name``.
        node: where the next one fits.
        owner: the uid of the controller that its eviction counts for.
    """

    pod: str
    node: str
    owner: str


class Emptied(NamedTuple):
    """A chosen node.

    Attributes:
        name: the node.
        price: what it costs.
        moves: its pods in the order in which they fit; none when it is empty already.
    """

    name: str
    price: float
    moves: tuple[Move, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """The nodes that could go at the same time.

    Attributes:
        chosen: in the order in which their pods fit elsewhere, the first ones worth most for each pod moved.
        kept: for each other node, why not.
        unit: in what prices are.
        unpriced: nodes without a price, for which prices are in units.
        total: what all nodes cost.
        unplaced: pods without a node that fit nowhere now, so that no room is kept for them.
        steps: how many were taken.
        cut_off: whether they ran out, so that more might be possible.
    """

    chosen: tuple[Emptied, ...]
    kept: Mapping[str, tuple[KeptFinding, ...]]
    unit: Unit
    unpriced: tuple[str, ...]
    total: float
    unplaced: tuple[str, ...]
    steps: int
    cut_off: bool

    @property
    def freed(self) -> float:
        """The price of the chosen nodes."""
        return sum(node.price for node in self.chosen)

    @property
    def moved(self) -> int:
        """The number of pods that move."""
        return sum(len(node.moves) for node in self.chosen)
