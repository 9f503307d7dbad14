"""Does one step, only while we lead, and only to what was meant; the cluster's state shows at once what it did.

A refusal that says "it is no longer as you thought" is no error: the state is corrected, and the node decided about
again. Everything else that does not work out is remembered with the step, which waits; the others go on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from moorage.controller.fence import Fence
from moorage.kube import errors, resources
from moorage.kube.client import Client
from moorage.ops.concurrent import together
from moorage.protocol import Outcome, ReasonCode
from moorage.reservations import Spec

from .. import eligibility, metrics
from ..decisions import adoption
from ..decisions.observation import PinState
from ..decisions.signs import NONE
from ..decisions.steps import (
    Bind,
    ClearNomination,
    Confirm,
    CreateNode,
    DeleteNode,
    DeletePod,
    EditReservation,
    EndReservation,
    Nominate,
    PatchNode,
    ShowStatus,
    Step,
)
from ..decisions.sweeps import Sweeps
from ..names import PIN_ANNOTATION, preparing
from ..refusal import Refusal, is_final, refusal_of
from ..reporting import Reporter
from ..state.cluster import ClusterState
from ..state.stored import IntentStore, Stored
from .attempts import Attempts
from .nominating import Nominator
from .sign_reader import SignReader

logger = logging.getLogger(__name__)


class Executor:
    """Does steps.

    Args:
        client: the API server.
        cluster: told of everything that was done.
        reporter: tells people.
        sweeps: counts swept pods of others per controller.
        intent_store: stores intents.
        fence: lets requests through, a few at a time, and writes only while we lead.
        attempts: told of every step that was tried.
        received: when the instruction of an id was received (monotonic seconds), or None.
        monotonic: the clock of ``received``.
    """

    def __init__(
        self,
        client: Client,
        cluster: ClusterState,
        reporter: Reporter,
        sweeps: Sweeps,
        intent_store: IntentStore,
        fence: Fence,
        attempts: Attempts,
        *,
        received: Callable[[str], float | None],
        monotonic: Callable[[], float],
    ) -> None:
        self._client = client
        self._cluster = cluster
        self._reporter = reporter
        self._sweeps = sweeps
        self._intent_store = intent_store
        self._fence = fence
        self._attempts = attempts
        self._received = received
        self._monotonic = monotonic
        self._held: dict[str, Refusal] = {}  # placeholders that finalizers of others hold, and why each is to go
        self._nominator = Nominator(client, cluster, reporter, fence, attempts, self.read_pod)
        self._sign_reader = SignReader(client, client.transport.clock, monotonic)

    async def ready(self) -> None:
        """Return as soon as a step could be done at once; what is decided before that only ages."""
        await self._fence.turn()

    async def run(self, name: str, steps: Sequence[Step]) -> None:
        """Do some steps of one node, together; what became of each is in the state or among the attempts.

        The room that they need is taken at once, before anything is waited for: nobody else decides in between.

        Args:
            name: of the reservation.
            steps: what ``decide`` said.

        Raises:
            NotLeading: we lead no more; nothing was written by the step that noticed.
        """
        self._take_room(name, steps)
        try:
            if len(steps) == 1:
                await self._try(name, steps[0])
                return
            await together(self._try(name, step) for step in steps)
        finally:
            self._give_room_back(steps)

    def _take_room(self, name: str, steps: Sequence[Step]) -> None:
        for step in steps:
            if isinstance(step, Bind):
                self._cluster.admit(step.pod, name)
            elif isinstance(step, Nominate) and step.turn is not None:
                self._cluster.take_turn(name, step.turn)

    def _give_room_back(self, steps: Sequence[Step]) -> None:
        """Give back the room of pods that were not bound."""
        for step in steps:
            if not isinstance(step, Bind):
                continue
            claim = self._cluster.claims.get(step.pod.key)
            if claim is not None and not claim.bound:
                self._cluster.release(step.pod)

    async def _try(self, name: str, step: Step) -> None:
        try:
            await self._do(name, step)
        except errors.KubeError as error:
            metrics.FAILURES.labels(type(error).__name__).inc()
            logger.debug("step failed", extra={"node": name, "step": type(step).__name__, "error": str(error)})
            asked = error.retry_after if isinstance(error, errors.ApiError) else None
            self._attempts.failed(name, step, refusal_of(error), least=asked or 0.0)

    async def _do(self, name: str, step: Step) -> None:
        match step:
            case Confirm():
                await self.confirm(name)
            case Bind():
                await self._bind(name, step)
            case CreateNode():
                await self._create_node(name, step)
            case Nominate(reservation, old, new, chosen):
                stored = await self._intent_store.edit(EditReservation(reservation, old, new))
                self._wrote(name, step, stored)
                await self._nominator.nominate(name, chosen, stored)
            case ClearNomination():
                await self._nominator.clear(name, step)
            case DeletePod():
                await self._delete_pod(name, step)
            case DeleteNode():
                await self._delete_node(name, step)
            case PatchNode():
                await self._patch_node(name, step)
            case EditReservation():
                await self._edit_reservation(name, step)
            case EndReservation():
                await self._end_reservation(name, step)
            case ShowStatus(reservation, status):
                self._wrote(name, step, await self._intent_store.write_status(reservation, status))

    async def _edit_reservation(self, name: str, step: EditReservation) -> None:
        stored = await self._intent_store.edit(step)
        self._wrote(name, step, stored)
        if step.new.node_name != step.old.node_name and stored is Stored.YES:
            self._reporter.learned(name, step.new.node_name)
        if step.adopted and stored is Stored.YES:
            self._reporter.adopted(self._cluster.node_name(name), step.shortfalls)
        if step.news and stored is Stored.YES:
            self._reporter.left_alone(self._cluster.node_name(name), step.news)

    def _wrote(self, name: str, step: Step, stored: Stored) -> None:
        """Remember what became of a write to the reservation."""
        match stored:
            case Stored.YES:
                self._attempts.succeeded(name, step)
            case Stored.CHANGED:
                self._attempts.changed(name, step)
            case Stored.NOT_KEPT:
                self._attempts.made(name, step, "change of the reservation")

    async def confirm(self, name: str) -> None:
        """Read the Node itself, and what tells of a kubelet."""
        node_name = self._cluster.node_name(name)
        if not node_name:  # no machine has brought its Node: there is nothing that could be destroyed
            self._cluster.signs[name] = NONE
            return
        try:
            async with self._fence.read():
                self._cluster.signs[name] = await self._sign_reader.read(node_name)
                node = await self._client.get(resources.NODES, node_name)
        except errors.NotFound:
            known = self._cluster.nodes.get(node_name)
            if known is not None:
                self._cluster.deleted_node(known)
        else:
            self._cluster.wrote_node(node)

    # --- nodes ---

    async def _create_node(self, name: str, step: CreateNode) -> None:
        reservation = self._cluster.reservation(name)
        if reservation is None:
            return
        uid, instruction = reservation.metadata.uid, _promised_by(self._cluster.reading(name).spec)
        try:
            node = await self._fence.write(lambda: self._client.create(resources.NODES, step.manifest))
        except errors.Conflict:
            self._attempts.changed(name, step)
            await self.confirm(name)  # ours, when the answer to an earlier try was lost; else somebody else's
            return
        except errors.ApiError as error:
            if not is_final(error):
                raise
            self._refuse_node(name, uid, instruction, f"the API server did not take the placeholder: {_said(error)}")
            return
        self._attempts.made(name, step, f"placeholder {name}")
        self._cluster.made(uid, node)
        self._reporter.created(node, instruction)
        if preparing(node) != adoption.NO_SCHEDULE:
            text = "a policy or webhook took the preparing taint off the placeholder, which keeps the scheduler away"
            self._refuse_node(name, uid, instruction, text)
            return
        if lost := adoption.undone(node, step.manifest):
            self._reporter.not_kept(name, sorted(lost))

    def _refuse_node(self, name: str, uid: str, instruction: str, text: str) -> None:
        refusal = Refusal(ReasonCode.API_REFUSED, text)
        self._cluster.refused[uid] = refusal
        self._reporter.create_refused(name, instruction, refusal)

    async def _delete_node(self, name: str, step: DeleteNode) -> None:
        meta = step.node.metadata
        try:
            await self._fence.write(
                lambda: self._client.delete(
                    resources.NODES, meta.name, uid=meta.uid, resource_version=meta.resource_version
                )
            )
        except errors.NotFound:
            self._cluster.deleted_node(step.node)
            return
        except errors.Conflict:
            self._attempts.changed(name, step)
            await self.confirm(name)  # a kubelet may have joined this very moment
            return
        self._attempts.made(name, step, f"deletion of node {name}")
        if meta.finalizers:
            self._held[name] = step.why
            self._reporter.node_held(meta.name, meta.finalizers, step.why)
            await self.confirm(name)
            return
        self._held.pop(name, None)
        self._cluster.deleted_node(step.node)
        self._reporter.node_deleted(meta.name, step.why)

    async def _patch_node(self, name: str, step: PatchNode) -> None:
        try:
            node = await self._fence.patch(self._client, resources.NODES, step.node, step.changes)
        except (errors.Conflict, errors.NotFound):
            self._attempts.changed(name, step)
            await self.confirm(name)
            return
        self._attempts.made(name, step, f"change of node {name}")
        if lost := adoption.undone(node, step.changes):
            uid = step.node.metadata.uid
            self._cluster.not_kept[uid] = self._cluster.not_kept.get(uid, frozenset()) | lost
        self._cluster.wrote_node(node)
        if self._cluster.reservation(name) is None:
            self._reporter.opened(name)

    async def _end_reservation(self, name: str, step: EndReservation) -> None:
        if not await self._intent_store.end(step.reservation):
            self._attempts.changed(name, step)
            return
        self._attempts.made(name, step, "deletion of the reservation")
        if step.news:
            self._reporter.not_ours(name, step.news)
        if (why := self._held.pop(name, None)) is not None:
            self._reporter.node_deleted(name, why)

    # --- pods ---

    async def _bind(self, name: str, step: Bind) -> None:
        pod, instruction = step.pod, step.pin.instruction
        meta = pod.metadata
        try:
            if not await self._fence.write(lambda: self._bind_if_room(name, step)):
                return  # somebody else came to the node meanwhile: count again
        except errors.Conflict as error:
            if not _bound_to(error, self._cluster.node_name(name)):
                self._attempts.changed(name, step)
                await self.read_pod(meta.namespace, meta.name)
                return
        except errors.NotFound:
            self._attempts.changed(name, step)
            await self.read_pod(meta.namespace, meta.name)
            return
        except errors.ApiError as error:
            if not is_final(error):
                raise
            text = f"the API server did not take the binding: {_said(error)}"
            refusal = Refusal(ReasonCode.API_REFUSED, text)
            self._cluster.pin_failed(name, step.pin.uid, PinState(Outcome.FAILED, refusal))
            return
        self._attempts.succeeded(name, step)
        self._cluster.landed(pod)
        received, node = self._received(instruction), self._cluster.node_name(name)
        self._reporter.pinned(pod, node, instruction, None if received is None else self._monotonic() - received)

    async def _bind_if_room(self, name: str, step: Bind) -> bool:
        """Bind a pod unless the node has changed since it was admitted: asked at the last moment."""
        meta = step.pod.metadata
        if eligibility.refuse_node(self._cluster.node(name)) or not self._cluster.still_room(step.pod):
            return False
        marks = {PIN_ANNOTATION: step.pin.instruction}
        node = self._cluster.node_name(name)
        await self._client.bind(meta.name, meta.namespace, uid=meta.uid, node=node, annotations=marks)
        return True

    async def read_pod(self, namespace: str, name: str) -> None:
        """Read a pod that is not as it was thought to be, or that the cache does not know."""
        key = f"{namespace}/{name}"
        known = self._cluster.pods.get(key)
        try:
            async with self._fence.read():
                self._cluster.pods.wrote(await self._client.get(resources.PODS, name, namespace))
        except errors.NotFound:
            if known is not None:
                self._cluster.pods.deleted(key, known.metadata.uid)

    async def _delete_pod(self, name: str, step: DeletePod) -> None:
        pod = step.pod
        meta = pod.metadata
        try:
            await self._fence.write(
                lambda: self._client.delete(
                    resources.PODS,
                    meta.name,
                    meta.namespace,
                    uid=meta.uid,
                    resource_version=meta.resource_version if step.exact or step.grace == 0 else "",
                    grace_seconds=step.grace,
                )
            )
        except errors.NotFound:
            self._cluster.deleted_pod(pod)
            return
        except errors.Conflict as error:
            if error.cause is errors.ConflictCause.UID:
                self._cluster.deleted_pod(pod)
                return
            if error.cause is not errors.ConflictCause.RESOURCE_VERSION:
                raise
            self._attempts.changed(name, step)
            await self.read_pod(meta.namespace, meta.name)  # a kubelet may have begun with it: decide again
            return
        self._attempts.made(name, step, f"deletion of pod {pod.key}")
        if step.grace == 0 or pod.finished:
            self._cluster.deleted_pod(pod)
        else:
            await self.read_pod(meta.namespace, meta.name)
        if step.sweep and PIN_ANNOTATION not in meta.annotations:
            self._sweeps.swept(pod)
        self._reporter.pod_deleted(pod, pod.spec.node_name or name, step.why, swept=step.sweep)


def _bound_to(error: errors.Conflict, node: str) -> bool:
    """Whether a pod is bound already, to this very node: the server names it in quotes."""
    return error.cause is errors.ConflictCause.ALREADY_BOUND and f'"{node}"' in error.status.message


def _promised_by(spec: Spec) -> str:
    """The id of the instruction that promised the node."""
    return next((r.id for r in reversed(spec.instructions) if r.action == "CreatePlaceholder"), "")


def _said(error: errors.ApiError) -> str:
    """What the server said, without our own request."""
    return error.status.message or str(error)
