"""One node of a cluster in memory: it applies the steps of ``decide``, completely or in part."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from moorage.objects import (
    Node,
    NodeSpec,
    NodeStatus,
    NodeSystemInfo,
    ObjectMeta,
    OwnerReference,
    Pod,
    PodSpec,
    PodStatus,
    Toleration,
)
from moorage.objects.base import Condition
from moorage.objects.pod import Container, ContainerState, ContainerStatus, ResourceRequirements, StateDetail
from moorage.pinner import eligibility
from moorage.pinner.decisions import late, pins
from moorage.pinner.decisions.decide import decide
from moorage.pinner.decisions.observation import Observation
from moorage.pinner.decisions.signs import NONE, UNKNOWN, Signs
from moorage.pinner.decisions.steps import (
    Bind,
    ClearNomination,
    Confirm,
    CreateNode,
    Decision,
    DeleteNode,
    DeletePod,
    EditReservation,
    EndReservation,
    Nominate,
    PatchNode,
    Step,
)
from moorage.pinner.instructions.judge import can_be_bound
from moorage.pinner.names import (
    FINALIZER,
    NOT_READY,
    PIN_ANNOTATION,
    PLACEHOLDER_LABEL,
    PREPARING,
    PREPARING_TAINT,
    RESERVATION_ANNOTATION,
    UNREACHABLE,
)
from moorage.pinner.providers import PROFILES
from moorage.pinner.refusal import Nominable, Refusal, Wait
from moorage.pinner.state.unstored import done
from moorage.protocol import ReasonCode
from moorage.reservations import NodeReservation, Pin, Promise, Record, Spec, merging, read

NAME = "node-1"
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
DEADLINE = (NOW + timedelta(minutes=10)).isoformat()
LATE = NOW + timedelta(minutes=11)
PROMISE = Promise(allocatable={"cpu": "4", "memory": "8Gi", "pods": "10"}, labels={"pool": "a"}, profile="generic")
BROUGHT = msgspec.structs.replace(PROMISE, profile="late", provider_id="p")
"""The same of a machine that brings its own Node."""
DEVICE = "nvidia.com/gpu"
PATIENT = tuple(
    Toleration(key, "Exists", effect="NoExecute", toleration_seconds=300) for key in (NOT_READY, UNREACHABLE)
)
"""What every API server gives a pod that says nothing (DefaultTolerationSeconds)."""
OWNER = OwnerReference("apps/v1", "ReplicaSet", "web", "uid-web", controller=True)


def pod(number: int, *, node: str = "", **status: Any) -> Pod:
    """A pod of a ReplicaSet."""
    meta = ObjectMeta(name=f"p{number}", namespace="ns", uid=f"u{number}", owner_references=(OWNER,))
    return Pod(
        metadata=meta,
        spec=PodSpec(node_name=node, tolerations=PATIENT),
        status=PodStatus(**{"phase": "Pending", **status}),
    )


def wanting_device(one: Pod) -> Pod:
    """The same pod, which only the scheduler can place."""
    containers = (Container(resources=ResourceRequirements(requests={DEVICE: "1"})),)
    return msgspec.structs.replace(one, spec=msgspec.structs.replace(one.spec, containers=containers))


def marked(one: Pod) -> Pod:
    """The same pod after our binding."""
    meta = msgspec.structs.replace(one.metadata, annotations={PIN_ANNOTATION: "i"})
    return msgspec.structs.replace(one, metadata=meta)


def started(one: Pod) -> Pod:
    """The same pod with a running container."""
    running = ContainerStatus(name="main", state=ContainerState(running=StateDetail()))
    return msgspec.structs.replace(
        one, status=msgspec.structs.replace(one.status, phase="Running", container_statuses=(running,))
    )


def pin(number: int) -> Pin:
    """The pin of that pod."""
    return Pin("ns", f"p{number}", f"u{number}", instruction="i")


def spec_of(*numbers: int, **fields: Any) -> Spec:
    """A promise with these pods pinned."""
    record = Record("i", "PinPods", 1, 2, DEADLINE)
    return Spec(
        **{
            "promise": PROMISE,
            "deadline": DEADLINE,
            "pins": tuple(pin(n) for n in numbers),
            "instructions": (record,),
            **fields,
        }
    )


def reservation_of(spec: Spec, *, is_open: bool = True, deleted: bool = False, raw: Any = None) -> NodeReservation:
    """A stored reservation."""
    meta = ObjectMeta(
        name=NAME,
        uid="r",
        resource_version="1",
        finalizers=(FINALIZER,) if is_open else (),
        deletion_timestamp=NOW.isoformat() if deleted else None,
    )
    stored = msgspec.json.decode(msgspec.json.encode(merging.changes(None, spec)))
    return NodeReservation(metadata=meta, spec={**stored, **(raw or {})})


def placeholder(*, ours: bool = True) -> Node:
    """A Node without a kubelet."""
    marks = {RESERVATION_ANNOTATION: "r"} if ours else {}
    return Node(
        metadata=ObjectMeta(name=NAME, uid="n", resource_version="1", annotations=marks),
        spec=NodeSpec(taints=(PREPARING_TAINT,)),
        status=NodeStatus(allocatable=PROMISE.allocatable),
    )


def brought(node: Node | None, created: datetime = NOW) -> Node | None:
    """The Node that a machine registers, without marks of ours except a taint."""
    if node is None:
        return None
    meta = msgspec.structs.replace(node.metadata, annotations={}, creation_timestamp=created.isoformat())
    return msgspec.structs.replace(node, metadata=meta, spec=msgspec.structs.replace(node.spec, provider_id="p"))


def joined(node: Node, *, ready: bool) -> Node:
    """The same Node with a kubelet."""
    conditions = (Condition(type="Ready", status="True" if ready else "False"),)
    status = msgspec.structs.replace(
        node.status, node_info=NodeSystemInfo(kubelet_version="v1.36.3"), conditions=conditions
    )
    return msgspec.structs.replace(node, status=status)


def fenced(step: Step) -> str:
    """Which rule of the chart's admission policy refuses a step; empty when none does."""
    match step:
        case PatchNode(node=node) if not _marked(node):
            return "only Nodes that are marked are changed"
        case PatchNode(node=node, changes=changes) if not node.has_kubelet and "spec" in changes:
            kept = {(taint["key"], taint["effect"]) for taint in changes["spec"]["taints"]}
            return "" if (PREPARING, "NoSchedule") in kept else "the taint stays until a kubelet has joined"
        case DeleteNode(node=node) if node.has_kubelet or not _marked(node):
            return "only placeholders of ours are deleted"
        case DeletePod(pod=one) if not one.spec.node_name:
            return "only pods that are bound are deleted"
        case DeletePod(pod=one) if pins.daemons_alive(one):
            return "pods of DaemonSets are deleted only if they are being deleted already"
        case DeletePod(pod=one, grace=grace) if one.status.start_time is not None:
            if grace == 0:
                return "only pods that never started are deleted without grace"
            if PIN_ANNOTATION not in one.metadata.annotations and one.status.phase != "Failed":
                return "only pods that are pinned, never started or failed are deleted"
    return ""


def _marked(node: Node) -> bool:
    taints = {taint.key for taint in node.spec.taints}
    meta = node.metadata
    return PREPARING in taints or RESERVATION_ANNOTATION in meta.annotations or PLACEHOLDER_LABEL in meta.labels


@dataclass(frozen=True)
class Room:
    """So many pods fit; some are misplaced. Devices may be free; None: the node offers none yet."""

    left: int = 10
    misplaced_uids: frozenset[str] = frozenset()
    devices: int | None = None
    first: bool = True

    def nominate(self, pods: Sequence[Pod]) -> dict[str, Refusal | Wait | None]:
        uids = [pod.metadata.uid for pod in pods]
        if self.devices is None:
            return dict.fromkeys(uids, Wait(Refusal(ReasonCode.DEADLINE_PASSED, "no device yet")))
        return {
            uid: None if number < self.devices else Refusal(ReasonCode.NODE_FULL) for number, uid in enumerate(uids)
        }

    def turn(self, now: datetime) -> datetime | None:
        return None if self.first else now + timedelta(seconds=1)

    def admit(self, pods: Sequence[Pod]) -> dict[str, Refusal | Wait | Nominable | None]:
        assert not any(pod.spec.node_name for pod in pods)
        answers: dict[str, Refusal | Wait | Nominable | None] = {}
        for pod in pods:
            nominable = eligibility.refuse_binding(pod)
            full = Refusal(ReasonCode.NODE_FULL) if list(answers.values()).count(None) >= self.left else None
            answers[pod.metadata.uid] = (eligibility.refuse_nomination(pod) or nominable) if nominable else full
        return answers

    def misplaced(self, pod: Pod) -> Refusal | None:
        return Refusal(ReasonCode.POD_CHANGED) if pod.metadata.uid in self.misplaced_uids else None


@dataclass
class Corner:
    """One node, its reservation and the pods that matter to them."""

    reservation: NodeReservation | None
    node: Node | None = None
    pods: dict[str, Pod] = field(default_factory=dict)
    capacity: int = 10
    misplaced: frozenset[str] = frozenset()
    devices: int | None = None
    """Of a node that has joined: how many are free; None while it offers none."""
    first: bool = True
    """Whether it is this node's turn to be opened."""
    unseen: frozenset[str] = frozenset()
    """Pods for which the watch has not shown our write."""
    made: bool = False
    confirmed: bool = False
    signs: Signs = NONE
    """What a look at Lease and CSINode would find."""
    news: list[str] = field(default_factory=list)
    """The messages to users."""
    now: datetime = NOW
    taken_on: tuple[int, ...] = ()
    """Pods whose pins are not stored: the instruction repeats them after each crash, until it has its answer."""

    def observe(self) -> Observation:
        """What the cluster's state would say."""
        if self.reservation is None:
            return Observation(NAME, self.now, node=self.node)
        stored, problems = read(self.reservation)
        here = tuple(p for p in self.pods.values() if p.spec.node_name == NAME)
        spec = merging.with_pins(stored, (pin(n) for n in self.taken_on))
        if FINALIZER in self.reservation.metadata.finalizers:
            spec = merging.with_pins(spec, done(here, spec))
        pinned = {p.uid: self.pods[p.name] for p in spec.pins if p.name in self.pods}
        node, candidate = self.node, None
        if (promise := spec.promise) is not None and promise.late:
            made = self.reservation.metadata.creation_timestamp or NOW.isoformat()
            known = node is not None and (spec.node_name, spec.node_uid) == (NAME, node.metadata.uid)
            candidate = late.choose(promise, made, [node]) if node is not None and not spec.node_name else None
            node, here = node if known else None, here if spec.node_name == NAME else ()
        seen = Observation(
            NAME,
            self.now,
            reservation=self.reservation,
            stored=stored,
            spec=spec,
            problems=problems,
            profile=PROFILES[spec.promise.profile] if spec.promise is not None else None,
            node=node,
            candidate=candidate,
            pods=here,
            pinned=pinned,
            unseen=self.unseen,
            made=bool(spec.node_uid) or self.made,
            confirmed=self.confirmed,
            signs=self.signs if self.confirmed else UNKNOWN,
        )
        if seen.is_ours:
            self.made = True
            seen = dataclasses.replace(seen, made=True)
        return seen

    def decide(self) -> Decision:
        """What is to be done now."""
        return decide(self.observe(), self.room())

    def room(self) -> Room:
        """What is left on the node."""
        here = sum(1 for p in self.pods.values() if p.spec.node_name == NAME and not p.finished)
        return Room(self.capacity - here, self.misplaced, self.devices, self.first)

    def crash(self) -> None:
        """Discard the memory. Instructions without an answer are sent and judged again."""
        self.made = self.confirmed = False
        if not can_be_bound(self.observe(), ()):
            self.taken_on = ()

    def do(self, step: Step) -> None:
        """Do one step as the API server would, preconditions included."""
        assert not fenced(step), f"{fenced(step)}: {step}"
        self.confirmed = isinstance(step, Confirm)
        match step:
            case Confirm():
                pass
            case CreateNode():
                assert self.node is None
                meta = step.manifest["metadata"]
                taints = msgspec.convert(step.manifest["spec"]["taints"], type=tuple[Any, ...])
                assert any(t["key"] == PREPARING_TAINT.key for t in taints)
                made = placeholder()
                self.node = msgspec.structs.replace(
                    made, metadata=msgspec.structs.replace(made.metadata, labels=meta["labels"])
                )
                self.made = True
            case Bind():
                old = self.pods[step.pod.metadata.name]
                assert old.metadata.uid == step.pod.metadata.uid
                assert not old.spec.node_name
                assert step.pin.instruction == "i"
                self.pods[old.metadata.name] = marked(
                    msgspec.structs.replace(old, spec=msgspec.structs.replace(old.spec, node_name=NAME))
                )
            case Nominate():
                before = self.reservation
                self._edit(EditReservation(step.reservation, step.old, step.new))
                for each, one in step.pods if self.reservation is not before else ():
                    assert pin(int(each.uid[1:])) == each
                    self._write_nomination(one, NAME)
            case ClearNomination():
                assert step.pod.status.nominated_node_name == NAME
                self._write_nomination(step.pod, "")
            case DeletePod():
                self._delete_pod(step)
            case DeleteNode():
                assert self.node is step.node
                self.node = None
            case PatchNode():
                self._patch_node(step)
            case EditReservation():
                self._edit(step)
            case EndReservation():
                assert self.reservation is step.reservation
                self.reservation = None

    def _write_nomination(self, one: Pod, node: str) -> None:
        assert self.pods[one.metadata.name] is one
        assert not one.spec.node_name
        status = msgspec.structs.replace(one.status, nominated_node_name=node)
        self.pods[one.metadata.name] = msgspec.structs.replace(one, status=status)

    def _delete_pod(self, step: DeletePod) -> None:
        one = self.pods[step.pod.metadata.name]
        assert one.metadata.uid == step.pod.metadata.uid
        if step.grace == 0 or one.finished:
            del self.pods[one.metadata.name]
        else:
            leaving = msgspec.structs.replace(
                one.metadata, deletion_timestamp=(self.now + timedelta(seconds=30)).isoformat()
            )
            self.pods[one.metadata.name] = msgspec.structs.replace(one, metadata=leaving)

    def _patch_node(self, step: PatchNode) -> None:
        assert self.node is step.node
        assert self.node is not None
        node = self.node
        labels = dict(node.metadata.labels)
        for key, value in step.changes.get("metadata", {}).get("labels", {}).items():
            if value is None:
                labels.pop(key, None)
            else:
                labels[key] = value
        annotations = dict(node.metadata.annotations)
        annotations.update(step.changes.get("metadata", {}).get("annotations", {}))
        spec = node.spec
        if "taints" in step.changes.get("spec", {}):
            taints = msgspec.convert(step.changes["spec"]["taints"], type=tuple[type(PREPARING_TAINT), ...])  # type: ignore[misc]
            spec = msgspec.structs.replace(spec, taints=taints)
        meta = msgspec.structs.replace(node.metadata, labels=labels, annotations=annotations)
        self.node = msgspec.structs.replace(node, metadata=meta, spec=spec)

    def _edit(self, step: EditReservation) -> None:
        assert self.reservation is not None
        if self.reservation is not step.reservation:
            return  # the resourceVersion has moved on: decided again
        meta = self.reservation.metadata
        if step.close:
            meta = msgspec.structs.replace(meta, finalizers=())
        stored = msgspec.json.decode(msgspec.json.encode(merging.changes(None, step.new)))
        self.reservation = NodeReservation(metadata=meta, spec=stored)
        if step.news:
            self.news.append(step.news)

    def settle(self, rounds: int = 30) -> None:
        """Decide and do until nothing is left to do, notes included."""
        for _ in range(rounds):
            decision = self.decide()
            self._answer(decision)
            steps: tuple[Step, ...] = decision.steps or ((decision.later,) if decision.later is not None else ())
            if not steps:
                return
            for step in steps:
                self.do(step)
        raise AssertionError(f"no end in sight: {self.decide()}")

    def _answer(self, decision: Decision) -> None:
        """Instructions with an answer are not sent again."""
        over = {uid for uid, state in decision.pins.items() if state.outcome is not None}
        self.taken_on = tuple(n for n in self.taken_on if f"u{n}" not in over)

    def shape(self) -> Any:
        """All that matters, to compare two ends."""
        spec = read(self.reservation).spec if self.reservation is not None else None
        finalizers = self.reservation.metadata.finalizers if self.reservation is not None else ()
        node = self.node and (self.node.metadata.labels, {(t.key, t.effect) for t in self.node.spec.taints})
        pods = {
            name: (p.metadata.uid, p.spec.node_name, p.metadata.deletion_timestamp, p.status.nominated_node_name)
            for name, p in self.pods.items()
        }
        return spec, finalizers, node, pods
