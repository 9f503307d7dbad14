"""README's picture of the pod pinner's demo."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .common.drawing import moment
from .common.events import Event
from .play import POD_PINNER
from .state import State


def svg(recording: Path) -> str:
    """Draw the moment of a recording that shows most."""
    return moment(POD_PINNER, recording, telling, "moorage-demo")


def telling(events: Sequence[Event]) -> State:
    """The state at the end: each node with its pods, beside those that kube-scheduler alone has put there."""
    return POD_PINNER.replayed(events)
