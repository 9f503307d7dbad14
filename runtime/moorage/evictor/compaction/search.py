"""Searches for the set of nodes to empty, for all nodes at once and in numbers.

Nodes are ordered by price per room that is lost with them. A first part of that order is emptied in one attempt: its
pods are packed onto all other nodes. The total room limits the size of that part.

If pods are left over, nodes are taken out until the rest fits, those with the most left-over pods first. Then other
nodes are added one by one as long as that succeeds. If many nodes would stay for pods that few nodes may receive, nodes
without such pods are tried instead. Parts of several sizes are tried, in each way of packing; the set of the highest
price wins.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from .allowances import Allowances
from .loads import Load
from .packing import Packing, Way
from .problem import Counts, Problem
from .step_budget import Budget

_PARTS = (1.0, 0.97, 0.9, 0.75, 0.5)
"""The sizes that are tried, as parts of the bound, as long as that is worth more and more."""
_WELL = 0.95
"""After an attempt of which so much could go no smaller part is tried."""
_AGAIN, _MANY = 2, 0.9
"""So often nodes are tried again without those whose pods are stuck, when less than this part of them could go."""
_IN_VAIN = 12
"""After so many nodes in a row that could not be added no more are tried."""
_NEAR = 0.965
"""A set of so many nodes, as a part of the bound, is good enough not to try other ways."""
_CHEAP = 5_000
"""Other ways are tried until so many steps are taken: in large clusters they find little more, and cost much.

That belongs to the method, as do the sizes of parts: more steps would change nothing, so it does not cut a plan off.
"""


class Proposal(NamedTuple):
    """A set of nodes.

    Attributes:
        loads: their places among the loads, in the order in which they should be emptied.
        targets: for each group, the slots where its pods would go, one entry per pod.
        gain: what it is worth.
    """

    loads: tuple[int, ...]
    targets: Mapping[int, list[int]]
    gain: float


_NOTHING = Proposal((), MappingProxyType({}), 0.0)


class Search:
    """Searches for the set of the highest price.

    Args:
        problem: the numbers.
        loads: the nodes that could go.
        allowances: of evictions; none are used up in the end.
        limit: how many nodes may go.
    """

    def __init__(self, problem: Problem, loads: Sequence[Load], allowances: Allowances, limit: int) -> None:
        self._problem = problem
        self._loads = loads
        self._allowances = allowances
        self._limit = limit
        self._demand = np.array([problem.demand(number) for number in range(len(loads))])
        self._own = np.array([problem.room[:, load.slot] for load in loads])
        self._counts = [dict(zip(*(each.tolist() for each in pair), strict=True)) for pair in problem.of]
        self._with: dict[int, list[int]] = {}  # the loads that have pods of a group
        for number, counts in enumerate(self._counts):
            for group in counts:
                self._with.setdefault(group, []).append(number)

    def run(self, budget: Budget) -> Proposal:
        """Return the best set that the search finds within a budget."""
        order, bound = self._part_of(self.order())
        best = _NOTHING
        for way in Way if bound else ():
            before = budget.used
            proposal = self._in_one_way(order, bound, way, budget)
            best = proposal if proposal.gain > best.gain else best
            if len(best.loads) >= _NEAR * bound or budget.used > _CHEAP or not budget.allows(budget.used - before):
                break
        return best

    def _in_one_way(self, order: list[int], bound: int, way: Way, budget: Budget) -> Proposal:
        best: tuple[list[int], Packing] | None = None
        best_gain = 0.0
        for part in _PARTS:
            chosen = order[: max(1, int(bound * part))]
            if self._gain(chosen) <= best_gain:
                break  # even if all of them could go
            kept, packing, gain = self._without_the_stuck(order, chosen, way, budget)
            if gain <= best_gain:
                break
            best, best_gain = (kept, packing), gain
            if budget.cut_off or gain >= _WELL * self._gain(chosen):
                break
        if best is None:
            return _NOTHING
        kept, packing = best
        self._add(order, kept, packing, budget)
        return Proposal(tuple(kept), _by_group(packing.placed), self._gain(kept))

    def _without_the_stuck(
        self, order: list[int], chosen: list[int], way: Way, budget: Budget
    ) -> tuple[list[int], Packing, float]:
        """Empty some nodes; replace those that stay for pods which few nodes have room for."""
        most: dict[int, int] = {}
        kept, packing, stuck = self._attempt(chosen, way, budget)
        gain = self._gain(kept)
        for _ in range(_AGAIN):
            if budget.cut_off or len(kept) >= _MANY * len(chosen):
                break
            most |= stuck
            chosen = self._with_at_most(order, most)[: len(chosen)]
            others, other_packing, stuck = self._attempt(chosen, way, budget)
            if self._gain(others) <= gain:
                break
            kept, packing, gain = others, other_packing, self._gain(others)
        return kept, packing, gain

    def _with_at_most(self, order: list[int], most: Mapping[int, int]) -> list[int]:
        """The first loads that together have no more pods of some groups than there is room for."""
        used: Counter[int] = Counter()
        found = []
        for number in order:
            counts = {group: count for group, count in self._counts[number].items() if group in most}
            if all(used[group] + count <= most[group] for group, count in counts.items()):
                used.update(counts)
                found.append(number)
        return found[: self._room_for(found)]

    def _gain(self, loads: list[int]) -> float:
        return sum(self._loads[number].gain for number in loads)

    def order(self) -> list[int]:
        """Return the loads by price per room that is lost with the node."""
        if not self._loads:
            return []
        gain = np.array([load.gain for load in self._loads])
        lost = self._demand + self._own
        weight = self._demand.sum(axis=0) / np.maximum(self._problem.room.sum(axis=1), 1)
        scale = np.maximum(lost.mean(axis=0), 1)
        cost = (lost / scale) @ (weight / max(weight.max(initial=0.0), 1e-9))
        worth = gain / np.maximum(cost, 1e-9)
        pods = np.array([len(load.moving) for load in self._loads])
        # Rounded, so that equal nodes are ordered by how little has to be moved and by name, not by the last bit.
        return sorted(range(len(self._loads)), key=lambda n: (-round(worth[n], 6), pods[n], self._loads[n].name))

    def _part_of(self, order: list[int]) -> tuple[list[int], int]:
        """The loads that allowances permit together, and how many of them there is room for at most.

        Those with a pod that fits nowhere are left out.
        """
        allowed = []
        hopeless = self._problem.hopeless()
        for number in order:
            if hopeless.isdisjoint(self._counts[number]) and self._allowances.allow(self._loads[number]):
                self._allowances.take(self._loads[number])
                allowed.append(number)
        for number in allowed:
            self._allowances.give_back(self._loads[number])
        if not allowed:
            return [], 0
        bound = self._room_for(allowed)
        return (allowed, bound) if bound <= self._limit else self._dearest(allowed, bound)

    def _room_for(self, loads: list[int]) -> int:
        """How many of some loads, from the first, there is room for."""
        demand = self._demand[loads].cumsum(axis=0)
        room = self._problem.room.sum(axis=1) - self._own[loads].cumsum(axis=0)
        enough = np.flatnonzero((demand <= room).all(axis=1))
        return int(enough.max()) + 1 if enough.size else 0

    def _dearest(self, allowed: list[int], bound: int) -> tuple[list[int], int]:
        """The loads of the highest price, where allowances permit fewer than fit."""
        first = sorted(allowed[:bound], key=lambda n: (-self._loads[n].gain, self._loads[n].name))
        return first, self._limit

    def _attempt(self, chosen: list[int], way: Way, budget: Budget) -> tuple[list[int], Packing, dict[int, int]]:
        """Empty as many of some nodes as possible; count how many pods of the left-over groups were placed."""
        wanted: Counts = np.zeros(self._problem.requested.shape[1], dtype=np.int64)
        for number in chosen:
            groups, counts = self._problem.of[number]
            wanted[groups] += counts
        packing = Packing(self._problem, wanted, [self._loads[number].slot for number in chosen])
        packing.run(way, budget)
        stuck = {group: int(wanted[group] - packing.left[group]) for group in np.flatnonzero(packing.left).tolist()}
        return self._take_out(chosen, packing, budget), packing, stuck

    def _add(self, order: list[int], kept: list[int], packing: Packing, budget: Budget) -> None:
        """Add nodes that can still be emptied, until that has failed for some time."""
        there, failed = set(kept), 0
        for number in order:
            if len(kept) >= self._limit or failed >= _IN_VAIN or budget.cut_off:
                break
            if number in there or not packing.has_room_for(self._demand[number], self._loads[number].slot):
                continue
            if packing.add(*self._problem.of[number], self._loads[number].slot, budget):
                kept.append(number)
                failed = 0
            else:
                failed += 1

    def _take_out(self, chosen: list[int], packing: Packing, budget: Budget) -> list[int]:
        """Leave out nodes until no pod is left over, those with most left-over pods for their price first."""
        there = dict.fromkeys(chosen)
        while packing.left.any():
            covers: Counter[int] = Counter()
            for group in np.flatnonzero(packing.left).tolist():
                left = int(packing.left[group])
                covers.update({n: min(left, self._counts[n][group]) for n in self._with[group] if n in there})
            out = max(covers, key=lambda number: (covers[number] / max(self._loads[number].gain, 1e-9), number))
            packing.take_out(*self._problem.of[out], self._loads[out].slot)
            packing.fill_up(budget)
            del there[out]
        return list(there)


def _by_group(placed: Mapping[int, Mapping[int, int]]) -> dict[int, list[int]]:
    return {
        group: [slot for slot, count in sorted(there.items()) for _ in range(count)] for group, there in placed.items()
    }
