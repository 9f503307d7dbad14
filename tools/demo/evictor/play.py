"""The evictor's demo as a `Demo`, for the parts that all demos share."""

from __future__ import annotations

from tools.demo.common.demo import Demo

from .events import AnyEvent
from .state import State
from .view import render

EVICTOR = Demo(
    name="evictor",
    command="./taskw demo:evictor",
    record="./taskw demo:evictor:record",
    heading="Moorage evictor",
    events=AnyEvent,
    state=State,
    render=render,
)
