"""The nodes that receive pods: which, of which kind, and how full they may get."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping

import numpy as np

from moorage.evictor.candidates import NodeVerdict
from moorage.objects import Node
from moorage.scheduling import Snapshot
from moorage.scheduling.nodes import Bools, Floats
from moorage.scheduling.plugins.node_resources_fit import Amounts

from .prices import is_spot
from .settings import Settings

EMPTIED = "evictor.cast.ai/evicted"
"""The taint on nodes that have been emptied."""
_CAPPED = ("cpu", "memory")
_ARM = "arm64"


class Targets:
    """The nodes that receive.

    Args:
        snapshot: the cluster.
        nodes: all nodes.
        verdicts: on them.
        settings: what may be done.
    """

    def __init__(
        self, snapshot: Snapshot, nodes: Mapping[str, Node], verdicts: Mapping[str, NodeVerdict], settings: Settings
    ) -> None:
        self._snapshot = snapshot
        self._settings = settings
        self._kinds = {name: self._kind(node) for name, node in nodes.items()}
        self._open: dict[Hashable, Bools] = {}
        receiving = [name for name, verdict in verdicts.items() if verdict.receives and not _emptied(nodes[name])]
        self.receiving: Bools = snapshot.slots_of(receiving)

    def open_to(self, name: str) -> Bools:
        """Return the slots that pods of a node may be moved to, by the kinds of the nodes."""
        kind = self._kinds[name]
        slots = self._open.get(kind)
        if slots is None:
            names = [other for other, of in self._kinds.items() if self._may_move(kind, of)]
            slots = self._open[kind] = self._snapshot.slots_of(names) & self.receiving
        return slots

    def close(self, slots: Iterable[int]) -> None:
        """Move no pods to some nodes any more."""
        self.receiving[list(slots)] = False
        self._open.clear()

    def kind(self, name: str) -> Hashable:
        """Return the kind of a node, which decides ``open_to``."""
        return self._kinds[name]

    def withheld(self) -> dict[str, Amounts]:
        """Return what nodes keep free so that they do not get too full, by resource and slot."""
        table, spare = self._snapshot.nodes, 1 - self._settings.utilisation
        withheld = {name: np.zeros(table.capacity, dtype=np.int64) for name in _CAPPED}
        for slot in table.slots.values():
            offered = table.record(slot).offered
            for name in _CAPPED:
                withheld[name][slot] = round(offered.get(name, 0) * spare)
        return withheld

    def tightness(self) -> Floats:
        """Return a rank of the nodes: the fullest first."""
        rank = np.zeros(self._snapshot.nodes.capacity)
        for slot in self._snapshot.nodes.slots.values():
            rank[slot] = self.tightness_of(slot)
        return rank

    def tightness_of(self, slot: int) -> float:
        """Return the rank of one node."""
        resources, offered = self._snapshot.resources, self._snapshot.nodes.record(slot).offered
        parts = [resources.free[resources.rows[name]].item(slot) / max(offered.get(name, 0), 1) for name in _CAPPED]
        return -sum(parts)

    def _kind(self, node: Node) -> tuple[str, bool, bool]:
        labels, info = node.metadata.labels, node.status.node_info
        system = info.operating_system or labels.get("kubernetes.io/os", "")
        arch = info.architecture or labels.get("kubernetes.io/arch", "")
        return system, arch == _ARM, is_spot(node)

    def _may_move(self, here: tuple[str, bool, bool], there: tuple[str, bool, bool]) -> bool:
        """Nothing but the kubelet keeps a pod off a node of another system, so it is kept off here."""
        (system, arm, spot), (other, other_arm, other_spot) = here, there
        if system != other or (other_spot and not spot and not self._settings.spot):
            return False
        return arm or not other_arm or self._settings.arm64


def _emptied(node: Node) -> bool:
    return any(taint.key == EMPTIED for taint in node.spec.taints)
