"""Intended evictions: they are written to the status before they happen, so that a restart does not forget them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime

from .compaction import History


class IntendedEvictions:
    """The evictions of a cycle, by owner, until they have happened or the cycle is over."""

    def __init__(self) -> None:
        self._owners: Counter[str] = Counter()
        self._at: datetime | None = None

    def begin(self, owners: Iterable[str], now: datetime) -> None:
        """Begin a cycle that evicts a pod of each of these owners."""
        self._owners, self._at = Counter(owners), now

    def happened(self, owner: str) -> bool:
        """Take over an eviction; return whether it was intended, so that the status has it already."""
        known = self._owners[owner] > 0
        self._owners[owner] -= known
        return known

    def end(self) -> None:
        """End the cycle: the other intended evictions do not happen."""
        self._owners.clear()

    def with_these(self, history: History) -> History:
        """Return the recent evictions with the intended ones, as if these had happened."""
        return history.with_evictions(self._owners.elements(), self._at) if self._at is not None else history
