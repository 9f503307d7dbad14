"""Watch caches without a watch."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from moorage.cluster.caches import FitCaches
from moorage.kube.cache import Change, Kind, WatchCache
from moorage.objects import KubeObject


class Told(WatchCache[Any]):
    """A watch cache with content from the test, in place of a real one."""

    def __init__(self, real: WatchCache[Any]) -> None:
        self.resource, self._indexes = real.resource, real._indexes
        self._objects, self._unread, self._subscribers = {}, {}, []
        self._resource_version = "0"

    def by(self, index: str, value: str) -> tuple[Any, ...]:
        return tuple(each for each in self._objects.values() if value in self._indexes[index](each))

    def put(self, thing: KubeObject, version: int) -> None:
        """The watch shows an object."""
        meta = msgspec.structs.replace(thing.metadata, resource_version=str(version))
        thing = msgspec.structs.replace(thing, metadata=meta)
        old = self._objects.get(thing.key)
        self._objects[thing.key] = thing
        self._resource_version = str(version)
        self._tell_all(Change(Kind.ADDED if old is None else Kind.MODIFIED, old, thing))

    def drop(self, key: str, version: int) -> None:
        """The watch shows that an object is gone."""
        old = self._objects.pop(key)
        self._resource_version = str(version)
        self._tell_all(Change(Kind.DELETED, old, None))

    def _tell_all(self, change: Any) -> None:
        for subscriber in self._subscribers:
            subscriber.tell(change)


def told(real: FitCaches) -> dict[str, Told]:
    """One in place of each, by field."""
    return {name: Told(getattr(real, name)) for name in real.__dataclass_fields__}


def fit_caches() -> FitCaches:
    """What the fit check is fed from."""
    return FitCaches(**told(FitCaches(**FitCaches.for_fit(cast("Any", None)))))
