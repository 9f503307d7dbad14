"""A limit on the steps of the choice: unlike a time limit, it stops at the same step every time."""

from __future__ import annotations

from collections.abc import Callable


class Stopped(Exception):
    """The caller does not need the answer any more."""


def never() -> bool:
    """Return False: the caller still needs the answer."""
    return False


class Budget:
    """A number of steps that is used up.

    Args:
        steps: how many there are.
        stopped: returns True when the caller does not need the answer any more.
    """

    def __init__(self, steps: int, stopped: Callable[[], bool] = never) -> None:
        self.steps = steps
        self._stopped = stopped
        self.used = 0
        self.cut_off = False

    @property
    def left(self) -> int:
        """The steps that are left."""
        return self.steps - self.used

    def spend(self, steps: int = 1) -> bool:
        """Use steps; return whether there were enough, and remember when there were not."""
        if not self.allows(steps):
            return False
        self.used += steps
        return True

    def allows(self, steps: int) -> bool:
        """Whether so many steps are left; remember when they are not, because work is left undone.

        Raises:
            Stopped: the caller does not need the answer any more.
        """
        if self._stopped():
            raise Stopped
        enough = steps <= self.left
        self.cut_off |= not enough
        return enough

    def part(self, share: float) -> Budget:
        """Return a budget with a share of what is left; the caller spends here what that one uses."""
        return Budget(int(self.left * share), self._stopped)
