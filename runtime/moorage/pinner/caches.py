"""What the pinner watches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from moorage.cluster.caches import FitCaches
from moorage.kube import resources
from moorage.kube.cache import WatchCache
from moorage.kube.transport import Transport
from moorage.reservations import NodeReservation


@dataclass(frozen=True, slots=True)
class Caches(FitCaches):
    """One watch cache per kind; all but ``reservations``, ``nodes`` and ``pods`` only serve the fit check."""

    reservations: WatchCache[NodeReservation]

    @classmethod
    def over(cls, transport: Transport) -> Caches:
        """Caches that nobody runs yet."""
        return cls(reservations=WatchCache(transport, resources.NODE_RESERVATIONS), **cls.for_fit(transport))

    @property
    def all(self) -> Sequence[WatchCache[Any]]:
        """Every cache; those that others are understood by come first."""
        return (*self.plain, self.daemon_sets, self.reservations, self.nodes, self.pods)
