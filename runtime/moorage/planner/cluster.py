"""The pods of the cluster, for plans that select pods by owner or labels."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

from moorage.kube.backoff import Backoff
from moorage.kube.cache import Change, WatchCache
from moorage.kube.client import Client
from moorage.kube.credentials import Access
from moorage.kube.errors import Forbidden, KubeError, NotFound
from moorage.kube.http.transport import Transport
from moorage.kube.resources import NODE_RESERVATIONS, PODS
from moorage.objects import Pod
from moorage.reservations import read

logger = logging.getLogger(__name__)


class Cluster:
    """Watches the pods of one cluster.

    Args:
        access: the cluster's API server and our credentials.
    """

    def __init__(self, access: Access) -> None:
        self._transport = Transport(access)
        self._pods: WatchCache[Pod] = WatchCache(self._transport, PODS)
        self.changed = asyncio.Event()
        """Set when a pod has changed. The reader clears it."""

    async def run(self) -> None:
        """Watch until cancelled."""
        unsubscribe = self._pods.subscribe(self._note)
        try:
            await self._pods.run()
        finally:
            unsubscribe()
            await self._transport.close()

    def _note(self, change: Change[Pod]) -> None:
        """Most changes are of a status, which says nothing about an assignment."""
        old, new = change.old, change.new
        if old is None or new is None or assigned_by(old) != assigned_by(new):
            self.changed.set()

    def __iter__(self) -> Iterator[Pod]:
        """The current pods."""
        return iter(self._pods)

    async def wait_synced(self) -> None:
        """Wait until all pods are known."""
        await self._pods.wait_synced()

    async def pinned_by(self, plan: str) -> dict[str, str]:
        """The pins of this plan from before a restart, by the reservations of the pinner: pod uid to node name.

        Waits until the API server answers. Without reservations, or without the right to read them, the result is
        empty.
        """
        backoff = Backoff(base=0.5, cap=10.0)
        while True:
            try:
                reservations = await Client(self._transport).list(NODE_RESERVATIONS)
            except NotFound:
                return {}
            except Forbidden as error:
                logger.warning("reservations cannot be read, pods are assigned anew", extra={"error": str(error)})
                return {}
            except KubeError as error:
                logger.info("reservations cannot be read yet", extra={"error": str(error)})
                await asyncio.sleep(backoff.next())
                continue
            specs = ((each.metadata.name, read(each).spec) for each in reservations)
            return {pin.uid: name for name, spec in specs if spec.plan == plan for pin in spec.pins}


def assigned_by(pod: Pod) -> tuple[object, ...]:
    """What of a pod an assignment depends on (``assign``); a pod that changes its uid goes and comes."""
    meta, spec = pod.metadata, pod.spec
    return (meta.labels, meta.owner_references, meta.deletion_timestamp, pod.finished, spec)
