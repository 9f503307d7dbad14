"""The Leases of placeholders: renewed in the API server's time until a kubelet reports or the deadline passes.

A renewed Lease is what keeps the node-lifecycle controller from marking a Node without conditions as unreachable
(tried). That controller remembers the latest renewTime it has seen and ignores earlier ones, so a single value in the
future spoils all correct ones after it: never ahead, never backwards, and never a word after the kubelet's first.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from moorage.kube import errors, resources
from moorage.kube.client import Client
from moorage.kube.clock import ServerClock, micro_time
from moorage.objects import Lease, Node
from moorage.reservations import moment, rules

from . import metrics
from .reporting import Reporter
from .world import World

logger = logging.getLogger(__name__)

NAMESPACE = "kube-node-lease"
DURATION = 40
"""``leaseDurationSeconds`` as kubelets write it."""

TICK = 1.0
RETRY = 2.0
CONCURRENT = 4
AHEAD = timedelta(seconds=2)
"""How far a renewTime may be ahead of our lower bound of the server's time before it counts as wrong."""


class Verdict(enum.Enum):
    """What to do about a Lease."""

    RENEW = "renewed"
    WAIT = "fresh"
    AHEAD = "ahead"


@dataclass(slots=True)
class _Held:
    uid: str
    due: float
    lease: Lease | None = None
    complained: bool = False


def judge(lease: Lease, now: datetime, interval: float) -> Verdict:
    """What to do about a Lease as it stands.

    Args:
        lease: as read.
        now: the API server's time, at the latest what it truly is.
        interval: seconds between renewals.
    """
    renewed = moment(lease.spec.renew_time or "")
    if renewed is None:
        return Verdict.RENEW
    if renewed > now + AHEAD:
        return Verdict.AHEAD
    # Somebody renews it more often than we would: the kubelet, which has not reported yet.
    return Verdict.WAIT if now - renewed < timedelta(seconds=interval / 2) else Verdict.RENEW


class LeaseKeeper:
    """Renews what must be renewed.

    Args:
        client: the API server.
        world: which placeholders there are.
        reporter: tells people about a Lease that cannot be kept.
        clock: the API server's time.
        is_leader: asked before each write.
        interval: seconds between renewals.
    """

    def __init__(
        self,
        client: Client,
        world: World,
        reporter: Reporter,
        clock: ServerClock,
        *,
        is_leader: Callable[[], bool],
        interval: float,
    ) -> None:
        self._client = client
        self._world = world
        self._reporter = reporter
        self._clock = clock
        self._is_leader = is_leader
        self._interval = interval
        self._held: dict[str, _Held] = {}
        self._limit = asyncio.Semaphore(CONCURRENT)

    async def run(self) -> None:
        """Renew until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            now = loop.time()
            due = [name for name in self._placeholders() if self._held[name].due <= now]
            await asyncio.gather(*(self._renew(name) for name in due))
            await asyncio.sleep(TICK)

    def _placeholders(self) -> list[str]:
        """The nodes whose Leases are ours to renew; forgets all others."""
        loop = asyncio.get_running_loop()
        found = []
        for name in self._world.reserved:
            node = self._holdable(name)
            if node is None:
                continue
            found.append(name)
            held = self._held.get(name)
            if held is None or held.uid != node.metadata.uid:
                # A new Node has a minute; the first renewals of many are spread over a part of it.
                due = loop.time() + random.uniform(0, self._interval)  # noqa: S311 - spreads load, guards nothing
                self._held[name] = _Held(node.metadata.uid, due)
        for name in self._held.keys() - found:
            del self._held[name]
        return found

    def _holdable(self, name: str) -> Node | None:
        """The placeholder of a node that is to be held, or None."""
        node = self._world.nodes.get(name)
        reservation = self._world.reservation(name)
        if node is None or node.has_kubelet or reservation is None or not self._world.is_ours(name):
            return None
        if reservation.metadata.deletion_timestamp is not None:
            return None
        return None if rules.expired(self._world.reading(name).spec, self._clock.now()) else node

    async def _renew(self, name: str) -> None:
        async with self._limit:
            node, held = self._holdable(name), self._held.get(name)
            if node is None or held is None or not self._is_leader():
                return
            loop = asyncio.get_running_loop()
            try:
                outcome = await self._hold(node, held)
            except errors.Conflict:
                held.lease, held.due = None, loop.time() + RETRY  # somebody else has written it: look
            except errors.KubeError as error:
                metrics.LEASES.labels("failed").inc()
                held.lease, held.due = None, loop.time() + RETRY
                logger.warning("lease not renewed, trying again", extra={"node": name, "error": str(error)})
            else:
                metrics.LEASES.labels(outcome.value).inc()
                jitter = random.uniform(0.8, 1.0)  # noqa: S311 - spreads load, guards nothing
                held.due = loop.time() + self._interval * jitter

    async def _hold(self, node: Node, held: _Held) -> Verdict:
        name = node.metadata.name
        if held.lease is None:
            try:
                held.lease = await self._client.get(resources.LEASES, name, NAMESPACE)
            except errors.NotFound:
                held.lease = await self._create(node)
                return Verdict.RENEW
        now = self._clock.now()
        verdict = judge(held.lease, now, self._interval)
        if verdict is Verdict.RENEW:
            meta = held.lease.metadata
            spec = {"holderIdentity": name, "leaseDurationSeconds": DURATION, "renewTime": micro_time(now)}
            try:
                held.lease = await self._client.patch(
                    resources.LEASES,
                    name,
                    NAMESPACE,
                    changes={"spec": spec},
                    uid=meta.uid,
                    resource_version=meta.resource_version,
                )
            except errors.NotFound:
                held.lease = await self._create(node)
        else:
            if verdict is Verdict.AHEAD and not held.complained:
                held.complained = True
                ahead = (moment(held.lease.spec.renew_time or "") or now) - now
                self._reporter.lease_ahead(name, ahead.total_seconds())
            held.lease = None  # it is somebody else's word: read it again next time
        return verdict

    async def _create(self, node: Node) -> Lease:
        meta = node.metadata
        owner = {"apiVersion": "v1", "kind": "Node", "name": meta.name, "uid": meta.uid}
        now = micro_time(self._clock.now())
        body = {
            "metadata": {"name": meta.name, "ownerReferences": [owner]},
            "spec": {"holderIdentity": meta.name, "leaseDurationSeconds": DURATION, "renewTime": now},
        }
        return await self._client.create(resources.LEASES, body, NAMESPACE)
