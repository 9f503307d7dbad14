"""The watch cache: all objects of one kind, kept up to date, with indexes and subscribers.

One task per kind lists the objects and then watches from the list's resourceVersion. A watch that has ended resumes at
the last resourceVersion. If that version is too old (410), the cache lists again and reports only the difference, so
that subscribers get no change twice and miss no deletion. A server that was restored from a backup may be behind that
version, and would send nothing. So before a watch resumes, one small request asks for the server's version, if nothing
has shown it for a minute or the watch was cut. The guarantees are those of client-go's reflector
(tools/cache/reflector.go): changes of one key arrive in order, and ``synced`` means that a complete list was applied.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import aclosing
from typing import Generic, TypeVar

from moorage.objects import KubeObject
from moorage.ops.slices import Turns

from . import errors, metrics
from .backoff import Backoff
from .changes import Change, Changed, Kind, Subscriber, Unread
from .http.transport import Transport
from .resource import Resource
from .unreadable import Unreadable
from .watch import ListWatch, Selection, WatchLimits

__all__ = ["Change", "Index", "Kind", "WatchCache"]

logger = logging.getLogger(__name__)

T = TypeVar("T", bound=KubeObject)

Index = Callable[[T], Iterable[str]]
"""Returns the index values of an object; may be empty."""

STEADY_AFTER = 1.0
"""Seconds that a watch must last to count as a success, so that a server which ends each watch at once is not polled in
a tight loop. A watch that lasted longer is resumed at once if its connection ends: networks cut quiet connections."""

LASTED = 30.0
"""Seconds after which a watch is resumed at once if it ends with an error event or garbage. Most such ends cost a
list."""

MAX_RETRY_AFTER = 60.0
"""Longest Retry-After that is respected, in seconds: a maintenance page may name a day, and an outdated cache does more
harm."""

STUCK_AFTER = 8
"""Failures in a row after which the cache lists again instead of resuming the watch: the server may be unable to begin
at its resourceVersion."""


class _WentBack(errors.KubeError):
    """The server's resourceVersion is lower than ours, because the server was restored from a backup."""


class WatchCache(Generic[T]):
    """All objects of one kind.

    Args:
        transport: the connections to the API server.
        resource: the kind.
        selection: restricts what is cached.
        indexes: index name to the function that returns an object's values in it.
        limits: how long one watch lasts, and when it is treated as dead.
        backoff: delays between failed attempts.
        optional: whether the server may lack the kind. If it does, the cache is empty and the kind is requested again
            later.
        monotonic: seconds on a clock that never goes back (for tests).
    """

    def __init__(
        self,
        transport: Transport,
        resource: Resource[T],
        *,
        selection: Selection = Selection(),  # noqa: B008 - immutable
        indexes: Mapping[str, Index[T]] | None = None,
        limits: WatchLimits = WatchLimits(),  # noqa: B008 - immutable
        backoff: Backoff | None = None,
        optional: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.resource = resource
        self._reader = ListWatch(transport, resource, selection)
        self._indexes = dict(indexes or {})
        self._limits = limits
        self._backoff = backoff or Backoff()
        self._optional = optional
        self._objects: dict[str, T] = {}
        self._buckets: dict[str, dict[str, dict[str, T]]] = {name: {} for name in self._indexes}
        self._unread: dict[str, Unreadable[T]] = {}
        self._subscribers: list[Subscriber[T]] = []
        self._synced = asyncio.Event()
        self._answered = asyncio.Event()
        self._refusal: errors.ApiError | None = None
        self._absent_now = False
        self._resource_version = ""
        self._monotonic = monotonic
        self._not_behind_at = -math.inf  # when the server was last known to be at our resourceVersion, or past it
        self._turns = Turns(clock=lambda: time.monotonic())
        self._last_contact = monotonic()
        self._blind_since: float | None = monotonic()  # None while a watch is open
        self._cut_before = False  # whether the watch before was cut as well
        kind = resource.kind
        self._counters = {change: metrics.EVENTS.labels(kind, change.value) for change in Kind}
        self._size = metrics.OBJECTS.labels(kind)
        metrics.UNREADABLE.labels(kind).set_function(lambda: len(self.unreadable))

    # --- reading ---

    @property
    def synced(self) -> bool:
        """Whether a complete list was applied. Never becomes false again."""
        return self._synced.is_set()

    async def wait_synced(self) -> None:
        """Wait until a complete list is applied."""
        await self._synced.wait()

    @property
    def refusal(self) -> errors.ApiError | None:
        """Why the server refuses the kind now (403, 404), or None. While it refuses, cached objects may be outdated."""
        return self._refusal

    async def wait_answered(self) -> None:
        """Wait until a complete list is applied or the server refuses it."""
        await self._answered.wait()

    @property
    def last_contact_age(self) -> float:
        """Seconds since the last event, bookmark or list, or since a watch was opened or ended by the server."""
        return self._monotonic() - self._last_contact

    @property
    def blind_for(self) -> float:
        """Seconds for which no watch has been open; 0 while one is. A quiet kind is not blind."""
        return self._monotonic() - self._blind_since if self._blind_since is not None else 0.0

    @property
    def resource_version(self) -> str:
        """The last resourceVersion that was applied; empty before the first list."""
        return self._resource_version

    def get(self, key: str) -> T | None:
        """The object with this key (``namespace/name``, or ``name`` for a cluster-scoped kind), or None."""
        return self._objects.get(key)

    def __len__(self) -> int:
        return len(self._objects)

    def __iter__(self) -> Iterator[T]:
        """All objects at this moment. The cache may change while the caller awaits."""
        return iter(tuple(self._objects.values()))

    def by(self, index: str, value: str) -> tuple[T, ...]:
        """The objects with this value in an index."""
        return tuple(self._buckets[index].get(value, {}).values())

    def copy(self) -> dict[str, T]:
        """All objects at this moment, by key."""
        return dict(self._objects)

    def copy_unread(self) -> dict[str, Unreadable[T]]:
        """The objects at this moment that do not decode, by key, with the fields that do."""
        return dict(self._unread)

    @property
    def unreadable(self) -> Mapping[str, str]:
        """Why an object is unreadable, by key: it does not decode, or a subscriber raised an exception for it.

        The cache keeps the last readable state of such an object.
        """
        result = {key: item.reason for key, item in self._unread.items()}
        for subscriber in self._subscribers:
            result |= subscriber.failures
        return result

    def subscribe(self, callback: Changed[T], *, unread: Unread[T] | None = None) -> Callable[[], None]:
        """Call ``callback`` for each later change. The objects of now are reported first, as ADDED.

        Callbacks run in the cache's task and must be quick. If ``callback`` raises, the exception is logged once per
        object, and the object counts as unreadable for this subscriber.

        Args:
            callback: is called with each change.
            unread: is called, after the change itself, when an object becomes unreadable, and with None when it is
                readable again or deleted.

        Returns:
            A function that ends the subscription. It may be called twice.
        """
        unsubscribe, steps = self.subscribe_in_steps(callback, unread=unread)
        for _ in steps:
            pass
        return unsubscribe

    def subscribe_in_steps(
        self, callback: Changed[T], *, unread: Unread[T] | None = None
    ) -> tuple[Callable[[], None], Iterator[None]]:
        """As ``subscribe``; the objects of now are reported by the caller's steps, and others may run in between.

        Args:
            callback: as for ``subscribe``.
            unread: as for ``subscribe``.

        Returns:
            The function that ends the subscription, and the steps; each reports one object.
        """
        subscriber = Subscriber(self.resource.kind, callback, unread)
        self._subscribers = [*self._subscribers, subscriber]

        def unsubscribe() -> None:
            self._subscribers = [s for s in self._subscribers if s is not subscriber]

        return unsubscribe, subscriber.catch_up(self._objects, self._unread)

    # --- following the server ---

    async def run(self) -> None:
        """Follow the server until cancelled. After a failure it tries again with back-off."""
        kind = self.resource.kind
        metrics.SYNCED.labels(kind).set(0)
        # The metric exists only for kinds that are followed.
        metrics.CONTACT_AGE.labels(kind).set_function(lambda: self.last_contact_age)
        cause = "start"
        while True:
            try:
                if cause:
                    await self._list(cause)
                    cause = ""
                elif self._monotonic() - self._not_behind_at > self._limits.confirmed:
                    await self._check_version()
                await self._watch()
            except errors.Gone:
                cause = "expired"
                await self._pause("resource version expired, listing again", cause, None)
            except _WentBack as error:
                cause = "restored"
                await self._pause("resource version went back, listing again", cause, error)
            except errors.Undecodable as error:
                # The skipped event is unknown, so only a new list makes the cache complete again.
                cause = "undecodable"
                await self._pause("answer could not be read, listing again", cause, error)
            except errors.KubeError as error:
                if self._optional and isinstance(error, errors.NotFound):
                    cause = "absent"
                    await self._absent(error)
                    continue
                if isinstance(error, errors.ApiError) and error.version_too_large:
                    self._not_behind_at = -math.inf
                await self._interrupted(error)
                # A server that was down must not receive full lists from all clients at once when it is back. It may
                # have been down because a backup was restored, also when no attempt has met it down.
                if isinstance(error, errors.ConnectionLost):
                    self._not_behind_at = -math.inf
                elif self._backoff.failures % STUCK_AFTER == 0:
                    cause = cause or "stuck"

    async def _interrupted(self, error: errors.KubeError) -> None:
        """Back off after a failure. A repeated refusal, and a watch that is cut again and again, are logged once."""
        level = None
        if isinstance(error, errors.ConnectionLost) and self._backoff.failures == 0:
            level = logging.DEBUG if self._cut_before else logging.INFO
            self._cut_before = True
        if isinstance(error, errors.Forbidden | errors.NotFound | errors.Starting):
            again = self._refusal is not None and self._refusal.code == error.code
            starting = isinstance(error, errors.Starting)
            level = logging.DEBUG if again else logging.INFO if starting else logging.WARNING
            if not starting:
                self._refusal = error
                self._answered.set()
        await self._pause("watch interrupted, trying again", type(error).__name__, error, level=level)

    async def _absent(self, error: errors.NotFound) -> None:
        """The server does not serve the kind, so the cache becomes empty."""
        level = logging.DEBUG if self._absent_now else logging.INFO
        self._absent_now = True
        self._complete((), "")
        await self._pause("kind is not served, trying again later", "absent", error, level=level)

    async def _pause(
        self, sentence: str, cause: str, error: errors.KubeError | None, *, level: int | None = None
    ) -> None:
        metrics.RECONNECTS.labels(self.resource.kind, cause).inc()
        delay = self._backoff.next()
        if isinstance(error, errors.ApiError) and error.retry_after:
            delay += min(error.retry_after, MAX_RETRY_AFTER)
        # One failure after a success is normal (a server restarts, a proxy cuts the connection). A series is a warning.
        if level is None:
            level = logging.INFO if self._backoff.failures <= 1 else logging.WARNING
        fields = {"kind": self.resource.kind, "cause": cause, "error": str(error or ""), "delay_s": round(delay, 2)}
        logger.log(level, sentence, extra=fields)
        await asyncio.sleep(delay)

    async def _list(self, cause: str) -> None:
        """Read all pages and apply the difference. Objects are removed only after the last page."""
        seen: set[str] = set()
        list_version = ""
        # After a restore the same resourceVersion may belong to another content.
        by_content = cause in ("restored", "stuck")
        async with aclosing(self._reader.pages()) as pages:
            async for list_version, items in pages:  # noqa: B007 - the last page's is the list's
                self._contact()
                for item in items:
                    seen.add(item.key)
                    if isinstance(item, Unreadable):
                        self._keep_known(item)
                    else:
                        self._store(item, by_content=by_content)
                    await self._turns.give()  # a list of 30,000 pods must not delay a Lease renewal
                await asyncio.sleep(0)
        self._absent_now = False
        self._complete(seen, list_version)
        metrics.LISTS.labels(self.resource.kind, cause).inc()

    def _complete(self, seen: Container[str], list_version: str) -> None:
        """Remove all objects that the list does not have."""
        self._contact()
        for key in [key for key in (*self._objects, *self._unread) if key not in seen]:
            self._remove(key)
        self._resource_version = list_version
        self._not_behind_at = self._last_contact
        metrics.SYNCED.labels(self.resource.kind).set(1)
        if not self._synced.is_set():
            logger.info("cache synced", extra={"kind": self.resource.kind, "objects": len(self._objects)})
            self._synced.set()
            self._answered.set()

    async def _check_version(self) -> None:
        """Ask for the server's resourceVersion: below ours it would send nothing until it has caught up."""
        found = await self._reader.version()
        if _older(found, self._resource_version):
            raise _WentBack(f"list {self.resource.plural}: version {found} after {self._resource_version}")
        self._not_behind_at = self._monotonic()
        self._contact()

    async def _watch(self) -> None:
        """Follow one watch connection until the server ends it, which is no failure."""
        opened: float | None = None
        try:
            async with self._reader.watch(self._resource_version, self._limits) as events:
                opened = self._opened()
                async for kind, item in events:
                    self._apply(kind, item)
                    await self._turns.give()  # thousands may have come at once
        except errors.KubeError as error:
            success = STEADY_AFTER if isinstance(error, errors.ConnectionLost) else LASTED
            if opened is not None and self._monotonic() - opened >= success:
                self._backoff.reset()
            raise
        finally:
            if self._blind_since is None:
                self._blind_since = self._monotonic()
        if self._monotonic() - opened < STEADY_AFTER:
            raise errors.ConnectionLost(f"watch {self.resource.plural}: ended at once")
        self._backoff.reset()
        self._cut_before = False
        self._contact()
        metrics.RECONNECTS.labels(self.resource.kind, "end").inc()

    def _opened(self) -> float:
        """The server has accepted a watch."""
        self._contact()
        self._blind_since = None
        return self._monotonic()

    def _apply(self, kind: str, item: T | Unreadable[T]) -> None:
        self._contact()
        version = item.resource_version if isinstance(item, Unreadable) else item.metadata.resource_version
        if _older(version, self._resource_version):  # a watch delivers in order
            raise _WentBack(f"watch {self.resource.plural}: version {version} after {self._resource_version}")
        if kind == "DELETED":
            self._remove(item.key, last=None if isinstance(item, Unreadable) else item)
        elif isinstance(item, Unreadable):
            self._keep_known(item)
        elif kind != "BOOKMARK":
            self._store(item)
        self._resource_version = version
        self._not_behind_at = self._last_contact

    def _contact(self) -> None:
        self._last_contact = self._monotonic()
        self._refusal = None

    def _keep_known(self, item: Unreadable[T]) -> None:
        known, before = self._objects.get(item.key), self._unread.get(item.key)
        if known is not None and known.metadata.uid != item.uid:
            self._remove(item.key)  # the stored state belongs to an earlier object of this name
        self._unread[item.key] = item
        if before is None or before.uid != item.uid:
            logger.error(
                "object could not be read, keeping its last state",
                extra={"kind": self.resource.kind, "object": item.key, "reason": item.reason},
            )
        self._tell_unread(item.key, item)

    # --- the store ---

    def _store(self, obj: T, *, by_content: bool = False) -> None:
        key = obj.key
        old = self._objects.get(key)
        if old is not None and old.metadata.uid != obj.metadata.uid:
            # The object was deleted and created again while no watch was open. Report two changes, or an index by uid
            # would break.
            self._remove(key)
            old = None
        readable_again = bool(self._unread) and self._unread.pop(key, None) is not None
        same_version = old is not None and old.metadata.resource_version == obj.metadata.resource_version
        if not (same_version and not by_content) and old != obj:
            self._objects[key] = obj
            self._reindex(key, old, obj)
            if old is None:
                self._size.set(len(self._objects))
                self._publish(Change(Kind.ADDED, None, obj))
            else:
                self._publish(Change(Kind.MODIFIED, old, obj))
        if readable_again:
            self._tell_unread(key, None)

    def _remove(self, key: str, *, last: T | None = None) -> None:
        old, unread = self._objects.pop(key, None), self._unread.pop(key, None)
        if old is not None:
            self._reindex(key, old, None)
            self._size.set(len(self._objects))
            # The event carries the final state (a pod's last phase). After a list only the last known state is
            # available.
            if last is not None and last.metadata.uid == old.metadata.uid:
                old = last
            self._publish(Change(Kind.DELETED, old, None))
        if unread is not None:
            self._tell_unread(key, None)

    def _reindex(self, key: str, old: T | None, new: T | None) -> None:
        for name, index in self._indexes.items():
            buckets = self._buckets[name]
            before = tuple(index(old)) if old is not None else ()
            after = tuple(index(new)) if new is not None else ()
            if before != after:
                _forget(buckets, key, set(before).difference(after))
            if new is not None:
                for value in after:
                    buckets.setdefault(value, {})[key] = new

    def _publish(self, change: Change[T]) -> None:
        self._counters[change.kind].inc()
        for subscriber in self._subscribers:
            subscriber.tell(change)

    def _tell_unread(self, key: str, item: Unreadable[T] | None) -> None:
        for subscriber in self._subscribers:
            subscriber.tell_unread(key, item)


def _older(version: str, known: str) -> bool:
    """Whether a resourceVersion is older: the longer is newer; of equal length, the greater text (KEP-5504)."""
    return (len(version), version) < (len(known), known)


def _forget(buckets: dict[str, dict[str, T]], key: str, values: Iterable[str]) -> None:
    """Remove a key from an index, and empty values with it."""
    for value in values:
        bucket = buckets[value]
        del bucket[key]
        if not bucket:
            del buckets[value]
