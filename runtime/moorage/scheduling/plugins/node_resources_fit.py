"""What every node offers and what is left of it, one array per resource.

Follows ``plugins/noderesources/fit.go`` (fitsRequest): the number of pods first, then every requested resource that
is not zero. A resource the node does not mention is offered zero times.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..nodes import Bools, NodeRecord
from ..reasons import Finding, Reason

Amounts = npt.NDArray[np.int64]
Needs = tuple[tuple[int, int], ...]
"""(row of the resource, units) for every resource that is requested at all."""
Asked = tuple[tuple[int, Amounts], ...]
"""The same with the units in an array without dimensions, which compares with whole rows twice as fast as an int."""

PODS = 0
_ONE = np.array(1)
_UNREADABLE = -(2**61)
_DEVICE_CLASS = "deviceclass.resource.kubernetes.io/"


class ResourceTable:
    """``free`` per resource and slot, in units of ``requests``: thousandths of a CPU, bytes, pieces."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self.rows: dict[str, int] = {}
        self.names: list[str] = []
        self.free: list[Amounts] = []
        self.unreadable_pods: npt.NDArray[np.int32] = np.zeros(capacity, dtype=np.int32)
        self.any_unreadable_pod = 0
        for name in ("pods", "cpu", "memory"):
            self.row(name)

    def row(self, name: str) -> int:
        """The row of a resource, made on first use (then nothing of it is offered or used)."""
        row = self.rows.get(name)
        if row is None:
            row = self.rows[name] = len(self.names)
            self.names.append(name)
            self.free.append(np.zeros(self._capacity, dtype=np.int64))
        return row

    def needs(self, requests: dict[str, int]) -> Needs:
        """Requests by row."""
        return tuple((self.row(name), units) for name, units in requests.items())

    def asked(self, requests: dict[str, int]) -> Asked:
        """Requests by row, for comparing."""
        return tuple((row, np.array(units)) for row, units in self.needs(requests))

    def grow(self, capacity: int) -> None:
        """Make room for more slots."""
        more = capacity - self._capacity
        self._capacity = capacity
        self.free = [np.concatenate([free, np.zeros(more, dtype=np.int64)]) for free in self.free]
        self.unreadable_pods = np.concatenate([self.unreadable_pods, np.zeros(more, dtype=np.int32)])

    def offer(self, slot: int, old: NodeRecord | None, new: NodeRecord | None) -> None:
        """Replace what a node offers; what its pods use stays counted."""
        for record, sign in ((old, -1), (new, 1)):
            if record is None:
                continue
            for name, units in record.offered.items():
                self.free[self.row(name)][slot] += sign * units
            for name in record.broken:
                self.free[self.row(name)][slot] += sign * _UNREADABLE

    def use(self, slot: int, usage: Needs, sign: int) -> None:
        """Count a pod in (+1) or out (-1)."""
        free = self.free
        free[PODS][slot] -= sign
        for row, units in usage:
            free[row][slot] -= sign * units

    def use_unreadable(self, slot: int, sign: int) -> None:
        """Count a pod whose use nobody knows: until it is gone, nothing is said about the node."""
        self.unreadable_pods[slot] += sign
        self.any_unreadable_pod += sign

    def restrict(self, mask: Bools, asked: Asked) -> None:
        """Clear every slot of ``mask`` that has too little left."""
        free = self.free
        mask &= free[PODS] >= _ONE
        for row, units in asked:
            mask &= free[row] >= units
        if self.any_unreadable_pod:
            mask &= self.unreadable_pods == 0

    def enough(self, slot: int, asked: Asked) -> bool:
        """Whether ``restrict`` leaves a slot."""
        free = self.free
        if free[PODS][slot] < 1 or self.unreadable_pods[slot]:
            return False
        return all(free[row][slot] >= units for row, units in asked)

    def findings(self, slot: int, record: NodeRecord, asked: Asked, device_classes: set[str]) -> list[Finding]:
        """Why a node has too little; empty when it has enough."""
        found = []
        for row, units in ((PODS, 1), *((row, int(units)) for row, units in asked)):
            name = self.names[row]
            left = int(self.free[row][slot])
            if left >= units:
                continue
            if name in record.broken:
                field = f"node status.allocatable[{name}]"
                found.append(Finding(Reason.NODE_QUANTITY, field, record.broken[name]))
            elif row == PODS:
                missing = "" if name in record.offered else ", status.allocatable[pods] is missing"
                detail = f"{len(record.pods)} of {record.offered.get(name, 0)}{missing}"
                found.append(Finding(Reason.TOO_MANY_PODS, "node status.allocatable[pods]", detail))
            elif not record.offered.get(name) and (name in device_classes or name.startswith(_DEVICE_CLASS)):
                found.append(Finding(Reason.DEVICE_CLASS, f"resources.requests[{name}]", name))
            else:
                detail = f"{name}: {units} needed, {max(left, 0)} free of {record.offered.get(name, 0)}"
                if name == "cpu":
                    detail += " (thousandths)"
                found.append(Finding(Reason.RESOURCE, f"resources.requests[{name}]", detail))
        if self.unreadable_pods[slot]:
            found.append(Finding(Reason.NEIGHBOUR_QUANTITY, "resources of a pod on the node"))
        return found
