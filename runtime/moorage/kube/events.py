"""Events about objects, written in the background. ``kubectl describe`` shows them. No caller waits for them.

Follows client-go: a series instead of repeated Events, and retries while the server is down, as in
tools/events/event_broadcaster.go. Names are those of tools/record/util/util.go. The limit per object is that of
EventSourceObjectSpamFilter in tools/record/events_cache.go.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
import time
import uuid
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Self
from urllib.parse import quote

import msgspec
from prometheus_client import Counter

from moorage.objects.base import KubeObject, Object

from .clock import ClockNotSynchronised, micro_time
from .errors import ApiError, Conflict, ConflictCause, KubeError, NotFound, ServerError, TooManyRequests, Unauthorized
from .event_limits import Bucket, Remembered, cut
from .requester import Requester

logger = logging.getLogger(__name__)

EventType = Literal["Normal", "Warning"]

MAX_QUEUED = 1000
MAX_TRIES = 12
RETRY_DELAY = 10.0
"""Seconds between two attempts, plus up to a quarter."""
SERIES_WINDOW = 600.0
"""Seconds without a repetition after which the same occurrence creates a new Event. client-go aggregates for the same
time."""
SERIES_INTERVAL = 30.0
"""Seconds between two writes of one series. Each write carries the count of all repetitions in between."""
MAX_NOTE = 1024
MAX_WORD = 128
"""Longest note, in bytes, that the API server accepts (kubernetes pkg/apis/core/validation/events.go)."""

WRITTEN = Counter("moorage_recorder_written_total", "Events written to the API server.", ["operation"])
DROPPED = Counter("moorage_recorder_dropped_total", "Occurrences that no Event reports, by reason.", ["cause"])
FAILED = Counter("moorage_recorder_failed_total", "Events that the API server refused, by error.", ["cause"])


class ObjectRef(Object, frozen=True):
    """The object that an Event is about (``v1.ObjectReference``)."""

    api_version: str
    kind: str
    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    field_path: str = ""

    @classmethod
    def to(cls, api_version: str, kind: str, target: KubeObject) -> Self:
        """Create a reference without ``resourceVersion``, so that repetitions refer to the same object."""
        meta = target.metadata
        return cls(api_version, kind, meta.name, meta.namespace, meta.uid)


@dataclass(eq=False, slots=True)
class _Event:
    """One Event and its repetitions. Moments are monotonic seconds."""

    regarding: ObjectRef
    related: ObjectRef | None
    type: str
    reason: str
    action: str
    note: str
    name: str
    first: float
    last: float
    count: int = 1
    written: int = 0  # the count on the server; 0: not created yet
    written_at: float = 0.0

    @property
    def collection(self) -> str:
        """Path of the collection. Events about cluster-scoped objects are in ``default``, like those of the kubelet."""
        return f"/apis/events.k8s.io/v1/namespaces/{quote(self.namespace)}/events"

    @property
    def namespace(self) -> str:
        return self.regarding.namespace or "default"


class EventRecorder:
    """Records occurrences and writes Events in the background.

    Occurrences with the same type, reason, action and note about the same object within ``SERIES_WINDOW`` are one Event
    with a count. New Events are limited per object. Repetitions are not limited, because they cost one write per
    ``SERIES_INTERVAL``. If an Event cannot be written, it is dropped and counted.

    Args:
        transport: the connections to the API server.
        instance: the reporting instance, normally the pod's name.
        component: the reporting controller.
        monotonic: seconds on the clock that ``transport.clock`` uses (for tests).
        sleep: coroutine function that waits for seconds (for tests).

    Raises:
        ValueError: ``instance`` is empty.
    """

    def __init__(
        self,
        transport: Requester,
        *,
        instance: str,
        component: str = "moorage-pod-pinner",
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        if not instance:
            raise ValueError("an event recorder needs an instance, normally the name of its pod")
        self._transport = transport
        self._component, self._instance = component, cut(instance, MAX_WORD)
        self._monotonic, self._sleep = monotonic, sleep
        self._new: deque[_Event] = deque()
        self._repeated: dict[_Event, None] = {}  # an ordered set
        self._known: Remembered[tuple[object, ...], _Event] = Remembered()
        self._buckets: Remembered[tuple[object, ...], Bucket] = Remembered()
        self._news = asyncio.Event()
        self._closing = asyncio.Event()
        self._writing = asyncio.Lock()
        self._last_stamp = 0
        self._complaint = ""

    def record(
        self,
        regarding: ObjectRef,
        *,
        type: EventType,
        reason: str,
        action: str,
        note: str,
        related: ObjectRef | None = None,
    ) -> None:
        """Record an occurrence. Never blocks and never raises.

        Args:
            regarding: the object. Its Events are found by kind, name and uid.
            type: ``Normal`` or ``Warning``.
            reason: one CamelCase word for machines.
            action: what was done or what failed, one CamelCase word.
            note: the text for people, cut at 1024 bytes.
            related: a second object, or None.
        """
        if type not in ("Normal", "Warning") or not reason or not action or not regarding.name:
            logger.error("event without type, reason, action or object not recorded", extra={"reason": reason})
            DROPPED.labels("invalid").inc()
            return
        now = self._monotonic()
        note = cut(note, MAX_NOTE)
        key = (regarding, related, type, reason, action, note)
        event = self._known.recall(key)
        if event is not None and now - event.last < SERIES_WINDOW:
            self._repeat(event, now)
        elif cause := self._refusal(regarding, type, now):
            DROPPED.labels(cause).inc()
        else:
            reason, action = cut(reason, MAX_WORD), cut(action, MAX_WORD)
            event = _Event(regarding, related, type, reason, action, note, self._name(regarding), first=now, last=now)
            self._new.append(self._known.remember(key, event))
        self._news.set()

    def _repeat(self, event: _Event, now: float) -> None:
        event.count += 1
        event.last = now
        if event.written:
            self._repeated[event] = None

    def _refusal(self, regarding: ObjectRef, type_: str, now: float) -> str | None:
        """Why a new Event is dropped, or None."""
        if self._closing.is_set():
            return "closed"
        if len(self._new) >= MAX_QUEUED:
            return "queue_full"
        key = (regarding.api_version, regarding.kind, regarding.namespace, regarding.name, regarding.uid, type_)
        bucket = self._buckets.recall(key) or self._buckets.remember(key, Bucket(now))
        return None if bucket.take(now) else "rate_limited"

    def _name(self, regarding: ObjectRef) -> str:
        self._last_stamp = max(time.time_ns(), self._last_stamp + 1)
        name = f"{regarding.name}.{self._last_stamp:x}"
        return name if len(name) <= 253 and _SUBDOMAIN.fullmatch(name) else str(uuid.uuid4())

    async def run(self) -> None:
        """Write Events until closed or cancelled. ``close()`` writes the rest."""
        async with self._writing:
            while not self._closing.is_set():
                self._news.clear()
                event, wait = self._next()
                if event is not None:
                    await self._write_patiently(event)
                else:
                    await self._first_of(
                        self._news.wait(), self._closing.wait(), *([self._sleep(wait)] if wait else [])
                    )

    async def close(self, timeout: float = 5.0) -> None:
        """Accept no more occurrences, write the queued Events, and count those that cannot be written.

        Args:
            timeout: seconds for writing.
        """
        self._closing.set()
        await self._first_of(self._flush(), self._sleep(timeout))
        if left := len(self._new) + len(self._repeated):
            DROPPED.labels("closed").inc(left)
            logger.warning("events not written before the end", extra={"events": left})
        self._new.clear()
        self._repeated.clear()

    async def _flush(self) -> None:
        async with self._writing:
            for event in [*self._new, *self._repeated]:
                try:
                    await self._write(event)
                except KubeError as error:
                    if _may_pass(error):
                        return
                    self._give_up(event, error)

    def _next(self) -> tuple[_Event | None, float | None]:
        """The Event to write now, or the seconds until a series is due."""
        if self._new:
            return self._new[0], None
        if not self._repeated:
            return None, None
        event = min(self._repeated, key=lambda e: e.written_at)
        wait = event.written_at + SERIES_INTERVAL - self._monotonic()
        return (event, None) if wait <= 0 else (None, wait)

    async def _write_patiently(self, event: _Event) -> None:
        for _ in range(MAX_TRIES):
            try:
                await self._write(event)
            except KubeError as error:
                last = error
                if not _may_pass(error):
                    break
                self._complain(error)
                await self._before_next_try(error)
                if self._closing.is_set():
                    return
            else:
                return
        self._give_up(event, last)

    async def _before_next_try(self, error: KubeError) -> None:
        retry_after = (error.retry_after if isinstance(error, ApiError) else None) or 0.0
        delay = max(retry_after, RETRY_DELAY * random.uniform(1.0, 1.25))  # noqa: S311 - spreads load only
        await self._first_of(self._sleep(delay), self._closing.wait())

    async def _write(self, event: _Event) -> None:
        """Write one Event. It leaves the queue only after a success."""
        count = event.count
        series = {"count": count, "lastObservedTime": self._time(event.last)}
        if event.written:
            try:
                path = f"{event.collection}/{quote(event.name)}"
                body = msgspec.json.encode({"series": series})
                await self._transport.request("PATCH", path, body=body, content_type="application/merge-patch+json")
                WRITTEN.labels("series").inc()
            except NotFound:  # the API server deletes Events after an hour
                event.written = 0
                event.name = self._name(event.regarding)
        if not event.written:
            await self._create(event, series if count > 1 else None)
        event.written, event.written_at = count, self._monotonic()
        self._forget(event)
        if event.count > count:
            self._repeated[event] = None
        self._complaint = ""

    async def _create(self, event: _Event, series: dict[str, Any] | None) -> None:
        body = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": event.name, "namespace": event.namespace},
            "eventTime": self._time(event.first),
            "reportingController": self._component,
            "reportingInstance": self._instance,
            "type": event.type,
            "reason": event.reason,
            "action": event.action,
            "note": event.note,
            "regarding": event.regarding,
        }
        if event.related is not None:
            body["related"] = event.related
        if series is not None:
            body["series"] = series
        try:
            await self._transport.request("POST", event.collection, body=msgspec.json.encode(body))
        except Conflict as error:
            if error.cause is not ConflictCause.ALREADY_EXISTS:
                raise
            # Names are unique: the Event is ours, and the response to an earlier attempt was lost.
        WRITTEN.labels("create").inc()

    def _time(self, moment: float) -> str:
        try:
            return micro_time(self._transport.clock.at(moment))
        except ClockNotSynchronised:  # this Event's request is the first one; its time is only shown to people
            return micro_time(datetime.now(UTC) - timedelta(seconds=self._monotonic() - moment))

    def _give_up(self, event: _Event, error: KubeError) -> None:
        self._complain(error)
        FAILED.labels(type(error).__name__).inc()
        self._forget(event)
        for key in [key for key, known in self._known.items() if known is event]:
            del self._known[key]  # its next occurrence creates it again

    def _forget(self, event: _Event) -> None:
        if self._new and self._new[0] is event:
            self._new.popleft()
        self._repeated.pop(event, None)

    def _complain(self, error: KubeError) -> None:
        """Log a problem once, and again only when it changes."""
        kind = f"{type(error).__name__} {error.code if isinstance(error, ApiError) else ''}"
        level = logging.DEBUG if kind == self._complaint else logging.WARNING
        self._complaint = kind
        logger.log(level, "event not written", extra={"error": str(error)})

    async def _first_of(self, *choices: Awaitable[Any]) -> None:
        """Wait until the first task is done, and cancel the others."""
        tasks = [asyncio.ensure_future(choice) for choice in choices]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def _may_pass(error: KubeError) -> bool:
    """Whether the server may accept the same Event later. Other errors are about the Event itself."""
    return not isinstance(error, ApiError) or isinstance(error, TooManyRequests | ServerError | Unauthorized)
