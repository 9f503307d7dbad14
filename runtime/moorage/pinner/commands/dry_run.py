"""The pinner with ``--dry-run``: instructions are judged as ever, answered, and nothing is written to the cluster.

What an accepted instruction would have made (a reservation, a placeholder, room taken by pods) is imagined on top of
what is known, so that the next instruction is judged against it. A new plan begins from the cluster as it is. Nothing
that would have been done is answered with APPLIED: a planner goes on from there (it drains nodes, it buys machines).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from functools import partial

import msgspec

from moorage.kube import errors, resources
from moorage.kube.cache import Change
from moorage.kube.client import Client
from moorage.kube.clock import ServerClock
from moorage.objects import Node, ObjectMeta
from moorage.ops.slices import Turns, in_slices
from moorage.protocol import (
    Ack,
    CreatePlaceholder,
    DeletePlaceholder,
    ExpectPods,
    Instruction,
    Outcome,
    PinPods,
    PodRef,
    PodResult,
    ReasonCode,
    Release,
)
from moorage.reservations import NodeReservation, Spec, merging, rules
from moorage.wording import counted

from ..decisions import late
from ..decisions.ends import Ends
from ..decisions.observation import Observation
from ..decisions.sweeps import Sweeps
from ..instructions import judge
from ..names import FINALIZER, HOSTNAME
from ..node.room import NodeRoom
from ..options import Options
from ..promised import hostname
from ..promised.manifest import placeholder_manifest
from ..providers import Profile, choose
from ..refusal import Nominable, Refusal, Wait, refusal_of
from ..state.caches import Caches
from ..state.cluster import ClusterState

logger = logging.getLogger(__name__)

NEVER = "9" * 40
"""A resourceVersion that no watch ever reaches: what is imagined stays on top of what the caches say."""

RETRY = 2.0
TRIES = 5


class DryRun:
    """One term of one leader that changes nothing; takes the place of ``Term``.

    Args:
        client: only read with.
        caches: the watch caches; somebody else runs them.
        clock: the API server's time.
        options: choices.
        acks: takes the answers; called from the event loop, must not block.
        ends: what became of pins of another pinner or an earlier run; it follows the pods already. None: nobody asks.
    """

    def __init__(
        self,
        client: Client,
        caches: Caches,
        clock: ServerClock,
        options: Options,
        *,
        acks: Callable[[Ack], None],
        ends: Ends | None = None,
    ) -> None:
        self._client, self._caches, self._clock = client, caches, clock
        self._options, self._acks, self._ends = options, acks, ends
        self._inbox: asyncio.Queue[Instruction] = asyncio.Queue()
        self._sweeps = Sweeps(options.sweeps_per_hour, lambda: 0.0)  # nothing is ever swept
        self._epoch = 0
        self._tries: dict[str, int] = {}  # how often an instruction could not be judged
        self._imagined: dict[str, Node | None] = {}  # nodes whose reservation is not there, and placeholders
        self._specs: dict[str, tuple[str, Spec]] = {}  # what reservations that are there would say by now; with uids

    def submit(self, instruction: Instruction) -> None:
        """Take an instruction; its answer comes later."""
        self._inbox.put_nowait(instruction)

    async def run(self) -> None:
        """Judge until cancelled; begins once the caches are complete."""
        await self._caches.wait_synced()
        cluster = ClusterState(
            self._caches, default_profile=self._options.profile, enqueue=lambda _: None, ends=self._ends
        )
        try:
            await in_slices(cluster.follow())
            await self._work(cluster)
        finally:
            cluster.close()

    async def _work(self, cluster: ClusterState) -> None:
        unsubscribe = self._caches.nodes.subscribe(lambda change: self._arrived(cluster, change))
        left = [name for name in cluster.reserved if (node := cluster.node(name)) is not None and not node.has_kubelet]
        if left:
            logger.warning("placeholders of an earlier run are left alone by a dry run", extra={"nodes": left[:20]})
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(cluster.wait_unusable(), name="snapshot")
                group.create_task(self._judge_all(cluster), name="dry run")
        finally:
            unsubscribe()

    # --- judging ---

    async def _judge_all(self, cluster: ClusterState) -> None:
        turns = Turns()
        while True:
            await self._take(cluster, await self._inbox.get())
            await turns.give()

    async def _take(self, cluster: ClusterState, instruction: Instruction) -> None:
        """Answer an instruction, or see to it again later, when what hinders it may be over; the others go on."""
        try:
            await self._fetch_unknown(cluster, instruction)
            ack = self._judge(cluster, instruction)
        except Exception as error:
            why = refusal_of(error)
            tries = self._tries[instruction.id] = self._tries.get(instruction.id, 0) + 1
            left = (instruction.deadline - self._clock.now()).total_seconds()
            fields = {"instruction": instruction.id, "node": instruction.node, "error": why.text}
            logger.warning("instruction cannot be judged, trying again", extra=fields)
            if left > 0 and (why.reason is not ReasonCode.INTERNAL or tries < TRIES):
                delay = min(left + 0.05, RETRY)
                asyncio.get_running_loop().call_later(delay, self._inbox.put_nowait, instruction)
                return
            ack = _failed(instruction, why)
        self._tries.pop(instruction.id, None)
        self._answer(instruction, ack)

    def _judge(self, cluster: ClusterState, instruction: Instruction) -> Ack:
        name, action = instruction.node, instruction.action
        self._forget_what_is_over(cluster, instruction)
        observation = cluster.observe(name, self._clock.now(), confirmed=False, sweeps=self._sweeps)
        spec = self._spec(observation)
        context = judge.Context(
            self._epoch,
            self._options.profile,
            cluster.pod,
            partial(cluster.ends.refuse, shown=True),  # an instruction names pods that the watch has shown
            cluster.all_nodes,
            instance=lambda name, promise: cluster.instance_refusal(name, promise, observation.now),
        )
        match judge.judge(instruction, observation, spec, context):
            case judge.Refused() as refused:
                pods = action.pods if isinstance(action, PinPods) else ()
                reason, sentence = refused.refusal
                results = tuple(PodResult(ref, refused.outcome, reason, sentence) for ref in pods)
                return Ack(instruction.id, instruction.position, refused.outcome, reason, sentence, results)
            case judge.Settled() as settled:
                return self._settled(instruction, settled.pods)
            case judge.Deferred():
                return _dry(
                    instruction, f"node {name} would first be cleared of what is there, then this would be done"
                )
            case judge.Accepted() as accepted:
                self._imagine(cluster, name, accepted.spec)
                if isinstance(action, PinPods):
                    return self._pin(cluster, instruction, action, accepted)
                return _dry(instruction, self._would(cluster, instruction))

    def _settled(self, instruction: Instruction, known: Mapping[str, PodResult]) -> Ack:
        """All is as the instruction says, or pods are refused one by one: the answer is the true one."""
        bad = [each for each in known.values() if each.outcome is not Outcome.APPLIED]
        if not bad:
            return Ack(instruction.id, instruction.position, Outcome.APPLIED, pods=tuple(known.values()))
        sentence = f"pod {bad[0].pod}: {bad[0].sentence or bad[0].reason.sentence}"
        return Ack(instruction.id, instruction.position, bad[0].outcome, bad[0].reason, sentence, tuple(known.values()))

    def _pin(self, cluster: ClusterState, instruction: Instruction, action: PinPods, accepted: judge.Accepted) -> Ack:
        name = action.node
        results = [accepted.pods.get(ref.uid) or self._fit(cluster, name, ref) for ref in action.pods]
        unfit = {each.pod.uid for each in results if each.reason not in (ReasonCode.OK, ReasonCode.DRY_RUN)}
        if unfit:
            self._imagine(cluster, name, merging.without_pins(accepted.spec, unfit))
        sentence = f"{len(results) - len(unfit)} of {counted(len(results), 'pod')} would be on node {name}"
        first = next((each for each in results if each.pod.uid in unfit), None)
        if first is not None:
            sentence += f"; pod {first.pod}: {first.sentence or first.reason.sentence}"
        return _dry(instruction, sentence, tuple(results))

    def _fit(self, cluster: ClusterState, name: str, ref: PodRef) -> PodResult:
        """Count a pod in where it fits."""
        pod = cluster.pod(str(ref))
        if pod is None:
            return PodResult(ref, Outcome.REJECTED, ReasonCode.POD_NOT_FOUND)
        claim = cluster.claims.get(pod.key)
        is_in = claim is not None and claim.uid == ref.uid and claim.node == name
        refusal = None if is_in else NodeRoom(cluster, name).admit((pod,))[ref.uid]
        if refusal is None and not is_in:
            cluster.admit(pod, name)
        if isinstance(refusal, Nominable):
            text = f"it would be nominated to node {name} once the node has joined: {refusal.why.text}"
            return PodResult(ref, Outcome.REJECTED, ReasonCode.DRY_RUN, text)
        if isinstance(refusal, Wait):
            return PodResult(ref, Outcome.REJECTED, refusal.why.reason, f"it would wait: {refusal.why.text}")
        if refusal is not None:
            return PodResult(ref, Outcome.REJECTED, refusal.reason, refusal.text)
        return PodResult(ref, Outcome.REJECTED, ReasonCode.DRY_RUN, f"it fits, and would be bound to node {name}")

    def _would(self, cluster: ClusterState, instruction: Instruction) -> str:
        """What would have been done, and the end of what was imagined when that is what it means."""
        name = instruction.node
        match instruction.action:
            case CreatePlaceholder(promise):
                offers = ", ".join(f"{resource} {amount}" for resource, amount in promise.allocatable.items())
                intended = cluster.reading(name).spec.promise
                if intended is not None and intended.late:
                    return f"a Node with {late.described(intended)} would be waited for, and be {name} ({offers})"
                return f"placeholder {name} would be created and held ({offers})"
            case ExpectPods(_, slots):
                return f"node {name} would be held for {counted(sum(slot.count for slot in slots), 'pod')} to come"
            case DeletePlaceholder():
                self._forget(cluster, name)
                return f"placeholder {name} would be deleted, and the pods that are pinned to it"
            case Release():
                if not any(claim.node == name for claim in cluster.claims.values()):
                    self._forget(cluster, name)
                return f"nothing more would be held on node {name}; a placeholder without pods would be deleted"
            case _:
                raise AssertionError("pins have an answer of their own")

    # --- what is imagined ---

    def _spec(self, observation: Observation) -> Spec:
        """What would be intended for a node by now."""
        reservation = observation.reservation
        if reservation is None:
            return Spec()
        uid, spec = self._specs.get(observation.name, ("", observation.spec))
        return spec if uid == reservation.metadata.uid else observation.spec

    def _imagine(self, cluster: ClusterState, name: str, spec: Spec) -> None:
        """Go on as if this intent were stored and its placeholder made."""
        known = cluster.reservation(name)
        if known is not None and name not in self._imagined:
            self._specs[name] = (known.metadata.uid, spec)
            return
        uid = f"dry-run-{name}"
        if spec.promise is not None and spec.promise.late:  # as if its machine had come, and were called like that
            spec = msgspec.structs.replace(spec, node_name=name, node_uid=uid)
        meta = ObjectMeta(name=name, uid=uid, resource_version=NEVER, finalizers=(FINALIZER,))
        cluster.wrote_reservation(NodeReservation(metadata=meta, spec=msgspec.to_builtins(spec)))
        self._imagined.setdefault(name, None)
        promise = spec.promise
        profile = choose(promise.profile, self._options.profile) if promise is not None else None
        if promise is None or not isinstance(profile, Profile) or cluster.node(name) is not None:
            return
        manifest = placeholder_manifest(name, uid, promise, profile)
        manifest["metadata"] |= {"uid": uid, "resourceVersion": NEVER}
        if promise.late:
            manifest["metadata"]["labels"][HOSTNAME] = hostname.domain(name, promise)
        node = msgspec.convert(manifest, Node)
        self._imagined[name] = node
        cluster.wrote_node(node)

    def _arrived(self, cluster: ClusterState, change: Change[Node]) -> None:
        """A real Node takes the place of an imagined one."""
        name = change.object.metadata.name
        imagined = self._imagined.get(name)
        if imagined is not None and change.new is not None:
            self._imagined[name] = None
            cluster.forget_node(name)

    def _forget_what_is_over(self, cluster: ClusterState, instruction: Instruction) -> None:
        """A new plan begins from the cluster as it is; so does a node whose deadline has passed."""
        name = instruction.node
        if instruction.position.epoch > self._epoch:
            self._epoch = instruction.position.epoch
            self._specs.clear()
            for each in tuple(self._imagined):
                self._forget(cluster, each)
        elif name in self._imagined and rules.expired(cluster.reading(name).spec, self._clock.now()):
            self._forget(cluster, name)

    def _forget(self, cluster: ClusterState, name: str) -> None:
        """Let go of what was imagined about a node, if anything was."""
        if name not in self._imagined:
            return
        node, reservation = self._imagined.pop(name), cluster.reservation(name)
        for key, claim in tuple(cluster.claims.items()):
            if claim.node == name and (pod := cluster.pods.get(key)) is not None:
                cluster.release(pod)
        if node is not None:
            cluster.forget_node(name)
        if reservation is not None:
            cluster.forget_reservation(name)

    # --- the way in and out ---

    async def _fetch_unknown(self, cluster: ClusterState, instruction: Instruction) -> None:
        """Read the pods that the planner knows and the cache does not: a watch may lag behind another's."""
        action = instruction.action
        for ref in action.pods if isinstance(action, PinPods) else ():
            known = cluster.pod(str(ref))
            if known is None or known.metadata.uid != ref.uid:
                with contextlib.suppress(errors.NotFound):
                    cluster.pods.wrote(await self._client.get(resources.PODS, ref.name, ref.namespace))

    def _answer(self, instruction: Instruction, ack: Ack) -> None:
        fields = {
            "instruction": instruction.id,
            "node": instruction.node,
            "outcome": ack.outcome.value,
            "reason": ack.reason.name,
            "would": ack.text,
        }
        logger.info("instruction judged, nothing is changed", extra=fields)
        self._acks(ack)


def _failed(instruction: Instruction, why: Refusal) -> Ack:
    action = instruction.action
    pods = action.pods if isinstance(action, PinPods) else ()
    results = tuple(PodResult(ref, Outcome.FAILED, why.reason, why.sentence) for ref in pods)
    return Ack(instruction.id, instruction.position, Outcome.FAILED, why.reason, why.sentence, results)


def _dry(instruction: Instruction, sentence: str, pods: tuple[PodResult, ...] = ()) -> Ack:
    return Ack(instruction.id, instruction.position, Outcome.REJECTED, ReasonCode.DRY_RUN, sentence, pods)
