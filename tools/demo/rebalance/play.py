"""The rebalancing demo as a `Demo`, for the parts that all demos share."""

from __future__ import annotations

from tools.demo.common.demo import Demo

from .events import AnyEvent
from .state import State
from .view import render

REBALANCE = Demo(
    name="rebalance",
    command="./taskw demo:rebalance",
    record="./taskw demo:rebalance:record",
    heading="Moorage rebalancing",
    events=AnyEvent,
    state=State,
    render=render,
)
