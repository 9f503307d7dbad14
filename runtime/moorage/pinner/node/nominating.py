"""Nominates pods and takes nominations back: each write only to the pod as it was seen, and only while we lead."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from moorage.controller.fence import Fence
from moorage.kube import errors, resources
from moorage.kube.client import Client
from moorage.objects import Pod
from moorage.ops.concurrent import together
from moorage.protocol import Outcome, ReasonCode
from moorage.reservations import Pin

from .. import eligibility, metrics
from ..decisions.observation import PinState
from ..decisions.steps import ClearNomination
from ..refusal import Refusal, refusal_of
from ..reporting import Reporter
from ..state.cluster import ClusterState
from ..state.stored import Stored
from .attempts import Attempts

AT_ONCE = 3
"""How often a pod is nominated anew at once, because somebody has written to it meanwhile."""


class Nominator:
    """Writes nominations.

    Args:
        client: the API server.
        cluster: told of everything that was done.
        reporter: tells people.
        fence: lets requests through.
        attempts: told of what was tried.
        read_pod: reads a pod, by namespace and name, that is not as it was thought to be.
    """

    def __init__(
        self,
        client: Client,
        cluster: ClusterState,
        reporter: Reporter,
        fence: Fence,
        attempts: Attempts,
        read_pod: Callable[[str, str], Awaitable[None]],
    ) -> None:
        self._client, self._cluster, self._reporter = client, cluster, reporter
        self._fence, self._attempts, self._read_pod = fence, attempts, read_pod

    async def nominate(self, name: str, pods: tuple[tuple[Pin, Pod], ...], stored: Stored) -> None:
        """Nominate pods to a node, if it is written down that they are ours.

        Args:
            name: of the node's reservation.
            pods: who.
            stored: what became of writing it down.
        """
        if stored is Stored.NOT_KEPT:
            text = "the API server does not keep in the reservation that pods are nominated: is its definition older?"
            for pin, _ in pods:
                self._failed(name, pin, Refusal(ReasonCode.API_REFUSED, text))
        if stored is Stored.YES:
            await together(self._nominate(name, pin, pod) for pin, pod in pods)

    async def clear(self, name: str, step: ClearNomination) -> None:
        """Take back a nomination, unless the pod has changed.

        Raises:
            KubeError: it was not taken back.
        """
        meta = step.pod.metadata
        try:
            await self._write(step.pod, None)
        except (errors.Conflict, errors.NotFound):
            self._attempts.changed(name, step)
            await self._read_pod(meta.namespace, meta.name)
            return
        self._attempts.made(name, step, f"end of the nomination of pod {step.pod.key}")
        self._reporter.nomination_cleared(step.pod, step.pod.status.nominated_node_name, step.why)

    async def _nominate(self, name: str, pin: Pin, pod: Pod) -> None:
        """Nominate a pod; what goes wrong counts as a try that was lost."""
        node = self._cluster.node_name(name)
        try:
            if await self._nominate_as_it_is(node, pin, pod):
                self._reporter.nominated(pod, node, pin.instruction)
        except errors.KubeError as error:
            metrics.FAILURES.labels(type(error).__name__).inc()
            why = refusal_of(error)
            self._reporter.not_nominated(pod, node, pin.instruction, why)
            if isinstance(error, errors.Invalid | errors.Forbidden):  # a node is not held until a right is granted
                self._failed(name, pin, why)

    async def _nominate_as_it_is(self, node: str, pin: Pin, pod: Pod) -> bool:
        """Nominate a pod; one that somebody has written to meanwhile is looked at again."""
        current: Pod | None = pod
        for _ in range(AT_ONCE):
            if current is None or current.metadata.uid != pin.uid or current.spec.node_name:
                return False
            if eligibility.refuse(current) is not None:
                return False
            try:
                await self._write(current, node)
            except (errors.Conflict, errors.NotFound):
                await self._read_pod(pin.namespace, pin.name)
                current = self._cluster.pods.get(pin.key)
            else:
                return True
        return False

    async def _write(self, pod: Pod, node: str | None) -> None:
        """Nominate a pod to a node, or (None) to none any more; only as it was seen."""
        changes = {"status": {"nominatedNodeName": node}}
        written = await self._fence.patch(self._client, resources.PODS, pod, changes, subresource="status")
        self._cluster.pods.wrote(written)

    def _failed(self, name: str, pin: Pin, why: Refusal) -> None:
        self._cluster.pin_failed(name, pin.uid, PinState(Outcome.FAILED, why))
