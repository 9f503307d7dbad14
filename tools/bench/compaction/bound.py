"""An upper bound of what can be freed: a linear program that any real compaction satisfies (docs/benchmarks-notes.md).

In the linear program nodes may be emptied in part. Pods are divisible. Only resources and the classes of nodes that
their selectors allow constrain them. Nodes that may not be emptied keep all their pods.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import highspy
import numpy as np
import numpy.typing as npt

from moorage.evictor.candidates import NodeVerdict, Stance
from moorage.objects import Node, Pod
from moorage.scheduling.requests import allocatable, placed
from tools.bench.common.errors import BenchError

_RESOURCES = ("cpu", "memory", "pods")
_SLACK = 1e-6
"""Tolerance of the solver, as a part."""

Amounts = npt.NDArray[np.float64]
Demand = tuple[tuple[str, str], ...]
"""A node selector."""


@dataclass(slots=True)
class _Place:
    """A node: its free resources, and the requests that would have to move from it, by node selector."""

    kind: Demand
    free: Amounts
    moving: dict[Demand, Amounts] = field(default_factory=dict)


def freeable(
    nodes: Iterable[Node], pods: Iterable[Pod], verdicts: Mapping[str, NodeVerdict], prices: Mapping[str, float]
) -> float:
    """An upper bound of the cost of all nodes that can be emptied at the same time.

    Args:
        nodes: all nodes; each may receive pods.
        pods: all pods. Pods without a node are ignored, which can only increase the bound.
        verdicts: the nodes that may be emptied.
        prices: prices of nodes.

    Raises:
        BenchError: the solver did not find an optimum.
    """
    places = _places(nodes, pods, verdicts)
    candidates = sorted(name for name, verdict in verdicts.items() if verdict.may_go)
    program = _Program(places)
    for name in candidates:
        program.may_go(places[name], prices[name])
    return program.solve() * (1 + _SLACK)


def _places(nodes: Iterable[Node], pods: Iterable[Pod], verdicts: Mapping[str, NodeVerdict]) -> dict[str, _Place]:
    pods = [pod for pod in pods if pod.spec.node_name in verdicts and not pod.finished]
    keys = sorted({key for pod in pods for key in pod.spec.node_selector})
    found = {
        node.metadata.name: _Place(_kind(node, keys), _amounts(allocatable(node.status.allocatable)[0]))
        for node in nodes
    }
    moving = {each.key for verdict in verdicts.values() for each in verdict.pods if each.stance is Stance.MOVES}
    for pod in pods:
        place, asked = found[pod.spec.node_name], _amounts(placed(pod) | {"pods": 1})
        place.free -= asked
        if pod.key in moving:
            demand = tuple(sorted(pod.spec.node_selector.items()))
            place.moving[demand] = place.moving.get(demand, 0) + asked
    return found


def _kind(node: Node, keys: Sequence[str]) -> Demand:
    """The labels by which selectors can distinguish nodes."""
    labels = node.metadata.labels
    return tuple((key, labels[key]) for key in keys if key in labels)


def _amounts(amounts: Mapping[str, int]) -> Amounts:
    return np.array([amounts.get(name, 0) for name in _RESOURCES], dtype=np.float64)


class _Program:
    """The linear program: a column per candidate node, and per selector, class of nodes and resource.

    For each selector and resource, what moves from nodes goes to classes that allow it. For each class and resource,
    what arrives is at most what is free on those of its nodes that stay.

    Args:
        places: all nodes.
    """

    def __init__(self, places: Mapping[str, _Place]) -> None:
        free: dict[Demand, Amounts] = {}
        for place in places.values():
            free[place.kind] = free.get(place.kind, 0) + np.maximum(place.free, 0)
        demands = sorted({demand for place in places.values() for demand in place.moving})
        whole = np.maximum(sum(free.values(), np.zeros(len(_RESOURCES))), 1)
        self._scale = 1 / whole  # so that all figures are near 1
        self._moved = {demand: 3 * number for number, demand in enumerate(demands)}
        self._fits = {kind: 3 * (len(demands) + number) for number, kind in enumerate(free)}
        self._solver = highspy.Highs()  # type: ignore[no-untyped-call]
        self._solver.setOptionValue("output_flag", False)
        self._solver.changeObjectiveSense(highspy.ObjSense.kMaximize)
        for _ in range(3 * len(demands)):
            self._solver.addRow(0.0, 0.0, 0, [], [])
        for kind in free:
            for amount in free[kind] * self._scale:
                self._solver.addRow(-highspy.kHighsInf, float(amount), 0, [], [])
        for demand in demands:
            for kind in (kind for kind in free if set(demand) <= set(kind)):
                for number in range(len(_RESOURCES)):
                    rows = {self._moved[demand] + number: -1.0, self._fits[kind] + number: 1.0}
                    self._column(0.0, highspy.kHighsInf, rows)

    def may_go(self, place: _Place, price: float) -> None:
        """Add a node that may be emptied, with its cost."""
        rows: Counter[int] = Counter()
        for demand, amounts in place.moving.items():
            for number, amount in enumerate(amounts * self._scale):
                rows[self._moved[demand] + number] += amount
        for number, amount in enumerate(np.maximum(place.free, 0) * self._scale):
            rows[self._fits[place.kind] + number] += amount
        self._column(price, 1.0, rows)

    def solve(self) -> float:
        """The maximum cost that can be freed."""
        self._solver.run()
        status = self._solver.getModelStatus()
        if status != highspy.HighsModelStatus.kOptimal:
            raise BenchError(f"the bound was not found: {self._solver.modelStatusToString(status)}")
        return float(self._solver.getInfo().objective_function_value)

    def _column(self, cost: float, most: float, rows: Mapping[int, float]) -> None:
        numbers = np.array(list(rows), dtype=np.int32)
        self._solver.addCol(cost, 0.0, most, len(rows), numbers, np.array(list(rows.values()), dtype=np.float64))
