"""How many nodes may be emptied at a time."""

from __future__ import annotations


class Parallelism:
    """The limit starts with one node. Each success doubles it, and a rollback resets it.

    Args:
        most: the upper limit.
    """

    def __init__(self, most: int) -> None:
        self._most = max(most, 1)
        self._earned = 1

    def use(self, most: int) -> None:
        """Change the upper limit."""
        self._most = max(most, 1)

    @property
    def at_once(self) -> int:
        """How many nodes may be emptied at a time now."""
        return min(self._earned, self._most)

    def succeeded(self) -> None:
        """A node was emptied, and its replacements are available."""
        self._earned = min(self._earned * 2, self._most)

    def failed(self) -> None:
        """A node was rolled back."""
        self._earned = 1
