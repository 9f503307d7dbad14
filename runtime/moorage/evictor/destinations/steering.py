"""Steers replacements to where the simulation has placed them, while a pod pinner serves; else changes nothing.

Reservations are written for each result of the simulation, and removed at the end of the cycle. If that fails, they
expire.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum

from moorage.controller.fence import NotLeading
from moorage.kube import errors
from moorage.kube.backoff import Backoff
from moorage.objects import Node, Pod

from .moves import ReplacementMove
from .reserving import Reserving, Wanted
from .tracking import Arrivals, MoveTracking

logger = logging.getLogger("moorage.evictor")

WRITTEN_WITHIN = 5.0
"""Seconds that writing reservations may hold up a cycle."""
SERVED_WITHIN = 10.0
"""Seconds that a pod pinner may take to serve them."""
CHANGED_WITHIN = 1.0
"""Seconds that it may take to serve what has changed of them; evictions wait for that."""
RENEWED_EVERY = 60.0
"""Seconds between two renewals; a third of what a reservation lasts."""
_ANEW_AFTER = timedelta(minutes=30)
"""After how long ``since`` moves on: no reservation may last for more than an hour after it."""
_NOTHING_TO_SEE = (errors.NotFound, errors.Forbidden, errors.Unauthorized)
"""Answers after which no later check for reservations of earlier terms is needed: they expire."""
_RARELY = 600.0
"""Seconds until what was not there, or not allowed, is tried again."""


class Reason(Enum):
    """Whether and why replacements are steered; the value is for people."""

    NOT_TRIED = "nothing was to be reserved yet"
    SERVED = "replacements are steered to the nodes where the simulation has put them"
    OFF = "destinations are switched off"
    NOT_DEFINED = "SlotReservation is not defined: no pod pinner is installed that knows it"
    NOT_SERVED = "no pod pinner serves what is reserved"
    NOT_ALLOWED = "reservations may not be written"
    NOT_WRITTEN = "reservations could not be written"


class Steering:
    """Steers replacements, for one term of leadership.

    Args:
        reserving: writes.
        now: the API server's time.
        monotonic: seconds on a clock that never goes back.
        enabled: whether it is wanted.

    Attributes:
        reason: how it stands.
        detail: more of that, for people.
        come: where the replacements of the cycle have come to.
    """

    def __init__(
        self,
        reserving: Reserving,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        *,
        enabled: bool = True,
    ) -> None:
        self.reason = Reason.NOT_TRIED if enabled else Reason.OFF
        self.detail = ""
        self.arrivals = Arrivals()
        self._reserving, self._now, self._monotonic, self._enabled = reserving, now, monotonic, enabled
        self._found = not enabled
        self._not_before = 0.0
        self._backoff = Backoff(base=60.0, cap=_RARELY, least=1.0)
        self.begin()

    @property
    def serves(self) -> bool:
        """Whether replacements are steered now."""
        return self.reason is Reason.SERVED and self._tries

    # --- a cycle ---

    def begin(self) -> None:
        """Begin a cycle."""
        self.arrivals = Arrivals()
        self._book: MoveTracking | None = None
        self._tries = False
        self._reserving.begin()

    def coming(
        self, pods: Collection[Pod], remaining: Sequence[str], leaving: Collection[str]
    ) -> Sequence[ReplacementMove]:
        """Return the replacements that are still to come for pods of nodes whose drain has begun.

        Args:
            pods: all pods.
            remaining: the nodes whose drain has not begun.
            leaving: those that are being emptied.
        """
        if self._book is None:
            self._since = self._now()
            self._book = MoveTracking(self._since)
            self._tries = self._enabled and self._monotonic() >= self._not_before
        return self._book.coming(pods, remaining, leaving)

    async def follow(
        self,
        pods: Collection[Pod],
        nodes: Mapping[str, Node],
        remaining: Sequence[str],
        moves: Sequence[ReplacementMove],
        coming: Sequence[ReplacementMove],
    ) -> None:
        """Reserve the moves of a new simulation, and wait until they are served.

        Args:
            pods: all pods at the time of the simulation.
            nodes: all nodes by name.
            remaining: the nodes that the simulation was about.
            moves: theirs, as far as they could still go.
            coming: the replacements that are still to be made for pods of others, as far as they still fit.
        """
        if self._book is None:
            return
        self._book.foresee(remaining, moves)
        if not self._tries:
            return
        if self._now() - self._since > _ANEW_AFTER:
            self._since = self._now()
        slots = self._book.slots(pods, remaining, coming, self._since)
        uids = {name: nodes[name].metadata.uid for name in slots if name in nodes}
        wanted = {name: Wanted(uid, slots[name]) for name, uid in uids.items()}
        if wanted or self._reserving.any:
            await self._reserve(wanted)

    async def keep(self) -> None:
        """Renew the reservations until cancelled."""
        while True:
            await asyncio.sleep(RENEWED_EVERY)
            try:
                await self._reserving.renew()
            except (errors.KubeError, NotLeading) as error:
                logger.debug("slot reservations not renewed", extra={"error": str(error)})

    async def end(self, pods: Collection[Pod], evicted: Collection[str]) -> Arrivals:
        """End the cycle: remove the reservations.

        Args:
            pods: all pods.
            evicted: the uids of the pods that were evicted.

        Returns:
            Where their replacements run.
        """
        if self._book is not None:
            self.arrivals = self._book.arrivals(pods, evicted)
        await self._release()
        return self.arrivals

    async def clean_up(self) -> None:
        """Remove the reservations of earlier terms, once, while no cycle runs."""
        if self._monotonic() < self._not_before or (self._found and not self._reserving.any):
            return
        try:
            async with asyncio.timeout(WRITTEN_WITHIN):
                if not self._found:
                    await self._reserving.find()
                    self._found = True
        except (errors.KubeError, TimeoutError) as error:
            self._found = isinstance(error, _NOTHING_TO_SEE)
            self._without(error)
        if not await self._release():
            self._pause(self._backoff.next())

    # --- pieces ---

    async def _reserve(self, wanted: Mapping[str, Wanted]) -> None:
        first = not self._reserving.any
        try:
            async with asyncio.timeout(WRITTEN_WITHIN):
                await self._reserving.hold(wanted, self._since)
            async with asyncio.timeout(WRITTEN_WITHIN + SERVED_WITHIN):
                within = SERVED_WITHIN if first else CHANGED_WITHIN
                served = await self._reserving.served(within) if wanted else not first
        except NotLeading:
            return
        except (errors.KubeError, TimeoutError) as error:
            self._without(error)
        except Exception as error:  # a defect: the cycle goes on without
            logger.exception("steering of replacements failed")
            self._without(error)
        else:
            if served:
                self._backoff.reset()
                self._say(Reason.SERVED)
            elif first:
                self._pause(self._backoff.next())
                self._say(Reason.NOT_SERVED)
        if not self._tries:
            await self._release()

    async def _release(self) -> bool:
        """Remove the reservations as far as possible; return whether all are gone."""
        if self._reserving.any:
            try:
                async with asyncio.timeout(WRITTEN_WITHIN):
                    await self._reserving.release()
            except (errors.KubeError, TimeoutError, NotLeading) as error:
                logger.info("slot reservations not removed, they expire", extra={"error": str(error)})
        return not self._reserving.any

    def _without(self, error: Exception) -> None:
        """Continue without steering for some time."""
        match error:
            case errors.NotFound():
                self._pause(_RARELY)
                self._say(Reason.NOT_DEFINED)
            case errors.Forbidden() | errors.Unauthorized():
                self._pause(_RARELY)
                self._say(Reason.NOT_ALLOWED, error.status.message)
            case _:
                self._pause(self._backoff.next())
                self._say(Reason.NOT_WRITTEN, str(error) or type(error).__name__)

    def _pause(self, seconds: float) -> None:
        self._tries = False
        self._not_before = self._monotonic() + seconds

    def _say(self, reason: Reason, detail: str = "") -> None:
        """Log a change of the reason, once."""
        reporter, self.reason, self.detail = self.reason, reason, detail[:500]
        if reason is reporter:
            return
        if reason is Reason.SERVED:
            logger.info("replacements are steered to where they were simulated")
        else:
            fields = {"why": reason.value, "detail": self.detail}
            logger.info("replacements are left to the scheduler", extra=fields)
