"""What planner and pinner say to each other, as plain immutable types: the wire format stays in ``codec``.

Client to server: ``Hello``, then one ``Ack`` or more per instruction, several at a time in ``Acks``, and how it stands
with nodes in ``NodeReports``. Server to client: ``Welcome``, ``Instruction``, ``SnapshotEnd``, ``Heartbeat``. Delivery
is at least once and effects are idempotent: the same instruction id always means the same intent, so whoever receives
one again answers with what is the case now.
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
    """A place in the stream; positions are ordered, and the next instruction of an epoch has the next sequence.

    Attributes:
        epoch: the planner's start or reload, in milliseconds since 1970; a smaller one is stale, 0 precedes all.
        sequence: number of the instruction within its epoch, from 1 without gaps; 0 is before the first.
    """

    epoch: int = 0
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class Promise:
    """A node as it will be: everything the real node must have.

    Attributes:
        name: the Node's name, an RFC 1123 subdomain.
        allocatable: what pods may use in total; ``pods`` (pieces) belongs to it.
        labels: all labels the node will have, custom ones included.
        taints: taints that every pinned pod is checked against.
        startup_taints: taints that go away while the node starts; never checked.
        provider_id: the instance (``aws:///zone/i-0123``); empty when it is not known yet.
        profile: provider profile (``generic``, ``aws``, ``gcp``, ``azure``, ``late``); empty: the pinner's default.
        node_claim: of profile ``late``: Karpenter's NodeClaim that owns the Node.
        match_labels: of profile ``late``: labels by which the Node is known when it registers.
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


@dataclass(frozen=True, slots=True, order=True)
class PodRef:
    """One pod; the uid says which of all pods that ever bore the name."""

    namespace: str
    name: str
    uid: str

    def __str__(self) -> str:
        """``namespace/name``."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, order=True)
class Owner:
    """The top controller of pods (the Deployment, not its ReplicaSet); an empty uid means any of that name."""

    kind: str
    namespace: str
    name: str
    uid: str = ""


@dataclass(frozen=True, slots=True)
class Slot:
    """Room for pods that do not exist yet.

    Attributes:
        owner: the top controller whose pods may fill it; any revision of it that fits.
        requests: what one such pod requests.
        count: how many pods are expected.
    """

    owner: Owner
    requests: Quantities
    count: int


@dataclass(frozen=True, slots=True)
class CreatePlaceholder:
    """Promise a node: create its placeholder and keep it until the real node joins or the deadline passes."""

    promise: Promise

    @property
    def node(self) -> str:
        """The node concerned."""
        return self.promise.name


@dataclass(frozen=True, slots=True)
class DeletePlaceholder:
    """The node will not come: delete its pinned pods and its placeholder; a node that has a kubelet is left alone."""

    node: str


@dataclass(frozen=True, slots=True)
class PinPods:
    """Bind these pending pods to the node. Pods of several instructions for one node add up."""

    node: str
    pods: tuple[PodRef, ...]


@dataclass(frozen=True, slots=True)
class ExpectPods:
    """Hold these slots on the node for pods to come, until the deadline. A later instruction replaces all slots."""

    node: str
    slots: tuple[Slot, ...]


@dataclass(frozen=True, slots=True)
class Release:
    """Expect and hold nothing more on the node; pods already bound stay, a placeholder without pods goes."""

    node: str


Action: TypeAlias = CreatePlaceholder | DeletePlaceholder | PinPods | ExpectPods | Release


@dataclass(frozen=True, slots=True)
class Instruction:
    """One thing to do for one node.

    Attributes:
        id: idempotency key; the same id always means the same action.
        position: where it stands in the stream.
        issued: when the planner decided it, UTC.
        deadline: after this moment of the API server's time it is not begun or continued any more, UTC.
        action: what to do.
        plan: name of the plan it belongs to, for people.
    """

    id: str
    position: Position
    issued: datetime
    deadline: datetime
    action: Action
    plan: str = ""

    @property
    def node(self) -> str:
        """The node concerned."""
        return self.action.node


class Outcome(enum.Enum):
    """How far an instruction, or one pod of it, has come; only ACCEPTED is followed by another acknowledgement."""

    ACCEPTED = "accepted"
    """The intent is stored in a NodeReservation: it survives everything."""
    APPLIED = "applied"
    """The cluster is as the instruction says, for every part of it."""
    REJECTED = "rejected"
    """It must not be done as it stands (see the reason): sending it again gives the same answer."""
    FAILED = "failed"
    """It was right and could not be done in time; parts may have been done (see the pods)."""

    @property
    def final(self) -> bool:
        """Whether nothing more is said about it."""
        return self is not Outcome.ACCEPTED


@dataclass(frozen=True, slots=True)
class PodResult:
    """What became of one pod of a PinPods.

    Attributes:
        pod: as the instruction named it.
        outcome: of this pod alone.
        reason: OK when applied.
        sentence: for people, with the particulars; empty stands for the reason's own sentence.
        node: where the pod is bound, empty when it is not or when that is unknown.
    """

    pod: PodRef
    outcome: Outcome
    reason: ReasonCode = ReasonCode.OK
    sentence: str = ""
    node: str = ""


@dataclass(frozen=True, slots=True)
class Ack:
    """What became of an instruction.

    A PinPods is APPLIED when every pod is, else REJECTED when a pod was, else FAILED; ``pods`` tells which.

    Attributes:
        instruction_id: the instruction.
        position: its place in the stream.
        outcome: how far it has come.
        reason: OK when accepted or applied.
        sentence: for people, with the particulars; empty stands for the reason's own sentence.
        pods: of a PinPods, one result per pod that has one.
    """

    instruction_id: str
    position: Position
    outcome: Outcome
    reason: ReasonCode = ReasonCode.OK
    sentence: str = ""
    pods: tuple[PodResult, ...] = ()

    @property
    def text(self) -> str:
        """The sentence, or the reason's own when there is none."""
        return self.sentence or self.reason.sentence


@dataclass(frozen=True, slots=True)
class Acks:
    """Acknowledgements that have come up together, in the order in which they were given."""

    acks: tuple[Ack, ...]


class NodeState(enum.Enum):
    """How far a node has come."""

    UNSPECIFIED = "unspecified"
    """The other side knows more states than we do."""
    PENDING = "pending"
    """The placeholder is to be created."""
    PLACEHOLDER = "placeholder"
    """The placeholder is there, the machine is waited for."""
    JOINING = "joining"
    """A kubelet has joined, and the node is not Ready, or its last pods are being bound."""
    PREPARING = "preparing"
    """Ready, and more pods are expected."""
    READY = "ready"
    """Ready, and no more pods are expected."""
    FOREIGN = "foreign"
    """The Node is a machine's without a mark of ours, and is left alone."""
    FAILING = "failing"
    """It comes to nothing, and is being cleaned up."""
    STOPPED = "stopped"
    """Nothing is done for it; the sentence says what must be repaired."""
    GONE = "gone"
    """There is no intent for it any more."""

    @property
    def usable(self) -> bool:
        """Whether the node is Ready and takes pods."""
        return self in (NodeState.PREPARING, NodeState.READY)

    @property
    def lost(self) -> bool:
        """Whether the node will not become what was promised."""
        return self in (NodeState.FOREIGN, NodeState.FAILING, NodeState.GONE)


@dataclass(frozen=True, slots=True)
class SlotReport:
    """Pods of one controller that are expected on a node, and what has come of it.

    Attributes:
        owner: whose.
        count: how many are expected in all.
        webhook: how many of them were pinned as they were created.
        binding: how many were bound by the pinner.
        scheduler: how many the scheduler has put there.
        reason: why one of these was left to the scheduler; may be empty.
    """

    owner: Owner
    count: int
    webhook: int = 0
    binding: int = 0
    scheduler: int = 0
    reason: str = ""

    @property
    def left(self) -> int:
        """How many are still to come."""
        return self.count - self.webhook - self.binding - self.scheduler


@dataclass(frozen=True, slots=True)
class NodeReport:
    """How it stands with one node.

    Attributes:
        node: its name.
        state: how far it has come.
        node_uid: uid of the Node; empty while there is none.
        sentence: for people.
        shortfalls: what the machine offers less or other than promised.
        slots: what is expected on it.
        position: of the newest instruction, pins apart, that had changed the intent when this was said.
    """

    node: str
    state: NodeState
    node_uid: str = ""
    sentence: str = ""
    shortfalls: tuple[str, ...] = ()
    slots: tuple[SlotReport, ...] = ()
    position: Position = Position()


class Webhook(enum.Enum):
    """Whether the API server asks the pinner about pods that are created."""

    UNSPECIFIED = "unspecified"
    """The pinner has no webhook, or says more than we know."""
    IDLE = "idle"
    """It has one, and the API server is not told to ask: nothing is expected, or that could not be done yet."""
    SERVING = "serving"
    """The API server is told to ask."""


@dataclass(frozen=True, slots=True)
class NodeReports:
    """How it stands with some nodes.

    Attributes:
        reports: each replaces what was said of the same node before.
        webhook: whether pods are pinned while they are created, now.
    """

    reports: tuple[NodeReport, ...] = ()
    webhook: Webhook = Webhook.UNSPECIFIED


@dataclass(frozen=True, slots=True)
class Hello:
    """The first message of a client.

    Attributes:
        cluster_id: the cluster (uid of its ``kube-system`` namespace).
        replica: who speaks, for logs (the pod's name).
        version: of the software.
        position: up to where everything was received; ``Position()`` asks for a snapshot.
        window: how many instructions may be without any acknowledgement at a time; 0 leaves it to the server.
        probe: whether nothing but a Welcome is wanted, and nobody is to be counted as a pinner.
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
        position: the stream goes on after this position; sequence 0 means from the start of the epoch.
        snapshot: True when all instructions that are not finally acknowledged follow, then a SnapshotEnd.
        plan: name of what is served, for people.
        heartbeat: seconds after which at the latest the server says something.
    """

    position: Position
    snapshot: bool
    plan: str = ""
    heartbeat: float = 15.0


@dataclass(frozen=True, slots=True)
class SnapshotEnd:
    """The snapshot is complete up to here. What it did not mention is *not* to be deleted.

    Attributes:
        position: from here on sequences have no gaps.
        instructions: how many the snapshot had.
    """

    position: Position
    instructions: int = 0


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The server is alive.

    Attributes:
        position: that of the last instruction sent on this stream.
        acknowledged: how many acknowledgements the server has received on this stream; they need not be kept.
    """

    position: Position
    acknowledged: int = 0


ClientMessage: TypeAlias = Hello | Acks | NodeReports
ServerMessage: TypeAlias = Welcome | Instruction | SnapshotEnd | Heartbeat
