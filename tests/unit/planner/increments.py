"""A source with changes from the test, one after the other, as from an autoscaler."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from datetime import timedelta

from moorage.planner.plan import Plan
from moorage.planner.source import Change, Served

EMPTY = Plan("increments", "", timedelta(minutes=10))


class Increments:
    """Begins with a plan that has no node.

    Args:
        first: its first plan.
    """

    def __init__(self, *first: Change) -> None:
        self._queue: asyncio.Queue[Change] = asyncio.Queue()
        self.say(*(first or (Served(EMPTY),)))

    def say(self, *changes: Change) -> None:
        """Say something more."""
        for change in changes:
            self._queue.put_nowait(change)

    async def changes(self) -> AsyncGenerator[Change, None]:
        """See ``Source``."""
        while True:
            yield await self._queue.get()
