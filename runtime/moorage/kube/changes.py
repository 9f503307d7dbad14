"""Changes of a watch cache, and their subscribers.

A subscriber that raises for an object must neither stop the watch nor be called in a tight loop. The object counts as
unreadable for this subscriber. The subscriber is called again for a later state: it skips one state, then two, four and
eight.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Generic, TypeAlias, TypeVar

import msgspec

from moorage.objects import KubeObject, ObjectMeta

from . import metrics
from .unreadable import Unreadable, outline, paths

logger = logging.getLogger(__name__)

T = TypeVar("T", bound=KubeObject)


class Kind(enum.Enum):
    """The type of a change."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


class Change(msgspec.Struct, Generic[T], frozen=True, gc=False):
    """One change of the cache; ``old`` is None when added, ``new`` is None when deleted."""

    kind: Kind
    old: T | None
    new: T | None

    @property
    def object(self) -> T:
        """The newest known state: the new one, or the old one of a deleted object."""
        found = self.new if self.new is not None else self.old
        assert found is not None  # noqa: S101 - one of them always is
        return found


Changed: TypeAlias = Callable[[Change[T]], None]
Unread: TypeAlias = Callable[[str, Unreadable[T] | None], None]
"""Called with the key of an unreadable object and its readable fields; with None when the object is readable again or
deleted."""


@dataclass(slots=True)
class _Failure(Generic[T]):
    """An object for which a subscriber raised: the number of failures, and how many states are skipped now."""

    item: Unreadable[T]
    times: int
    passed_over: int


class Subscriber(Generic[T]):
    """A subscriber and the objects for which it failed.

    Args:
        kind: the kind of the objects, for logs.
        changed: is called with each change.
        unread: is called for unreadable objects; None if the subscriber does not need them.
    """

    def __init__(self, kind: str, changed: Changed[T], unread: Unread[T] | None) -> None:
        self._kind = kind
        self.changed = changed
        self._unread = unread
        self._failures: dict[str, _Failure[T]] = {}
        self._untold: dict[str, None] = {}  # keys of objects whose turn in ``catch_up`` has not come

    def catch_up(self, objects: Mapping[str, T], unread: Mapping[str, Unreadable[T]]) -> Iterator[None]:
        """Deliver the objects of now, one for each step: first as ADDED, then those that are unreadable.

        An object that changes before its turn is delivered then, in its newest state. A deletion is delivered at once.

        Args:
            objects: the cache's, by key; it may change between two steps.
            unread: those that are unreadable, likewise.
        """
        self._untold = dict.fromkeys(objects)
        return self._catch_up(tuple(objects), objects, unread)

    def _catch_up(
        self, keys: Iterable[str], objects: Mapping[str, T], unread: Mapping[str, Unreadable[T]]
    ) -> Iterator[None]:
        for key in keys:
            if key in self._untold:
                del self._untold[key]
                self.tell(Change(Kind.ADDED, None, objects[key]))
                yield
        for key in tuple(unread):
            if (item := unread.get(key)) is not None:
                self.tell_unread(key, item)
                yield

    @property
    def failures(self) -> Mapping[str, str]:
        """Why the subscriber failed for an object, by key."""
        return {key: failure.item.reason for key, failure in self._failures.items()}

    def tell(self, change: Change[T]) -> None:
        """Deliver a change. Never raises."""
        if self._untold and change.object.key in self._untold:
            if change.new is not None:
                return
            del self._untold[change.object.key]
        key = change.object.key if self._failures else ""
        failure = self._failures.get(key)
        if failure is not None and self._passes_over(failure, change):
            return
        try:
            self.changed(change)
        except Exception as error:
            self._failed(change, error)
        else:
            if failure is not None:
                self._failures.pop(key, None)
                self.tell_unread(key, None)

    def tell_unread(self, key: str, item: Unreadable[T] | None) -> None:
        """Deliver an unreadable object, or None when it is readable again or deleted. Never raises."""
        if self._unread is None or key in self._untold:
            return
        try:
            self._unread(key, item)
        except Exception:
            logger.exception("subscriber failed over an unreadable object", extra={"kind": self._kind, "object": key})

    def _passes_over(self, failure: _Failure[T], change: Change[T]) -> bool:
        if change.new is None or failure.item.uid != change.new.metadata.uid or not failure.passed_over:
            return False
        failure.passed_over -= 1
        failure.item = _item(change.new, failure.item.reason)
        self.tell_unread(failure.item.key, failure.item)
        return True

    def _failed(self, change: Change[T], error: Exception) -> None:
        item = _item(change.object, f"{type(error).__name__}: {error}")
        before = self._failures.pop(item.key, None)
        known = before is not None and before.item.uid == item.uid
        metrics.UNDECODABLE.labels(self._kind).inc()
        if not known:
            logger.error(
                "subscriber failed, the cache continues",
                extra={"kind": self._kind, "object": item.key},
                exc_info=error,
            )
        if self._unread is not None and change.new is not None:
            times = before.times + 1 if before is not None and known else 0
            self._failures[item.key] = _Failure(item, times, 2**times)
        self.tell_unread(item.key, replace(item, refused=True))
        if change.new is None:
            self.tell_unread(item.key, None)


def _item(obj: T, reason: str) -> Unreadable[T]:
    """An object for which a subscriber failed, reduced to its names and its node."""
    meta = obj.metadata
    try:
        rest, fields = outline(obj)
    except Exception:  # any bug of the subscriber
        names = ObjectMeta(name=meta.name, namespace=meta.namespace, uid=meta.uid)
        rest, fields = type(obj)(metadata=names), paths(type(obj))
    return Unreadable(obj.key, meta.uid, meta.resource_version, reason, rest, fields)
