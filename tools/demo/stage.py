"""The pod pinner's stage: what its story and its observer tell it, as events; only changes are any."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

from .common import stage
from .common.events import Event
from .events import NodeSeen, NodeState, Phase, PodSeen, Promised, SchedulerAlone
from .state import State


class Stage(stage.Stage[State]):
    """The running demo's state.

    Args:
        sinks: each is told every event, in order.
        clock: seconds on a clock that never goes back (for tests).
        reading: seconds for which the story rests at a new part, so that its caption is read; 0: nobody reads it.
    """

    def __init__(
        self, *sinks: Callable[[Event], None], clock: Callable[[], float] = time.monotonic, reading: float = 0.0
    ) -> None:
        super().__init__(State(), *sinks, clock=clock)
        self._reading = reading

    async def phase(self, number: int, parts: int, caption: str) -> None:
        """The story comes to another part; it goes on once its caption has been read."""
        self.take(Phase(at=self.elapsed, number=number, parts=parts, caption=caption))
        if self._reading:
            await asyncio.sleep(self._reading)

    def scheduler_alone(self) -> None:
        """From now on pods are those that kube-scheduler places alone."""
        self.take(SchedulerAlone(at=self.elapsed))

    def promise(self, node: str, *, capacity: int, pods: int, promised: int, apps: Mapping[str, int]) -> None:
        """A node of the plan; CPU in milli-cores."""
        at = self.elapsed
        self.take(Promised(at=at, node=node, capacity=capacity, pods=pods, promised=promised, apps=dict(apps)))

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
