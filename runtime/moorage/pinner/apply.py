"""Does one step, only while we lead, and only to what was meant; what it did is in the world at once.

A refusal that says "it is no longer as you thought" is no error: the world is told, and the node is decided about
again. What may pass (no connection, an overloaded server) is raised to the loop, which waits and tries again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from moorage.kube import errors, resources
from moorage.kube.client import Client
from moorage.protocol import Outcome, ReasonCode
from moorage.reservations import Spec

from .fence import Fence
from .ledger import Ledger
from .names import PIN_ANNOTATION
from .refusal import Refusal
from .reporting import Reporter
from .steps import (
    Bind,
    Confirm,
    CreateNode,
    DeleteNode,
    DeletePod,
    EditReservation,
    EndReservation,
    PatchNode,
    PinState,
    Step,
)
from .sweeps import Sweeps
from .world import World

_REFUSED = (errors.Invalid, errors.Forbidden)


class Executor:
    """Does steps.

    Args:
        client: the API server.
        world: told of everything that was done.
        reporter: tells people.
        sweeps: counts swept pods per controller.
        ledger: stores intents.
        fence: lets requests through, a few at a time, and writes only while we lead.
        received: when the instruction of an id was received (monotonic seconds), or None.
        monotonic: the clock of ``received``.
    """

    def __init__(
        self,
        client: Client,
        world: World,
        reporter: Reporter,
        sweeps: Sweeps,
        ledger: Ledger,
        fence: Fence,
        *,
        received: Callable[[str], float | None],
        monotonic: Callable[[], float],
    ) -> None:
        self._client = client
        self._world = world
        self._reporter = reporter
        self._sweeps = sweeps
        self._ledger = ledger
        self._fence = fence
        self._received = received
        self._monotonic = monotonic

    async def ready(self) -> None:
        """Return as soon as a step could be done at once; what is decided before that only ages."""
        await self._fence.turn()

    async def run(self, name: str, steps: Sequence[Step]) -> dict[str, PinState]:
        """Do some steps of one node, together.

        Args:
            name: the node's name.
            steps: what ``decide`` said.

        Returns:
            What became of pins that could not be bound, by uid.

        Raises:
            KubeError: a step failed in a way that may pass; the others were done.
            NotLeading: we lead no more; nothing was written by the step that noticed.
        """
        refused: dict[str, PinState] = {}
        try:
            if len(steps) == 1:
                await self._do(name, steps[0], refused)
                return refused
            results = await asyncio.gather(*(self._do(name, step, refused) for step in steps), return_exceptions=True)
        finally:
            for step in steps:
                if isinstance(step, Bind):
                    self._let_go(step)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return refused

    async def _do(self, name: str, step: Step, refused: dict[str, PinState]) -> None:
        match step:
            case Confirm():
                await self.confirm(name)
            case CreateNode():
                await self._create_node(name, step)
            case Bind():
                state = await self._bind(name, step)
                if state is not None:
                    refused[step.pin.uid] = state
            case DeletePod():
                await self._delete_pod(name, step)
            case DeleteNode():
                await self._delete_node(step)
            case PatchNode():
                await self._patch_node(step)
            case EditReservation():
                await self._ledger.edit(step)
            case EndReservation():
                await self._ledger.end(step.reservation)

    async def confirm(self, name: str) -> None:
        """Read the Node itself."""
        try:
            async with self._fence.read():
                node = await self._client.get(resources.NODES, name)
        except errors.NotFound:
            known = self._world.nodes.get(name)
            if known is not None:
                self._world.deleted_node(known)
        else:
            self._world.wrote_node(node)

    # --- nodes ---

    async def _create_node(self, name: str, step: CreateNode) -> None:
        reservation = self._world.reservation(name)
        if reservation is None:
            return
        instruction = _promised_by(self._world.reading(name).spec)
        try:
            node = await self._fence.write(lambda: self._client.create(resources.NODES, step.manifest))
        except errors.Conflict:
            await self.confirm(name)  # ours, when the answer to an earlier try was lost; else somebody else's
            return
        except _REFUSED as error:
            refusal = Refusal(ReasonCode.API_REFUSED, f"the API server did not take the placeholder: {_said(error)}")
            self._world.refused[reservation.metadata.uid] = refusal
            self._reporter.create_refused(name, instruction, refusal)
            return
        self._world.made(reservation.metadata.uid)
        self._world.wrote_node(node)
        self._reporter.created(node, instruction)

    async def _delete_node(self, step: DeleteNode) -> None:
        meta = step.node.metadata
        try:
            await self._fence.write(
                lambda: self._client.delete(
                    resources.NODES, meta.name, uid=meta.uid, resource_version=meta.resource_version
                )
            )
        except errors.NotFound:
            self._world.deleted_node(step.node)
            return
        except errors.Conflict:
            await self.confirm(meta.name)  # a kubelet may have joined this very moment
            return
        self._world.deleted_node(step.node)
        self._reporter.node_deleted(meta.name, step.why)

    async def _patch_node(self, step: PatchNode) -> None:
        meta = step.node.metadata
        try:
            node = await self._fence.write(
                lambda: self._client.patch(
                    resources.NODES,
                    meta.name,
                    changes=step.changes,
                    uid=meta.uid,
                    resource_version=meta.resource_version,
                )
            )
        except (errors.Conflict, errors.NotFound):
            await self.confirm(meta.name)
            return
        self._world.wrote_node(node)
        if step.adopted:
            self._reporter.adopted(meta.name, step.shortfalls)

    # --- pods ---

    async def _bind(self, name: str, step: Bind) -> PinState | None:
        """Bind a pod; returns what became of it when that is not for another decision."""
        pod, instruction = step.pod, step.pin.instruction
        meta = pod.metadata
        try:
            if not await self._fence.write(lambda: self._bind_if_room(name, step)):
                return None  # somebody else came to the node meanwhile: count again
        except errors.Conflict as error:
            if not _bound_to(error, name):
                await self.read_pod(meta.namespace, meta.name)
                return None
        except errors.NotFound:
            await self.read_pod(meta.namespace, meta.name)
            return None
        except _REFUSED as error:
            text = f"the API server did not take the binding: {_said(error)}"
            return PinState(Outcome.FAILED, Refusal(ReasonCode.API_REFUSED, text))
        self._world.landed(pod)
        received = self._received(instruction)
        self._reporter.pinned(pod, name, instruction, None if received is None else self._monotonic() - received)
        return None

    async def _bind_if_room(self, name: str, step: Bind) -> bool:
        """Bind a pod unless the node has changed since it was admitted: asked at the last moment."""
        meta = step.pod.metadata
        if not self._world.still_room(step.pod):
            return False
        marks = {PIN_ANNOTATION: step.pin.instruction}
        await self._client.bind(meta.name, meta.namespace, uid=meta.uid, node=name, annotations=marks)
        return True

    def _let_go(self, step: Bind) -> None:
        """Give back the room of a pod that was not bound."""
        claim = self._world.claims.get(step.pod.key)
        if claim is not None and not claim.bound:
            self._world.release(step.pod)

    async def read_pod(self, namespace: str, name: str) -> None:
        """Read a pod that is not as it was thought to be, or that the cache does not know."""
        key = f"{namespace}/{name}"
        known = self._world.pods.get(key)
        try:
            async with self._fence.read():
                self._world.pods.wrote(await self._client.get(resources.PODS, name, namespace))
        except errors.NotFound:
            if known is not None:
                self._world.pods.deleted(key, known.metadata.uid)

    async def _delete_pod(self, name: str, step: DeletePod) -> None:
        pod = step.pod
        meta = pod.metadata
        try:
            await self._fence.write(
                lambda: self._client.delete(
                    resources.PODS, meta.name, meta.namespace, uid=meta.uid, grace_seconds=step.grace
                )
            )
        except errors.NotFound:
            self._world.deleted_pod(pod)
            return
        except errors.Conflict as error:
            if error.cause is errors.ConflictCause.UID:
                self._world.deleted_pod(pod)
                return
            raise
        if step.grace == 0 or pod.finished:
            self._world.deleted_pod(pod)
        else:
            await self.read_pod(meta.namespace, meta.name)
        if step.sweep:
            self._sweeps.swept(pod)
        self._reporter.pod_deleted(pod, name, step.why, swept=step.sweep)


def _bound_to(error: errors.Conflict, node: str) -> bool:
    """Whether a pod is bound already, to this very node: the server names it in quotes."""
    return error.cause is errors.ConflictCause.ALREADY_BOUND and f'"{node}"' in error.status.message


def _promised_by(spec: Spec) -> str:
    """The id of the instruction that promised the node."""
    return next((r.id for r in reversed(spec.instructions) if r.action == "CreatePlaceholder"), "")


def _said(error: errors.ApiError) -> str:
    """What the server said, without our own request."""
    return error.status.message or str(error)
