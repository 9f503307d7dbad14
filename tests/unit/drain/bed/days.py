"""Days on which nodes are drained: changes of other clients, faults, and kill -9 at any moment, in any order."""

from __future__ import annotations

import asyncio
from typing import Any

from moorage.controller.fence import NotLeading
from moorage.drain import Drainer
from moorage.drain.drainer import Drained
from tests.unit.pinner.bed.faults import (
    Effect,
    answer_too_late,
    delay,
    deny,
    fail,
    lack_right,
    lose_answer,
    refuse_connection,
    swallow,
)

from .bed import Bed

EFFECTS: dict[str, Effect] = {
    "denied": deny(),
    "no right": lack_right,
    "500": fail(500),
    "503": fail(503),
    "429": fail(429),
    "no connection": refuse_connection,
    "no answer": swallow,
    "done, answer lost": lose_answer,
    "done, answer late": answer_too_late,
    "slow": delay(3.0),
}
REQUESTS = (
    ("patch", "nodes"),
    ("get", "nodes"),
    ("create", "pods/eviction"),
    ("get", "pods"),
    ("", ""),
)
NODES = ("n0", "n1", "n2", "n3", "n4")
APPS = ("web", "api", "pay")


class Day:
    """Does one deed after the other, while nodes are drained.

    Args:
        bed: where.
        drainer: who leads first.
        nodes: the nodes to drain.
    """

    def __init__(self, bed: Bed, drainer: Drainer, nodes: tuple[str, ...]) -> None:
        self._bed = bed
        self._nodes = nodes
        self._work = asyncio.create_task(self._drain(drainer))
        self.ended: list[Drained] = []

    async def _drain(self, drainer: Drainer) -> None:
        """What a service does in a term: clean up, then one cycle after the other."""
        try:
            while True:
                await drainer.clean_up()
                self.ended.append(await self._bed.drain(drainer, *self._nodes))
                await asyncio.sleep(60.0)
        except NotLeading:
            return

    async def do(self, wait: float, deed: str, *args: Any) -> None:
        """Wait, then do something: ``deed`` is the name of a method below."""
        await asyncio.sleep(wait)
        found = getattr(self, deed)(*args)
        if found is not None:
            await found
        if self._work.done() and not self._work.cancelled():
            self._work.result()

    async def end(self, *, patient: bool) -> None:
        """Whoever leads is killed; the next one, with nothing in its way, tidies up.

        Args:
            patient: whether the test waits for the end of the cycle before.
        """
        if patient and self._bed.leads:
            await self._bed.until(lambda: self.ended or self._work.done(), 2400.0, 1.0)
        await self._stop()
        self._bed.leads = True
        await self._bed.peace()

    # --- deeds ---

    async def kill(self) -> None:
        """Kill -9, and a new leader that knows nothing."""
        await self._stop()
        self._bed.leads = True
        self._work = asyncio.create_task(self._drain(self._bed.lead()))

    async def _stop(self) -> None:
        self._work.cancel()
        await asyncio.gather(self._work, return_exceptions=True)

    def fault(self, effect: str, request: int, times: int) -> None:
        """Something goes wrong with our requests."""
        verb, resource = REQUESTS[request]
        self._bed.wire.faults.set(EFFECTS[effect], verb, resource, times=times)

    def lag(self, plural: str, seconds: float) -> None:
        """A watch is late from now on."""
        self._bed.wire.lag[plural] = seconds

    def cordon(self, node: int) -> None:
        """A person cordons a node. If our mark says that the cordon is ours, it stays ours."""
        name = NODES[node]
        found = self._bed.cluster.nodes.get(name)
        ours = '"cordon"' in (found or {}).get("metadata", {}).get("annotations", {}).get("moorage.dev/drain", "")
        if found is not None and not found["spec"].get("unschedulable") and not ours:
            self._bed.witness.foreign.add(name)
            self._bed.cluster.cordon(name)

    def uncordon(self, node: int) -> None:
        """A person takes a cordon off, whoever's it is."""
        self._bed.witness.foreign.discard(NODES[node])
        self._bed.cluster.cordon(NODES[node], value=False)

    def not_ready(self, node: int) -> None:
        """A node is not ready any more."""
        self._bed.cluster.ready(NODES[node], value=False)

    def ready(self, node: int) -> None:
        """It is again."""
        self._bed.cluster.ready(NODES[node], value=True)

    def breaks(self, app: int) -> None:
        """New pods of a workload do not start."""
        self._bed.cluster.broken.add(APPS[app])

    def quota(self, app: int) -> None:
        """No new pods of a workload may be created."""
        self._bed.cluster.quota.add(APPS[app])

    def scale(self, app: int, replicas: int) -> None:
        """An autoscaler wants another number of pods."""
        self._bed.witness.scaled[APPS[app]] = self._bed.now()
        self._bed.cluster.scale(APPS[app], replicas)

    def stuck(self) -> None:
        """Pods that are being deleted do not end."""
        for pod in self._bed.cluster.pods:
            if "deletionTimestamp" in pod["metadata"]:
                self._bed.cluster.stuck.add(pod["metadata"]["name"])

    def join(self) -> None:
        """A node joins."""
        if "n9" not in self._bed.cluster.nodes:
            self._bed.cluster.node("n9")

    def leave(self) -> None:
        """Another client deletes a node, and its pods with it."""
        for name in ("n0", "n4"):
            if name in self._bed.cluster.nodes and not self._bed.pods_on(name):
                self._bed.api.delete("nodes", name)
                self._bed.witness.foreign.discard(name)
                return

    def hold(self, app: int) -> None:
        """Somebody says that the pods of a workload must stay."""
        self._bed.holders.add(APPS[app])

    def claim(self, node: int) -> None:
        """Another program is at work on a node."""
        self._bed.claimed.add(NODES[node])

    def lose(self) -> None:
        """Somebody else leads."""
        self._bed.leads = False
