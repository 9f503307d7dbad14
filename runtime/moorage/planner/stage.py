"""How far a rebalancing is."""

from __future__ import annotations

from enum import Enum


class Stage(Enum):
    """How far a rebalancing is."""

    ARRIVING = "arriving"
    """Nodes of the plan are not Ready yet."""
    EMPTYING = "emptying"
    """They are, and the others are emptied."""
    DONE = "done"
    """All is as the plan says."""
    INCOMPLETE = "incomplete"
    """The time is over, and not all nodes are empty."""
    WITHDRAWN = "withdrawn"
    """A node of the plan never came, and all was taken back."""

    @property
    def final(self) -> bool:
        """Whether nothing more is done."""
        return self in (Stage.DONE, Stage.INCOMPLETE, Stage.WITHDRAWN)
