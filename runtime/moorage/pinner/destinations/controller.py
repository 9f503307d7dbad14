"""SlotReservations while we lead: what counts of each is expected from now on, and its status says so.

Each reservation is looked at whenever something of it, of its node or of its pods may be different, and when
it ends. What is said in the status is for people, but for ``served``: by it whoever wrote the reservation knows that
its slots are counted, and that the API server asks us about pods that are created.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from moorage.controller.fence import Fence, NotLeading
from moorage.controller.queue import KeyQueue
from moorage.kube import errors, resources
from moorage.kube.client import Client
from moorage.kube.clock import ServerClock
from moorage.objects import conditions
from moorage.reservations import SlotReservation, destinations
from moorage.reservations.conditions import of_slots

from ..decisions.slot_reservations import Standing, judge
from ..reporting import Reporter
from ..state.cluster import ClusterState

logger = logging.getLogger("moorage.pinner")

AT_ONCE = 8
"""Looks at a time: each may wait for a write, and what others come to must not."""
SETTLE = 1.0
"""Seconds between two writes of one status, at least."""
_LONGEST = 4096
_MOST_PROBLEMS = 32


class SlotReservationController:
    """One term's.

    Args:
        client: writes the status.
        cluster: what is known; told what is expected.
        fence: lets writes through while we lead.
        queue: the names of the nodes whose SlotReservation is to be looked at.
        reporter: tells people.
        clock: the API server's time.
        name: of our pod.
        expects: called when pods are expected that were not, or the other way round.
        monotonic: seconds on a clock that never goes back.
    """

    def __init__(
        self,
        client: Client,
        cluster: ClusterState,
        fence: Fence,
        queue: KeyQueue,
        reporter: Reporter,
        clock: ServerClock,
        name: str,
        *,
        expects: Callable[[], None] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client, self._cluster, self._fence, self._queue = client, cluster, fence, queue
        self._reporter, self._clock, self._name = reporter, clock, name
        self._expects, self._monotonic = expects, monotonic
        self._serving: bool | None = None
        self._written: dict[str, tuple[str, object, object, float]] = {}  # uid, what we wrote, what came of it, when
        self._said: dict[str, tuple[str, str]] = {}  # node to the uid of its reservation, and what was said of it

    def set_serving(self, *, serving: bool) -> None:
        """API servers ask about pods that are created, or do not."""
        if serving is not self._serving:
            self._serving = serving
            for name in self._cluster.slot_reserved:
                self._queue.add(name)

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for number in range(AT_ONCE):
                group.create_task(self._work(), name=f"slot reservations {number}")

    async def _work(self) -> None:
        while True:
            name, _ = await self._queue.get()
            try:
                await self.reconcile(name)
            except NotLeading:
                self._queue.retry(name)  # the next term, or nobody, goes on
            except errors.KubeError as error:
                delay = self._queue.retry(name)
                fields = {"node": name, "error": str(error), "delay_s": round(delay, 2)}
                logger.info("status of a slot reservation not written, trying again", extra=fields)
            except Exception:  # a defect: the others go on
                self._queue.retry(name)
                logger.exception("slot reservation could not be looked at", extra={"node": name})
            else:
                self._queue.forget_failures(name)
            finally:
                self._queue.done(name)

    async def reconcile(self, name: str) -> None:
        """Look at the SlotReservation of a node once.

        Args:
            name: the node's name.

        Raises:
            KubeError: the status was not written.
            NotLeading: we lead no more.
        """
        reservation, now = self._cluster.slot_reservation(name), self._clock.now()
        standing = Standing()
        if reservation is not None:
            promised = self._cluster.promised(name, now)
            standing = judge(reservation, self._cluster.nodes.get(name), now, promised=promised)
        expected = self._cluster.expected.any
        self._cluster.expect_on_running(name, standing.expectation)
        if self._cluster.expected.any is not expected:
            self._expects()
        if reservation is None:
            self._written.pop(name, None)
            self._said.pop(name, None)
            return
        self._report(reservation, standing)
        if standing.wake is not None:
            self._queue.add_after(name, (standing.wake - now).total_seconds() + 0.05)
        if reservation.metadata.deletion_timestamp is None:
            await self._show(reservation, standing)

    # --- telling ---

    def _report(self, reservation: SlotReservation, standing: Standing) -> None:
        """Say once what becomes of a reservation."""
        name, uid = reservation.metadata.name, reservation.metadata.uid
        news = (uid, standing.message)
        if self._said.get(name) == news:
            return
        before = self._said.get(name)
        self._said[name] = news
        by = destinations.read(reservation).spec.by
        if standing.problems:
            self._reporter.slots_unreadable(name, by, standing.message)
        elif standing.message:
            self._reporter.slots_do_not_count(name, by, standing.message)
        else:
            others = self._also_expected(name) if before is None or before[0] != uid else []
            self._reporter.slots_count(name, by, others)

    def _also_expected(self, name: str) -> list[str]:
        """The placeholders on which pods of the same owners are expected: two plans for one owner."""
        expected = self._cluster.expected
        return sorted(each for each in expected.beside(name) if expected.running(each) is None)

    async def _show(self, reservation: SlotReservation, standing: Standing) -> None:
        """Have the status say how it stands."""
        meta = reservation.metadata
        shown = reservation.status if isinstance(reservation.status, dict) else {}
        words = self._status(reservation, standing, shown)
        if all(shown.get(key) == value or (not value and not shown.get(key)) for key, value in words.items()):
            return
        uid, written, answered, at = self._written.get(meta.name, ("", None, None, float("-inf")))
        if uid == meta.uid and written == words and answered == reservation.status:
            return  # it is not kept as we write it
        rest = at + SETTLE - self._monotonic()
        if uid == meta.uid and rest > 0 and words["served"] == shown.get("served"):
            self._queue.add_after(meta.name, rest)
            return
        try:
            answer = await self._fence.write(
                lambda: self._client.patch(
                    resources.SLOT_RESERVATIONS,
                    meta.name,
                    changes={"status": {**words, "conditions": self._conditions(standing, words, shown)}},
                    uid=meta.uid,
                    subresource="status",
                )
            )
        except (errors.NotFound, errors.Conflict):
            return  # it is gone, or another has its name: the watch tells
        self._cluster.slot_reservations.wrote(answer)
        self._written[meta.name] = (meta.uid, words, answer.status, self._monotonic())

    def _status(self, reservation: SlotReservation, standing: Standing, shown: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "served": self._served(reservation, standing, shown.get("served")),
            "filled": self._filled(reservation) if standing.expectation is not None else shown.get("filled"),
            "message": standing.message[:_LONGEST],
            "problems": list(standing.problems[:_MOST_PROBLEMS]),
        }

    def _conditions(self, standing: Standing, words: Mapping[str, Any], shown: Mapping[str, Any]) -> list[Any]:
        """They follow from the words, so they are written with these, and are no reason to write."""
        served = words["served"]
        generation = served["generation"] if isinstance(served, Mapping) else None
        said = of_slots(words["message"], served=served is not None, readable=not standing.problems)
        return conditions.merged(shown.get("conditions"), [said], self._clock.now(), generation=generation)

    def _filled(self, reservation: SlotReservation) -> str:
        spec = destinations.read(reservation).spec
        found = destinations.slots_filled(spec, self._cluster.pods_on(reservation.metadata.name))
        return f"{sum(len(pods) for _, pods in found)}/{sum(slot.count for slot, _ in found)}"

    def _served(self, reservation: SlotReservation, standing: Standing, shown: Any) -> Any:
        """What ``served`` is to be: said once for a generation, and taken back when it is not true any more."""
        name, generation = reservation.metadata.name, reservation.metadata.generation
        if standing.expectation is None:
            return None
        if not self._serving:  # when all have come nobody need ask; and who leads newly does not know yet
            return None if self._serving is False and self._cluster.expected.free(name) else shown
        if destinations.is_served(reservation):
            return shown
        return {"generation": generation, "at": f"{self._clock.now():%Y-%m-%dT%H:%M:%SZ}", "by": self._name}
