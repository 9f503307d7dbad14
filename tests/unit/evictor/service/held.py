"""Watch caches with content from the test, and doubles for the rest of the evictor."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta
from typing import Any, TypeVar, cast

import msgspec

from moorage.evictor.compaction import History
from moorage.evictor.configuration import Configuration
from moorage.evictor.configuration_watch import CurrentConfiguration
from moorage.kube import errors
from moorage.kube.cache import WatchCache
from moorage.kube.events import EventRecorder, ObjectRef
from moorage.kube.unreadable import Unreadable, outline
from moorage.objects import KubeObject
from tests.unit.evictor.build import NOW

T = TypeVar("T", bound=KubeObject)
_versions = itertools.count(100)


def stored(thing: T) -> T:
    """An object as a server stores it, written now."""
    meta = msgspec.structs.replace(thing.metadata, resource_version=str(next(_versions)))
    return msgspec.structs.replace(thing, metadata=meta)


def show(cache: WatchCache[Any], thing: KubeObject) -> None:
    """The watch shows an object that was written now."""
    cache._apply("MODIFIED", stored(thing))


def spoil(cache: WatchCache[Any], thing: KubeObject, reason: str) -> None:
    """The watch shows an object that cannot be read."""
    rest, fields = outline(thing)
    meta = thing.metadata
    cache._apply("MODIFIED", Unreadable(thing.key, meta.uid, str(next(_versions)), reason, rest, fields))


def hide(cache: WatchCache[Any], key: str) -> None:
    """The object is gone."""
    cache._remove(key)


def complete(cache: WatchCache[Any]) -> None:
    """Apply a list: the cache has only its objects."""
    cache._complete({*cache.copy(), *cache.copy_unread()}, str(next(_versions)))


def refusal(code: int, message: str) -> errors.ApiError:
    """What a server says."""
    return errors.from_status(code, errors.Status(message=message, reason="Refused", code=code), request="GET /")


def refuse(cache: WatchCache[Any]) -> None:
    """It may not be followed from now on."""
    resource = cache.resource.plural
    cache._refusal = refusal(403, f'{resource} is forbidden: User "us" cannot watch resource "{resource}"')


def in_force(configuration: Configuration | None = None, number: int = 1, **more: Any) -> CurrentConfiguration:
    """What counts."""
    base: dict[str, Any] = {"wrong": (), "notes": (), "about": {}, "generation": 1}
    return CurrentConfiguration(configuration=configuration, number=number, **{**base, **more})


class Recorder:
    """Remembers Events: object, reason and note of each."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, str]] = []

    def record(self, regarding: ObjectRef, *, type: str, reason: str, action: str, note: str) -> None:
        assert type in ("Normal", "Warning")
        assert action
        self.events.append((f"{regarding.kind} {regarding.name}", reason, note))

    def as_recorder(self) -> EventRecorder:
        return cast("EventRecorder", self)

    def take(self) -> list[tuple[str, str, str]]:
        found, self.events = self.events, []
        return found


def later(**time: float) -> datetime:
    """Some time after now."""
    return NOW + timedelta(**time)


NOTHING = History()
