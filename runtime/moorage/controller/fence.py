"""The gate for requests: it limits their number, and lets only the leader write."""

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
    """A replica that is not the leader tried to write."""


class Fence:
    """Limits requests and checks leadership.

    Args:
        is_leader: is called immediately before each write.
        at_once: the number of requests that may be in flight.
    """

    def __init__(self, is_leader: Callable[[], bool], at_once: int) -> None:
        self._is_leader = is_leader
        self._limit = asyncio.Semaphore(at_once)
        self._next = asyncio.Lock()

    def read(self) -> asyncio.Semaphore:
        """A context for a read request."""
        return self._limit

    async def turn(self) -> None:
        """Wait until a request could be sent at once. Callers are served in order."""
        async with self._next:
            if self._limit.locked():
                async with self._limit:
                    pass

    async def write(self, request: Callable[[], Awaitable[T]]) -> T:
        """Wait for a free slot, check leadership, then call ``request``.

        Raises:
            NotLeading: this replica is not the leader; nothing was sent.
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
