"""What the parts that all demos share must know of one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from rich.console import RenderableType

from .events import Event, State

S = TypeVar("S", bound=State)


@dataclass(frozen=True)
class Demo(Generic[S]):
    """One demo.

    Attributes:
        name: in its recordings.
        command: what makes it happen.
        record: what makes its recording anew.
        heading: what stands at the top of its picture.
        events: the union of its events, as recordings are decoded.
        state: makes the state before any event.
        render: draws a state, below a heading, at so many seconds since the start.
    """

    name: str
    command: str
    record: str
    heading: str
    events: Any
    state: Callable[[], S]
    render: Callable[[S, str, float], RenderableType]

    def replayed(self, events: Iterable[Event]) -> S:
        """The state after all these events."""
        state = self.state()
        for event in events:
            state.apply(event)
        return state
