"""What every request passes: a few at a time, and no write by a replica that does not lead."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from moorage.kube.client import Client
from moorage.kube.resource import Resource
from moorage.objects import KubeObject

T = TypeVar("T")
K = TypeVar("K", bound=KubeObject)


class NotLeading(Exception):
    """A write was about to be made by a replica that does not lead (any more)."""


class Fence:
    """Lets requests through.

    Args:
        is_leader: asked at the last moment before each write.
        at_once: how many requests may be under way at a time.
    """

    def __init__(self, is_leader: Callable[[], bool], at_once: int) -> None:
        self._is_leader = is_leader
        self._limit = asyncio.Semaphore(at_once)
        self._next = asyncio.Lock()

    def read(self) -> asyncio.Semaphore:
        """A context in which something may be read."""
        return self._limit

    async def turn(self) -> None:
        """Return as soon as a request could be made at once; one after the other, in the order of asking."""
        async with self._next:
            if self._limit.locked():
                async with self._limit:
                    pass

    async def write(self, request: Callable[[], Awaitable[T]]) -> T:
        """Do something when it is our turn; ``request`` is called at the last moment.

        Raises:
            NotLeading: it was not made.
        """
        async with self._limit:
            if not self._is_leader():
                raise NotLeading
            return await request()

    async def patch(
        self, client: Client, resource: Resource[K], seen: K, changes: Mapping[str, Any], *, subresource: str = ""
    ) -> K:
        """Change an object when it is our turn, only as it was seen: it has the same uid and resourceVersion.

        Args:
            client: the API server.
            resource: the kind.
            seen: the object.
            changes: a merge patch.
            subresource: the part of it that is changed; empty means the object itself.

        Raises:
            NotLeading: it was not changed.
            Conflict: it is another object, or has changed.
            NotFound: it is gone.
        """
        meta = seen.metadata
        return await self.write(
            lambda: client.patch(
                resource,
                meta.name,
                meta.namespace,
                changes=changes,
                uid=meta.uid,
                resource_version=meta.resource_version,
                subresource=subresource,
            )
        )
