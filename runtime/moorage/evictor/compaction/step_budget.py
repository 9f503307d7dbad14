"""How many steps choosing may take: unlike a time limit, it cuts off at the same place every time."""

from __future__ import annotations

from collections.abc import Callable


class Stopped(Exception):
    """Nobody wants the answer any more."""


def never() -> bool:
    """Somebody waits for the answer."""
    return False


class Budget:
    """Steps that are used up.

    Args:
        steps: how many there are.
        stopped: asked now and then whether nobody wants the answer any more.
    """

    def __init__(self, steps: int, stopped: Callable[[], bool] = never) -> None:
        self.steps = steps
        self._stopped = stopped
        self.used = 0
        self.cut_off = False

    @property
    def left(self) -> int:
        """How many are left."""
        return self.steps - self.used

    def spend(self, steps: int = 1) -> bool:
        """Use some; returns whether there were as many, and remembers when there were not."""
        if not self.allows(steps):
            return False
        self.used += steps
        return True

    def allows(self, steps: int) -> bool:
        """Whether there are as many left; when there are not, something is left undone, and that is remembered.

        Raises:
            Stopped: nobody wants to know.
        """
        if self._stopped():
            raise Stopped
        enough = steps <= self.left
        self.cut_off |= not enough
        return enough

    def part(self, share: float) -> Budget:
        """A budget of its own with a share of what is left; what is used of it is to be spent here, too."""
        return Budget(int(self.left * share), self._stopped)
