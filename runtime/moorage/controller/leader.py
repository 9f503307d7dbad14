"""Reads from a Lease who the leader is, without following it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from moorage.objects import Lease
from moorage.reservations import moment

_NEVER = timedelta.max


@dataclass(frozen=True, slots=True)
class Leader:
    """The holder of a Lease.

    Attributes:
        holder: its identity; empty when nobody holds the Lease.
        age: time since the last renewal, by the API server's clock.
        valid: whether the Lease was renewed within its duration. If not, the holder is gone or hangs.
    """

    holder: str
    age: timedelta
    valid: bool

    @property
    def pod(self) -> str:
        """The holder's pod: an identity is the pod's name with a random suffix (``LeaderElection``)."""
        return self.holder.rpartition("_")[0] or self.holder


def leader_of(lease: Lease, now: datetime) -> Leader:
    """Return the holder of a Lease, and whether it renews the Lease.

    Args:
        lease: the Lease of an election.
        now: the API server's time.
    """
    spec = lease.spec
    renewed = moment(spec.renew_time or "")
    if not spec.holder_identity or renewed is None:
        return Leader("", _NEVER, valid=False)
    age = now - renewed
    return Leader(spec.holder_identity, age, valid=age <= timedelta(seconds=spec.lease_duration_seconds or 0))
