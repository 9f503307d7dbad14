"""The pod pinner's demo, as the parts that all demos share know it."""

from __future__ import annotations

from .common.demo import Demo
from .events import AnyEvent
from .state import State
from .view import render

POD_PINNER = Demo(
    name="pod-pinner",
    command="./taskw demo",
    record="./taskw demo:record",
    heading="Moorage",
    events=AnyEvent,
    state=State,
    render=lambda state, heading, now: render(state, heading=heading, now=now),
)
