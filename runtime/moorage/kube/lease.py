"""Leader election on a coordination.k8s.io/v1 Lease, compatible with client-go.

Follows client-go tools/leaderelection/leaderelection.go (tryAcquireOrRenew, renew, release) with three differences for
safety. Leadership ends by our own clock *before* another candidate may take the Lease over. It counts from the moment a
renewal was *sent*. The clock continues while the machine is suspended.

::

    sent          sent + renew_deadline            sent + duration | we may act        | is_leader() is False,         |
    earliest moment another |                   | on_lost was called            | replica may take over

All candidates judge a Lease in the same way: from the moment they *see* it change, on their own monotonic clock. Wall
clocks are not compared. renewTime is for people, and must change with each renewal so that others see a change.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, NoReturn
from urllib.parse import quote

import msgspec

from moorage.objects import Lease

from .clock import micro_time
from .errors import ApiError, Conflict, ConnectionLost, KubeError, NotFound, Silent, Undecodable
from .requester import Requester

logger = logging.getLogger(__name__)

JITTER = 1.2
"""Candidates wait ``retry_period`` times 1 to 2.2 (client-go's JitterFactor), so that they do not try at the same time.
"""

STOPPED = "stopped"
"""The reason of a term that we ended ourselves."""


def awake_and_asleep() -> float:
    """Seconds on a monotonic clock. It includes the time of a suspended machine where the system offers that."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class LeaderElection:
    """A candidate in the election for one Lease, term after term, until cancelled.

    ``run()`` does the work. Check ``is_leader()`` before each write. ``became_leader`` and ``lost`` are events to wait
    for; exactly one of them is set. ``on_lost`` is called synchronously at the end of each term: before a release, and
    ``duration - renew_deadline`` seconds before another replica can take over an expired Lease. Only if a person edits
    or deletes the Lease, the end of the term is noticed afterwards, at the next renewal.

    Args:
        transport: the connections to the API server.
        namespace: namespace of the Lease.
        name: name of the Lease.
        identity: our identity, normally the pod's name. A random suffix is added, as client-go recommends, because a
            restarted container is another process than the one that held the Lease under the same pod name.
        duration: seconds without a renewal after which others may take the Lease over.
        renew_deadline: seconds after sending the last renewal during which we are the leader; below ``duration``.
        retry_period: seconds between renewals and, jittered, between attempts.
        labels: labels of the Lease.
        on_lost: is called with the reason at the end of a term. Must not block.
        monotonic: seconds on a clock that never goes back (for tests).
        sleep: coroutine function that waits for seconds (for tests).
        jitter: returns a random number from [0, 1) (for tests).

    Raises:
        ValueError: the durations contradict each other.
    """

    def __init__(
        self,
        transport: Requester,
        namespace: str,
        name: str,
        identity: str,
        *,
        duration: float = 15.0,
        renew_deadline: float = 10.0,
        retry_period: float = 2.0,
        labels: Mapping[str, str] | None = None,
        on_lost: Callable[[str], None] | None = None,
        monotonic: Callable[[], float] = awake_and_asleep,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        if not (duration >= 1 and duration > renew_deadline > JITTER * retry_period > 0):
            raise ValueError(
                f"leader election needs duration > renew_deadline > {JITTER} × retry_period > 0 and duration ≥ 1 s, "
                f"got {duration}, {renew_deadline} and {retry_period} seconds"
            )
        self.identity = f"{identity}_{secrets.token_hex(4)}"
        self.became_leader = asyncio.Event()
        self.lost = asyncio.Event()
        self.lost.set()
        self._transport = transport
        self._collection = f"/apis/coordination.k8s.io/v1/namespaces/{quote(namespace)}/leases"
        self._path = f"{self._collection}/{quote(name)}"
        self._namespace, self._name = namespace, name
        self._duration, self._renew_deadline, self._retry_period = duration, renew_deadline, retry_period
        # As in client-go (resourcelock.NewFromKubeconfig): a swallowed request leaves time for another one.
        self._answer_within = max(renew_deadline / 2, 1.0)
        self._labels = dict(labels or {})
        self._on_lost = on_lost
        self._monotonic, self._sleep, self._jitter = monotonic, sleep, jitter
        self._log_fields = {"lease": f"{namespace}/{name}", "identity": self.identity}

        self._leading = False
        self._valid_until = -math.inf
        self._lease: dict[str, Any] | None = (
            None  # the last state, complete: a PUT must not drop fields that others wrote
        )
        self._observed: tuple[str, float] = ("", -math.inf)  # the last version that a watch has shown, and when
        self._released = asyncio.Event()
        self._changed_at = -math.inf  # when we first saw the current spec
        self._may_hold = False  # a write of ours may have succeeded although its response was lost
        self._complaint = ""

    @property
    def holder(self) -> str:
        """The holder's identity in the last state; empty when no holder is known."""
        return _holder(self._lease)

    def is_leader(self) -> bool:
        """Whether we are the leader *now*: the last renewal was sent less than ``renew_deadline`` ago.

        Reads the clock.
        """
        return self._leading and self._monotonic() < self._valid_until

    def observe(self, lease: Lease | None) -> None:
        """Report a state that a watch has shown, so that a candidate knows renewals and sees a release at once.

        Without a watch the candidate learns this from its own requests, up to ``retry_period`` times 2.2 later.

        Args:
            lease: the current state; None when the Lease was deleted.
        """
        self._observed = (lease.metadata.resource_version if lease is not None else "", self._monotonic())
        if lease is None or not lease.spec.holder_identity:
            self._released.set()

    async def run(self) -> NoReturn:
        """Take part until cancelled. Then end the term and release the Lease, so that the next leader need not wait."""
        try:
            while True:
                self._released.clear()  # clear before the round: a state reported during the round starts another one
                await self._rest(await self._round())
        finally:
            self._end_term(STOPPED)
            await self._release()

    async def _round(self) -> float:
        """Acquire, renew or watch the Lease once, and return the seconds until the next round."""
        try:
            limit = max(self._valid_until - self._monotonic(), 0.0) if self._leading else self._renew_deadline
            await self._within(limit, self._attempt())
        except KubeError as error:
            self._complain(error)
            if isinstance(error, Silent) and self._leading:
                return 0.0  # the connection swallowed it, and the next attempt has another one
            retry_after = error.retry_after if isinstance(error, ApiError) else None
            return max(self._pause(), retry_after or 0.0)
        if self._complaint:
            self._complaint = ""
            logger.info("lease requests work again", extra=self._log_fields)
        return self._pause()

    def _pause(self) -> float:
        if self._leading:
            return self._retry_period
        pause = self._retry_period * (1 + JITTER * self._jitter())
        free_in = self._free_at() - self._monotonic()
        return min(pause, free_in + self._jitter() / 2) if free_in > 0 else pause

    def _free_at(self) -> float:
        """The moment at which the Lease expires if its holder does not renew it."""
        seconds = float(_spec(self._lease).get("leaseDurationSeconds") or self._duration)
        version, at = self._observed
        return (at if version and version != _version(self._lease) else self._changed_at) + seconds

    async def _rest(self, delay: float) -> None:
        """Wait. If the validity of our term ends earlier, end the term."""
        if self._leading and (left := self._valid_until - self._monotonic()) <= delay:
            await self._sleep(max(left, 0.0))
            self._end_term("not renewed in time")
            delay -= max(left, 0.0)
        if self._leading:
            await self._sleep(delay)
        else:
            await self._sleep_until_released(delay)

    async def _sleep_until_released(self, delay: float) -> None:
        sleeping = asyncio.ensure_future(self._sleep(delay))
        released = asyncio.ensure_future(self._released.wait())
        try:
            await asyncio.wait({sleeping, released}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sleeping, released):
                task.cancel()
            await asyncio.gather(sleeping, released, return_exceptions=True)

    async def _attempt(self) -> None:
        if self._leading and self._lease is not None:
            try:
                return await self._hold(self._lease)
            except (Conflict, NotFound):
                pass  # another candidate wrote, or our own response was lost: read the Lease
        lease = await self._look()
        if self._leading and _holder(lease) != self.identity:
            return self._end_term("deleted" if lease is None else "taken over by another")
        try:
            if lease is None:
                await self._create()
            elif _holder(lease) == self.identity or self._is_free(lease):
                await self._hold(lease)
        except Conflict:
            logger.debug("another candidate was faster", extra=self._log_fields)

    def _is_free(self, lease: Mapping[str, Any]) -> bool:
        """Whether the Lease has no holder, or its holder did not renew it for its duration."""
        if not _holder(lease):
            return True
        silent_for = self._monotonic() - self._changed_at
        return silent_for >= float(_spec(lease).get("leaseDurationSeconds") or self._duration)

    async def _look(self) -> dict[str, Any] | None:
        try:
            lease = _decode(await self._transport.request("GET", self._path, timeout=self._answer_within))
        except NotFound:
            lease = None
        self._observe(lease)
        return lease

    def _observe(self, lease: dict[str, Any] | None) -> None:
        if _spec(lease) != _spec(self._lease):
            version, at = self._observed
            self._changed_at = at if version and version == _version(lease) else self._monotonic()
        if _holder(lease) != self.holder:
            logger.info("lease holder changed", extra={**self._log_fields, "holder": _holder(lease)})
        if _holder(lease) != self.identity:
            self._may_hold = False
        self._lease = lease

    async def _create(self) -> None:
        now = self._now()
        spec = {"holderIdentity": self.identity, "leaseTransitions": 0, "acquireTime": now, "renewTime": now}
        await self._claim("POST", self._collection, {"metadata": {"namespace": self._namespace}}, spec)

    async def _hold(self, lease: Mapping[str, Any]) -> None:
        """Renew the Lease, or take it over.

        The resourceVersion makes the write fail if another candidate was faster.
        """
        now = self._now()
        spec = {**_spec(lease), "holderIdentity": self.identity, "renewTime": now}
        if _holder(lease) != self.identity:
            spec["acquireTime"] = now
            spec["leaseTransitions"] = int(spec.get("leaseTransitions") or 0) + 1
        await self._claim("PUT", self._path, lease, spec)

    async def _claim(self, method: str, path: str, lease: Mapping[str, Any], spec: dict[str, Any]) -> None:
        spec["leaseDurationSeconds"] = math.ceil(self._duration)
        self._may_hold = True
        sent = self._monotonic()
        self._observe(await self._write(method, path, lease, spec))
        self._valid_until = sent + self._renew_deadline
        if not self._leading and self._monotonic() < self._valid_until:
            self._leading = True
            self.lost.clear()
            self.became_leader.set()
            logger.info("became leader", extra=self._log_fields)

    async def _write(self, method: str, path: str, lease: Mapping[str, Any], spec: Mapping[str, Any]) -> dict[str, Any]:
        metadata = lease["metadata"]
        labels = {**(metadata.get("labels") or {}), **self._labels}
        body = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {**metadata, "name": self._name, "labels": labels},
            "spec": spec,
        }
        encoded = msgspec.json.encode(body)
        return _decode(await self._transport.request(method, path, body=encoded, timeout=self._answer_within))

    def _now(self) -> str:
        return micro_time(self._transport.clock.now())

    def _end_term(self, reason: str) -> None:
        if not self._leading:
            return
        self._leading = False
        self._valid_until = -math.inf
        self.became_leader.clear()
        self.lost.set()
        level = logging.INFO if reason == STOPPED else logging.WARNING
        logger.log(level, "leadership lost", extra={**self._log_fields, "reason": reason})
        if self._on_lost is not None:
            try:
                self._on_lost(reason)
            except Exception:  # a failing callback must not prevent the release
                logger.exception("callback for lost leadership failed", extra=self._log_fields)

    async def _release(self) -> None:
        if not self._may_hold:
            return
        try:
            await self._within(self._renew_deadline, self._give_up())
        except KubeError as error:
            fields = {**self._log_fields, "error": str(error), "expires_after_s": self._duration}
            logger.warning("lease not released, the next leader waits until it expires", extra=fields)

    async def _give_up(self) -> None:
        lease = await self._look()
        if lease is None or _holder(lease) != self.identity:
            return
        now = self._now()
        spec = {**_spec(lease), "holderIdentity": "", "leaseDurationSeconds": 1, "acquireTime": now, "renewTime": now}
        self._observe(await self._write("PUT", self._path, lease, spec))
        logger.info("lease released", extra=self._log_fields)

    async def _within(self, seconds: float, work: Coroutine[Any, Any, None]) -> None:
        """Await work for some seconds. At the end, leadership ends before anything else happens."""
        task = asyncio.ensure_future(work)
        timer = asyncio.ensure_future(self._sleep(seconds))
        try:
            await asyncio.wait({task, timer}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                self._end_term("not renewed in time")
                raise ConnectionLost(f"lease {self._namespace}/{self._name}: no answer within {seconds:.1f} s")
            task.result()
        finally:
            timer.cancel()
            task.cancel()
            await asyncio.gather(task, timer, return_exceptions=True)

    def _complain(self, error: KubeError) -> None:
        """Log a problem once, and again only when it changes."""
        kind = f"{type(error).__name__} {error.code if isinstance(error, ApiError) else ''}"
        level = logging.DEBUG if kind == self._complaint else logging.WARNING
        self._complaint = kind
        logger.log(level, "lease request failed, trying again", extra={**self._log_fields, "error": str(error)})


def _decode(body: bytes) -> dict[str, Any]:
    try:
        lease = msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise Undecodable(f"the answer to a lease request is not a Lease: {error}") from error
    if not isinstance(lease.get("metadata"), dict):
        raise Undecodable("the answer to a lease request is not a Lease: it has no metadata")
    return lease


def _spec(lease: Mapping[str, Any] | None) -> dict[str, Any]:
    return (lease or {}).get("spec") or {}


def _version(lease: Mapping[str, Any] | None) -> str:
    return str(((lease or {}).get("metadata") or {}).get("resourceVersion") or "")


def _holder(lease: Mapping[str, Any] | None) -> str:
    return _spec(lease).get("holderIdentity") or ""
