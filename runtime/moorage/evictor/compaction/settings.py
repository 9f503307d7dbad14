"""Settings of the choice: how much is emptied, and at which price."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import timedelta

from .prices import Prices


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings that the choice reads; the defaults are those of the chart's values.

    Attributes:
        most: at most so many nodes in a cycle (maxTargetNodesPerCycle); None: no bound.
        least: at least so many are considered, whatever the percentage comes to (minTargetNodesPerCycle).
        percentage: of the nodes that may be emptied (targetNodePercentage).
        utilisation: how full the CPU and memory of a node may get by what is moved to it, as a part of 1.
        quiet_period: how long no node is emptied after a node was created.
        spot: whether pods of on-demand nodes may be moved to spot nodes.
        arm64: whether pods may be moved to arm64 nodes (arm64Supported).
        move_price: what moving one pod counts, in parts of the price of an average node.
        owner_window: within which time an owner sees at most max(1, replicas) evictions.
        steps: how many steps choosing may take; a step is about a pod that is looked at. They do not grow with the
            cluster: 5,000 nodes with 150,000 pods, the most that Kubernetes supports, take a quarter of them.
        midway: whether nodes of a cycle that is under way are asked about again: what that cycle has used up for the
            moment (budgets, replicas that are to come) is waited for, and is no reason to give a node back.
        prices: what nodes cost.
    """

    most: int | None = 20
    least: int = 5
    percentage: int = 10
    utilisation: float = 0.95
    quiet_period: timedelta = timedelta(minutes=10)
    spot: bool = False
    arm64: bool = True
    move_price: float = 0.002
    owner_window: timedelta = timedelta(hours=1)
    steps: int = 400_000
    midway: bool = False
    prices: Prices = field(default_factory=Prices)

    def limit(self, candidates: int) -> int:
        """Return how many of the candidates one cycle empties.

        Args:
            candidates: how many there are.
        """
        wanted = max(self.least, math.ceil(candidates * self.percentage / 100))
        return min(wanted, candidates if self.most is None else self.most, candidates)
