"""Where single pods fit once the plan is carried out, and what each node has against those that fit nowhere.

The simulation is that of the choice: room is reserved for pending pods, and nodes keep some room free.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from moorage.evictor.compaction import pending_pods
from moorage.evictor.compaction.load_collection import slots
from moorage.evictor.compaction.targets import Targets
from moorage.objects import Pod
from moorage.scheduling.nodes import Bools
from moorage.scheduling.reasons import Finding, Reason

from . import display
from .input import ReportInput
from .model import Data
from .simulated import Simulated

_CLOSEST, _DETAILED = 3, 5
"""For more pods that fit nowhere no reasons are given: each needs a verdict on every node."""
_TOO_LITTLE = "too little"
GOES = "it could go itself"
OTHER_KIND = "it is a spot node, of another architecture or of another operating system, and takes no such pods"
CLOSED = "it takes no pods, because it has been emptied"


class Against(Data, frozen=True):
    """What some nodes have against a pod.

    Attributes:
        reason: what it is.
        nodes: how many of them have it, perhaps with others.
    """

    reason: str
    nodes: int


class Near(Data, frozen=True):
    """A node that comes close to taking a pod.

    Attributes:
        node: its name.
        against: everything that it has against the pod.
    """

    node: str
    against: tuple[str, ...]


class PodDestination(Data, frozen=True):
    """Where a pod's replacement would go.

    Attributes:
        pod: the pod that it is for.
        node: where it would go; empty when it fits nowhere.
        of: how many other nodes there are.
        against: what they have against it, the most frequent first; empty when it fits, and of a node's pods that do
            not for all but the first five.
        closest: the nodes that lack least.
    """

    pod: str
    node: str = ""
    of: int = 0
    against: tuple[Against, ...] = ()
    closest: tuple[Near, ...] = ()


class _Judged(NamedTuple):
    """What a node has against a pod, and which share of the request is missing; None when more room does not help."""

    node: str
    against: tuple[str, ...]
    lacks: float | None = None


class Room:
    """The room that nodes have once the plan is carried out; see ``opened``.

    Args:
        evaluation: what was found.
        simulated: carries the plan out.
        planned: whether it is carried out.

    Attributes:
        waiting: the nodes on which room is kept for pods that wait for one, by pod.
    """

    def __init__(self, evaluation: ReportInput, simulated: Simulated, *, planned: bool) -> None:
        self._look = evaluation
        self._simulated = simulated
        cluster = evaluation.cluster
        self._snapshot = snapshot = cluster.snapshot
        self._places = Targets(snapshot, cluster.view.nodes, cluster.verdicts, evaluation.configuration.choice)
        may_go = snapshot.slots_of(slots(snapshot, cluster.verdicts))
        kept = pending_pods.reserve_room(snapshot, cluster.view, simulated.replacements, may_go, self._places.receiving)
        self.waiting = {each.key: each.node for each in kept.placed}
        self._emptied = {each.name for each in evaluation.plan.chosen} if planned else set()
        if planned:
            snapshot.withhold(self._places.withheld())
            simulated.carry_out()
        self._going: Bools = snapshot.slots_of(self._emptied)
        self._rank = self._places.tightness()
        self._asked = 0

    def move(self, key: str, home: str) -> PodDestination:
        """Find where the replacement of a pod goes, and move it there.

        Args:
            key: the pod.
            home: the node that it is on.
        """
        snapshot, pod = self._snapshot, self._simulated.replacement(key)
        snapshot.remove(key)
        barred = ~self._places.open_to(home) | self._going | snapshot.slots_of([home])
        node = snapshot.best_fit(pod, self._rank, as_replacement=True, barred=barred)
        if node is None:
            return self._nowhere(key, pod, home)
        snapshot.place(pod, node, key=key)
        slot = snapshot.nodes.slots[node]
        self._rank[slot] = self._places.tightness_of(slot)
        return PodDestination(key, node)

    def wait(self, key: str, pod: Pod) -> PodDestination:
        """Find where room is reserved for a pending pod, or why nowhere.

        Args:
            key: the pod.
            pod: the same.
        """
        node = self.waiting.get(key)
        return PodDestination(key, node) if node is not None else self._nowhere(key, pod, "")

    def _nowhere(self, key: str, pod: Pod, home: str) -> PodDestination:
        others = [(name, slot) for name, slot in self._snapshot.nodes.slots.items() if name != home]
        self._asked += 1
        if self._asked > _DETAILED:
            return PodDestination(key, of=len(others))
        judged = [self._judge(pod, name, slot, home) for name, slot in others]
        counts = Counter(text for each in judged for text in dict.fromkeys(map(_general, each.against)))
        near = sorted((each.lacks, each.node, each.against) for each in judged if each.lacks is not None)[:_CLOSEST]
        return PodDestination(
            key,
            of=len(judged),
            against=tuple(Against(*each) for each in sorted(counts.items(), key=lambda each: (-each[1], each[0]))),
            closest=tuple(Near(node, against) for _, node, against in near),
        )

    def _judge(self, pod: Pod, name: str, slot: int, home: str) -> _Judged:
        verdict = self._look.cluster.verdicts[name]
        closed = [found.reason.sentence for found in verdict.findings if not found.reason.receives]
        if name in self._emptied:
            closed = [GOES]
        elif not closed and not self._places.receiving[slot]:
            closed = [CLOSED]
        elif not closed and home and not self._places.open_to(home)[slot]:
            closed = [OTHER_KIND]
        if closed:
            return _Judged(name, tuple(closed))
        findings = self._snapshot.verdict(pod, name, as_replacement=bool(home)).findings
        reasons = [self._said(pod, slot, each) for each in findings]
        return _Judged(name, tuple(dict.fromkeys(text for text, _ in reasons)), sum(lacks for _, lacks in reasons))

    def _said(self, pod: Pod, slot: int, found: Finding) -> tuple[str, float]:
        """A reason with its particulars, amounts as people write them; and what part of what is needed is lacking."""
        if found.reason is not Reason.RESOURCE:
            return str(found), 1.0
        name = found.field.removeprefix("resources.requests[").removesuffix("]")
        row = self._snapshot.resources.rows[name]
        needed = next(int(units) for each, units in self._snapshot.classes.of(pod).requests if each == row)
        left = max(0, int(self._snapshot.resources.free[row][slot]))
        return (
            f"{_TOO_LITTLE} {name}: {display.amount(name, needed)} needed, {display.amount(name, left)} left",
            ((needed - left) / needed),
        )


@contextmanager
def opened(evaluation: ReportInput, simulated: Simulated, *, planned: bool = True) -> Iterator[Room]:
    """Simulate the plan in a block; at its end the snapshot is as before.

    Args:
        evaluation: what was found.
        simulated: carries the plan out.
        planned: whether it is carried out; pods that wait are asked about before that.
    """
    with evaluation.cluster.snapshot.trial():
        yield Room(evaluation, simulated, planned=planned)


def _general(text: str) -> str:
    """A reason without what differs from node to node, so that it can be counted."""
    return text.partition(":")[0] if text.startswith(_TOO_LITTLE) else text.partition(" (")[0]
