"""README's picture of the evictor's demo."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tools.demo.common.drawing import moment
from tools.demo.common.events import Event
from tools.demo.common.workloads import PodState

from .events import NodeState
from .play import EVICTOR
from .state import State


def svg(recording: Path) -> str:
    """Draw the moment of a recording that shows the most."""
    return moment(EVICTOR, recording, telling, "moorage-evictor-demo")


def telling(events: Sequence[Event]) -> State:
    """The state when a quarter of the promised nodes is deleted and others are being drained: it shows all states."""
    state = State()
    for event in events:
        state.apply(event)
        under_way = state.in_state(NodeState.DRAINING) and state.pods_in(PodState.LEAVING, PodState.STARTING)
        if under_way and 4 * len(state.deleted) >= len(state.promised) > 0:
            break
    return state
