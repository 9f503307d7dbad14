"""What the pinner watches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from moorage.cluster.caches import FitCaches
from moorage.kube import resources
from moorage.kube.cache import WatchCache
from moorage.kube.http.transport import Transport
from moorage.objects import Pod
from moorage.reservations import NodeReservation, SlotReservation

from ..decisions import late
from ..promised.expected import owner_keys

WAITING = "waiting"
"""Pods without a node, by their owners."""
ANCHORS = "anchors"
"""Nodes by what late promises find them by."""


def _waiting(pod: Pod) -> Iterable[str]:
    return () if pod.spec.node_name else owner_keys(pod)


@dataclass(frozen=True, slots=True)
class Caches(FitCaches):
    """One watch cache per kind; most only serve the fit check.

    ``slot_reservations`` is none of ``all``: where it may not be watched, or is not run, nothing else waits for it.
    """

    reservations: WatchCache[NodeReservation]
    slot_reservations: WatchCache[SlotReservation]

    @classmethod
    def over(cls, transport: Transport) -> Caches:
        """Caches that nobody runs yet."""
        kept = cls.for_fit(transport, **{WAITING: _waiting})
        kept["nodes"] = WatchCache(transport, resources.NODES, indexes={ANCHORS: late.anchors})
        return cls(
            reservations=WatchCache(transport, resources.NODE_RESERVATIONS),
            slot_reservations=WatchCache(transport, resources.SLOT_RESERVATIONS, optional=True),
            **kept,
        )

    @property
    def all(self) -> Sequence[WatchCache[Any]]:
        """Every cache; those that others are understood by come first."""
        return (*self.plain, self.daemon_sets, self.reservations, self.nodes, self.pods)
