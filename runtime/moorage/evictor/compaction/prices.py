"""Prices of nodes: money when it is known for all of them, else units of a model."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from moorage.objects import Node
from moorage.scheduling.requests import allocatable

PRICE = "moorage.dev/price-per-hour"
"""The annotation with the price of a node."""
SPOT_LABELS = (
    ("karpenter.sh/capacity-type", "spot"),
    ("eks.amazonaws.com/capacityType", "SPOT"),
    ("cloud.google.com/gke-spot", "true"),
    ("cloud.google.com/gke-preemptible", "true"),
    ("cloud.google.com/gke-provisioning", "spot"),
    ("cloud.google.com/gke-provisioning", "preemptible"),
    ("kubernetes.azure.com/scalesetpriority", "spot"),
    ("scheduling.cast.ai/spot", "true"),
    ("node.kubernetes.io/lifecycle", "spot"),
)
_TYPE_LABELS = ("node.kubernetes.io/instance-type", "beta.kubernetes.io/instance-type")
_GIB = 2**30


class Unit(Enum):
    """The unit of prices."""

    MONEY = "money"
    MODEL = "units"


class Priced(NamedTuple):
    """The prices of all nodes, in one unit.

    Attributes:
        unit: in what they are.
        of: by node.
        unknown: the nodes without a price, for which all are in units.
        total: of all nodes.
    """

    unit: Unit
    of: Mapping[str, float]
    unknown: tuple[str, ...]
    total: float

    @property
    def average(self) -> float:
        """Return the average price of a node."""
        return self.total / max(len(self.of), 1)


@dataclass(frozen=True, slots=True)
class Prices:
    """Where prices come from.

    Attributes:
        per_hour: by instance type and whether it is spot.
        cpu: units of a core (baseCPUCost).
        memory: units of a GiB (baseMemCost).
        spot_discount: what part of that a spot node costs less (spotDiscount).
    """

    per_hour: Mapping[tuple[str, bool], float] = field(default_factory=dict)
    cpu: float = 7.0
    memory: float = 1.0
    spot_discount: float = 0.5

    def of(self, nodes: Iterable[Node]) -> Priced:
        """Return the prices of nodes: money only when it is known for each of them, so that sums mean something."""
        nodes = list(nodes)
        stated = {node.metadata.name: self._stated(node) for node in nodes}
        unknown = tuple(sorted(name for name, price in stated.items() if price is None))
        if unknown:
            prices = {node.metadata.name: self._units(node) for node in nodes}
        else:
            prices = {name: price or 0.0 for name, price in stated.items()}
        return Priced(Unit.MODEL if unknown else Unit.MONEY, prices, unknown, sum(prices.values()))

    def _stated(self, node: Node) -> float | None:
        stated_price = amount(node.metadata.annotations.get(PRICE, ""))
        if stated_price is not None:
            return stated_price
        return self.per_hour.get((instance_type(node), is_spot(node)))

    def _units(self, node: Node) -> float:
        offered, _ = allocatable(node.status.capacity or node.status.allocatable)
        cost = self.cpu * offered.get("cpu", 0) / 1000 + self.memory * offered.get("memory", 0) / _GIB
        return cost * max(0.0, 1 - self.spot_discount) if is_spot(node) else cost


def amount(text: str) -> float | None:
    """Read a price; None when the text is none."""
    try:
        price = float(text)
    except ValueError:
        return None
    return price if math.isfinite(price) and price >= 0 else None


def instance_type(node: Node) -> str:
    """Return the instance type label of a node; empty without it."""
    labels = node.metadata.labels
    return next((labels[key] for key in _TYPE_LABELS if key in labels), "")


def is_spot(node: Node) -> bool:
    """Whether the provider may take the node away at any time."""
    return any(node.metadata.labels.get(key) == value for key, value in SPOT_LABELS)
