"""The guide's picture of the rebalancing demo."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tools.demo.common.drawing import moment
from tools.demo.common.events import Event
from tools.demo.common.workloads import PodState

from .events import Going
from .play import REBALANCE
from .state import State


def svg(recording: Path) -> str:
    """Draw the moment of a recording that shows the most."""
    return moment(REBALANCE, recording, telling, "moorage-rebalance-demo")


def telling(events: Sequence[Event]) -> State:
    """The state when another replica leads and pods move again: it shows all states."""
    state = State()
    for event in events:
        state.apply(event)
        on_the_way = state.pods_in(PodState.LEAVING) and state.pods_in(PodState.STARTING)
        if state.took_over is not None and on_the_way and state.old_in(Going.DRAINING):
            break
    return state
