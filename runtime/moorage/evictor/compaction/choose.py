"""Chooses the nodes to empty: those of the highest price whose pods all fit elsewhere at the same time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from moorage.evictor.candidates import NodeReason, NodeVerdict, View, drain_marks
from moorage.objects import Pod
from moorage.reservations import moment
from moorage.scheduling import Snapshot
from moorage.wording import counted

from . import pending_pods
from .allowances import Allowances
from .emptying import Emptying, Findings
from .history import History
from .load_collection import LoadCollector, slots
from .loads import Load
from .prices import Priced
from .problem import Problem
from .reasons import KeptFinding, KeptReason
from .replacements import Replacements
from .result import Emptied, Plan
from .search import Search
from .settings import Settings
from .simulation import Simulation, confirms
from .step_budget import Budget, never
from .targets import Targets

_SEARCHED = 0.5
"""The part of the steps that looking at all nodes at once may take; the rest is for moving pods one by one."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """The input of the choice.

    Attributes:
        snapshot: the nodes and pods, as fit has them. Nothing of it is changed in the end.
        view: the same, and what else is known.
        verdicts: on every node, by name.
        templates: pod templates as they are now, by the owner's uid, as far as they are known.
        proposed: where pods were to go when it was asked before, by their keys. If all nodes that may go can still go
            that way, they do; else this is as good as nothing.
    """

    snapshot: Snapshot
    view: View
    verdicts: Mapping[str, NodeVerdict]
    templates: Mapping[str, Pod] = field(default_factory=dict)
    proposed: Mapping[str, str] = field(default_factory=dict)


def choose(cluster: Cluster, settings: Settings, history: History, stopped: Callable[[], bool] = never) -> Plan:
    """Return the plan of one cycle.

    Args:
        cluster: what is chosen from.
        settings: how.
        history: the recent evictions; the caller adds those of this plan.
        stopped: returns True when the caller does not need the answer any more.

    Returns:
        The plan; the same for the same input.

    Raises:
        Stopped: the caller does not need the answer any more.
    """
    with cluster.snapshot.trial():
        return _Choice(cluster, settings, history, stopped).plan()


class _Choice:
    """One run of the choice."""

    def __init__(self, cluster: Cluster, settings: Settings, history: History, stopped: Callable[[], bool]) -> None:
        self._cluster = cluster
        self._settings = settings
        self._history = history.since(cluster.view.now - settings.owner_window)
        self._budget = Budget(settings.steps, stopped)
        self._priced: Priced = settings.prices.of(cluster.view.nodes.values())
        self._kept: Findings = {}
        self._chosen: list[Emptied] = []
        self._unplaced: tuple[str, ...] = ()
        self._places = Targets(cluster.snapshot, cluster.view.nodes, cluster.verdicts, settings)

    def plan(self) -> Plan:
        verdicts = self._cluster.verdicts
        self._kept = {name: (KeptFinding(KeptReason.HELD),) for name, verdict in verdicts.items() if not verdict.may_go}
        if (why := self._why_nothing()) is None:
            self._choose()
        else:
            self._kept |= {name: (why,) for name, verdict in verdicts.items() if verdict.may_go}
        return Plan(
            tuple(self._chosen),
            self._kept,
            self._priced.unit,
            self._priced.unknown,
            self._priced.total,
            self._unplaced,
            self._budget.used,
            self._budget.cut_off,
        )

    def _why_nothing(self) -> KeptFinding | None:
        """Why no node is emptied at the moment."""
        verdicts, view = self._cluster.verdicts, self._cluster.view
        newest = _arrived_since(view.now - self._settings.quiet_period, view, verdicts)
        if newest:
            return KeptFinding(KeptReason.QUIET, newest)
        pause = None if self._settings.midway else drain_marks.pause(view)
        if pause is None:
            return None
        others = f" and {pause.times - 1} more" if pause.times > 1 else ""
        return KeptFinding(KeptReason.NEEDED, f"{pause.node}{others}; until {pause.until:%H:%M:%S}")

    def _choose(self) -> None:
        snapshot, view = self._cluster.snapshot, self._cluster.view
        replacements = Replacements(view.pods, self._cluster.templates)
        may_go = slots(snapshot, self._cluster.verdicts)
        mask = snapshot.slots_of(may_go)
        going = (name for name, verdict in self._cluster.verdicts.items() if verdict.may_go and name not in may_go)
        self._kept |= {name: (KeptFinding(KeptReason.UNSEEN),) for name in going}
        mark = snapshot.mark()
        room = pending_pods.reserve_room(snapshot, view, replacements, mask, self._places.receiving)
        self._unplaced = room.unplaced
        snapshot.withhold(self._places.withheld())
        gathering = LoadCollector(view, self._history, replacements, midway=self._settings.midway)
        loads = []
        for name, slot in sorted(may_go.items()):
            if name in room.on:
                self._kept[name] = (KeptFinding(KeptReason.WAITING, pod=room.on[name]),)
            elif (load := self._load(gathering, name, slot)) is not None:
                loads.append(load)
        allowances = Allowances(gathering.allowances)
        loads = [load for load in loads if self._worth(load, allowances)]
        limit = self._settings.limit(len(may_go))
        self._leave_empty(loads)
        loads = [load for load in loads if load.moving]
        problem = Problem(self._cluster.snapshot, self._places, loads)
        if not self._repeat(problem, loads, Allowances(gathering.allowances), limit):
            self._empty(problem, loads, allowances, limit)
        snapshot.rollback(mark)
        if room.placed:
            self._confirm(loads, room)

    def _confirm(self, loads: list[Load], room: pending_pods.ReservedRoom) -> None:
        """Leave out nodes whose plan is wrong with, or without, the pending pods."""
        snapshot, pods = self._cluster.snapshot, {one.key: one.pod for load in loads for one in load.moving}
        while True:
            for there in ((), room.placed):
                with snapshot.trial():
                    for each in there:
                        snapshot.place(each.pod, each.node, key=each.key)
                    snapshot.withhold(self._places.withheld())
                    against = confirms(snapshot, self._chosen, pods, self._budget)
                if against is not None:
                    break
            else:
                return
            number, finding = against
            self._kept[self._chosen.pop(number).name] = (finding,)

    def _load(self, gathering: LoadCollector, name: str, slot: int) -> Load | None:
        price, move_price = self._priced.of[name], self._settings.move_price * self._priced.average
        found = gathering.load(self._cluster.verdicts[name], slot, price, move_price)
        if isinstance(found, Load):
            return found
        self._kept[name] = tuple(found)
        return None

    def _worth(self, load: Load, allowances: Allowances) -> bool:
        against = allowances.against(load)
        if load.moving and load.gain <= 0:
            moved = counted(len(load.moving), "pod")
            against.append(KeptFinding(KeptReason.NOT_WORTH, f"{moved}, price {load.price:g}"))
        if against:
            self._kept[load.name] = tuple(against)
        return not against

    def _leave_empty(self, loads: list[Load]) -> None:
        """Choose the nodes that are empty already, and move no pods to them."""
        empty = [load for load in loads if not load.moving]
        self._chosen = [Emptied(load.name, load.price, ()) for load in sorted(empty, key=lambda load: load.name)]
        self._places.close(load.slot for load in empty)

    def _repeat(self, problem: Problem, loads: list[Load], allowances: Allowances, limit: int) -> bool:
        """Empty all nodes as proposed; return whether that is possible."""
        slots, proposed = self._cluster.snapshot.nodes.slots, self._cluster.proposed
        places = {key: slots[node] for key, node in proposed.items() if node in slots}
        if not all(one.key in places for load in loads for one in load.moving):
            return False
        mark = self._cluster.snapshot.mark()
        replay = Simulation(self._cluster.snapshot, self._places, self._budget)
        emptying = Emptying(loads, problem, replay, allowances, limit)
        if emptying.repeat(places):
            self._cluster.snapshot.release(mark)
            self._chosen += emptying.chosen
            return True
        self._cluster.snapshot.rollback(mark)
        return False

    def _empty(self, problem: Problem, loads: list[Load], allowances: Allowances, limit: int) -> None:
        search = Search(problem, loads, allowances, limit)
        part = self._budget.part(_SEARCHED)
        found = search.run(part)
        self._budget.spend(part.used)
        self._budget.cut_off |= part.cut_off
        replay = Simulation(self._cluster.snapshot, self._places, self._budget)
        emptying = Emptying(loads, problem, replay, allowances, limit)
        emptying.take_over(found)
        emptying.extend(search.order())
        self._chosen += emptying.chosen
        self._kept |= emptying.kept


def _arrived_since(since: datetime, view: View, verdicts: Mapping[str, NodeVerdict]) -> str:
    """The newest node since a time, for people; empty when there is none.

    Virtual nodes come with each pod, and say nothing about the cluster's size.
    """
    arrived = []
    for name, verdict in verdicts.items():
        created = moment(view.nodes[name].metadata.creation_timestamp or "")
        virtual = any(each.reason is NodeReason.NODE_VIRTUAL for each in verdict.findings)
        if created is not None and created > since and not virtual:
            arrived.append((created, name))
    created, name = max(arrived, default=(None, ""))
    return f"{name}, at {created:%H:%M:%S}" if created is not None else ""
