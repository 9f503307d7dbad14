"""Counts of pods per topology domain, kept up to date pod by pod."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from .nodes import Bools, Column

Counts = npt.NDArray[np.int64]


class Counter(Protocol):
    """An object that counts the pods of some classes."""

    def add(self, slot: int, sign: int) -> None:
        """Count pods that come to a slot (positive) or leave it (negative)."""


class DomainCount:
    """Pods per value of one topology key; pods on nodes without the key are not counted."""

    def __init__(self, column: Column[str]) -> None:
        self.column = column
        self.counts: Counts = np.zeros(column.size, dtype=np.int64)
        self.total = 0

    def add(self, slot: int, sign: int) -> None:
        """Count pods that come to a slot (positive) or leave it (negative)."""
        number = self.column.ids[slot]
        if number:
            if number >= len(self.counts):
                self.fit()
            self.counts[number] += sign
            self.total += sign

    def fit(self) -> Counts:
        """Return the counts, long enough for every number of the column."""
        missing = self.column.size - len(self.counts)
        if missing > 0:
            self.counts = np.concatenate([self.counts, np.zeros(missing + 16, dtype=np.int64)])
        return self.counts

    def occupied(self) -> Bools:
        """Return, per slot, whether its domain holds at least one pod."""
        return (self.fit() > 0)[self.column.ids]

    def at(self, slot: int) -> int:
        """Return the pods in the domain of a slot."""
        return int(self.fit()[self.column.ids[slot]])
