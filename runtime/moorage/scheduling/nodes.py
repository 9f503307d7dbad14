"""The nodes of a snapshot as columns: one slot per node, one array per label key in use.

A column holds a small number per slot, standing for the label's value there (0: absent). Predicates are decided once
per distinct value and then looked up for all nodes at once; topology domains are those numbers, too. Slots and
numbers of nodes that went away are used again, so a long-lived snapshot does not grow.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from moorage.objects.node import Node

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]
Rows = slice | npt.NDArray[np.intp]
ALL = slice(None)
Value = TypeVar("Value", bound=Hashable)

BlockingTaint = tuple[str, str, str]
"""Key, value and effect of a taint with the effect NoSchedule or NoExecute."""


class Column(Generic[Value]):
    """The values of one property over all slots."""

    def __init__(self, capacity: int) -> None:
        self.ids: Ints = np.zeros(capacity, dtype=np.int32)
        self.index: dict[Value, int] = {}
        self.values: list[Value | None] = [None]
        self._users: list[int] = [0]
        self._free: list[int] = []

    @property
    def size(self) -> int:
        """One more than the largest number in use."""
        return len(self.values)

    def set(self, slot: int, value: Value | None) -> None:
        """Set or remove the value of a slot."""
        old = int(self.ids[slot])
        new = 0 if value is None else self._number(value)
        self.ids[slot] = new
        if new:
            self._users[new] += 1
        if old:
            self._users[old] -= 1
            if not self._users[old]:
                gone = self.values[old]
                if gone is not None:
                    del self.index[gone]
                self.values[old] = None
                self._free.append(old)

    def grow(self, capacity: int) -> None:
        """Make room for more slots."""
        ids = np.zeros(capacity, dtype=np.int32)
        ids[: len(self.ids)] = self.ids
        self.ids = ids

    def table(self, holds: Callable[[Value | None], bool]) -> Bools:
        """Decide once per distinct value; index 0 stands for the absent value.

        Args:
            holds: the predicate on a value.

        Returns:
            One bool per number; index it with ``ids``.
        """
        table = np.zeros(self.size, dtype=np.bool_)
        table[0] = holds(None)
        for value, number in self.index.items():
            table[number] = holds(value)
        return table

    def _number(self, value: Value) -> int:
        number = self.index.get(value)
        if number is None:
            if self._free:
                number = self._free.pop()
                self.values[number] = value
            else:
                number = len(self.values)
                self.values.append(value)
                self._users.append(0)
            self.index[value] = number
        return number


class NodeRecord:
    """The fields of one node that scheduling reads.

    Attributes:
        offered: allocatable units, by resource.
        broken: resources whose quantity cannot be read, with the problem.
        pods: keys of the pods on the node.
    """

    __slots__ = ("broken", "cordoned", "features", "labels", "name", "node", "offered", "pods", "taints")

    def __init__(self, node: Node, offered: dict[str, int], broken: dict[str, str]) -> None:
        self.node = node
        self.name = node.metadata.name
        self.labels: Mapping[str, str] = node.metadata.labels
        self.offered = offered
        self.broken = broken
        self.cordoned = node.spec.unschedulable
        self.taints: tuple[BlockingTaint, ...] = tuple(
            (taint.key, taint.value, taint.effect)
            for taint in node.spec.taints
            if taint.effect in ("NoSchedule", "NoExecute")
        )
        self.features = node.status.declared_features
        self.pods: Collection[str] = ()

    def differs_in_amounts_only(self, other: NodeRecord) -> bool:
        """Whether everything but the amounts is equal."""
        return (self.labels, self.cordoned, self.taints, self.features) == (
            other.labels,
            other.cordoned,
            other.taints,
            other.features,
        )


class NodeTable:
    """Slots, names and columns of all nodes.

    Attributes:
        alive: whether there is a node in a slot.
        schedulable: whether the node in a slot is not cordoned.
        clock: grows with each change.
        changed: when each slot changed last, by ``clock``.
    """

    def __init__(self, capacity: int = 64) -> None:
        self.capacity = capacity
        self.alive: Bools = np.zeros(capacity, dtype=np.bool_)
        self.schedulable: Bools = np.zeros(capacity, dtype=np.bool_)
        self.changed: npt.NDArray[np.int64] = np.zeros(capacity, dtype=np.int64)
        self.clock = 0
        self.records: list[NodeRecord | None] = [None] * capacity
        self.slots: dict[str, int] = {}
        self.names: Column[str] = Column(capacity)
        self.taints: Column[tuple[BlockingTaint, ...]] = Column(capacity)
        self.features: Column[tuple[str, ...]] = Column(capacity)
        self._labels: dict[str, Column[str]] = {}
        self._free = list(range(capacity - 1, -1, -1))

    def label(self, key: str) -> Column[str]:
        """Return the column of a label key, made on first use."""
        column = self._labels.get(key)
        if column is None:
            column = self._labels[key] = Column(self.capacity)
            for slot, record in enumerate(self.records):
                if record is not None and key in record.labels:
                    column.set(slot, record.labels[key])
        return column

    def record(self, slot: int) -> NodeRecord:
        """Return the node in a slot that is in use."""
        record = self.records[slot]
        if record is None:
            raise LookupError(f"no node in slot {slot}")
        return record

    def take(self, name: str) -> tuple[int, bool]:
        """Reserve a slot for a new node.

        Returns:
            The slot, and whether the capacity has grown.
        """
        grown = not self._free
        if grown:
            old, self.capacity = self.capacity, self.capacity * 2
            self.alive = np.concatenate([self.alive, np.zeros(old, dtype=np.bool_)])
            self.schedulable = np.concatenate([self.schedulable, np.zeros(old, dtype=np.bool_)])
            self.changed = np.concatenate([self.changed, np.zeros(old, dtype=np.int64)])
            self.records.extend([None] * old)
            self._free = list(range(self.capacity - 1, old - 1, -1))
            self.names.grow(self.capacity)
            self.taints.grow(self.capacity)
            self.features.grow(self.capacity)
            for column in self._labels.values():
                column.grow(self.capacity)
        slot = self._free.pop()
        self.slots[name] = slot
        return slot, grown

    def fill(self, slot: int, record: NodeRecord) -> None:
        """Write a node's fields into its slot."""
        old = self.records[slot]
        self.records[slot] = record
        self.alive[slot] = True
        self.schedulable[slot] = not record.cordoned
        self.names.set(slot, record.name)
        self.taints.set(slot, record.taints)
        self.features.set(slot, record.features)
        for key in self._labels if old is None else self._labels.keys() & (old.labels.keys() | record.labels.keys()):
            self._labels[key].set(slot, record.labels.get(key))
        self._touch(slot)

    def clear(self, slot: int) -> None:
        """Free the slot of a node that is gone."""
        record = self.record(slot)
        self.records[slot] = None
        self.alive[slot] = False
        self.schedulable[slot] = False
        self.names.set(slot, None)
        self.taints.set(slot, None)
        self.features.set(slot, None)
        for key in self._labels.keys() & record.labels.keys():
            self._labels[key].set(slot, None)
        del self.slots[record.name]
        self._free.append(slot)
        self._touch(slot)

    def _touch(self, slot: int) -> None:
        self.clock += 1
        self.changed[slot] = self.clock
