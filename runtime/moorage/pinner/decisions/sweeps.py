"""How often pods of one controller were swept within the last hour: a limit, and nothing that must survive."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from moorage.objects import Pod

HOUR = 3600.0


class Sweeps:
    """Counts per controller.

    Args:
        limit: how many in an hour.
        monotonic: seconds on a clock that never goes back.
    """

    def __init__(self, limit: int, monotonic: Callable[[], float]) -> None:
        self.limit = limit
        self._monotonic = monotonic
        self._moments: dict[str, deque[float]] = {}

    def swept(self, pod: Pod) -> None:
        """A pod was deleted because it could not run where it was."""
        owner = pod.metadata.controller()
        if owner is not None:
            self._moments.setdefault(owner.uid, deque()).append(self._monotonic())

    def left(self) -> dict[str, int]:
        """How many more may be swept, by controller uid; a controller without any recent sweep is not mentioned."""
        since = self._monotonic() - HOUR
        for uid, moments in tuple(self._moments.items()):
            while moments and moments[0] < since:
                moments.popleft()
            if not moments:
                del self._moments[uid]
        return {uid: self.limit - len(moments) for uid, moments in self._moments.items()}
