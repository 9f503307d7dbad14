"""Follows nodes, pods and reservations by watches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from moorage.kube import resources
from moorage.kube.cache import WatchCache
from moorage.kube.client import Client
from moorage.pinner.commands.overview import overview

from ..terminal import plain
from .reading import Reader
from .scene import Scene

BLIND = 15.0
"""Seconds without an open watch after which a note says so."""


class Followed:
    """Caches of nodes, pods and reservations, and the scene that they make.

    Args:
        client: of somebody who may list and watch nodes, pods and reservations.
    """

    def __init__(self, client: Client) -> None:
        transport = client.transport
        self._transport = transport
        self._nodes = WatchCache(transport, resources.NODES)
        self._pods = WatchCache(transport, resources.PODS)
        self._reservations = WatchCache(transport, resources.NODE_RESERVATIONS, optional=True)
        self._slots = WatchCache(transport, resources.SLOT_RESERVATIONS, optional=True)
        self._reader = Reader()
        self.changed = asyncio.Event()
        """Set when something has changed."""

    @property
    def caches(self) -> tuple[WatchCache[Any], ...]:
        """What follows the API server."""
        return self._nodes, self._pods, self._reservations, self._slots

    @property
    def server(self) -> str:
        """Address of the API server."""
        return self._transport.access.server

    def now(self) -> datetime:
        """The API server's time."""
        return self._transport.clock.now()

    def scene(self) -> Scene:
        """The cluster as it is."""
        pods = tuple(self._pods)
        found = overview(self._reservations, pods, self._slots)
        return self._reader.scene(self._nodes, pods, found, self.now())

    def notes(self) -> list[str]:
        """What cannot be seen, a sentence each."""
        result = []
        for cache in self.caches:
            plural, blind = cache.resource.plural, cache.blind_for
            if cache.refusal is not None:
                result.append(f"{plural} cannot be seen: {plain(str(cache.refusal))}")
            elif blind > BLIND:
                result.append(f"{plural}: no connection for {blind:.0f} s; what is shown may be old")
        return result


@asynccontextmanager
async def following(client: Client) -> AsyncIterator[Followed]:
    """Follow a cluster while the context lasts; it begins once all was listed.

    Args:
        client: of somebody who may list and watch nodes and pods.

    Raises:
        KubeError: nodes or pods cannot be listed.
    """
    for needed in (resources.NODES, resources.PODS):  # a cache would try again for ever
        await client.transport.request("GET", needed.path(), query={"limit": "1"})
    followed = Followed(client)
    tasks = [asyncio.create_task(cache.run()) for cache in followed.caches]
    try:
        for cache in followed.caches:
            await cache.wait_answered()
            cache.subscribe(lambda _: followed.changed.set())
        yield followed
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
