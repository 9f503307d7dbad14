"""The watch caches of a service, and our own writes on top of them until the watch shows them."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from moorage.kube import resources
from moorage.kube.cache import Index, WatchCache
from moorage.kube.http.transport import Transport
from moorage.kube.indexes import by_node
from moorage.objects import (
    CsiNode,
    KubeObject,
    Namespace,
    Node,
    PersistentVolume,
    PersistentVolumeClaim,
    Pod,
    StorageClass,
    VolumeAttachment,
)

from .daemons import DAEMON_SETS, DaemonSet

T = TypeVar("T", bound=KubeObject)

BY_NODE = "node"


class CacheGroup(ABC):
    """Caches that are run together."""

    __slots__ = ()

    @property
    @abstractmethod
    def all(self) -> Sequence[WatchCache[Any]]:
        """All caches. Those whose objects others refer to come first."""

    @property
    def synced(self) -> bool:
        """Whether each cache was complete once. Readiness depends on it."""
        return all(cache.synced for cache in self.all)

    async def wait_synced(self) -> None:
        """Wait until each cache was complete once."""
        for cache in self.all:
            await cache.wait_synced()

    async def run(self) -> None:
        """Run all caches until cancelled."""
        async with asyncio.TaskGroup() as group:
            for cache in self.all:
                group.create_task(cache.run(), name=f"watch {cache.resource.plural}")


@dataclass(frozen=True, slots=True)
class FitCaches(CacheGroup):
    """The caches that the fit check needs, one per kind. Services add more."""

    nodes: WatchCache[Node]
    pods: WatchCache[Pod]
    daemon_sets: WatchCache[DaemonSet]
    namespaces: WatchCache[Namespace]
    volumes: WatchCache[PersistentVolume]
    claims: WatchCache[PersistentVolumeClaim]
    storage_classes: WatchCache[StorageClass]
    csi_nodes: WatchCache[CsiNode]
    attachments: WatchCache[VolumeAttachment]

    @staticmethod
    def for_fit(transport: Transport, **pods_by: Index[Pod]) -> dict[str, WatchCache[Any]]:
        """The caches are created, not run.

        Args:
            transport: the connections to the API server.
            pods_by: more indexes of pods, by name.
        """
        return {
            "nodes": WatchCache(transport, resources.NODES),
            "pods": WatchCache(transport, resources.PODS, indexes={BY_NODE: by_node, **pods_by}),
            "daemon_sets": WatchCache(transport, DAEMON_SETS),
            "namespaces": WatchCache(transport, resources.NAMESPACES),
            "volumes": WatchCache(transport, resources.VOLUMES),
            "claims": WatchCache(transport, resources.CLAIMS),
            "storage_classes": WatchCache(transport, resources.STORAGE_CLASSES),
            "csi_nodes": WatchCache(transport, resources.CSI_NODES),
            "attachments": WatchCache(transport, resources.VOLUME_ATTACHMENTS),
        }

    @property
    def plain(self) -> Sequence[WatchCache[Any]]:
        """The caches whose objects enter the snapshot unchanged."""
        return (
            self.namespaces,
            self.storage_classes,
            self.volumes,
            self.claims,
            self.csi_nodes,
            self.attachments,
        )

    @property
    def all(self) -> Sequence[WatchCache[Any]]:
        """All caches. Those whose objects others refer to come first."""
        return (*self.plain, self.daemon_sets, self.nodes, self.pods)


@dataclass(frozen=True, slots=True)
class _Gone:
    """We deleted the object with this uid. ``version`` is its newest known resourceVersion."""

    uid: str
    version: str


class Latest(Generic[T]):
    """A cache with our own writes on top, so that nothing is decided twice because a watch is late.

    Args:
        cache: the watch cache.
    """

    def __init__(self, cache: WatchCache[T]) -> None:
        self._cache = cache
        self._written: dict[str, T | _Gone] = {}

    def get(self, key: str) -> T | None:
        """The newest known state of an object, or None if it does not exist."""
        cached = self._cache.get(key)
        written = self._written.get(key)
        if written is None:
            return cached
        if isinstance(written, _Gone):
            if cached is not None and cached.metadata.uid == written.uid:
                return None
            seen_up_to = self._cache.resource_version if cached is None else cached.metadata.resource_version
            if _order(seen_up_to) < _order(written.version):
                return None  # the watch has not shown its creation yet
            del self._written[key]
            return cached
        seen_up_to = self._cache.resource_version if cached is None else cached.metadata.resource_version
        if cached is not None and cached.metadata.uid != written.metadata.uid:
            seen_up_to = self._cache.resource_version
        if _order(seen_up_to) >= _order(written.metadata.resource_version):
            del self._written[key]
            return cached
        return written

    def all(self) -> dict[str, T]:
        """The newest known state of every object that the watch has shown, by key."""
        known = self._cache.copy()
        for key in [key for key in self._written if key in known]:
            found = self.get(key)
            if found is None:
                del known[key]
            else:
                known[key] = found
        return known

    def remaining(self, cached: Iterable[T]) -> list[T]:
        """The newest known state of cached objects, without those that we have deleted.

        Args:
            cached: the objects in the cache.
        """
        if not self._written:
            return list(cached)
        newest = (self.get(each.key) if each.key in self._written else each for each in cached)
        return [each for each in newest if each is not None]

    def seen(self, key: str) -> bool:
        """Whether the watch has shown our last write to an object."""
        self.get(key)
        return key not in self._written

    def wrote(self, obj: T) -> None:
        """Record the response to a write of ours."""
        self._written[obj.key] = obj

    def forget(self, key: str) -> None:
        """Drop our own state of an object, because the write was only simulated. The cache's state applies again."""
        self._written.pop(key, None)

    def deleted(self, key: str, uid: str) -> None:
        """Record that we have deleted an object."""
        known = (self._written.get(key), self._cache.get(key))
        versions = [
            each.metadata.resource_version
            for each in known
            if each is not None and not isinstance(each, _Gone) and each.metadata.uid == uid
        ]
        self._written[key] = _Gone(uid, max(versions, key=_order, default=""))


def _order(version: str) -> tuple[int, str]:
    """Sort key of the resourceVersions of one kind (KEP-5504): the longer one, then the greater text, is newer."""
    return (len(version), version)
