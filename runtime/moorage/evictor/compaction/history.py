"""The recent evictions of each owner. They are remembered across cycles and restarts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from moorage.reservations import moment


@dataclass(frozen=True, slots=True)
class History:
    """The evictions of the last hour.

    Attributes:
        times: of each owner's evictions, by the owner's uid.
    """

    times: Mapping[str, tuple[datetime, ...]] = field(default_factory=dict)

    def since(self, moment: datetime) -> History:
        """Return the evictions that are not older than a time."""
        kept = {owner: tuple(time for time in times if time > moment) for owner, times in self.times.items()}
        return History({owner: times for owner, times in kept.items() if times})

    def count(self, owner: str) -> int:
        """Return the number of evictions of an owner."""
        return len(self.times.get(owner, ()))

    def with_evictions(self, owners: Iterable[str], now: datetime) -> History:
        """Return the history with evictions of now.

        Args:
            owners: the owner of each pod.
            now: the API server's time.
        """
        times = dict(self.times)
        for owner in owners:
            times[owner] = (*times.get(owner, ()), now)
        return History(times)

    def left(self, owner: str, replicas: int) -> int:
        """Return how many more evictions an owner may have.

        Args:
            owner: its uid.
            replicas: how many it wants.
        """
        return max(0, max(1, replicas) - self.count(owner))

    def as_status(self) -> dict[str, list[str]]:
        """Return the form that the status has, in a stable order."""
        return {owner: [time.isoformat() for time in times] for owner, times in sorted(self.times.items())}

    @classmethod
    def from_status(cls, written: Any, now: datetime, window: timedelta) -> History:
        """Read the form that the status has.

        What cannot be read counts as an eviction of now: a restart must not make anybody evictable.

        Args:
            written: as ``as_status`` made it, or whatever has become of it.
            now: the API server's time.
            window: how long evictions are remembered.
        """
        if not isinstance(written, Mapping):
            return cls()
        times = {
            str(owner): tuple(min(moment(each) or now, now) if isinstance(each, str) else now for each in times)
            for owner, times in written.items()
            if isinstance(times, list)
        }
        return cls(times).since(now - window)
