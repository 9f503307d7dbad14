"""What is about to be evicted, written down before it is: a restart in between must not forget it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime

from .compaction import History


class Intended:
    """The evictions of a cycle, by the owners they count for, until they have happened or the cycle is over."""

    def __init__(self) -> None:
        self._owners: Counter[str] = Counter()
        self._at: datetime | None = None

    def begin(self, owners: Iterable[str], now: datetime) -> None:
        """A cycle begins that is to evict a pod of each of these owners."""
        self._owners, self._at = Counter(owners), now

    def happened(self, owner: str) -> bool:
        """One has happened; returns whether it was intended, so that it is written down already."""
        known = self._owners[owner] > 0
        self._owners[owner] -= known
        return known

    def end(self) -> None:
        """The cycle is over: what has not happened will not."""
        self._owners.clear()

    def with_these(self, history: History) -> History:
        """What is written down: the evictions of late, and these as if they had happened."""
        return history.with_evictions(self._owners.elements(), self._at) if self._at is not None else history
