"""All objects of a cluster from its API server: one list per kind, with read rights only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from moorage.evictor import kinds
from moorage.evictor.effective_configuration import ConfigurationMistake, ConfigurationSources, text_of
from moorage.evictor.inventory import Inventory
from moorage.files import prices, rules
from moorage.kube import errors
from moorage.kube.backoff import Backoff
from moorage.kube.client import Client
from moorage.kube.clock import ClockNotSynchronised
from moorage.kube.http.transport import Transport
from moorage.kube.resource import Resource
from moorage.kube.unreadable import Unreadable
from moorage.kube.watch import ListWatch, Selection
from moorage.objects import KubeObject
from moorage.wording import followed

from .result import ConfigMaps, SourceResult

AT_ONCE = 4
"""Kinds that are listed at the same time: few, to spare the API server."""
ATTEMPTS = 4
_PASSING = (errors.Gone, errors.TooManyRequests, errors.ServerError)
"""What may be otherwise a moment later."""
_pause = asyncio.sleep
Progress = Callable[[str, int], None]
"""Called with the plural of a kind, and the number of objects so far."""


class NothingSeen(Exception):
    """Nodes or pods cannot be listed, and without them there is no report."""


async def gather(transport: Transport, where: ConfigMaps, progress: Progress = lambda *_: None) -> SourceResult:
    """List all kinds.

    Args:
        transport: the connections to it.
        where: where rules and prices are.
        progress: called for each page.

    Raises:
        KubeError: the API server cannot be reached, or rejects the credentials.
        NothingSeen: nodes cannot be listed.
    """
    there = _There(transport, progress)
    room = asyncio.Semaphore(AT_ONCE)

    async def one(resource: Resource[Any]) -> None:
        async with room:
            await there.list(resource)

    try:
        async with asyncio.TaskGroup() as tasks:
            for resource in kinds.KINDS:
                tasks.create_task(one(resource), name=f"list {resource.plural}")
            found = tasks.create_task(there.found(where), name="configuration")
    except ExceptionGroup as group:  # an except* would wrap what is raised in it, but not in every Python
        known, others = group.split(errors.KubeError)
        if known is None or others is not None:
            raise
        raise _first(known) from None
    if "Node" in there.unseen:
        reason = f"nodes cannot be seen: {there.unseen['Node']}"
        raise NothingSeen(followed(reason, "Whoever looks needs the right to list them"))
    try:
        now, notes = transport.clock.now(), there.notes
    except ClockNotSynchronised:
        now, notes = datetime.now(UTC), [*there.notes, "the API server does not tell its time: this machine's counts"]
    inventory = Inventory(now, there.objects, dict(sorted(there.unseen.items())), there.unread)
    return SourceResult(inventory, found.result(), transport.access.server, tuple(notes))


@dataclass
class _There:
    """The objects that were listed so far."""

    transport: Transport
    progress: Progress
    objects: dict[str, dict[str, KubeObject]] = field(default_factory=dict)
    unread: dict[str, dict[str, Unreadable[Any]]] = field(default_factory=dict)
    unseen: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    async def list(self, resource: Resource[Any]) -> None:
        """List a kind, or note why it cannot be listed."""
        backoff = Backoff(base=0.5, cap=5.0)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                await self._list(resource)
            except _PASSING as error:
                if attempt == ATTEMPTS:
                    self.unseen[resource.kind] = f"cannot be listed: {error}"
                else:
                    await _pause(max(backoff.next(), min(error.retry_after or 0.0, 10.0)))
                continue
            except errors.NotFound:
                if resource.kind not in kinds.OPTIONAL:
                    self.unseen[resource.kind] = f"the API server does not serve {resource.group_version} of it"
            except errors.Forbidden as error:
                self.unseen[resource.kind] = _refused(resource, error)
            except errors.Undecodable as error:
                self.unseen[resource.kind] = f"cannot be read: {error}"
            return

    async def _list(self, resource: Resource[Any]) -> None:
        objects: dict[str, KubeObject] = {}
        unread: dict[str, Unreadable[Any]] = {}
        async for _, page in ListWatch(self.transport, resource, Selection()).pages():
            for item in page:
                if isinstance(item, Unreadable):
                    unread[item.key] = item
                else:
                    objects[item.key] = item
            self.progress(resource.plural, len(objects) + len(unread))
        if objects:
            self.objects[resource.kind] = objects
        if unread:
            self.unread[resource.kind] = unread

    async def found(self, where: ConfigMaps) -> ConfigurationSources:
        """Return the configuration sources."""
        client = Client(self.transport)
        texts = [
            await self._text(client, where.namespace, name, key)
            for name, key in ((where.rules, rules.KEY), (where.prices, prices.KEY))
        ]
        resource = await self._resource(client)
        wrong = tuple(each for each in (*texts, resource) if isinstance(each, ConfigurationMistake))
        of_rules, of_prices = (text if isinstance(text, str) else None for text in texts)
        return ConfigurationSources(
            of_rules, of_prices, None if isinstance(resource, ConfigurationMistake) else resource, wrong
        )

    async def _text(self, client: Client, namespace: str, name: str, key: str) -> str | ConfigurationMistake | None:
        source = f"ConfigMap {namespace}/{name}"
        if not name:
            return None
        try:
            found = await client.get(kinds.CONFIG_MAPS, name, namespace)
        except errors.NotFound:
            return None
        except errors.Forbidden as error:
            self._missing(kinds.CONFIG_MAPS, name, error)
            return None
        except errors.Undecodable as error:
            return ConfigurationMistake(source, "", str(error))
        return text_of(found.data, key, source)

    async def _resource(self, client: Client) -> Mapping[str, Any] | ConfigurationMistake | None:
        source = f"EvictorConfig {rules.NAME}"
        try:
            found = await client.get(kinds.EVICTOR_CONFIGS, rules.NAME)
        except errors.NotFound:
            return None
        except errors.Forbidden as error:
            self._missing(kinds.EVICTOR_CONFIGS, rules.NAME, error)
            return None
        except errors.Undecodable as error:
            return ConfigurationMistake(source, "", str(error))
        return found.content()

    def _missing(self, resource: Resource[Any], name: str, error: errors.Forbidden) -> None:
        """Nobody knows what it says; perhaps there is none."""
        before = self.unseen.get(resource.kind)
        reason = f"may not get {name}" if error.lacks_right else f"{name} is refused: {error.status.message}"
        self.unseen[resource.kind] = f"{before}, {reason}" if before else reason


def _refused(resource: Resource[Any], error: errors.Forbidden) -> str:
    return f"may not list {resource.plural}" if error.lacks_right else f"refused: {error.status.message[:200]}"


def _first(group: BaseExceptionGroup[errors.KubeError]) -> errors.KubeError:
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    assert isinstance(found, errors.KubeError)  # noqa: S101 - of nothing else it is split
    return found
