"""The choice in numbers: what nodes have left, what has to be moved, and where each group of pods may go.

Pods with equal requests that may go to the same nodes are one group. The simulation checks every decision pod by pod:
the numbers are exact for resources, and cover of other rules what a node alone decides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt

from moorage.objects import Pod
from moorage.scheduling import Snapshot
from moorage.scheduling.nodes import Bools, NodeTable
from moorage.scheduling.plugins.node_resources_fit import PODS, Amounts
from moorage.scheduling.pod_class import PodClass

from . import relations
from .loads import Load
from .targets import Targets

Counts = npt.NDArray[np.int64]

_ROOMIEST = 64
"""So many nodes with the most room are tried before the others."""


class Problem:
    """All loads in numbers.

    Args:
        snapshot: the cluster, with room reserved for pending pods.
        places: where pods may go.
        loads: what would have to be moved.

    Attributes:
        rows: the resources, by their rows in the snapshot.
        room: what is left, by resource and slot.
        requested: what a pod requests, by resource and group.
        fits: where a pod may go, by group and slot.
        takes: the same by slot and group.
        most: how many of a group a node may take.
        unbounded: the value of ``most`` without a bound.
        of: for each load, its groups and how many pods of each.
        group_of: for each load, the group of each of its pods.
    """

    def __init__(self, snapshot: Snapshot, places: Targets, loads: Sequence[Load]) -> None:
        self._snapshot = snapshot
        self._places = places
        self.unbounded = relations.UNBOUNDED
        self._numbers: dict[Hashable, int] = {}
        self._known: dict[int, tuple[PodClass, tuple[str, ...]]] = {}
        self._samples: list[tuple[Pod, PodClass, Load, tuple[str, ...]]] = []
        self.group_of = [self._groups(load) for load in loads]
        requested = {row for _, pod_class, _, _ in self._samples for row, _ in pod_class.requests}
        self.rows = rows = sorted({PODS, *requested})
        width = max(snapshot.nodes.slots.values(), default=0) + 1  # the table has room for up to twice as many
        self.room: Amounts = np.maximum(np.array([snapshot.resources.free[row][:width] for row in rows]), 0)
        self.room[:, ~places.receiving[:width]] = 0
        self.requested: Amounts = np.zeros((len(rows), len(self._samples)), dtype=np.int64)
        self.most: Counts = np.zeros(len(self._samples), dtype=np.int64)
        self.fits: Bools = np.zeros((len(self._samples), width), dtype=np.bool_)
        for number, (pod, pod_class, load, keys) in enumerate(self._samples):
            self.requested[0, number] = 1
            for row, units in pod_class.requests:
                self.requested[rows.index(row), number] = units
            self.most[number], able = self._describe(pod, pod_class, load, keys)
            self.fits[number] = able[:width]
        self._merge()
        self.takes: Bools = np.ascontiguousarray(self.fits.T)
        self.of = [_counted(groups) for groups in self.group_of]

    def demand(self, load: int) -> Amounts:
        """Return the sum of the requests of a load's pods, by resource."""
        groups, counts = self.of[load]
        demand: Amounts = self.requested[:, groups] @ counts
        return demand

    def hopeless(self) -> set[int]:
        """Return the groups whose pods fit no node, not even as the cluster is now."""
        groups = np.arange(len(self.fits))
        scale = np.maximum(self.room.max(axis=1), 1)
        roomiest = np.argsort(-(self.room / scale[:, None]).min(axis=0), kind="stable")
        for slots in (roomiest[:_ROOMIEST], roomiest[_ROOMIEST:]):  # nearly all fit one of the first
            able = self.fits[np.ix_(groups, slots)]
            for row, requested in zip(self.room, self.requested, strict=True):
                able &= row[None, slots] >= requested[groups, None]
            groups = groups[~able.any(axis=1)]
        return set(groups.tolist())

    def largest_first(self, load: int) -> list[int]:
        """Return the indices of a load's pods, those with the largest share of all resources first."""
        whole = np.maximum(self.room.sum(axis=1), 1)
        size = (self.requested / whole[:, None]).sum(axis=0)
        groups = self.group_of[load]
        return sorted(range(len(groups)), key=lambda index: (-size[groups[index]], index))

    def _merge(self) -> None:
        """Merge groups that do not differ in any number: workloads often request the same."""
        numbers: dict[Hashable, int] = {}
        first: list[int] = []
        new: list[int] = []
        for number, most in enumerate(self.most.tolist()):
            bounded = number if most < self.unbounded else None
            key = (self.requested[:, number].tobytes(), np.packbits(self.fits[number]).tobytes(), bounded)
            if key not in numbers:
                numbers[key] = len(numbers)
                first.append(number)
            new.append(numbers[key])
        self.requested, self.most, self.fits = self.requested[:, first], self.most[first], self.fits[first]
        self.group_of = [[new[group] for group in groups] for groups in self.group_of]

    def _groups(self, load: Load) -> list[int]:
        kind, groups = self._places.kind(load.name), []
        for pod in [each.pod for each in load.moving]:
            pod_class, keys = self._known.get(id(pod)) or self._know(pod)
            domains = tuple([_value(self._snapshot.nodes, key, load.slot) for key in keys]) if keys else ()
            number = self._numbers.setdefault((id(pod_class), kind, domains), len(self._samples))
            if number == len(self._samples):
                self._samples.append((pod, pod_class, load, keys))
            groups.append(number)
        return groups

    def _know(self, pod: Pod) -> tuple[PodClass, tuple[str, ...]]:
        """The pod class of a replacement, and the topology keys whose domain it should stay in."""
        pod_class = self._snapshot.class_of(pod)
        known = self._known[id(pod)] = (pod_class, relations.kept_domains(pod_class, self._snapshot.nodes))
        return known

    def _describe(self, pod: Pod, pod_class: PodClass, load: Load, keys: tuple[str, ...]) -> tuple[int, Bools]:
        open_to = self._places.open_to(load.name)
        if relations.by_node(pod_class, self._snapshot.nodes):
            mask = self._snapshot.fits(pod, as_replacement=True, barred=~open_to)
        else:
            mask = self._snapshot.nodes_for(pod_class) & open_to
        for key in keys:
            ids = self._snapshot.nodes.label(key).ids
            mask &= ids == ids[load.slot]
        return relations.most(pod_class, self._snapshot.nodes), mask


def _value(nodes: NodeTable, key: str, slot: int) -> int:
    return int(nodes.label(key).ids[slot])


def _counted(groups: list[int]) -> tuple[Counts, Counts]:
    counted = Counter(groups)
    return np.array(list(counted), dtype=np.int64), np.array(list(counted.values()), dtype=np.int64)
