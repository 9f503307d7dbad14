"""What the pinner watches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from moorage.cluster.caches import FitCaches
from moorage.kube import resources
from moorage.kube.cache import WatchCache
from moorage.kube.transport import Transport
from moorage.objects import Pod
from moorage.reservations import NodeReservation

from .expected import owner_keys

WAITING = "waiting"
"""Pods without a node, by their owners."""


def _waiting(pod: Pod) -> Iterable[str]:
    return () if pod.spec.node_name else owner_keys(pod)


@dataclass(frozen=True, slots=True)
class Caches(FitCaches):
    """One watch cache per kind; all but ``reservations``, ``nodes`` and ``pods`` only serve the fit check."""

    reservations: WatchCache[NodeReservation]

    @classmethod
    def over(cls, transport: Transport) -> Caches:
        """Caches that nobody runs yet."""
        kept = cls.for_fit(transport, **{WAITING: _waiting})
        return cls(reservations=WatchCache(transport, resources.NODE_RESERVATIONS), **kept)

    @property
    def all(self) -> Sequence[WatchCache[Any]]:
        """Every cache; those that others are understood by come first."""
        return (*self.plain, self.daemon_sets, self.reservations, self.nodes, self.pods)
