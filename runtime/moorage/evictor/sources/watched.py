"""All objects of a cluster from watch caches, for one evaluation after the other.

A kind that cannot be listed is left out and reported; it is tried again, and counts as soon as it can be listed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from moorage.evictor import kinds
from moorage.evictor.inventory import Inventory
from moorage.kube import errors, resources
from moorage.kube.backoff import Backoff
from moorage.kube.cache import Change, WatchCache
from moorage.kube.http.transport import Transport
from moorage.kube.resource import Resource
from moorage.objects import Node, Pod, PodDisruptionBudget

_NEEDED = (resources.NODES, resources.PODS)
"""Without these kinds there is no evaluation."""
_KEEPING = (kinds.REPLICA_SETS, kinds.REPLICATION_CONTROLLERS, resources.STATEFUL_SETS, resources.DEPLOYMENTS)
_MISSING_PAUSE = 120.0
"""Seconds between two questions for a kind that is not served, at most."""


class WatchedCluster:
    """The watch caches of all kinds.

    Args:
        transport: the connections to the API server.
        beside: further caches to run.
        changed: called when something has changed that an answer may depend on; must be quick.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        beside: Sequence[WatchCache[Any]] = (),
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._caches: dict[str, WatchCache[Any]] = {each.kind: cache(transport, each) for each in kinds.KINDS}
        self._beside = tuple(beside)
        self._changed = changed
        for each in self._caches.values():
            each.subscribe(self._told, unread=lambda _key, _item: changed())

    @property
    def all(self) -> Sequence[WatchCache[Any]]:
        """The caches without which there is no evaluation."""
        return tuple(self._caches[each.kind] for each in _NEEDED)

    @property
    def nodes(self) -> WatchCache[Node]:
        """Nodes."""
        return self._caches[resources.NODES.kind]

    @property
    def pods(self) -> WatchCache[Pod]:
        """Pods."""
        return self._caches[resources.PODS.kind]

    @property
    def workloads(self) -> Mapping[str, WatchCache[Any]]:
        """The workloads that keep a number of pods, and Deployments, by kind."""
        return {each.kind: self._caches[each.kind] for each in _KEEPING}

    @property
    def budgets(self) -> WatchCache[PodDisruptionBudget]:
        """PodDisruptionBudgets."""
        return self._caches[resources.DISRUPTION_BUDGETS.kind]

    async def wait_synced(self) -> None:
        """Wait until the needed caches are complete, and each other one is complete or refused."""
        for each in self.all:
            await each.wait_synced()
        for each in (*self._caches.values(), *self._beside):
            await each.wait_answered()

    async def run(self) -> None:
        """Follow the API server until cancelled."""
        async with asyncio.TaskGroup() as group:
            for each in (*self._caches.values(), *self._beside):
                group.create_task(each.run(), name=f"watch {each.resource.plural}")

    def unseen(self) -> dict[str, str]:
        """Return the kinds that cannot be watched now, with the reasons: their objects may be out of date."""
        return {kind: refusal(each) for kind, each in self._caches.items() if refusal(each)}

    def uid_of_pod(self, key: str) -> str:
        """Return the uid of a pod; empty while it is not known."""
        found = self._caches[resources.PODS.kind].get(key)
        return found.metadata.uid if found is not None else ""

    def inventory(self, now: datetime) -> Inventory:
        """Return all objects as they are now; later changes do not reach it.

        Args:
            now: the API server's time.
        """
        unseen = self.unseen()
        seen = {kind: each for kind, each in self._caches.items() if kind not in unseen}
        unread = {kind: found for kind, each in seen.items() if (found := each.copy_unread())}
        objects = {kind: each.copy() for kind, each in seen.items()}
        for kind, found in unread.items():
            for key in found:
                objects[kind].pop(key, None)  # what was known of it before it could not be read
        return Inventory(now, objects, unseen, unread)

    def _told(self, change: Change[Any]) -> None:
        if change.old is None or change.new is None or not _alike(change.old, change.new):
            self._changed()


def cache(transport: Transport, resource: Resource[Any], **how: Any) -> WatchCache[Any]:
    """Return the watch cache of a kind.

    Args:
        transport: the connections to the API server.
        resource: the kind; one that not every API server serves need not be there.
        how: more arguments of the cache.
    """
    if resource.kind in {*kinds.OPTIONAL, kinds.EVICTOR_CONFIGS.kind}:
        how |= {"optional": True, "backoff": Backoff(cap=_MISSING_PAUSE)}
    return WatchCache(transport, resource, **how)


def refusal(of: WatchCache[Any]) -> str:
    """Return why a kind cannot be watched now; empty when it can."""
    refused = of.refusal
    if refused is None:
        return ""
    if isinstance(refused, errors.NotFound):
        return f"the API server does not serve {of.resource.group_version} of it"
    if isinstance(refused, errors.Forbidden) and not refused.lacks_right:
        return f"refused: {refused.status.message[:200]}"
    return f"may not {'watch' if of.synced else 'list'} {of.resource.plural}"


def _alike(old: Any, new: Any) -> bool:
    """Whether no field that is read has changed: most updates of kubelets and controllers change none."""
    meta = msgspec.structs.replace(old.metadata, resource_version=new.metadata.resource_version)
    same: bool = msgspec.structs.replace(old, metadata=meta) == new
    return same
