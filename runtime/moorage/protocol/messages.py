"""The messages between planner and pinner as immutable types. ``codec`` has the wire format.

Client to server: ``Hello``, then at least one ``Ack`` per instruction, batched in ``Acks``, and the state of nodes in
``NodeReports``. Server to client: ``Welcome``, ``Instruction``, ``SnapshotEnd``, ``Heartbeat``. Delivery is at least
once, and effects are idempotent: the same instruction id always means the same intent. A receiver acknowledges a
repeated instruction with the current state.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from moorage.objects import Taint

from .reasons import ReasonCode

Quantities: TypeAlias = Mapping[str, str]
"""Resource name to Kubernetes quantity as text (``"500m"``, ``"2Gi"``)."""


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A position in the stream. Positions are ordered. The next instruction of an epoch has the next sequence.

    Attributes:
        epoch: the planner's start or reload, in milliseconds since 1970. A smaller one is outdated; 0 precedes all.
        sequence: the number of the instruction within its epoch, from 1 without gaps; 0 is before the first.
    """

    epoch: int = 0
    sequence: int = 0


class BindWhen(enum.Enum):
    """When pods are bound to a promised node; the values are the words of plans and reservations."""

    IMMEDIATELY = "Immediately"
    STARTUP_TAINTS_GONE = "StartupTaintsGone"


@dataclass(frozen=True, slots=True)
class Promise:
    """The properties that a node will have.

    Attributes:
        name: the Node's name, an RFC 1123 subdomain.
        allocatable: the allocatable resources of the node, including ``pods`` (pieces).
        labels: all labels of the node, including custom ones.
        taints: taints that every pinned pod must tolerate.
        startup_taints: taints that are removed while the node starts; never checked.
        provider_id: the instance (``aws:///zone/i-0123``); empty while it is unknown.
        profile: provider profile (``generic``, ``aws``, ``gcp``, ``azure``, ``late``); empty: the pinner's default.
        node_claim: of profile ``late``: Karpenter's NodeClaim that owns the Node.
        match_labels: of profile ``late``: labels that identify the Node when it registers.
        allow_new_zone: whether the node may be the first of its zone or region.
        static_pods: what the node's static pods will request together, out of ``allocatable``; ``pods`` is their
            number.
        bind_when: when pods are bound to the node.
    """

    name: str
    allocatable: Quantities
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Taint, ...] = ()
    startup_taints: tuple[Taint, ...] = ()
    provider_id: str = ""
    profile: str = ""
    node_claim: str = ""
    match_labels: Mapping[str, str] = field(default_factory=dict)
    allow_new_zone: bool = False
    static_pods: Quantities = field(default_factory=dict)
    bind_when: BindWhen = BindWhen.IMMEDIATELY


@dataclass(frozen=True, slots=True, order=True)
class PodRef:
    """One pod. The uid tells it from earlier pods of the same name."""

    namespace: str
    name: str
    uid: str

    def __str__(self) -> str:
        """``namespace/name``."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, order=True)
class Owner:
    """The top-level controller of pods (the Deployment, not its ReplicaSet).

    An empty uid means any controller of that name.
    """

    kind: str
    namespace: str
    name: str
    uid: str = ""


@dataclass(frozen=True, slots=True)
class Slot:
    """Room for pods that do not exist yet.

    Attributes:
        owner: the top-level controller of the pods. Any revision that fits is accepted.
        requests: the requests of one such pod.
        count: the number of expected pods.
    """

    owner: Owner
    requests: Quantities
    count: int


@dataclass(frozen=True, slots=True)
class CreatePlaceholder:
    """Promise a node: create its placeholder, and keep it until the real node joins or the deadline passes."""

    promise: Promise

    @property
    def node(self) -> str:
        """The name of the node."""
        return self.promise.name


@dataclass(frozen=True, slots=True)
class DeletePlaceholder:
    """The node does not come: delete its pinned pods and its placeholder. A node with a kubelet is not deleted."""

    node: str


@dataclass(frozen=True, slots=True)
class PinPods:
    """Bind these pending pods to the node. Pods of several instructions for one node add up."""

    node: str
    pods: tuple[PodRef, ...]


@dataclass(frozen=True, slots=True)
class ExpectPods:
    """Hold these slots on the node for later pods, until the deadline. A later instruction replaces all slots."""

    node: str
    slots: tuple[Slot, ...]


@dataclass(frozen=True, slots=True)
class Release:
    """Expect no more pods on the node. Bound pods stay. A placeholder without pods is deleted."""

    node: str


Action: TypeAlias = CreatePlaceholder | DeletePlaceholder | PinPods | ExpectPods | Release


@dataclass(frozen=True, slots=True)
class Instruction:
    """One action for one node.

    Attributes:
        id: idempotency key; the same id always means the same action.
        position: its position in the stream.
        issued: when the planner issued it, UTC.
        deadline: the pinner does not start or continue it after this moment of the API server's time, UTC.
        action: the action.
        plan: the name of its plan, for people.
    """

    id: str
    position: Position
    issued: datetime
    deadline: datetime
    action: Action
    plan: str = ""

    @property
    def node(self) -> str:
        """The name of the node."""
        return self.action.node


class Outcome(enum.Enum):
    """The progress of an instruction, or of one of its pods. Only ACCEPTED is followed by another acknowledgement."""

    ACCEPTED = "accepted"
    """The intent is stored in a NodeReservation, and survives a restart."""
    APPLIED = "applied"
    """The cluster is in the state that the instruction asks for, in every part."""
    REJECTED = "rejected"
    """The instruction must not be carried out as it is (see the reason). Sending it again gives the same result."""
    FAILED = "failed"
    """The instruction was valid and could not be carried out in time. Parts of it may be done (see the pods)."""

    @property
    def final(self) -> bool:
        """Whether no more acknowledgements follow."""
        return self is not Outcome.ACCEPTED


@dataclass(frozen=True, slots=True)
class PodResult:
    """The result of one pod of a PinPods.

    Attributes:
        pod: the pod as in the instruction.
        outcome: the result of this pod.
        reason: OK when applied.
        sentence: details for people. Empty stands for the reason's own sentence.
        node: the node that the pod is bound to; empty when it is not bound or that is unknown.
    """

    pod: PodRef
    outcome: Outcome
    reason: ReasonCode = ReasonCode.OK
    sentence: str = ""
    node: str = ""


@dataclass(frozen=True, slots=True)
class Ack:
    """The result of an instruction.

    A PinPods is APPLIED when every pod is, else REJECTED when a pod was, else FAILED. ``pods`` has the details.

    Attributes:
        instruction_id: the instruction.
        position: its position in the stream.
        outcome: its progress.
        reason: OK when accepted or applied.
        sentence: details for people. Empty stands for the reason's own sentence.
        pods: of a PinPods, the results of its pods.
    """

    instruction_id: str
    position: Position
    outcome: Outcome
    reason: ReasonCode = ReasonCode.OK
    sentence: str = ""
    pods: tuple[PodResult, ...] = ()

    @property
    def text(self) -> str:
        """The sentence, or the reason's own when it is empty."""
        return self.sentence or self.reason.sentence


@dataclass(frozen=True, slots=True)
class Acks:
    """Acknowledgements that are sent together, in order."""

    acks: tuple[Ack, ...]


class NodeState(enum.Enum):
    """The state of a node."""

    UNSPECIFIED = "unspecified"
    """A state that this version does not know."""
    PENDING = "pending"
    """The placeholder is to be created."""
    PLACEHOLDER = "placeholder"
    """The placeholder exists, and the machine is awaited."""
    JOINING = "joining"
    """A kubelet has joined. The node is not Ready, or its last pods are being bound."""
    PREPARING = "preparing"
    """The node is Ready, and more pods are expected."""
    READY = "ready"
    """The node is Ready, and no more pods are expected."""
    FOREIGN = "foreign"
    """The Node has a kubelet and no mark of ours. It is not changed."""
    FAILING = "failing"
    """The promise has failed, and is being cleaned up."""
    STOPPED = "stopped"
    """The pinner does nothing for the node. The sentence says what must be repaired."""
    GONE = "gone"
    """There is no intent for the node any more."""

    @property
    def usable(self) -> bool:
        """Whether the node is Ready and accepts pods."""
        return self in (NodeState.PREPARING, NodeState.READY)

    @property
    def lost(self) -> bool:
        """Whether the node will not become what was promised."""
        return self in (NodeState.FOREIGN, NodeState.FAILING, NodeState.GONE)


@dataclass(frozen=True, slots=True)
class SlotReport:
    """Pods of one controller that are expected on a node, and their results.

    Attributes:
        owner: the controller.
        count: the number of expected pods.
        webhook: how many of them the webhook has pinned.
        binding: how many of them the pinner has bound.
        scheduler: how many of them the scheduler has placed there.
        reason: why one of them was left to the scheduler; may be empty.
    """

    owner: Owner
    count: int
    webhook: int = 0
    binding: int = 0
    scheduler: int = 0
    reason: str = ""

    @property
    def left(self) -> int:
        """The number of pods that have not come yet."""
        return self.count - self.webhook - self.binding - self.scheduler


@dataclass(frozen=True, slots=True)
class NodeReport:
    """The state of one node.

    Attributes:
        node: the name of the node.
        state: the state.
        node_uid: the uid of the Node; empty while there is none.
        sentence: for people.
        shortfalls: where the machine differs from the promise.
        slots: the pods that are expected on it.
        position: the newest instruction, pins not counted, that had changed the intent at the time of the report.
    """

    node: str
    state: NodeState
    node_uid: str = ""
    sentence: str = ""
    shortfalls: tuple[str, ...] = ()
    slots: tuple[SlotReport, ...] = ()
    position: Position = Position()


class Webhook(enum.Enum):
    """Whether the API server calls the pinner's webhook for new pods."""

    UNSPECIFIED = "unspecified"
    """The pinner has no webhook, or sends a state that this version does not know."""
    IDLE = "idle"
    """There is a webhook, and the API server does not call it: no pods are expected, or it is not configured yet."""
    SERVING = "serving"
    """The API server calls the webhook."""


@dataclass(frozen=True, slots=True)
class NodeReports:
    """The states of some nodes.

    Attributes:
        reports: each replaces the earlier report of the same node.
        webhook: whether the webhook pins pods now.
    """

    reports: tuple[NodeReport, ...] = ()
    webhook: Webhook = Webhook.UNSPECIFIED


@dataclass(frozen=True, slots=True)
class Hello:
    """The first message of a client.

    Attributes:
        cluster_id: the cluster (uid of its ``kube-system`` namespace).
        replica: the name of the pinner's pod, for logs.
        version: the version of the pinner.
        position: the position up to which everything was received. ``Position()`` requests a snapshot.
        window: how many instructions may be unacknowledged at a time; 0 leaves it to the server.
        probe: whether the client only wants a Welcome and does not count as a pinner.
    """

    cluster_id: str
    replica: str
    version: str
    position: Position = Position()
    window: int = 0
    probe: bool = False


@dataclass(frozen=True, slots=True)
class Welcome:
    """The first message of a server.

    Attributes:
        position: the stream continues after this position. Sequence 0 means the start of the epoch.
        snapshot: True when all instructions without a final acknowledgement follow, then a SnapshotEnd.
        plan: the name of the plan, for people.
        heartbeat: the server sends a message at least once in this many seconds.
    """

    position: Position
    snapshot: bool
    plan: str = ""
    heartbeat: float = 15.0


@dataclass(frozen=True, slots=True)
class SnapshotEnd:
    """The snapshot is complete. Anything that it did not contain is *not* to be deleted.

    Attributes:
        position: after this position, sequences have no gaps.
        instructions: the number of instructions in the snapshot.
    """

    position: Position
    instructions: int = 0


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The server is alive.

    Attributes:
        position: the position of the last instruction that was sent on this stream.
        acknowledged: the number of acknowledgements that the server has received on this stream. They may be lost in a
            restart.
    """

    position: Position
    acknowledged: int = 0


ClientMessage: TypeAlias = Hello | Acks | NodeReports
ServerMessage: TypeAlias = Welcome | Instruction | SnapshotEnd | Heartbeat
