"""The stages of a rebalancing."""

from __future__ import annotations

from enum import Enum


class Stage(Enum):
    """The stage of a rebalancing."""

    ARRIVING = "arriving"
    """Not all nodes of the plan are Ready."""
    EMPTYING = "emptying"
    """All nodes of the plan are Ready, and the replaced ones are drained."""
    DONE = "done"
    """The plan is fulfilled."""
    INCOMPLETE = "incomplete"
    """The time limit has passed, and not all nodes are empty."""
    WITHDRAWN = "withdrawn"
    """A node of the plan did not come, and everything was taken back."""

    @property
    def final(self) -> bool:
        """Whether the rebalancing has ended."""
        return self in (Stage.DONE, Stage.INCOMPLETE, Stage.WITHDRAWN)
