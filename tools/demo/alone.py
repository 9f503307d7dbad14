"""The same pods once more, on the same machines, given to kube-scheduler alone.

The machines are closed (cordoned), the pods are made anew, and the machines are opened one by one, in the order and at
the pace in which they became ready before: to the scheduler a node that is opened is a node that has come.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

from moorage.kube import resources
from moorage.kube.client import Client

from . import manifests
from .check import Alone as Outcome
from .errors import DemoError
from .events import PodState
from .scenario import APPS, Machine, as_bought, bought, replicas
from .stage import Stage

_GO_SECONDS = 30.0
_CREATE_SECONDS = 30.0
SETTLE = 15.0
"""Seconds after the last machine; the scheduler tries a pod again after 10 s at most (podMaxBackoffSeconds)."""
_PARTS = 5


class Alone:
    """Plays once.

    Args:
        client: of somebody who may cordon the demo's nodes and make its Deployments anew.
        stage: takes what happens.
        machines: the plan; their nodes are ready.
    """

    def __init__(self, client: Client, stage: Stage, machines: Sequence[Machine]) -> None:
        self._client, self._stage, self._machines = client, stage, machines

    async def play(self) -> Outcome:
        """Play to the end, and count.

        Raises:
            DemoError: the pods do not go, or do not come.
            KubeError: the API server refused something.
        """
        pods = replicas()
        self._stage.scheduler_alone()
        await self._stage.phase(4, _PARTS, "The same pods and the same machines again, with kube-scheduler alone.")
        await self._make_pods_anew(pods)
        await self._open_machines()
        await self._settle()
        outcome = await self._count(pods)
        caption = "Moorage fills nodes as they were bought; kube-scheduler, as they came."
        await self._stage.phase(5, _PARTS, caption)
        said = f"{outcome.pending} of {pods} pods have no node" if outcome.pending else f"all {pods} pods have a node"
        self._stage.good(f"kube-scheduler alone: {said}")
        return outcome

    async def _make_pods_anew(self, pods: int) -> None:
        """Close the machines, delete the Deployments, and create them again."""
        for machine in self._machines:
            await self._set_closed(machine.name, closed=True)
        for app in APPS:
            found = await self._client.get(resources.DEPLOYMENTS, app.name, manifests.NAMESPACE)
            await self._client.delete(resources.DEPLOYMENTS, app.name, manifests.NAMESPACE, uid=found.metadata.uid)
        await self._stage.until(lambda s: not s.pods, f"{pods} pods to be gone", _GO_SECONDS)
        for app in APPS:
            await self._client.create(resources.DEPLOYMENTS, manifests.deployment(app), manifests.NAMESPACE)
        await self._stage.until(
            lambda s: s.pods_in(PodState.PENDING) == pods, f"{pods} pods to be created again", _CREATE_SECONDS
        )

    async def _open_machines(self) -> None:
        """Open one after the other, in the order and at the pace in which they became ready."""
        ready = [self._stage.state.nodes[machine.name].ready_at for machine in self._machines]
        came = [at for at in ready if at is not None]
        if len(came) < len(ready):
            raise DemoError("a machine was never ready")
        first, began = min(came), time.monotonic()
        for at, machine in sorted(zip(came, self._machines, strict=True), key=lambda each: (each[0], each[1].name)):
            await asyncio.sleep(max(0.0, at - first - (time.monotonic() - began)))
            await self._set_closed(machine.name, closed=False)

    async def _set_closed(self, name: str, *, closed: bool) -> None:
        """Cordon a node, or open it."""
        node = await self._client.get(resources.NODES, name)
        changes = {"spec": {"unschedulable": closed or None}}
        await self._client.patch(resources.NODES, name, changes=changes, uid=node.metadata.uid)

    async def _settle(self) -> None:
        """Wait until every pod runs, or until the scheduler has had its time."""
        with suppress(DemoError):  # a pod that finds no room is part of the outcome
            await self._stage.until(lambda s: s.pods_in(PodState.RUNNING) == replicas(), "every pod to run", SETTLE)

    async def _count(self, pods: int) -> Outcome:
        """Count pods on their nodes, as the API server has them."""
        found = await self._client.list(resources.PODS, manifests.NAMESPACE, labels=manifests.SELECTOR)
        placed: dict[str, Counter[str]] = {}
        for pod in found:
            if pod.spec.node_name:
                placed.setdefault(pod.spec.node_name, Counter())[pod.metadata.labels.get("app", "")] += 1
        pending = sum(not pod.spec.node_name for pod in found)
        return Outcome(pods=pods, as_bought=as_bought(bought(self._machines), placed), pending=pending)
