"""Moves the pods of nodes in a simulation, one by one, with all of ``scheduling``.

The result is true, the input is a proposal: a pod that does not fit its proposed node is tried on every node, and a
node whose pods do not all fit stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from moorage.objects import Pod
from moorage.scheduling import Snapshot
from moorage.scheduling.nodes import Bools, Floats
from moorage.scheduling.plugins.node_resources_fit import PODS, Amounts

from .loads import Load, MovingPod
from .reasons import KeptFinding, KeptReason
from .result import Emptied, Move
from .step_budget import Budget
from .targets import Targets


class Outcome(NamedTuple):
    """The result of an attempt to empty a node.

    Attributes:
        moves: where its pods went.
        stuck: the pod that fits nowhere; empty when there is none.
        why: what the node with most room has against it.
        cut_off: whether the steps were used up.
    """

    moves: tuple[Move, ...] = ()
    stuck: str = ""
    why: str = ""
    cut_off: bool = False


class Simulation:
    """The simulation.

    Args:
        snapshot: the cluster; its changes are the caller's to take back.
        places: where pods may go.
        budget: of steps.
    """

    def __init__(self, snapshot: Snapshot, places: Targets, budget: Budget) -> None:
        self._snapshot = snapshot
        self._places = places
        self._budget = budget
        self._going: Bools = np.zeros(snapshot.nodes.capacity, dtype=np.bool_)
        self._rank: Floats = places.tightness()

    def bar(self, slots: Iterable[int]) -> None:
        """Move no pods to these nodes: they are to be emptied."""
        self._going[list(slots)] = True

    def unbar(self, slot: int) -> None:
        """Move pods to a node again."""
        self._going[slot] = False

    def lacking(self, load: Load, rows: Sequence[int], demand: Amounts) -> str:
        """Return the resource of which the other nodes together have too little for a node's pods; empty when none.

        Args:
            load: the node.
            rows: of resources.
            demand: the sum of its pods' requests, by resource.
        """
        able = self._places.open_to(load.name) & ~self._going
        able[load.slot] = False
        if not able.any():
            return "there is no other node for them"
        resources = self._snapshot.resources
        for row, units in zip(rows, demand.tolist(), strict=True):
            if np.maximum(resources.free[row][able], 0).sum() < units:
                what = resources.names[row] if row != PODS else "room for pods"
                return f"all others together have too little {what} left"
        return ""

    def empty(self, load: Load, moving: Sequence[tuple[MovingPod, int | None]]) -> Outcome:
        """Move all pods of a node, or none.

        Args:
            load: the node.
            moving: its pods in the order in which they move, each with the slot where it should go.

        Returns:
            What became of it.
        """
        mark = self._snapshot.mark()
        self._going[load.slot] = True
        moves: list[Move] = []
        for each, target in moving:
            able = self._budget.spend()
            node = self._move(each, load, target) if able else None
            if node is None:
                why = self._why(each, load) if able else ""
                self._snapshot.rollback(mark)
                self.unbar(load.slot)
                for move in moves:
                    self._weigh(self._snapshot.nodes.slots[move.node])
                return Outcome(stuck=each.key if able else "", why=why, cut_off=not able)
            moves.append(Move(each.key, node, each.owner))
        self._snapshot.release(mark)
        return Outcome(tuple(moves))

    def _move(self, moving: MovingPod, load: Load, slot: int | None) -> str | None:
        snapshot = self._snapshot
        snapshot.remove(moving.key)
        open_to = self._places.open_to(load.name)
        able = slot is not None and open_to[slot] and not self._going[slot]
        if able and slot is not None and snapshot.fits_at(moving.pod, slot, as_replacement=True):
            node: str | None = snapshot.node_at(slot)
        else:
            node = snapshot.best_fit(moving.pod, self._rank, as_replacement=True, barred=~open_to | self._going)
        if node is not None:
            snapshot.place(moving.pod, node, key=moving.key)
            self._weigh(snapshot.nodes.slots[node])
        return node

    def _why(self, moving: MovingPod, load: Load) -> str:
        able = self._places.open_to(load.name) & ~self._going
        node = self._snapshot.node_at(int(np.where(able, self._rank, np.inf).argmin()))
        findings = self._snapshot.verdict(moving.pod, node, as_replacement=True).findings
        return f"{node}, which has most room: {findings[0]}" if findings else ""

    def _weigh(self, slot: int) -> None:
        self._rank[slot] = self._places.tightness_of(slot)


def confirms(
    snapshot: Snapshot, chosen: Sequence[Emptied], pods: Mapping[str, Pod], budget: Budget
) -> tuple[int, KeptFinding] | None:
    """Check all moves of a plan in another state of the cluster.

    Args:
        snapshot: that state; its changes are the caller's to take back.
        chosen: the nodes with their moves.
        pods: the replacements, by the key of the pod that each replaces.
        budget: of steps.

    Returns:
        The place of the first node for which they are not, and why; None when there is none.
    """
    for number, node in enumerate(chosen):
        for move in node.moves:
            if not budget.spend():
                return number, KeptFinding(KeptReason.CUT_OFF)
            snapshot.remove(move.pod)
            if not snapshot.fits_at(pods[move.pod], snapshot.nodes.slots[move.node], as_replacement=True):
                return number, KeptFinding(KeptReason.NO_ROOM, "it depends on where pods go that wait", move.pod)
            snapshot.place(pods[move.pod], move.node, key=move.pod)
    return None
