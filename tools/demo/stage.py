"""The pod pinner's stage: what its story and its observer tell it, as events; only changes are any."""

from __future__ import annotations

import time
from collections.abc import Callable

from .common import stage
from .common.events import Event
from .events import NodeSeen, NodeState, PodSeen, Promised
from .state import State


class Stage(stage.Stage[State]):
    """The running demo's state.

    Args:
        sinks: each is told every event, in order.
        clock: seconds on a clock that never goes back (for tests).
    """

    def __init__(self, *sinks: Callable[[Event], None], clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(State(), *sinks, clock=clock)

    def promise(self, node: str, *, capacity: int, pods: int, promised: int) -> None:
        """A node of the plan; CPU in milli-cores."""
        self.take(Promised(at=self.elapsed, node=node, capacity=capacity, pods=pods, promised=promised))

    def node(self, name: str, state: NodeState) -> None:
        """A node as it is now; only changes are events."""
        known = self.state.nodes.get(name)
        if known is None or known.state is not state:
            self.take(NodeSeen(at=self.elapsed, node=name, state=state))

    def pod(self, seen: PodSeen) -> None:
        """A pod as it is now; only changes are events."""
        known = self.state.pods.get(seen.pod)
        if known is None or (known.state, known.node) != (seen.state, seen.node):
            self.take(seen)
