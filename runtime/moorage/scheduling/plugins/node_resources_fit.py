"""Resources that a node offers, and what is left of them (``plugins/noderesources/fit.go``, fitsRequest).

The number of pods comes first, then every requested resource that is not zero. A resource that the node does not
mention is offered zero times.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from moorage.scheduling.nodes import Bools, NodeRecord, NodeTable
from moorage.scheduling.reasons import Finding, Reason
from moorage.scheduling.volumes import Volumes

from .plugin import Plugin

Amounts = npt.NDArray[np.int64]
Usage = tuple[tuple[int, int], ...]
"""(row of the resource, units) for every resource that is used."""
Requests = tuple[tuple[int, Amounts], ...]
"""(row of the resource, units) for every resource that is requested. The units are an array without dimensions: it
compares with whole rows twice as fast as an int."""

PODS = 0
_ONE = np.array(1)
_UNREADABLE = -(2**61)
_DEVICE_CLASS = "deviceclass.resource.kubernetes.io/"


class _PodClass(Protocol):
    @property
    def requests(self) -> Requests: ...
    @property
    def usage(self) -> Usage: ...
    @property
    def usage_unknown(self) -> bool: ...


class NodeResourcesFit(Plugin[_PodClass]):
    """A node must have enough left of every resource that the pod requests.

    Attributes:
        names: the resources, by row.
        rows: the rows, by resource.
        free: what is left, by row and slot, in the units of ``requests``: thousandths of a CPU, bytes, pieces.
        device_classes: extended resources that device classes may provide.
    """

    def __init__(self, nodes: NodeTable, volumes: Volumes) -> None:
        super().__init__(nodes, volumes)
        self._capacity = nodes.capacity
        self.rows: dict[str, int] = {}
        self.names: list[str] = []
        self.free: list[Amounts] = []
        self.device_classes: set[str] = set()
        self._unknown: npt.NDArray[np.int32] = np.zeros(nodes.capacity, dtype=np.int32)
        self._any_unknown = 0
        for name in ("pods", "cpu", "memory"):
            self.row(name)

    def row(self, name: str) -> int:
        """Return the row of a resource, made on first use (then nothing of it is offered or used)."""
        row = self.rows.get(name)
        if row is None:
            row = self.rows[name] = len(self.names)
            self.names.append(name)
            self.free.append(np.zeros(self._capacity, dtype=np.int64))
        return row

    def usage(self, units: dict[str, int]) -> Usage:
        """Return units by row."""
        return tuple((self.row(name), amount) for name, amount in units.items())

    def requests(self, units: dict[str, int]) -> Requests:
        """Return units by row, for comparisons."""
        return tuple((row, np.array(amount)) for row, amount in self.usage(units))

    def grow(self, capacity: int) -> None:
        """Make room for more slots."""
        more = capacity - self._capacity
        self._capacity = capacity
        self.free = [np.concatenate([free, np.zeros(more, dtype=np.int64)]) for free in self.free]
        self._unknown = np.concatenate([self._unknown, np.zeros(more, dtype=np.int32)])

    def node_changed(self, slot: int, old: NodeRecord | None, new: NodeRecord | None) -> None:
        """Replace what a node offers; what its pods use stays counted."""
        for record, sign in ((old, -1), (new, 1)):
            if record is None:
                continue
            for name, units in record.offered.items():
                self.free[self.row(name)][slot] += sign * units
            for name in record.broken:
                self.free[self.row(name)][slot] += sign * _UNREADABLE

    def count(self, pod_class: _PodClass, slot: int, sign: int) -> None:
        """Count what a pod uses; a pod whose usage is not known makes its node unknown."""
        free = self.free
        free[PODS][slot] -= sign
        for row, units in pod_class.usage:
            free[row][slot] -= sign * units
        if pod_class.usage_unknown:
            self._unknown[slot] += sign
            self._any_unknown += sign

    def restrict(self, mask: Bools, pod_class: _PodClass) -> None:
        """Clear nodes with too little left."""
        free = self.free
        mask &= free[PODS] >= _ONE
        for row, units in pod_class.requests:
            mask &= free[row] >= units
        if self._any_unknown:
            mask &= self._unknown == 0

    def findings(self, slot: int, pod_class: _PodClass) -> list[Finding]:
        """Name the resources of which too little is left."""
        reasons = []
        for row, units in ((PODS, _ONE), *pod_class.requests):
            if self.free[row][slot] < units:
                reasons.append(self._lacking(self._nodes.record(slot), row, int(self.free[row][slot]), int(units)))
        if self._unknown[slot]:
            reasons.append(Finding(Reason.NEIGHBOUR_QUANTITY, "resources of a pod on the node"))
        return reasons

    def _lacking(self, record: NodeRecord, row: int, left: int, units: int) -> Finding:
        name = self.names[row]
        offered = record.offered.get(name, 0)
        if name in record.broken:
            return Finding(Reason.NODE_QUANTITY, f"node status.allocatable[{name}]", record.broken[name])
        if row == PODS:
            missing = "" if name in record.offered else ", status.allocatable[pods] is missing"
            detail = f"{len(record.pods)} of {offered}{missing}"
            return Finding(Reason.TOO_MANY_PODS, "node status.allocatable[pods]", detail)
        if not offered and (name in self.device_classes or name.startswith(_DEVICE_CLASS)):
            return Finding(Reason.DEVICE_CLASS, f"resources.requests[{name}]", name)
        detail = f"{name}: {units} needed, {max(left, 0)} free of {offered}"
        if name == "cpu":
            detail += " (thousandths)"
        return Finding(Reason.RESOURCE, f"resources.requests[{name}]", detail)
