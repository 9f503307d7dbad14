"""README's picture of the pod pinner's demo."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .common.drawing import moment
from .common.events import Event
from .events import NodeState
from .play import POD_PINNER
from .state import State


def svg(recording: Path) -> str:
    """Draw the moment of a recording that shows most."""
    return moment(POD_PINNER, recording, telling, "moorage-demo")


def telling(events: Sequence[Event]) -> State:
    """The state when half of the machines are ready and others are joining: all that there is can be seen in it."""
    state = State()
    for event in events:
        state.apply(event)
        ready = state.nodes_in(NodeState.READY)
        if ready * 2 >= len(state.nodes) > 0 and state.nodes_in(NodeState.JOINING):
            break
    return state
