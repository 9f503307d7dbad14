"""Where events arrive: they change the state, go to whoever shows or records them, and wake who waits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from .errors import DemoError
from .events import Event, Mark, NodeSeen, NodeState, PodSeen, Promised, Said
from .state import State


class Stage:
    """The running demo's state.

    Args:
        sinks: each is told every event, in order.
        clock: seconds on a clock that never goes back (for tests).
    """

    def __init__(self, *sinks: Callable[[Event], None], clock: Callable[[], float] = time.monotonic) -> None:
        self.state = State()
        self._sinks = sinks
        self._clock = clock
        self._started = clock()
        self._changed = asyncio.Event()

    @property
    def elapsed(self) -> float:
        """Seconds since the start, to the millisecond."""
        return round(self._clock() - self._started, 3)

    def say(self, sentence: str, mark: Mark = Mark.STEP) -> None:
        """Tell something worth a line."""
        self._take(Said(at=self.elapsed, sentence=sentence, mark=mark))

    def good(self, sentence: str) -> None:
        """Tell about something achieved."""
        self.say(sentence, Mark.GOOD)

    def promise(self, node: str, *, capacity: int, pods: int, promised: int) -> None:
        """A node of the plan; CPU in milli-cores."""
        self._take(Promised(at=self.elapsed, node=node, capacity=capacity, pods=pods, promised=promised))

    def node(self, name: str, state: NodeState) -> None:
        """A node as it is now; only changes are events."""
        known = self.state.nodes.get(name)
        if known is None or known.state is not state:
            self._take(NodeSeen(at=self.elapsed, node=name, state=state))

    def pod(self, seen: PodSeen) -> None:
        """A pod as it is now; only changes are events."""
        known = self.state.pods.get(seen.pod)
        if known is None or (known.state, known.node) != (seen.state, seen.node):
            self._take(seen)

    def _take(self, event: Event) -> None:
        self.state.apply(event)
        for sink in self._sinks:
            sink(event)
        self._changed.set()

    async def until(self, condition: Callable[[State], bool], what: str, seconds: float) -> None:
        """Return once the condition holds.

        Args:
            condition: of the state.
            what: what is waited for, for the error.
            seconds: how long at most.

        Raises:
            DemoError: it did not come to hold in time.
        """
        try:
            async with asyncio.timeout(seconds):
                while not condition(self.state):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError as error:
            raise DemoError(f"waited {seconds:g} s for {what}") from error
