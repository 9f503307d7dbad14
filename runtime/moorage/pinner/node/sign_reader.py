"""Looks for signs of kubelets that have not reported yet, right before something is destroyed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from moorage.kube import errors, resources
from moorage.kube.client import Client
from moorage.kube.clock import ServerClock
from moorage.objects import Lease
from moorage.reservations import moment

from ..decisions.signs import NONE, QUIET, Signs, is_ours
from .leases import NAMESPACE


class SignReader:
    """Looks, and remembers since when a Lease has not changed.

    Args:
        client: the API server.
        clock: its time.
        monotonic: seconds on a clock that never goes back.
    """

    def __init__(self, client: Client, clock: ServerClock, monotonic: Callable[[], float]) -> None:
        self._client = client
        self._clock = clock
        self._monotonic = monotonic
        self._seen: dict[str, tuple[str, float]] = {}  # node to the version of somebody's Lease, and since when

    async def read(self, name: str) -> Signs:
        """What tells of a kubelet of this node now.

        Raises:
            KubeError: it cannot be known now.
        """
        lease, csi_node = await asyncio.gather(self._lease(name), self._csi_node(name))
        return lease if lease.text else csi_node

    async def _lease(self, name: str) -> Signs:
        try:
            lease = await self._client.get(resources.LEASES, name, NAMESPACE)
        except errors.NotFound:
            lease = None
        if lease is None or is_ours(lease):
            self._seen.pop(name, None)
            return NONE
        return Signs("somebody else has renewed its Lease", alive=self._is_fresh(name, lease))

    def _is_fresh(self, name: str, lease: Lease) -> bool:
        """Whether a Lease was renewed just now; one from the future counts from when it was seen first."""
        here, version = self._monotonic(), lease.metadata.resource_version
        known = self._seen.get(name)
        if known is None or known[0] != version:
            known = self._seen[name] = (version, here)
        renewed = moment(lease.spec.renew_time or "")
        seen_long_ago = here - known[1] >= QUIET.total_seconds()
        return renewed is not None and self._clock.now() - renewed < QUIET and not seen_long_ago

    async def _csi_node(self, name: str) -> Signs:
        """Only whether it is there: what it says may be unreadable."""
        try:
            await self._client.transport.request("GET", resources.CSI_NODES.path("", name))
        except errors.NotFound:
            return NONE
        except errors.Forbidden:  # by rights that somebody else has written: then nothing is ruled out
            return Signs("whether it has a CSINode must not be asked")
        return Signs("it has a CSINode")
