"""Fills nodes with pods of many kinds at once, in several ways: no single way is best for all clusters.

*By node*: node by node, always the group of pods that comes closest to what is left of the node over all resources,
weighted by their scarcity. A node with much memory and little CPU left gets pods that need it so. This is the greedy
algorithm by norm of Panigrahy et al. ("Heuristics for Vector Bin Packing"), on nodes that are partly full.

*By pod*: the largest pods first, each on the node where it leaves the least.

Both prefer groups that few nodes may receive. Pods that are left over go where another pod can make room for them;
pods of nodes that are added one by one do, too.
"""

from __future__ import annotations

from enum import Enum

import numpy as np

from moorage.scheduling.nodes import Bools, Floats
from moorage.scheduling.plugins.node_resources_fit import Amounts

from .problem import Counts, Problem
from .step_budget import Budget

_SCARCE = 0.5
"""How much more a kind of pod counts that may go nowhere but to a small part of the room."""
_AT_ONCE = 8
"""A part of the like pods that a node could take goes there at once: one in so many."""
_SHORT = 96
"""Of so many kinds the next pods for a node are taken, the closest ones, until none of those fits."""
_FEW = 0.03
"""The part of all pods that may be left over for it to be worth while to make room for them one by one."""
_LOOKED_AT = 12
"""On how many nodes it is tried to make room for a pod."""


class Way(Enum):
    """A way to fill nodes."""

    BY_NODE = "by node, those with least room first"
    BY_POD = "by pod"
    BY_ROOMY_NODE = "by node, those with most room first"


class Packing:
    """Places the pods of nodes that are to be emptied on other nodes.

    Args:
        problem: the numbers.
        wanted: how many pods of each group are to be placed.
        closed: the slots of their own nodes, which receive no pods.

    Attributes:
        left: how many of each group are not placed.
        placed: how many of each group are on each node, by group and slot.
    """

    def __init__(self, problem: Problem, wanted: Counts, closed: list[int]) -> None:
        self._problem = problem
        self._wanted = int(wanted.sum())
        self.left = wanted.copy()
        self.placed: dict[int, dict[int, int]] = {}
        self._on: dict[int, set[int]] = {}  # the groups on each node
        self._journal: list[tuple[int, int, int]] | None = None
        self._room: Amounts = problem.room.copy()
        self._open: Bools = np.ones(problem.room.shape[1], dtype=np.bool_)
        self._open[closed] = False
        room = np.where(self._open, self._room, 0)
        self._scale: Floats = np.maximum(room.max(axis=1, initial=1), 1).astype(np.float64)
        weight = problem.requested @ wanted / np.maximum(room.sum(axis=1), 1)
        self._weight: Floats = weight / max(weight.max(initial=0.0), 1e-9)
        share: Floats = problem.requested / self._scale[:, None]
        self._size: Floats = self._weight @ share
        self._roomy: Floats = (room / self._scale[:, None]).sum(axis=0)
        # One by one: all at once would make a float of each of these bools.
        reach = np.array([self._roomy[able].sum() for able in problem.fits])
        self._favour: Floats = 1 + _SCARCE * (1 - reach / max(reach.max(initial=0.0), 1e-9))
        # How close a kind of pods comes to some room is the room's product with its pull, less its push.
        self._pull: Floats = share * (2 * self._weight / self._scale)[:, None] * self._favour
        self._push: Floats = (self._weight @ share**2) * self._favour

    def run(self, way: Way, budget: Budget) -> None:
        """Place as many pods as possible.

        Args:
            way: how.
            budget: of steps.
        """
        if way is Way.BY_POD:
            self._by_pod(budget)
        else:
            order = np.argsort(self._roomy if way is Way.BY_NODE else -self._roomy, kind="stable")
            for slot in order[self._open[order]]:
                if not self.left.any() or not self._fill(int(slot), budget):
                    break
        if self.left.sum() <= _FEW * self._wanted:
            self._make_room(budget)

    def take_out(self, groups: Counts, counts: Counts, slot: int) -> None:
        """Leave the pods of a node where they are; the node receives pods again."""
        self._open[slot] = True
        for group, count in zip(groups.tolist(), counts.tolist(), strict=True):
            spare = min(count, int(self.left[group]))
            self.left[group] -= spare
            surplus = count - spare
            for there, on in list(self.placed.get(group, {}).items()) if surplus else ():
                back = min(surplus, on)
                self._put(group, there, -back)
                self.left[group] -= back
                surplus -= back

    def fill_up(self, budget: Budget) -> None:
        """Place pods that are left over where there is room by now.

        Args:
            budget: of steps.
        """
        for group in np.flatnonzero(self.left).tolist():
            self._place(group, budget)

    def has_room_for(self, demand: Amounts, slot: int) -> bool:
        """Whether all nodes together have enough room for the pods of one more node."""
        there = self._problem.room[:, slot] - self._room[:, slot]
        rest = self._room[:, self._open].sum(axis=1) - self._room[:, slot]
        return bool((demand + there <= rest).all())

    def add(self, groups: Counts, counts: Counts, slot: int, budget: Budget) -> bool:
        """Place the pods of one more node, and the pods placed on it; return whether all of them fit."""
        self._journal = []
        self._open[slot] = False
        self.left[groups] += counts
        for group in sorted(self._on.get(slot, ())):
            self._put(group, slot, -self.placed[group][slot])
        self._make_room(budget)
        journal, self._journal = self._journal, None
        if not self.left.any():
            return True
        for group, there, count in reversed(journal):
            self._put(group, there, -count)
        self.left[groups] -= counts
        self._open[slot] = True
        return False

    # --- by node ---

    def _fill(self, slot: int, budget: Budget) -> bool:
        """Fill a node; return whether the steps were enough."""
        requested = self._problem.requested
        groups = np.flatnonzero(self._problem.takes[slot] & (self.left > 0))
        while True:
            groups = groups[_within(requested.take(groups, axis=1), self._room[:, slot])]
            if groups.size <= _SHORT:
                return self._fill_with(groups, slot, budget)
            close = self._room[:, slot] @ self._pull.take(groups, axis=1) - self._push[groups]
            closest = close >= np.partition(close, -_SHORT)[-_SHORT]
            if not self._fill_with(groups[closest], slot, budget):
                return False
            groups = groups[~closest]

    def _fill_with(self, groups: Counts, slot: int, budget: Budget) -> bool:
        """Fill a node with pods of some groups until none of them fits.

        Next comes the kind that is closest to what is left of the node.
        """
        problem, room = self._problem, self._room[:, slot]
        requested, pull, push = (
            problem.requested.take(groups, axis=1),
            self._pull.take(groups, axis=1),
            self._push[groups],
        )
        while groups.size:
            keep = _within(requested, room)
            if np.count_nonzero(keep) == groups.size:
                if not budget.spend():
                    return False
                best = int((room @ pull - push).argmax())
                group = int(groups[best])
                self._put(group, slot, self._how_many(group, slot))
                if self.left[group] and self._count(group, slot) < problem.most[group]:
                    continue
                keep[best] = False
            still = np.flatnonzero(keep)  # picking by numbers is many times as quick as by bools
            groups, push = groups.take(still), push.take(still)
            requested, pull = requested.take(still, axis=1), pull.take(still, axis=1)
        return True

    def _how_many(self, group: int, slot: int) -> int:
        left = int(self.left[group])
        if left == 1:
            return 1
        pairs = zip(self._room[:, slot].tolist(), self._problem.requested[:, group].tolist(), strict=True)
        able: int = min(room // requested for room, requested in pairs if requested)
        more = int(self._problem.most[group]) - self._count(group, slot)
        return min(max(1, able // _AT_ONCE), left, more)

    # --- by pod ---

    def _by_pod(self, budget: Budget) -> None:
        for group in np.argsort(-self._size * self._favour, kind="stable").tolist():
            self._place(group, budget)

    def _place(self, group: int, budget: Budget) -> None:
        while self.left[group] and budget.spend():
            slot = self._tightest(group)
            if slot is None:
                break
            self._put(group, slot, 1)

    def _tightest(self, group: int, but: int = -1) -> int | None:
        """The node that a pod fits with the least left over."""
        able = self._able(group)
        if but >= 0:
            able[but] = False
        slots = np.flatnonzero(able)
        if not slots.size:
            return None
        rest = (self._room[:, slots] - self._problem.requested[:, group, None]) / self._scale[:, None]
        return int(slots[int((self._weight @ rest**2).argmin())])

    def _able(self, group: int) -> Bools:
        """The nodes where one more pod of a group fits."""
        able: Bools = self._problem.fits[group] & self._open
        for row, requested in enumerate(self._problem.requested[:, group]):
            if requested:
                able &= self._room[row] >= requested
        if self._problem.most[group] < self._problem.unbounded:
            for slot in np.flatnonzero(able):
                able[slot] = self._count(group, int(slot)) < self._problem.most[group]
        return able

    # --- what is left over ---

    def _make_room(self, budget: Budget) -> None:
        """Place pods that are left over where a placed pod can move elsewhere."""
        lacking = np.flatnonzero(self.left)
        for group in lacking[np.argsort(-self._size[lacking], kind="stable")]:
            while self.left[group] and budget.spend():
                slot = self._tightest(int(group))
                if slot is None:
                    slot = self._swap(int(group), budget)
                if slot is None:
                    return
                self._put(int(group), slot, 1)

    def _swap(self, group: int, budget: Budget) -> int | None:
        """Move a smaller pod to another node so that one of a group fits, where the least is missing."""
        requested = self._problem.requested
        missing = np.maximum(requested[:, group, None] - self._room, 0)
        slots = np.flatnonzero(self._problem.fits[group] & self._open)
        lacks = (self._weight / self._scale) @ missing[:, slots]
        for slot in slots[np.argsort(lacks, kind="stable")[:_LOOKED_AT]].tolist():
            if self._count(group, slot) >= self._problem.most[group]:
                continue
            others = np.array(sorted(self._on.get(slot, ())), dtype=np.int64)
            able = (requested[:, others] >= missing[:, slot, None]).all(axis=0) & (
                self._size[others] < self._size[group]
            )
            others = others[able]
            for other in others[np.argsort(self._size[others], kind="stable")].tolist():
                if not budget.spend():
                    return None
                there = self._tightest(other, but=slot)
                if there is not None:
                    self._put(other, slot, -1)
                    self._put(other, there, 1)
                    return int(slot)
        return None

    def _count(self, group: int, slot: int) -> int:
        return self.placed.get(group, {}).get(slot, 0)

    def _put(self, group: int, slot: int, count: int) -> None:
        self._room[:, slot] -= count * self._problem.requested[:, group]
        self.left[group] -= count
        there = self.placed.setdefault(group, {})
        there[slot] = there.get(slot, 0) + count
        if there[slot]:
            self._on.setdefault(slot, set()).add(group)
        else:
            del there[slot]
            self._on[slot].discard(group)
        if self._journal is not None:
            self._journal.append((group, slot, count))


def _within(requested: Amounts, room: Amounts) -> Bools:
    """Which columns are no larger than what is left."""
    within: Bools = np.logical_and.reduce(requested <= room[:, None])
    return within
