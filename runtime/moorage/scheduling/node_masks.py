"""Answers per node that only the node's own fields decide. They are kept until nodes change."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from .nodes import ALL, Bools, NodeTable, Rows


class KeptMask:
    """A mask that holds as long as the clock of the nodes stands at ``clock``."""

    def __init__(self) -> None:
        self.mask: Bools | None = None
        self.clock = -1

    def forget(self) -> None:
        """Free the memory; the next question decides again."""
        self.mask = None


class NodeMask(ABC):
    """One bool per slot for one question about nodes; it is decided again for nodes that change."""

    def __init__(self) -> None:
        self._mask: Bools | None = None
        self._clock = -1

    @abstractmethod
    def rows(self, nodes: NodeTable, rows: Rows) -> Bools:
        """Decide for the nodes of ``rows``."""

    def mask(self, nodes: NodeTable) -> Bools:
        """Return the answer for all slots; the caller does not change it."""
        mask = self._mask
        if mask is None or len(mask) != nodes.capacity:
            mask = self._mask = self.rows(nodes, ALL)
        elif self._clock != nodes.clock:
            stale = np.flatnonzero(nodes.changed > self._clock)
            mask[stale] = self.rows(nodes, stale)
        self._clock = nodes.clock
        return mask

    def forget(self) -> None:
        """Free the memory; the next question decides again."""
        self._mask = None
