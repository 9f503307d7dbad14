"""The watch cache: all objects of one kind, kept current, with indexes and subscribers.

One task per kind lists, then watches from the list's resourceVersion, for ever. A broken watch resumes where it stood;
a resourceVersion that is too old (410) makes a new list, whose *difference* from the cache is what subscribers see, so
nobody is told twice and no deletion is missed. Follows client-go's reflector (tools/cache/reflector.go) in what it
promises: per key, changes arrive in order, and ``synced`` means that a complete list has been applied.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import aclosing
from typing import Generic, TypeVar

from moorage.objects import KubeObject

from . import errors, metrics
from .backoff import Backoff
from .changes import Change, Changed, Kind, Subscriber, Unread
from .http.transport import Transport
from .resource import Resource
from .unreadable import Unreadable
from .watch import ListWatch, Selection

__all__ = ["Change", "Index", "Kind", "WatchCache"]

logger = logging.getLogger(__name__)

T = TypeVar("T", bound=KubeObject)

Index = Callable[[T], Iterable[str]]
"""The values under which an object is found in an index, possibly none."""

SILENCE = 100.0
"""Seconds without a byte after which a watch counts as dead; bookmarks come about every 60 s."""

WATCH_SECONDS = (240, 300)
"""How long the server is asked to keep one watch open: jittered, so that caches do not reconnect in step."""

STEADY_AFTER = 1.0
"""Seconds for which a watch must have lasted to count as a success: one that delivers something and ends or breaks
at once must not be asked in a tight loop."""

MAX_RETRY_AFTER = 60.0
"""Seconds of a Retry-After that are obeyed: a maintenance page may name a day, and a blind cache hurts more."""

STUCK_AFTER = 8
"""Failures in a row after which a watch is not resumed but begun with a new list: the server may have been restored
from a backup and never reach our resourceVersion again."""


class _WentBack(errors.KubeError):
    """The server's resourceVersions went back: it was restored from a backup, and we know a future it never had."""


class WatchCache(Generic[T]):
    """All objects of one kind.

    Args:
        transport: the connections to the API server.
        resource: the kind.
        selection: restricts what is cached.
        indexes: name of the index to the function that says where an object belongs in it.
        silence: seconds without a byte after which a watch counts as dead.
        backoff: delays between attempts that fail.
        optional: whether a server may do without the kind: then there is none of it, and it is asked for again.
    """

    def __init__(
        self,
        transport: Transport,
        resource: Resource[T],
        *,
        selection: Selection = Selection(),  # noqa: B008 - immutable
        indexes: Mapping[str, Index[T]] | None = None,
        silence: float = SILENCE,
        backoff: Backoff | None = None,
        optional: bool = False,
    ) -> None:
        self.resource = resource
        self._reader = ListWatch(transport, resource, selection)
        self._indexes = dict(indexes or {})
        self._silence = silence
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
        self._last_contact = time.monotonic()
        kind = resource.kind
        self._counters = {change: metrics.EVENTS.labels(kind, change.value) for change in Kind}
        self._size = metrics.OBJECTS.labels(kind)
        metrics.UNREADABLE.labels(kind).set_function(lambda: len(self.unreadable))

    # --- reading ---

    @property
    def synced(self) -> bool:
        """Whether a complete list has been applied; stays true afterwards."""
        return self._synced.is_set()

    async def wait_synced(self) -> None:
        """Return once a complete list has been applied."""
        await self._synced.wait()

    @property
    def refusal(self) -> errors.ApiError | None:
        """Why the server does not let us follow the kind now (403, 404): what is cached may be old, or nothing."""
        return self._refusal

    async def wait_answered(self) -> None:
        """Return once a complete list has been applied, or the server has refused it."""
        await self._answered.wait()

    @property
    def last_contact_age(self) -> float:
        """Seconds since the last event, bookmark or list."""
        return time.monotonic() - self._last_contact

    @property
    def resource_version(self) -> str:
        """Up to where the cache has followed the server; empty before the first list."""
        return self._resource_version

    def get(self, key: str) -> T | None:
        """The object of a key (``namespace/name``, or ``name`` when cluster-scoped), or None."""
        return self._objects.get(key)

    def __len__(self) -> int:
        return len(self._objects)

    def __iter__(self) -> Iterator[T]:
        """All objects, as they are now; the cache may change while the caller awaits."""
        return iter(tuple(self._objects.values()))

    def by(self, index: str, value: str) -> tuple[T, ...]:
        """The objects that an index files under a value."""
        return tuple(self._buckets[index].get(value, {}).values())

    def copy(self) -> dict[str, T]:
        """All objects by their keys, as they are now."""
        return dict(self._objects)

    def copy_unread(self) -> dict[str, Unreadable[T]]:
        """What can be read of each object that the server has and that does not decode, as it is now."""
        return dict(self._unread)

    @property
    def unreadable(self) -> Mapping[str, str]:
        """Keys of the objects that cannot be read, or that a subscriber failed over, and why.

        Of those that could be read once the last state that could is kept.
        """
        found = {key: item.reason for key, item in self._unread.items()}
        for subscriber in self._subscribers:
            found |= subscriber.failures
        return found

    def subscribe(self, callback: Changed[T], *, unread: Unread[T] | None = None) -> Callable[[], None]:
        """Have every later change reported, and what is there already as ADDED, at once and in order.

        Callbacks run inside the cache's task: they must be quick. An exception of ``callback`` is logged once for an
        object, which counts as unreadable for this subscriber from then on.

        Args:
            callback: told of each change.
            unread: told what of an object can be read when not all can, and None when all can again or it is gone:
                after the change itself, if it is any.

        Returns:
            A function that ends the subscription; calling it twice does no harm.
        """
        subscriber = Subscriber(self.resource.kind, callback, unread)
        for obj in self:
            subscriber.tell(Change(Kind.ADDED, None, obj))
        for key, item in self._unread.items():
            subscriber.tell_unread(key, item)
        self._subscribers = [*self._subscribers, subscriber]

        def unsubscribe() -> None:
            self._subscribers = [s for s in self._subscribers if s is not subscriber]

        return unsubscribe

    # --- following the server ---

    async def run(self) -> None:
        """Follow the server until cancelled; failures are logged, counted and waited out."""
        kind = self.resource.kind
        metrics.SYNCED.labels(kind).set(0)
        # Only from now on: of a kind that is not followed nothing is old.
        metrics.CONTACT_AGE.labels(kind).set_function(lambda: self.last_contact_age)
        cause = "start"
        while True:
            try:
                if cause:
                    await self._list(cause)
                    cause = ""
                await self._watch()
            except errors.Gone:
                cause = "expired"
                await self._pause("resource version expired, listing again", cause, None)
            except _WentBack as error:
                cause = "restored"
                await self._pause("the server went back in time, listing again", cause, error)
            except errors.Undecodable as error:
                # What was skipped is unknown, so only a new list makes the cache whole again.
                cause = "undecodable"
                await self._pause("answer could not be read, listing again", cause, error)
            except errors.KubeError as error:
                if self._optional and isinstance(error, errors.NotFound):
                    cause = "absent"
                    await self._absent(error)
                    continue
                await self._interrupted(error)
                # A restored server says nothing at all until it has caught up with our version, bookmarks included.
                deaf = isinstance(error, errors.Silent) and self.last_contact_age >= 2 * self._silence
                # A server that is away must not be met by full lists of everybody when it comes back.
                away = isinstance(error, errors.Unreachable)
                if deaf or (not away and self._backoff.failures % STUCK_AFTER == 0):
                    cause = cause or "stuck"

    async def _interrupted(self, error: errors.KubeError) -> None:
        """Wait after a failure; a refusal is told once, however often it comes."""
        told = None
        if isinstance(error, errors.Forbidden | errors.NotFound):
            again = self._refusal is not None and self._refusal.code == error.code
            told = logging.DEBUG if again else logging.WARNING
            self._refusal = error
            self._answered.set()
        await self._pause("watch interrupted, trying again", type(error).__name__, error, level=told)

    async def _absent(self, error: errors.NotFound) -> None:
        """The server does not have the kind (any more), so there is none of it."""
        told = logging.DEBUG if self._absent_now else logging.INFO
        self._absent_now = True
        self._complete((), "")
        await self._pause("kind is not served, so there is none of it; asking again", "absent", error, level=told)

    async def _pause(
        self, sentence: str, cause: str, error: errors.KubeError | None, *, level: int | None = None
    ) -> None:
        metrics.RECONNECTS.labels(self.resource.kind, cause).inc()
        delay = self._backoff.next()
        if isinstance(error, errors.ApiError) and error.retry_after:
            delay += min(error.retry_after, MAX_RETRY_AFTER)
        # The first failure after a success is everyday life (a server restarts, a proxy cuts); a series is news.
        if level is None:
            level = logging.INFO if self._backoff.failures <= 1 else logging.WARNING
        fields = {"kind": self.resource.kind, "cause": cause, "error": str(error or ""), "delay_s": round(delay, 2)}
        logger.log(level, sentence, extra=fields)
        await asyncio.sleep(delay)

    async def _list(self, cause: str) -> None:
        """Read everything and apply the difference; nothing is removed before the list is complete."""
        seen: set[str] = set()
        list_version = ""
        # After a restored backup the same resourceVersion may stand for another content.
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
                await asyncio.sleep(0)  # a list of 30,000 pods must not starve the heartbeat of a lease
        self._absent_now = False
        self._complete(seen, list_version)
        metrics.LISTS.labels(self.resource.kind, cause).inc()

    def _complete(self, seen: Container[str], list_version: str) -> None:
        """All there is has been applied: remove the rest."""
        self._contact()
        for key in [key for key in (*self._objects, *self._unread) if key not in seen]:
            self._remove(key)
        self._resource_version = list_version
        metrics.SYNCED.labels(self.resource.kind).set(1)
        if not self._synced.is_set():
            logger.info("cache synced", extra={"kind": self.resource.kind, "objects": len(self._objects)})
            self._synced.set()
            self._answered.set()

    async def _watch(self) -> None:
        """Follow one watch connection to its orderly end."""
        seconds = random.randint(*WATCH_SECONDS)  # noqa: S311 - spreads load, guards nothing
        stream = self._reader.events(self._resource_version, seconds=seconds, silence=self._silence)
        opened = time.monotonic()
        async with aclosing(stream) as events:
            async for kind, item in events:
                self._apply(kind, item)
                if self._backoff.failures and time.monotonic() - opened >= STEADY_AFTER:
                    self._backoff.reset()
        if time.monotonic() - opened < STEADY_AFTER:
            raise errors.ConnectionLost(f"watch {self.resource.plural}: ended at once")
        self._backoff.reset()
        metrics.RECONNECTS.labels(self.resource.kind, "end").inc()

    def _apply(self, kind: str, item: T | Unreadable[T]) -> None:
        self._contact()
        version = item.resource_version if isinstance(item, Unreadable) else item.metadata.resource_version
        # Of one kind's versions the longer, then the greater text is newer (KEP-5504), and a watch delivers in order.
        if (len(version), version) < (len(self._resource_version), self._resource_version):
            raise _WentBack(f"watch {self.resource.plural}: version {version} after {self._resource_version}")
        if kind == "DELETED":
            self._remove(item.key, last=None if isinstance(item, Unreadable) else item)
        elif isinstance(item, Unreadable):
            self._keep_known(item)
        elif kind != "BOOKMARK":
            self._store(item)
        self._resource_version = version

    def _contact(self) -> None:
        self._last_contact = time.monotonic()
        self._refusal = None

    def _keep_known(self, item: Unreadable[T]) -> None:
        known, before = self._objects.get(item.key), self._unread.get(item.key)
        if known is not None and known.metadata.uid != item.uid:
            self._remove(item.key)  # what is known is of another object that had the name
        self._unread[item.key] = item
        if before is None or before.uid != item.uid:
            logger.error(
                "object could not be read, keeping what was known of it",
                extra={"kind": self.resource.kind, "object": item.key, "reason": item.reason},
            )
        self._tell_unread(item.key, item)

    # --- the store ---

    def _store(self, obj: T, *, by_content: bool = False) -> None:
        key = obj.key
        old = self._objects.get(key)
        if old is not None and old.metadata.uid != obj.metadata.uid:
            # Deleted and created again while nobody watched: two changes, or an index of pods by uid would go wrong.
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
            # The final state (a pod's last phase) comes with the event; after a re-list only the old state is known.
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


def _forget(buckets: dict[str, dict[str, T]], key: str, values: Iterable[str]) -> None:
    """Take a key out of the buckets of an index, and empty buckets out of the index."""
    for value in values:
        bucket = buckets[value]
        del bucket[key]
        if not bucket:
            del buckets[value]
