"""What an instruction means for a node's reservation: refused, deferred, or a new intent. Pure.

Everything that can be known to be wrong is refused here, before anything is stored; whether a pod fits is asked only
when it is bound, because the room changes until then.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from moorage.kube.clock import micro_time
from moorage.objects import Node, Pod
from moorage.protocol import (
    BindWhen,
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
    codec,
    validate,
)
from moorage.protocol import Promise as PromisedNode
from moorage.protocol import Slot as ExpectedPods
from moorage.reservations import Owner, Pin, Promise, Record, Slot, Spec, merging, rules

from .. import eligibility, providers
from ..decisions import pins
from ..decisions.observation import Observation, PinState
from ..providers import Profile
from ..refusal import Refusal
from . import strangers

MAX_ID = 128

DIGEST = "wire-"
"""Begins a digest of this kind; one of another kind says nothing about ours, and is not compared."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing is stored."""

    outcome: Outcome
    refusal: Refusal


@dataclass(frozen=True, slots=True)
class Deferred:
    """The node has to be cleared of what was there before."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The intent to store, and what is known of single pods already; ``pods`` without a result are to be bound."""

    spec: Spec
    pods: Mapping[str, PodResult] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Settled:
    """Nothing is to be stored, because all is as the instruction says, or can be told at once."""

    pods: Mapping[str, PodResult] = field(default_factory=dict)


Judgement: TypeAlias = Refused | Deferred | Accepted | Settled


@dataclass(frozen=True, slots=True)
class Context:
    """What an instruction is judged by, beside its node.

    Attributes:
        epoch: the newest epoch seen.
        default_profile: the profile of promises that name none.
        pod: looks a pod up by ``namespace/name``.
        refuse_owner: why a pod is not pinned for its owner's sake: those before it came to nothing too often; or None.
        nodes: gives all Nodes of the cluster.
        behind: whether it must wait, because an earlier instruction for the node does.
        instance: why the instance of a promise is not this node's, or None; of the node's name and the promise.
    """

    epoch: int
    default_profile: str
    pod: Callable[[str], Pod | None]
    refuse_owner: Callable[[Pod], Refusal | None]
    nodes: Callable[[], Iterable[Node]]
    behind: bool = False
    instance: Callable[[str, Promise], Refusal | None] = lambda _name, _promise: None


def judge(instruction: Instruction, o: Observation, spec: Spec, context: Context) -> Judgement:
    """Judge an instruction.

    Args:
        instruction: as received.
        o: its node.
        spec: what is intended for the node so far, instructions of the same moment included.
        context: everything else.
    """
    general = _refuse(instruction, o, spec, context)
    if general is not None:
        return general
    if context.behind:
        return Deferred()
    match instruction.action:
        case CreatePlaceholder():
            judgement = _create(instruction, instruction.action.promise, o, spec, context)
        case PinPods():
            judgement = _pin(instruction, instruction.action, o, spec, context)
        case ExpectPods():
            judgement = _expect(instruction, instruction.action, o, spec)
        case DeletePlaceholder() | Release():
            judgement = _give_up(instruction, o, spec)
    if isinstance(judgement, Accepted):
        problem = merging.size_problem(judgement.spec)
        if problem is not None:
            return _refused(ReasonCode.TOO_LARGE, f"the reservation would be too large: {problem}")
    return judgement


def can_be_bound(o: Observation, accepted: Iterable[Instruction]) -> bool:
    """Whether instructions only pin pods to a Node that we have made and that may be bound to.

    Then what they want is done now or refused, and is written down afterwards, in one write for all that came to the
    node meanwhile; a write before each binding costs the API server as much as two bindings.

    Args:
        o: their node.
        accepted: the instructions.
    """
    bindable = o.node is not None and o.made and o.open and not o.given_up and not o.problems
    if o.binding_waits_for is not None:
        return False
    return bindable and all(isinstance(each.action, PinPods) for each in accepted)


def _refuse(instruction: Instruction, o: Observation, spec: Spec, context: Context) -> Refused | None:
    """What is wrong with an instruction whatever it says."""
    if not 0 < len(instruction.id) <= MAX_ID:
        return _refused(ReasonCode.MALFORMED, f"an instruction's id has 1 to {MAX_ID} characters")
    if problem := validate.subdomain_problem(instruction.node):
        return _refused(ReasonCode.INVALID_NODE_NAME, f"the node's name {problem}")
    position = instruction.position
    if position.epoch < context.epoch:
        text = f"epoch {position.epoch} has been replaced by epoch {context.epoch}"
        return _refused(ReasonCode.STALE_EPOCH, text)
    known = merging.record_of(spec, instruction.id)
    if known is not None and known.digest.startswith(DIGEST) and known.digest != digest(instruction):
        return _refused(ReasonCode.ID_REUSED, f"id {instruction.id} was used for another {known.action} of this node")
    if o.now >= instruction.deadline:
        text = f"the deadline {micro_time(instruction.deadline)} has passed"
        return Refused(Outcome.FAILED, Refusal(ReasonCode.DEADLINE_PASSED, text))
    if known is None and not isinstance(instruction.action, PinPods):
        latest = merging.latest_position(spec)
        if _place(instruction) < latest:
            return _refused(ReasonCode.SUPERSEDED, f"instruction {latest[1]} of epoch {latest[0]} came later")
    return None


# --- the actions ---


def _create(
    instruction: Instruction, promised: PromisedNode, o: Observation, spec: Spec, context: Context
) -> Judgement:
    profile = providers.choose(promised.profile, context.default_profile)
    if isinstance(profile, Refusal):
        return Refused(Outcome.REJECTED, profile)
    problem = next(validate.promise_problems(promised), None)
    if problem is not None:
        return _refused(problem.reason, str(problem))
    refusal = providers.refuse(promised, profile)
    if refusal is not None:
        return Refused(Outcome.REJECTED, refusal)
    if o.node is not None and not o.made and not profile.late:  # which has another name, or is known by more than that
        if (going := eligibility.refuse_node(o.node)) is not None:
            return Refused(Outcome.REJECTED, going)
        real = o.node.has_kubelet
        return _refused(ReasonCode.NODE_IS_REAL if real else ReasonCode.NODE_FOREIGN, f"node {o.name} exists already")
    if _ending(o, spec) or (o.reservation is not None and eligibility.refuse_node(o.node) is not None):
        return Deferred()
    promise = _promise(promised, profile)
    if spec.promise is None and not profile.late and (refusal := strangers.refuse(promised, context.nodes)) is not None:
        return Refused(Outcome.REJECTED, refusal)
    joined = o.node is not None and o.node.has_kubelet
    if not joined and (refusal := context.instance(o.name, promise)) is not None:
        return Refused(Outcome.REJECTED, refusal)
    if spec.promise is not None and not merging.same_promise(spec.promise, promise):
        return _refused(ReasonCode.DUPLICATE_NODE, f"node {o.name} is promised already, and differently")
    if spec.promise is not None:
        promise = spec.promise
    new = merging.with_promise(spec, promise, deadline=micro_time(instruction.deadline), plan=instruction.plan)
    return _accepted(instruction, new)


def _pin(instruction: Instruction, action: PinPods, o: Observation, spec: Spec, context: Context) -> Judgement:
    missing = o.node is None and spec.promise is None
    if missing:
        return _refused(ReasonCode.PLACEHOLDER_MISSING, f"node placeholder not found: {o.name}")
    if o.node is not None and not o.node.has_kubelet and not o.made:
        return _refused(ReasonCode.NODE_FOREIGN, f"a Node {o.name} without a kubelet exists and is not ours")
    if len({pod.uid for pod in action.pods}) < len(action.pods) or not action.pods:
        return _refused(ReasonCode.MALFORMED, "the pods are none, or one of them stands there twice")
    if _ending(o, spec):
        return _refused(ReasonCode.SUPERSEDED, f"the placeholder {o.name} is being removed")
    open_ = (o.reservation is None and spec.promise is not None) or o.open
    results: dict[str, PodResult] = {}
    wanted = []
    for ref in action.pods:
        found = _judge(ref, o, spec, context, pinnable=open_)
        if isinstance(found, PodResult):
            results[ref.uid] = found
        else:
            wanted.append(_as_pin(found, instruction.id))
    if not wanted:
        return Settled(results)
    newer = {record.id for record in spec.instructions if record.position > _place(instruction)}
    kept = {pin.uid for pin in spec.pins if pin.instruction in newer}  # a late repetition takes no pod back
    accepted = _accepted(instruction, merging.with_pins(spec, (pin for pin in wanted if pin.uid not in kept)))
    return Accepted(accepted.spec, results)


def _judge(ref: PodRef, o: Observation, spec: Spec, context: Context, *, pinnable: bool) -> Pod | PodResult:
    """The pod to be pinned, or what is to be said of it at once."""
    pod = context.pod(str(ref))
    state = pins.standing(str(ref), ref.uid, pod, spec, spec.named(o.name))
    if pod is None or state is not pins.PENDING:
        return state.result(ref)
    refusal = eligibility.refuse_node(o.node)
    if refusal is None and spec.promise is not None:
        refusal = eligibility.refuse_eviction(pod, spec.promise.taints)
    if refusal is None:
        refusal = context.refuse_owner(pod)
    if refusal is None and not pinnable:
        text = f"node {o.name} runs and is open to the scheduler: only a soft pin would do, and those are not made yet"
        refusal = Refusal(ReasonCode.SOFT_PIN_UNSUPPORTED, text)
    return PinState(Outcome.REJECTED, refusal).result(ref) if refusal is not None else pod


def _expect(instruction: Instruction, action: ExpectPods, o: Observation, spec: Spec) -> Judgement:
    problem = next(validate.problems(action), None)
    if problem is not None:
        return _refused(problem.reason, str(problem))
    if spec.promise is None:
        return _refused(ReasonCode.PLACEHOLDER_MISSING, f"node {o.name} was never promised, nothing can be held on it")
    if _ending(o, spec):
        return _refused(ReasonCode.SUPERSEDED, f"the placeholder {o.name} is being removed")
    if (going := eligibility.refuse_node(o.node)) is not None:
        return Refused(Outcome.REJECTED, going)
    slots = [_slot(slot) for slot in action.slots]
    return _accepted(instruction, merging.with_slots(spec, slots, until=micro_time(instruction.deadline)))


def _give_up(instruction: Instruction, o: Observation, spec: Spec) -> Judgement:
    deleting = isinstance(instruction.action, DeletePlaceholder)
    if o.node is not None and o.node.has_kubelet and deleting:
        return _refused(ReasonCode.NODE_IS_REAL, f"a kubelet has reported for node {o.name}: it is left alone")
    if o.reservation is None and spec.promise is None:
        if o.node is not None and deleting:
            return _refused(ReasonCode.NODE_FOREIGN, f"node {o.name} exists and is not ours")
        return Settled()
    new = merging.with_deletion(spec) if deleting else merging.with_release(spec)
    return _accepted(instruction, new)


# --- translations ---


def _place(instruction: Instruction) -> tuple[int, int]:
    return (instruction.position.epoch, instruction.position.sequence)


def digest(instruction: Instruction) -> str:
    """What tells one action from another: a hash of its bytes on the wire, which later versions write alike."""
    return DIGEST + hashlib.sha256(codec.encode_action(instruction.action)).hexdigest()[:16]


def _accepted(instruction: Instruction, spec: Spec) -> Accepted:
    record = Record(
        id=instruction.id,
        action=type(instruction.action).__name__,
        epoch=instruction.position.epoch,
        sequence=instruction.position.sequence,
        deadline=micro_time(instruction.deadline),
        digest=digest(instruction),
    )
    return Accepted(merging.with_record(spec, record))


def _promise(promised: PromisedNode, profile: Profile) -> Promise:
    return Promise(
        allocatable=dict(promised.allocatable),
        labels=dict(promised.labels),
        taints=promised.taints,
        startup_taints=promised.startup_taints,
        provider_id=promised.provider_id,
        profile=profile.name,
        node_claim=promised.node_claim,
        match_labels=dict(promised.match_labels),
        allow_new_zone=promised.allow_new_zone,
        static_pods=dict(promised.static_pods),
        bind_when="" if promised.bind_when is BindWhen.IMMEDIATELY else promised.bind_when.value,
    )


def _slot(slot: ExpectedPods) -> Slot:
    owner = Owner(kind=slot.owner.kind, name=slot.owner.name, namespace=slot.owner.namespace, uid=slot.owner.uid)
    return Slot(owner=owner, requests=dict(slot.requests), count=slot.count)


def _as_pin(pod: Pod, instruction: str) -> Pin:
    """The pod alone: its owner is not repeated, because what a reservation costs the API server grows with it."""
    meta = pod.metadata
    return Pin(namespace=meta.namespace, name=meta.name, uid=meta.uid, instruction=instruction)


def _refused(reason: ReasonCode, sentence: str = "") -> Refused:
    return Refused(Outcome.REJECTED, Refusal(reason, sentence))


def _ending(o: Observation, spec: Spec) -> bool:
    """Whether what was intended for the node is being undone."""
    if o.reservation is None:
        return False
    lost = o.node is None and o.made
    return o.given_up or spec.intent != o.spec.intent or lost or _late(o)


def _late(o: Observation) -> bool:
    return (o.node is None or not o.node.has_kubelet) and rules.expired(o.spec, o.now)
