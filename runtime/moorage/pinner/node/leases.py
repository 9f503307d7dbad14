"""The Leases of placeholders: renewed in the API server's time until a kubelet reports or the deadline passes.

A renewed Lease is what keeps the node-lifecycle controller from marking a Node without conditions as unreachable
(tried). That controller remembers the latest renewTime it has seen and ignores earlier ones, so a single value in the
future spoils all correct ones after it: never ahead, never backwards, and never a word after the kubelet's first. Our
renewals carry an annotation with their renewTime, by which whoever leads tells them from a kubelet's.

Renewals are many and can wait a little; pins cannot. So a renewal that is due lets pins go first, up to a limit. Each
Lease has a moment of its own within the interval, so that they are spread over it evenly, whatever happened before; and
when some are late, the oldest goes first.
"""

from __future__ import annotations

import asyncio
import enum
import itertools
import logging
import math
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import heappop, heappush
from typing import Any

import msgspec

from moorage.kube import errors, resources
from moorage.kube.client import FIELD_MANAGER
from moorage.kube.clock import ServerClock, micro_time
from moorage.kube.requester import Requester
from moorage.objects import Lease, Node
from moorage.objects.base import Object, ObjectMeta
from moorage.reservations import moment, rules

from .. import metrics
from ..decisions.signs import QUIET, is_ours
from ..names import NO_MANAGERS, RENEWED_ANNOTATION
from ..reporting import Reporter
from ..state.cluster import ClusterState
from .lease_pace import Pace

logger = logging.getLogger(__name__)

NAMESPACE = "kube-node-lease"
DURATION = 40
"""``leaseDurationSeconds`` as kubelets write it."""

TICK = 1.0
RETRY = 2.0
ANSWER = 8.0
"""Seconds for one renewal. Node-lifecycle waits 50 since Kubernetes 1.32: one that fails can be tried again in time."""
LONGEST = 1.2
"""Times the interval: after that a renewal waits for pins no more. Whoever leads next may need 20 s of what is left."""
AHEAD = timedelta(seconds=2)
"""How far a renewTime may be ahead of our lower bound of the server's time before it counts as wrong."""

_QUERY = {"fieldManager": FIELD_MANAGER}


class Renewal(enum.Enum):
    """What becomes of a Lease when its renewal is due; the value is the label of the metric."""

    RENEW = "renewed"
    WAIT = "fresh"
    FOREIGN = "foreign"
    AHEAD = "ahead"


class _Manager(Object, frozen=True):
    manager: str = ""


class _Metadata(ObjectMeta, frozen=True):
    managed_fields: tuple[_Manager, ...] = ()


class _Answer(Lease, frozen=True):
    metadata: _Metadata = _Metadata()


@dataclass(slots=True)
class _Held:
    """What is known of one Lease; moments are monotonic seconds.

    Attributes:
        uid: of its Node.
        due: when to renew it; never while somebody does, or while it stands in the queue.
        latest: until when that may wait; the smaller it is, the older is the last renewal.
        phase: one of its own moments, which come once in an interval.
        lease: as the API server last answered, whole; None when it must be read.
        failures: how often in a row it was not renewed.
        complained: whether people were told that it cannot be kept.
    """

    uid: str
    due: float
    latest: float
    phase: float
    lease: bytes | None = None
    failures: int = 0
    complained: bool = False


def judge(lease: Lease, now: datetime, interval: float) -> Renewal:
    """What to do about a Lease as it stands.

    Args:
        lease: as read.
        now: the API server's time, at the latest what it truly is.
        interval: seconds between renewals.
    """
    renewed = moment(lease.spec.renew_time or "")
    if renewed is None:
        return Renewal.RENEW
    if renewed > now + AHEAD:
        return Renewal.AHEAD
    if not is_ours(lease):  # a kubelet's, which has not reported yet; when that is gone, it may be told so
        return Renewal.FOREIGN
    return Renewal.WAIT if now - renewed < timedelta(seconds=interval / 2) else Renewal.RENEW


def renewal(lease: bytes, holder: str, now: datetime) -> bytes:
    """What to write over a Lease to renew it: all that is in it, whoever wrote it, and only the renewal's fields new.

    Args:
        lease: as the API server answered.
        holder: name of the Node.
        now: the renewTime.

    Raises:
        Undecodable: it is no Lease.
    """
    managers = {each.manager for each in _read(lease).metadata.managed_fields}
    whole: dict[str, Any] = msgspec.json.decode(lease)
    metadata, spec = dict(whole["metadata"]), whole.get("spec", {})
    metadata["annotations"] = {**(metadata.get("annotations") or {}), RENEWED_ANNOTATION: micro_time(now)}
    if managers <= {FIELD_MANAGER}:
        metadata["managedFields"] = NO_MANAGERS
    else:
        del metadata["managedFields"]  # kept by the server: others may need them
    spec |= {"holderIdentity": holder, "leaseDurationSeconds": DURATION, "renewTime": micro_time(now)}
    return msgspec.json.encode({**whole, "metadata": metadata, "spec": spec})


def _read(lease: bytes) -> _Answer:
    """A Lease as the API server answered.

    Raises:
        Undecodable: it is none, or says not which one: what is written over it would have no precondition.
    """
    try:
        found = msgspec.json.decode(lease, type=_Answer)
    except errors.UNREADABLE as error:
        raise errors.Undecodable(f"the answer is not a Lease: {error}") from error
    if not (found.metadata.uid and found.metadata.resource_version):
        raise errors.Undecodable("the answer is not a Lease: it has no uid or no resourceVersion")
    return found


class LeaseKeeper:
    """Renews what must be renewed.

    Args:
        transport: how to reach the API server.
        cluster: which placeholders there are.
        reporter: tells people about a Lease that cannot be kept.
        clock: the API server's time.
        is_leader: asked before each write.
        interval: seconds between renewals when there is nothing else to do.
        busy: whether pins are under way, for which a renewal can wait up to `LONGEST` times the interval; cheap.
        monotonic: seconds on a clock that never goes back (for tests).
        sleep: coroutine function that waits for seconds (for tests).
    """

    def __init__(
        self,
        transport: Requester,
        cluster: ClusterState,
        reporter: Reporter,
        clock: ServerClock,
        *,
        is_leader: Callable[[], bool],
        interval: float,
        busy: Callable[[], bool] = lambda: False,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._transport = transport
        self._cluster = cluster
        self._reporter = reporter
        self._clock = clock
        self._is_leader = is_leader
        self._interval = interval
        self._busy = busy
        self._monotonic, self._sleep = monotonic, sleep
        self._held: dict[str, _Held] = {}
        self._queue: list[tuple[float, int, str, _Held]] = []  # a heap, the oldest first
        self._numbers = itertools.count()
        self._workers = 0
        self._pace = Pace(interval)

    async def run(self) -> None:
        """Renew until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                for name, held in self._due():
                    held.due = math.inf
                    heappush(self._queue, (held.latest, next(self._numbers), name, held))
                for _ in range(min(self._concurrent(), len(self._queue)) - self._workers):
                    self._workers += 1
                    group.create_task(self._work())
                await self._sleep(TICK)

    async def _work(self) -> None:
        """Renew what stands in the queue, while there are not more who do than are needed."""
        try:
            while self._queue and self._workers <= self._concurrent():
                _, _, name, held = heappop(self._queue)
                if self._held.get(name) is held:
                    await self._renew(name, held)
        finally:
            self._workers -= 1

    def _concurrent(self) -> int:
        return self._pace.concurrent(len(self._held), len(self._queue))

    def _due(self) -> Iterator[tuple[str, _Held]]:
        """The Leases to renew now; all others are passed over quickly, because there are many and this is often."""
        reserved = tuple(self._cluster.reserved)
        for name in self._held.keys() - reserved:
            del self._held[name]
        now = self._clock.now()
        for name in reserved:
            held = self._held.get(name)
            if held is None or self._is_due(held):
                held = self._looked_at(name, held, now)
                if held is not None and self._is_due(held):
                    yield name, held

    def _is_due(self, held: _Held) -> bool:
        return held.due <= self._monotonic() and not self._waits(held)

    def _waits(self, held: _Held) -> bool:
        """Whether pins go first."""
        return self._monotonic() < held.latest and self._busy()

    def _looked_at(self, name: str, held: _Held | None, now: datetime) -> _Held | None:
        """What is known of the Lease of a node now; None, and forgotten, when it is not ours to renew."""
        node = self._holdable(name, now)
        if node is None:
            self._held.pop(name, None)
            return None
        if held is None or held.uid != node.metadata.uid:
            held = self._held[name] = self._first(node, now)
        return held

    def _holdable(self, name: str, now: datetime) -> Node | None:
        """The placeholder of a node that is to be held, or None."""
        node = self._cluster.node(name)
        reservation = self._cluster.reservation(name)
        if node is None or node.has_kubelet or reservation is None or not self._cluster.is_ours(name):
            return None
        if reservation.metadata.deletion_timestamp is not None:
            return None
        return None if rules.expired(self._cluster.reading(name).spec, now) else node

    def _first(self, node: Node, now: datetime) -> _Held:
        """A new Node has a minute; an older one was held by an earlier leader, nobody knows how long ago."""
        here = self._monotonic()
        phase = here + random.uniform(0, self._interval)  # noqa: S311 - spreads load, guards nothing
        created = moment(node.metadata.creation_timestamp or "")
        age = self._interval if created is None else max((now - created).total_seconds(), 0.0)
        if age >= self._interval:
            return _Held(node.metadata.uid, here, here, phase)
        return _Held(node.metadata.uid, phase, here + LONGEST * self._interval - age, phase)

    async def _renew(self, name: str, held: _Held) -> None:
        began = self._monotonic()
        node = self._holdable(name, self._clock.now())
        if node is None or self._waits(held) or not self._is_leader():  # while it stood in the queue
            held.due = began
            return
        try:
            async with asyncio.timeout(ANSWER):
                outcome = await self._hold(node, held)
        except errors.Conflict:
            self._retry(held)  # somebody else has written it: look
        except (errors.KubeError, TimeoutError) as error:
            metrics.LEASES.labels("failed").inc()
            self._retry(held)
            reason = str(error) or f"no answer within {ANSWER:g} s"
            logger.warning("lease not renewed, trying again", extra={"node": name, "error": reason})
        else:
            held.failures = 0
            metrics.LEASES.labels(outcome.value).inc()
        self._pace.observe(self._monotonic() - began)

    def _retry(self, held: _Held) -> None:
        """Read a Lease soon, and try again; not all that failed together at the same moment."""
        held.lease = None
        seconds = RETRY * min(2**held.failures, 2)
        held.failures += 1
        held.due = self._monotonic() + seconds * random.uniform(0.75, 1.0)  # noqa: S311 - as above

    async def _hold(self, node: Node, held: _Held) -> Renewal:
        name = node.metadata.name
        path = resources.LEASES.path(NAMESPACE, name)
        if held.lease is None:
            try:
                held.lease = await self._transport.request("GET", path)
            except errors.NotFound:
                sent = self._monotonic()
                held.lease = await self._create(node)
                self._rest(held, sent)
                return Renewal.RENEW
        lease, now, sent = _read(held.lease), self._clock.now(), self._monotonic()
        found = judge(lease, now, self._interval)
        if found is Renewal.RENEW:
            body = renewal(held.lease, name, now)
            held.lease = await self._transport.request("PUT", path, query=_QUERY, body=body)
            self._rest(held, sent)
            return found
        ahead = (moment(lease.spec.renew_time or "") or now) - now
        self._complain(name, held, found, ahead)
        held.lease = None  # it is somebody else's word: read it again next time
        self._rest(held, sent + min(ahead.total_seconds(), 0.0))
        return found

    def _complain(self, name: str, held: _Held, found: Renewal, ahead: timedelta) -> None:
        """Tell people once of a Lease that we cannot keep and nobody else keeps, as it seems."""
        if held.complained or found is Renewal.WAIT or (found is Renewal.FOREIGN and -ahead < QUIET):
            return
        held.complained = True
        if found is Renewal.AHEAD:
            self._reporter.lease_ahead(name, ahead.total_seconds())
        else:
            self._reporter.lease_foreign(name, -ahead.total_seconds())

    def _rest(self, held: _Held, renewed: float) -> None:
        """Leave a Lease alone that was renewed at this monotonic moment."""
        held.due = self._pace.next(self._monotonic(), held.phase)
        held.latest = renewed + LONGEST * self._interval

    async def _create(self, node: Node) -> bytes:
        meta = node.metadata
        owner = {"apiVersion": "v1", "kind": "Node", "name": meta.name, "uid": meta.uid}
        now = micro_time(self._clock.now())
        body = {
            "apiVersion": resources.LEASES.group_version,
            "kind": resources.LEASES.kind,
            "metadata": {
                "name": meta.name,
                "ownerReferences": [owner],
                "annotations": {RENEWED_ANNOTATION: now},
            },
            "spec": {"holderIdentity": meta.name, "leaseDurationSeconds": DURATION, "renewTime": now},
        }
        path = resources.LEASES.path(NAMESPACE)
        return await self._transport.request("POST", path, query=_QUERY, body=msgspec.json.encode(body))
