"""What the reservations say, and which Node each of them has. ``Following`` keeps it up to date."""

from __future__ import annotations

from collections.abc import Iterator

from moorage.cluster.caches import Latest
from moorage.objects import Node
from moorage.reservations import HOLD, NodeReservation, Promise, Reading, Spec

from ..decisions import late
from .caches import ANCHORS, Caches
from .instances import Instances
from .machines import Machines

NOTHING = Reading(Spec(), ())
"""What a reservation says that is not there."""


class Readings:
    """The reservations as they are read, by their names.

    Args:
        caches: the watch caches.
    """

    def __init__(self, caches: Caches) -> None:
        self.reservations = Latest(caches.reservations)
        self.nodes = Latest(caches.nodes)
        self._caches = caches
        self._readings: dict[str, tuple[NodeReservation, Reading]] = {}
        self._machines = Machines()
        self._instances = Instances()

    def reading(self, name: str) -> Reading:
        """What the reservation of a node says; nothing when there is none."""
        known = self._readings.get(name)
        return known[1] if known is not None else NOTHING

    def reservation(self, name: str) -> NodeReservation | None:
        """The reservation of a node."""
        known = self._readings.get(name)
        return known[0] if known is not None else None

    def node_name(self, name: str) -> str:
        """The name of a reservation's Node; empty while it is not known, because a late one has not registered."""
        return self.reading(name).spec.named(name)

    def node(self, name: str) -> Node | None:
        """The Node of a reservation."""
        spec = self.reading(name).spec
        node = self.nodes.get(spec.named(name))
        # A late Node that registers anew is another one: nobody has asked whether it is meant.
        return None if node is not None and spec.node_name and node.metadata.uid != spec.node_uid else node

    def reserved_as(self, node: str) -> str:
        """The name of the reservation that has a Node; empty when none has."""
        ordinary = node if node in self._readings and self.node_name(node) == node else ""
        return self._machines.owner(node) or ordinary

    def _meant(self, promise: Promise) -> Iterator[Node]:
        """The Nodes that the promise of a late reservation means."""
        anchor, nodes = late.anchor(promise), self._caches.nodes
        return (each for each in (nodes.by(ANCHORS, anchor) if anchor else nodes) if late.selects(promise, each))

    def _is_wanted(self, name: str) -> bool:
        """Whether the node of a reservation is still to come."""
        reservation, reading = self._readings.get(name, (None, NOTHING))
        if reservation is None or reservation.metadata.deletion_timestamp is not None:
            return False
        return reading.usable and reading.spec.intent == HOLD
