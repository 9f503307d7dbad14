"""How full nodes are, before the plan and after it."""

from __future__ import annotations

from collections.abc import Sequence

from moorage.evictor.compaction import Emptied
from moorage.scheduling import Snapshot
from moorage.scheduling.nodes import NodeRecord
from moorage.scheduling.pod_class import PodClass

from .model import Amounts, Usage
from .simulated import Simulated

_CPU, _MEMORY, _PODS = "cpu", "memory", "pods"
_Used = list[int]
"""CPU, memory and pods, in this order."""


def usages(snapshot: Snapshot, chosen: Sequence[Emptied], simulated: Simulated) -> dict[str, Usage]:
    """What each node has, and what its pods ask for before and after.

    Args:
        snapshot: the cluster.
        chosen: the nodes that go, with the moves of their pods.
        simulated: knows the replacements.
    """
    records = {name: snapshot.nodes.record(slot) for name, slot in snapshot.nodes.slots.items()}
    before = {name: _used(snapshot, record) for name, record in records.items()}
    after = {name: list(used) for name, used in before.items()}
    for node in chosen:
        for move in node.moves:
            _count(snapshot, snapshot.pods[snapshot.nodes.slots[node.name]][move.pod], after[node.name], -1)
            _count(snapshot, snapshot.classes.of(simulated.replacement(move.pod)), after[move.node], 1)
    return {name: Usage(_offered(records[name]), Amounts(*before[name]), Amounts(*after[name])) for name in records}


def _offered(record: NodeRecord) -> Amounts:
    return Amounts(*(record.offered.get(name, 0) for name in (_CPU, _MEMORY, _PODS)))


def _used(snapshot: Snapshot, record: NodeRecord) -> _Used:
    slot = snapshot.nodes.slots[record.name]
    if record.broken:  # what is left is unknown, so the usage is added up
        used = [0, 0, 0]
        for pod_class in snapshot.pods[slot].values():
            _count(snapshot, pod_class, used, 1)
        return used
    resources = snapshot.resources
    cpu, memory = (
        record.offered.get(name, 0) - int(resources.free[resources.rows[name]][slot]) for name in (_CPU, _MEMORY)
    )
    return [cpu, memory, len(record.pods)]


def _count(snapshot: Snapshot, pod_class: PodClass, used: _Used, sign: int) -> None:
    rows = snapshot.resources.rows
    for row, units in pod_class.usage:
        if row == rows[_CPU]:
            used[0] += sign * units
        elif row == rows[_MEMORY]:
            used[1] += sign * units
    used[2] += sign
