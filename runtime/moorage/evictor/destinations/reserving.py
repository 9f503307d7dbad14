"""Writes a SlotReservation for each node that replacements are to go to, and removes it again.

Reservations of other owners are never changed; ``by`` names the owner. Every write has the uid and the resourceVersion
that were read. A reservation that is left behind expires.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from moorage.controller.fence import Fence
from moorage.kube import errors
from moorage.kube.client import Client
from moorage.kube.resources import SLOT_RESERVATIONS
from moorage.ops.concurrent import together
from moorage.reservations import Slot, SlotReservation, moment
from moorage.reservations.destinations import LONGEST, SlotsSpec, is_served, read

logger = logging.getLogger("moorage.evictor")

LASTS = timedelta(minutes=3)
"""How long a reservation is good for unless it is renewed."""
ASK_AGAIN = 0.25
"""Seconds between two questions whether reservations are served."""
_TRIES = 3
"""How often a write is tried again after a conflict; the pinner writes the status meanwhile."""


class Wanted(NamedTuple):
    """The reservation that a node is to have.

    Attributes:
        node_uid: uid of the Node.
        slots: the expected pods.
    """

    node_uid: str
    slots: tuple[Slot, ...]


class Reserving:
    """Writes reservations, for one term of leadership.

    Args:
        client: the API server.
        fence: lets requests through, and writes only while we lead.
        by: which installation we are.
        now: the API server's time.
    """

    def __init__(self, client: Client, fence: Fence, by: str, now: Callable[[], datetime]) -> None:
        self._client, self._fence, self._by, self._now = client, fence, by, now
        self._held: dict[str, SlotReservation | None] = {}  # by node; None: it is not known whether ours exists
        self._foreign: dict[str, str] = {}  # whose they are, by node
        self._reporter: dict[str, str] = {}
        self._turn = asyncio.Lock()

    @property
    def any(self) -> bool:
        """Whether there is, or may be, a reservation of ours."""
        return bool(self._held)

    def begin(self) -> None:
        """Begin a cycle: reservations of other owners are read again."""
        self._foreign.clear()

    async def hold(self, wanted: Mapping[str, Wanted], since: datetime) -> None:
        """Make these reservations, and remove all others of ours.

        Args:
            wanted: what is to be reserved, by node.
            since: pods that were created before fill no slots.

        Raises:
            KubeError: not all was written.
            NotLeading: we lead no more.
        """
        async with self._turn:
            specs = {name: self._spec(each, since) for name, each in wanted.items()}
            gone = [self._delete(name) for name in self._held if name not in specs]
            await together(
                [*gone, *(self._put(name, spec) for name, spec in specs.items() if name not in self._foreign)]
            )

    async def renew(self) -> None:
        """Extend all reservations.

        Raises:
            KubeError: not all was written.
            NotLeading: we lead no more.
        """
        async with self._turn:
            until = self._now() + LASTS
            known = [(name, read(each).spec) for name, each in self._held.items() if each is not None]
            await together([self._put(name, _lasting(spec, until), renews=True) for name, spec in known])

    async def release(self) -> None:
        """Remove all reservations of ours.

        Raises:
            KubeError: something could not be taken away.
            NotLeading: we lead no more.
        """
        async with self._turn:
            await together([self._delete(name) for name in self._held])

    async def find(self) -> None:
        """Take over the reservations of earlier terms.

        Raises:
            KubeError: it cannot be seen.
        """
        for each in await self._list():
            if self._is_ours(each):
                self._held.setdefault(each.metadata.name, each)

    async def served(self, seconds: float) -> bool:
        """Wait until a pod pinner serves all reservations; return whether it does.

        Args:
            seconds: how long to wait for that; then serving some is enough.

        Raises:
            KubeError: it cannot be seen.
        """
        clock = asyncio.get_running_loop().time
        end = clock() + seconds
        while True:
            ours = [each for each in await self._list() if each.metadata.name in self._held and self._is_ours(each)]
            self._held |= {each.metadata.name: each for each in ours}
            serving = [is_served(each) for each in ours]
            if len(ours) >= len(self._held) and all(serving):
                return True
            if clock() >= end:
                return any(serving)
            await asyncio.sleep(ASK_AGAIN)

    # --- one reservation ---

    async def _put(self, name: str, spec: SlotsSpec, *, renews: bool = False) -> None:
        """Create or change a reservation; a renewal creates none."""
        known = self._held.get(name)
        if known is None and name in self._held:
            known = await self._look(name)
        for _ in range(_TRIES):
            if (
                name in self._foreign
                or (known is None and renews)
                or (known is not None and _says(known, spec, renews))
            ):
                return
            self._held[name] = None
            try:
                self._held[name] = await self._fence.write(lambda known=known: self._write(name, spec, known))  # type: ignore[misc]
            except (errors.Conflict, errors.NotFound) as error:
                if known is None and isinstance(error, errors.NotFound):
                    del self._held[name]  # there is no such kind
                    raise
                known = await self._look(name)
            else:
                return

    async def _write(self, name: str, spec: SlotsSpec, known: SlotReservation | None) -> SlotReservation:
        body = {"spec": msgspec.to_builtins(spec)}
        if known is None:
            return await self._client.create(SLOT_RESERVATIONS, {"metadata": {"name": name}, **body})
        meta = known.metadata
        return await self._client.patch(
            SLOT_RESERVATIONS, name, changes=body, uid=meta.uid, resource_version=meta.resource_version
        )

    async def _delete(self, name: str) -> None:
        known = self._held[name]
        for _ in range(_TRIES):
            known = known or await self._look(name)
            if known is None:
                return
            self._held[name] = None
            try:
                await self._fence.write(lambda known=known: self._remove(name, known))  # type: ignore[misc]
            except errors.NotFound:
                pass
            except errors.Conflict:
                known = None
                continue
            del self._held[name]
            return

    async def _remove(self, name: str, known: SlotReservation) -> None:
        meta = known.metadata
        await self._client.delete(SLOT_RESERVATIONS, name, uid=meta.uid, resource_version=meta.resource_version)

    async def _look(self, name: str) -> SlotReservation | None:
        """Return a reservation of ours; None when there is none, or when it is of another owner."""
        try:
            async with self._fence.read():
                reservation = await self._client.get(SLOT_RESERVATIONS, name)
        except errors.NotFound:
            self._held.pop(name, None)
            return None
        if self._is_ours(reservation):
            self._held[name] = reservation
            return reservation
        self._held.pop(name, None)
        by = self._foreign[name] = read(reservation).spec.by
        if self._reporter.get(name) != by:
            logger.info("slot reservation has another owner", extra={"node": name, "by": by})
            self._reporter[name] = by
        return None

    # --- pieces ---

    async def _list(self) -> Iterable[SlotReservation]:
        async with self._fence.read():
            return await self._client.list(SLOT_RESERVATIONS)

    def _is_ours(self, reservation: SlotReservation) -> bool:
        return read(reservation).spec.by == self._by

    def _spec(self, wanted: Wanted, since: datetime) -> SlotsSpec:
        began = f"{since:%Y-%m-%dT%H:%M:%SZ}"
        made = SlotsSpec(node_uid=wanted.node_uid, by=self._by, since=began, slots=wanted.slots)
        return _lasting(made, self._now() + LASTS)


def _lasting(spec: SlotsSpec, until: datetime) -> SlotsSpec:
    since = moment(spec.since)
    latest = until if since is None else min(until, since + LONGEST)
    return msgspec.structs.replace(spec, until=f"{latest:%Y-%m-%dT%H:%M:%SZ}")


def _says(known: SlotReservation, spec: SlotsSpec, renews: bool) -> bool:
    """Whether a reservation has the wanted content; its end matters only for renewals."""
    before = read(known).spec
    return before == (spec if renews else msgspec.structs.replace(spec, until=before.until))
