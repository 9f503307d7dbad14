"""Events about objects, written in the background: ``kubectl describe`` shows them, nothing waits for them.

Follows client-go: series instead of repeated Events, and patience while the server is away, as in
tools/events/event_broadcaster.go; names as in tools/record/util/util.go; the limit per object of
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
"""Seconds between tries, plus up to a quarter."""
SERIES_WINDOW = 600.0
"""Seconds without a repetition after which the same thing is news again (client-go aggregates over as long)."""
SERIES_INTERVAL = 30.0
"""Seconds between two writes of one series; every ``count`` in between is in the next one."""
MAX_NOTE = 1024
MAX_WORD = 128
"""Bytes the API server takes (kubernetes pkg/apis/core/validation/events.go)."""

WRITTEN = Counter("moorage_recorder_written_total", "Events written, by how.", ["operation"])
DROPPED = Counter("moorage_recorder_dropped_total", "Occurrences that no Event tells of, by why.", ["cause"])
FAILED = Counter("moorage_recorder_failed_total", "Events the API server did not take, by error.", ["cause"])


class ObjectRef(Object, frozen=True):
    """What an Event is about (``v1.ObjectReference``)."""

    api_version: str
    kind: str
    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    field_path: str = ""

    @classmethod
    def to(cls, api_version: str, kind: str, target: KubeObject) -> Self:
        """Refer to an object; ``resourceVersion`` is left out, so that repetitions are about the same thing."""
        meta = target.metadata
        return cls(api_version, kind, meta.name, meta.namespace, meta.uid)


@dataclass(eq=False, slots=True)
class _Event:
    """One Event and its repetitions; moments are monotonic seconds."""

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
    written: int = 0  # the count that the server knows; 0: not created yet
    written_at: float = 0.0

    @property
    def collection(self) -> str:
        """Path of the collection; Events about cluster-scoped objects live in ``default``, as the kubelet's do."""
        return f"/apis/events.k8s.io/v1/namespaces/{quote(self.namespace)}/events"

    @property
    def namespace(self) -> str:
        return self.regarding.namespace or "default"


class EventRecorder:
    """Takes occurrences at once and writes Events in the background.

    The same type, reason, action and note about the same object within ``SERIES_WINDOW`` is one Event with a count. New
    Events are limited per object; repetitions are not, because they cost one write in ``SERIES_INTERVAL`` however many
    they are. What cannot be written is dropped and counted, never waited for.

    Args:
        transport: how to reach the API server.
        instance: who reports, normally the pod's name.
        component: reporting controller.
        monotonic: seconds on the clock that ``transport.clock`` reads, too (for tests).
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
        """Record an occurrence; never blocks and never raises.

        Args:
            regarding: the object it is about; its Events are found by kind, name and uid.
            type: ``Normal`` or ``Warning``.
            reason: why, one CamelCase word for machines.
            action: what was done or failed, one CamelCase word.
            note: the sentence for people; cut at 1024 bytes.
            related: a second object.
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
        """Why a new Event is not taken, or None."""
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
        """Write until closed or cancelled; what is left then is for ``close()``."""
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
        """Take nothing more, write what is left, and count what cannot be written.

        Args:
            timeout: seconds to try.
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
        """The Event to write now; if there is none, the seconds until a series is due."""
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
        asked = (error.retry_after if isinstance(error, ApiError) else None) or 0.0
        delay = max(asked, RETRY_DELAY * random.uniform(1.0, 1.25))  # noqa: S311 - spreads load only
        await self._first_of(self._sleep(delay), self._closing.wait())

    async def _write(self, event: _Event) -> None:
        """Bring the server's Event up to date; it leaves the queue only when that has worked."""
        count = event.count
        series = {"count": count, "lastObservedTime": self._time(event.last)}
        if event.written:
            try:
                path = f"{event.collection}/{quote(event.name)}"
                body = msgspec.json.encode({"series": series})
                await self._transport.request("PATCH", path, body=body, content_type="application/merge-patch+json")
                WRITTEN.labels("series").inc()
            except NotFound:  # the API server forgets Events after an hour
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
            # Names are unique: it is ours, and the answer to an earlier try was lost.
        WRITTEN.labels("create").inc()

    def _time(self, moment: float) -> str:
        try:
            return micro_time(self._transport.clock.at(moment))
        except ClockNotSynchronised:  # this Event's request will be the first to tell; its time is for people only
            return micro_time(datetime.now(UTC) - timedelta(seconds=self._monotonic() - moment))

    def _give_up(self, event: _Event, error: KubeError) -> None:
        self._complain(error)
        FAILED.labels(type(error).__name__).inc()
        self._forget(event)
        for key in [key for key, known in self._known.items() if known is event]:
            del self._known[key]  # its next occurrence is tried anew

    def _forget(self, event: _Event) -> None:
        if self._new and self._new[0] is event:
            self._new.popleft()
        self._repeated.pop(event, None)

    def _complain(self, error: KubeError) -> None:
        """Say once what is wrong, and again only when it is something else."""
        kind = f"{type(error).__name__} {error.code if isinstance(error, ApiError) else ''}"
        level = logging.DEBUG if kind == self._complaint else logging.WARNING
        self._complaint = kind
        logger.log(level, "event not written", extra={"error": str(error)})

    async def _first_of(self, *choices: Awaitable[Any]) -> None:
        """Wait until the first is done, and end the others."""
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
    """Whether the same Event may be taken later; any other answer is about the Event itself."""
    return not isinstance(error, ApiError) or isinstance(error, TooManyRequests | ServerError | Unauthorized)
