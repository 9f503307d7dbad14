"""Collects the pods that would have to be moved, from the verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from moorage.evictor.candidates import NodeVerdict, PodVerdict, Stance, View
from moorage.evictor.candidates.budgets import Budgets
from moorage.evictor.candidates.controllers import Controllers, Lookup, owner_of
from moorage.objects import Pod
from moorage.scheduling import Snapshot

from .allowances import Allowance
from .history import History
from .loads import Load, MovingPod
from .reasons import KeptFinding, KeptReason
from .replacements import Replacements
from .rollouts import under_way


class _Known(NamedTuple):
    pod: Pod
    owner: str
    rollout: str
    spends: tuple[str, ...]


class LoadCollector:
    """The loads of the nodes that may be emptied.

    Args:
        view: what is known of the cluster.
        history: the recent evictions.
        replacements: makes them.
        midway: whether what a cycle under way has used up for the moment is waited for.
    """

    def __init__(self, view: View, history: History, replacements: Replacements, *, midway: bool = False) -> None:
        self._lookup = Lookup(view)
        self._budgets = Budgets(view)
        self._history = history
        self._replacements = replacements
        self._midway = midway
        self._pods = {pod.key: pod for pod in view.pods}
        self._alike: dict[int, _Known] = {}  # pods that are judged alike share their findings
        self.allowances: dict[str, Allowance] = {}

    def load(self, verdict: NodeVerdict, slot: int, price: float, move_price: float) -> Load | list[KeptFinding]:
        """Return the load of a node, or why it cannot be moved.

        Args:
            verdict: on a node that may go.
            slot: its slot.
            price: what it costs.
            move_price: what moving one pod counts.
        """
        load = Load(verdict.name, slot, price, price)
        findings: list[KeptFinding] = []
        for each in verdict.pods:
            if each.stance is not Stance.MOVES:
                continue
            known = self._alike.get(id(each.findings)) or self._look(each)
            if known.rollout:
                findings.append(KeptFinding(KeptReason.ROLLOUT, known.rollout, each.key))
                continue
            load.moving.append(MovingPod(each.key, known.pod, known.owner))
            for key in known.spends:
                load.spends[key] += 1
        load.gain -= move_price * len(load.moving)
        return findings or load

    def _look(self, verdict: PodVerdict) -> _Known:
        pod = self._pods[verdict.key]
        controllers = self._lookup.of(pod)
        owner = pod.metadata.controller()
        replacement = self._replacements.of(pod, controllers.made)
        spends = tuple(self._allowances_of(pod, controllers))
        found = _Known(replacement, owner_of(pod, controllers), under_way(controllers, midway=self._midway), spends)
        if owner is not None and replacement is self._replacements.of_owner(owner):
            self._alike[id(verdict.findings)] = found
        return found

    def _allowances_of(self, pod: Pod, controllers: Controllers) -> Iterable[str]:
        budget = None if self._midway else self._budgets.spent_by(pod)
        if budget is not None:
            key = f"budget {budget.key}"
            who = f"PodDisruptionBudget {budget.key}"
            self.allowances[key] = Allowance(KeptReason.BUDGET, who, budget.status.disruptions_allowed)
            yield key
        uid, replicas = owner_of(pod, controllers), controllers.replicas or 1
        top = controllers.objects[-1].metadata.name if controllers.objects else controllers.direct_owner or pod.key
        key = f"owner {uid}"
        self.allowances[key] = Allowance(KeptReason.OWNER, f"the owner {top}", self._history.left(uid, replicas))
        yield key


def slots(snapshot: Snapshot, verdicts: Mapping[str, NodeVerdict]) -> dict[str, int]:
    """Return the slots of the nodes that may be emptied and that the snapshot has."""
    known = snapshot.nodes.slots
    return {name: known[name] for name, verdict in verdicts.items() if verdict.may_go and name in known}
