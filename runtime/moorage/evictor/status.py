"""The status of the EvictorConfig: configuration, result of the last cycle, recent evictions.

It is written when more than times differ: a cycle with the same result does not change its time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn

from moorage.cluster.caches import Latest
from moorage.files.rules import NAME
from moorage.kube import errors
from moorage.kube.backoff import Backoff
from moorage.kube.cache import WatchCache
from moorage.kube.client import Client
from moorage.objects import conditions
from moorage.objects.conditions import Condition

from .compaction import History, Plan
from .configuration import Configuration
from .configuration_watch import CurrentConfiguration
from .destinations import Arrivals
from .kinds import EVICTOR_CONFIGS, EvictorConfig
from .verdict_counts import VerdictCounts

logger = logging.getLogger("moorage.evictor")

_LISTED = 100
"""Chosen nodes in a status: an object must not grow with the cluster."""
_MISTAKES = 5
_LONGEST = 2000
DRAINED = ("emptied", "rolledBack", "handedBack")
"""What may have become of a node in a cycle."""
_TIMES = ("time", "seconds")
"""What of a cycle differs each time."""


@dataclass(frozen=True, slots=True)
class StatusUpdate:
    """The content that a status is to have.

    Attributes:
        generation: of the resource; 0 without one.
        conditions: of the evictor's types.
        last_cycle: result of the last cycle; None: it stays as it is.
        history: the recent evictions; None: they stay as they are.
    """

    generation: int
    conditions: Sequence[Condition]
    last_cycle: Mapping[str, Any] | None = None
    history: History | None = None


def about(current: CurrentConfiguration, enabled: bool) -> Iterator[Condition]:
    """Yield the conditions about a configuration.

    Args:
        current: what is in force.
        enabled: whether the evictor is to do anything.
    """
    if current.configuration is None:
        yield Condition("Ready", False, "NoConfiguration", "Nothing is chosen until the configuration is right")
    elif not enabled:
        yield Condition("Ready", False, "Disabled", "The evictor is switched off: enabled is false")
    elif current.wrong:
        yield Condition("Ready", True, "LastGood", "The last good configuration is in force")
    elif current.configuration.dry_run:
        yield Condition("Ready", True, "InForce", "The configuration is in force, as a dry run: nothing is evicted")
    else:
        yield Condition("Ready", True, "InForce", "The configuration is in force, and nodes are emptied")
    if current.wrong:
        problems = "; ".join(str(each) for each in current.wrong[:_MISTAKES])
        more = f"; and {len(current.wrong) - _MISTAKES} more" if len(current.wrong) > _MISTAKES else ""
        yield Condition("ConfigurationValid", False, "Invalid", f"{problems}{more}"[:_LONGEST])
    else:
        yield Condition("ConfigurationValid", True, "Valid", "; ".join(current.notes)[:_LONGEST])


def computed(unseen: Mapping[str, str]) -> Condition:
    """Return the condition after a cycle that succeeded.

    Args:
        unseen: kinds that could not be seen, with the reasons.
    """
    if unseen:
        unlisted = "; ".join(f"{kind}: {reason}" for kind, reason in sorted(unseen.items()))
        return Condition("Computed", True, "PartlySeen", f"What cannot be seen holds nodes: {unlisted}"[:_LONGEST])
    return Condition("Computed", True, "Computed", "")


def failed(error: Exception) -> Condition:
    """Return the condition after a cycle that ended with an error."""
    return Condition("Computed", False, "Failed", f"{type(error).__name__}: {error}"[:_LONGEST])


def cycle(plan: Plan, counts: VerdictCounts, now: datetime) -> dict[str, Any]:
    """Return ``lastCycle``."""
    return {
        "time": _time(now),
        "nodes": counts.nodes,
        "candidates": counts.candidates,
        "going": len(plan.chosen),
        "chosen": [
            {"node": node.name, "price": round(node.price, 6), "pods": len(node.moves)}
            for node in plan.chosen[:_LISTED]
        ],
        "freed": round(plan.freed, 6),
        "unit": plan.unit.value,
        "cutOff": plan.cut_off,
        "held": dict(sorted(counts.kept.items())),
    }


def replacements(come: Arrivals) -> dict[str, int]:
    """Return the part of ``lastCycle`` about replacements."""
    return {"asSimulated": come.as_simulated, "elsewhere": come.elsewhere}


def chosen_before(status: Any) -> list[str]:
    """Return the nodes that a status names as chosen, even if the status is malformed."""
    listed = _map(_map(status).get("lastCycle")).get("chosen")
    names = [_map(each).get("node") for each in listed] if isinstance(listed, list) else []
    return [name for name in names if isinstance(name, str)]


def merged(before: Any, update: StatusUpdate, now: datetime) -> dict[str, Any]:
    """Return a status with the new content; fields of other writers stay.

    Args:
        before: the stored status, which may be malformed.
        update: what it is to say.
        now: the API server's time.
    """
    known = _map(before)
    listed = conditions.merged(known.get("conditions"), update.conditions, now, generation=update.generation)
    made = {**known, "observedGeneration": update.generation, "conditions": listed}
    if update.last_cycle is not None:
        made["lastCycle"] = dict(update.last_cycle)
    if update.history is not None:
        made["evictions"] = update.history.as_status()
    return made


def differs(before: Any, after: Mapping[str, Any]) -> bool:
    """Whether two statuses differ in more than times."""
    return _timeless(_map(before)) != _timeless(after)


def _timeless(status: Mapping[str, Any]) -> dict[str, Any]:
    last = {key: value for key, value in _map(status.get("lastCycle")).items() if key not in _TIMES}
    return {**status, "lastCycle": last}


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


class Status:
    """Reads the status back, and writes it in the background; no caller waits for it.

    Args:
        client: writes.
        resources: the watch cache of the resource.
        now: the API server's time.
        leads: whether we may write now.
    """

    def __init__(
        self,
        client: Client,
        resources: WatchCache[EvictorConfig],
        now: Callable[[], datetime],
        leads: Callable[[], bool],
    ) -> None:
        self._client, self._resources, self._now, self._leads = client, resources, now, leads
        self._latest = Latest(resources)
        self._history: History | None = None
        self._said: StatusUpdate | None = None
        self._news, self._settled = asyncio.Event(), asyncio.Event()
        self._complaint = ""

    def chosen(self) -> list[str]:
        """Return the nodes that the stored status names as chosen."""
        resource = self._latest.get(NAME)
        return chosen_before(resource.status) if resource is not None else []

    def remember(self, configuration: Configuration) -> History | None:
        """Return the recent evictions of the stored status; None while it cannot be read.

        Args:
            configuration: what is in force.
        """
        now, window = self._now(), configuration.choice.owner_window
        if self._history is None and self._resources.synced:
            resource = self._latest.get(NAME)
            written = _map(resource.status).get("evictions") if resource is not None else None
            self._history = History.from_status(written, now, window)
        return self._history.since(now - window) if self._history is not None else None

    def say(self, update: StatusUpdate) -> None:
        """Have a status written, unless it is stored already."""
        self._said = update
        self._settled.clear()
        self._news.set()

    def evicted(self, owner: str) -> None:
        """Remember an eviction of now.

        Args:
            owner: the owner that it counts for.
        """
        self._history = (self._history or History()).with_evictions((owner,), self._now())

    async def settled(self, seconds: float) -> bool:
        """Whether the latest status is written within some seconds, if there is a resource to write to.

        Args:
            seconds: how long to wait.
        """
        try:
            await asyncio.wait_for(self._settled.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def run(self) -> NoReturn:
        """Write until cancelled."""
        backoff = Backoff(base=1.0, cap=300.0, least=0.5)
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                await self._write()
            except errors.KubeError as error:
                self._news.set()
                self._complain(error)
                await asyncio.sleep(backoff.next())
            else:
                backoff.reset()
                self._complaint = ""
                if not self._news.is_set():
                    self._settled.set()

    async def _write(self) -> None:
        before, update = self._latest.get(NAME), self._said
        if before is None or update is None or not update.generation or not self._leads():
            return
        meta = before.metadata
        wanted = merged(before.status, update, self._now())
        if not differs(before.status, wanted):
            return
        precondition = {"uid": meta.uid, "resource_version": meta.resource_version}
        try:
            written = await self._client.update_status(EVICTOR_CONFIGS, NAME, status=wanted, **precondition)
        except errors.Conflict:
            await self._read()
            raise
        except errors.NotFound:
            return  # it is gone; the watch reports that, too
        self._latest.wrote(written)

    async def _read(self) -> None:
        """Read the resource again, because the watch may be late; as a list, because the chart grants that right."""
        for resource in await self._client.list(EVICTOR_CONFIGS, fields=f"metadata.name={NAME}"):
            self._latest.wrote(resource)

    def _complain(self, error: errors.KubeError) -> None:
        """Log an error once, and again only when it changes; a conflict is no error."""
        kind = f"{type(error).__name__} {error.code if isinstance(error, errors.ApiError) else ''}"
        quiet = kind == self._complaint or isinstance(error, errors.Conflict)
        self._complaint = kind
        logger.log(
            logging.DEBUG if quiet else logging.WARNING, "status not written, trying again", extra={"error": str(error)}
        )
