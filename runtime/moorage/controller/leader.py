"""Who leads, as a Lease tells somebody who only looks at it once; pure."""

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
        holder: its identity; empty when nobody holds it.
        age: time since it was renewed, by the API server's clock.
        valid: whether that is within the Lease's duration: an older one is of a replica that is gone or stuck.
    """

    holder: str
    age: timedelta
    valid: bool

    @property
    def pod(self) -> str:
        """The pod that holds it: an identity is a pod's name and a random suffix (``LeaderElection``)."""
        return self.holder.rpartition("_")[0] or self.holder


def leader_of(lease: Lease, now: datetime) -> Leader:
    """Who holds a Lease, and whether it is renewed.

    Args:
        lease: of an election.
        now: the API server's time.
    """
    spec = lease.spec
    renewed = moment(spec.renew_time or "")
    if not spec.holder_identity or renewed is None:
        return Leader("", _NEVER, valid=False)
    age = now - renewed
    return Leader(spec.holder_identity, age, valid=age <= timedelta(seconds=spec.lease_duration_seconds or 0))
