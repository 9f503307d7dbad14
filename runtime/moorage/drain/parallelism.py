"""How many nodes may be emptied at a time: parallelism is earned, and lost at once."""

from __future__ import annotations


class Parallelism:
    """Of one term: it begins with one node, each success doubles it, and a rollback begins anew.

    Args:
        most: the most nodes at a time.
    """

    def __init__(self, most: int) -> None:
        self._most = max(most, 1)
        self._earned = 1

    def use(self, most: int) -> None:
        """How many nodes may be emptied at a time at most, from now on."""
        self._most = max(most, 1)

    @property
    def at_once(self) -> int:
        """How many nodes may be emptied at a time now."""
        return min(self._earned, self._most)

    def succeeded(self) -> None:
        """A node was emptied, and its pods are available elsewhere."""
        self._earned = min(self._earned * 2, self._most)

    def failed(self) -> None:
        """A node was rolled back."""
        self._earned = 1
