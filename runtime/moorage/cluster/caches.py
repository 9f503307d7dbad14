"""What a service watches, and our own writes on top of it until the watch has caught up with them."""

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
    """Caches that are followed together."""

    __slots__ = ()

    @property
    @abstractmethod
    def all(self) -> Sequence[WatchCache[Any]]:
        """Every cache; those that others are understood by come first."""

    @property
    def synced(self) -> bool:
        """Whether each has been complete once: what readiness asks."""
        return all(cache.synced for cache in self.all)

    async def wait_synced(self) -> None:
        """Return once each has been complete."""
        for cache in self.all:
            await cache.wait_synced()

    async def run(self) -> None:
        """Follow the API server until cancelled."""
        async with asyncio.TaskGroup() as group:
            for cache in self.all:
                group.create_task(cache.run(), name=f"watch {cache.resource.plural}")


@dataclass(frozen=True, slots=True)
class FitCaches(CacheGroup):
    """What the fit check is fed from: one watch cache per kind; services add what else they follow."""

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
        """Caches that nobody runs yet, by the names of these fields.

        Args:
            transport: the connections to the API server.
            pods_by: further indexes of pods, by name.
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
        """Those whose objects the fit check counts as they are."""
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
        """Every cache; those that others are understood by come first."""
        return (*self.plain, self.daemon_sets, self.nodes, self.pods)


@dataclass(frozen=True, slots=True)
class _Gone:
    """We have deleted the object of this uid; ``version`` is the newest that was known of it."""

    uid: str
    version: str


class Latest(Generic[T]):
    """A cache as it will be once it has seen what we wrote ourselves: nobody decides twice because a watch lags.

    Args:
        cache: the watch cache.
    """

    def __init__(self, cache: WatchCache[T]) -> None:
        self._cache = cache
        self._written: dict[str, T | _Gone] = {}

    def get(self, key: str) -> T | None:
        """The newest known state of an object, or None when there is none."""
        cached = self._cache.get(key)
        written = self._written.get(key)
        if written is None:
            return cached
        if isinstance(written, _Gone):
            if cached is not None and cached.metadata.uid == written.uid:
                return None
            seen_up_to = self._cache.resource_version if cached is None else cached.metadata.resource_version
            if _order(seen_up_to) < _order(written.version):
                return None  # the watch has not even shown that it came
            del self._written[key]
            return cached
        seen_up_to = self._cache.resource_version if cached is None else cached.metadata.resource_version
        if cached is not None and cached.metadata.uid != written.metadata.uid:
            seen_up_to = self._cache.resource_version
        if _order(seen_up_to) >= _order(written.metadata.resource_version):
            del self._written[key]
            return cached
        return written

    def remaining(self, cached: Iterable[T]) -> list[T]:
        """Of objects as the cache has them those that we have not deleted.

        Args:
            cached: the objects.
        """
        if not self._written:
            return list(cached)
        return [each for each in cached if each.key not in self._written or self.get(each.key) is not None]

    def seen(self, key: str) -> bool:
        """Whether the watch has shown what we wrote to an object last."""
        self.get(key)
        return key not in self._written

    def wrote(self, obj: T) -> None:
        """Take over the answer to a write of ours."""
        self._written[obj.key] = obj

    def forget(self, key: str) -> None:
        """What the cache says counts again: what was written was only imagined."""
        self._written.pop(key, None)

    def deleted(self, key: str, uid: str) -> None:
        """Take over that we have deleted an object."""
        known = (self._written.get(key), self._cache.get(key))
        versions = [
            each.metadata.resource_version
            for each in known
            if each is not None and not isinstance(each, _Gone) and each.metadata.uid == uid
        ]
        self._written[key] = _Gone(uid, max(versions, key=_order, default=""))


def _order(version: str) -> tuple[int, str]:
    """Order of the resourceVersions of one kind (KEP-5504): the longer, then the greater text is newer."""
    return (len(version), version)
