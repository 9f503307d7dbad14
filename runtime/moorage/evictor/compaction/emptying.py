"""Checks a proposal in the simulation: which nodes can be emptied, and why the others cannot."""

from __future__ import annotations

from collections.abc import Mapping

from .allowances import Allowances
from .loads import Load
from .problem import Problem
from .reasons import KeptFinding, KeptReason
from .result import Emptied
from .search import Proposal
from .simulation import Simulation

Findings = dict[str, tuple[KeptFinding, ...]]


class Emptying:
    """Empties nodes in the simulation: first those that the search proposes, then any other that still can be.

    Args:
        loads: the nodes that could go.
        problem: the same in numbers.
        replay: the simulation.
        allowances: of evictions.
        limit: how many nodes may go.

    Attributes:
        chosen: the nodes that are empty now.
        kept: why the others are not.
    """

    def __init__(
        self, loads: list[Load], problem: Problem, replay: Simulation, allowances: Allowances, limit: int
    ) -> None:
        self._loads = loads
        self._problem = problem
        self._replay = replay
        self._allowances = allowances
        self._limit = limit
        self._filled: dict[str, str] = {}
        self.chosen: list[Emptied] = []
        self.kept: Findings = {}

    def take_over(self, proposal: Proposal) -> None:
        """Empty the proposed nodes as far as the simulation allows it.

        Args:
            proposal: a set of nodes, and about where their pods would go.
        """
        targets = {group: list(reversed(slots)) for group, slots in proposal.targets.items()}
        self._replay.bar(self._loads[number].slot for number in proposal.loads)
        for number in proposal.loads:
            groups = self._problem.group_of[number]
            self._try(number, [targets[group].pop() if targets.get(group) else None for group in groups])

    def repeat(self, places: Mapping[str, int]) -> bool:
        """Empty the nodes as before, up to the first that cannot be emptied.

        Args:
            places: the slots where pods are to go, by their keys; where one does not fit it may go elsewhere.

        Returns:
            Whether all are empty.
        """
        self._replay.bar(load.slot for load in self._loads)
        for number, load in enumerate(self._loads):
            self._try(number, [places.get(one.key) for one in load.moving])
            if load.name in self.kept:
                return False
        return True

    def extend(self, order: list[int]) -> None:
        """Empty any of the other nodes that still can be.

        Args:
            order: the loads, in the order in which they are tried.
        """
        done = {node.name for node in self.chosen}
        for number in order:
            load = self._loads[number]
            if load.name not in done and load.name not in self.kept:
                self._try(number, [None] * len(load.moving))

    def _try(self, number: int, wanted: list[int | None]) -> None:
        load = self._loads[number]
        against = self._against(number)
        if against:
            self._replay.unbar(load.slot)
            self.kept[load.name] = tuple(against)
            return
        order = self._problem.largest_first(number)
        outcome = self._replay.empty(load, [(load.moving[index], wanted[index]) for index in order])
        if outcome.cut_off:
            self.kept[load.name] = (KeptFinding(KeptReason.CUT_OFF),)
        elif outcome.stuck:
            self.kept[load.name] = (KeptFinding(KeptReason.NO_ROOM, outcome.why, outcome.stuck),)
        else:
            self._allowances.take(load)
            self._filled.update((move.node, load.name) for move in outcome.moves)
            self.chosen.append(Emptied(load.name, load.price, outcome.moves))

    def _against(self, number: int) -> list[KeptFinding]:
        load = self._loads[number]
        if len(self.chosen) >= self._limit:
            return [KeptFinding(KeptReason.LIMIT, f"{self._limit}")]
        if load.name in self._filled:
            return [KeptFinding(KeptReason.TARGET, f"those of {self._filled[load.name]}, for example")]
        against = self._allowances.against(load)
        lacking = "" if against else self._replay.lacking(load, self._problem.rows, self._problem.demand(number))
        if lacking:
            against.append(KeptFinding(KeptReason.NO_ROOM, lacking))
        return against
