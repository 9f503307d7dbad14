"""Caches that follow the API server for as long as a demo looks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

from moorage.kube.cache import WatchCache


class Followed(NamedTuple):
    """A cache, and who is told of each change in it."""

    cache: WatchCache[Any]
    told: Callable[[Any], None]


@asynccontextmanager
async def following(*followed: Followed) -> AsyncIterator[None]:
    """Follow the server while the context lasts; it begins once all that there is was seen."""
    tasks = [asyncio.create_task(each.cache.run()) for each in followed]
    endings: list[Callable[[], None]] = []
    try:
        for each in followed:
            await each.cache.wait_synced()
        endings = [each.cache.subscribe(each.told) for each in followed]
        yield
    finally:
        for end in endings:
            end()
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task
