"""How full nodes are, before the plan and after it."""

from __future__ import annotations

from moorage.scheduling import Snapshot
from moorage.scheduling.nodes import NodeRecord

from .model import Amounts, Usage
from .simulated import Simulated

_CPU, _MEMORY, _PODS = "cpu", "memory", "pods"


def usages(snapshot: Snapshot, simulated: Simulated) -> dict[str, Usage]:
    """What each node has, and what its pods ask for before and after.

    Args:
        snapshot: the cluster.
        simulated: carries the plan out.
    """
    before = _amounts(snapshot)
    with snapshot.trial():
        simulated.carry_out()
        after = _amounts(snapshot)
    return {name: Usage(_offered(snapshot, slot), before[name], after[name]) for name, slot in _nodes(snapshot)}


def _nodes(snapshot: Snapshot) -> list[tuple[str, int]]:
    return list(snapshot.nodes.slots.items())


def _offered(snapshot: Snapshot, slot: int) -> Amounts:
    offered = snapshot.nodes.record(slot).offered
    return Amounts(offered.get(_CPU, 0), offered.get(_MEMORY, 0), offered.get(_PODS, 0))


def _amounts(snapshot: Snapshot) -> dict[str, Amounts]:
    found = {}
    for name, slot in _nodes(snapshot):
        record = snapshot.nodes.record(slot)
        cpu, memory = (_used(snapshot, record, slot, resource) for resource in (_CPU, _MEMORY))
        found[name] = Amounts(cpu, memory, len(record.pods))
    return found


def _used(snapshot: Snapshot, record: NodeRecord, slot: int, resource: str) -> int:
    row = snapshot.resources.rows[resource]
    if resource in record.broken:  # nobody knows what is left, so what is used is added up
        return sum(units for pod in record.pods.values() for each, units in pod.usage if each == row)
    return record.offered.get(resource, 0) - int(snapshot.resources.free[row][slot])
