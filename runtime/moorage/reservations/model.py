"""NodeReservations: the promise for one node, its pins, and the pods that are expected there.

``NodeReservation`` is the object as the API server stores it, whatever a person did to it; ``Spec`` is what ``read``
could make of it. The shapes are those of ``schemas/crds/nodereservations.moorage.dev.yaml``, and so are the limits.
"""

from __future__ import annotations

from typing import Any

import msgspec

from moorage.objects import KubeObject, Object, Quantities, Taint
from moorage.objects.base import Labels

GROUP_VERSION = "moorage.dev/v1alpha1"

MAX_PINS = 1000
MAX_SLOTS = 1000
MAX_RECORDS = 256
MAX_LABELS = 256
MAX_TAINTS = 64
MAX_RESOURCES = 64
MAX_BYTES = 768 << 10
"""Encoded size of a spec: the API server's store takes 1.5 MiB, and metadata and status need room, too."""

LATE = "late"
"""The provider profile of nodes for which no placeholder is made: the machine brings its Node, under its own name."""

IMMEDIATELY = "Immediately"
STARTUP_TAINTS_GONE = "StartupTaintsGone"
BIND_WHEN = (IMMEDIATELY, STARTUP_TAINTS_GONE)
"""When pods are bound to the node."""

HOLD = "Hold"
DELETE = "Delete"
INTENTS = (HOLD, DELETE)


class Owner(Object, frozen=True):
    """A controller of pods; an empty uid means any controller of that name."""

    kind: str = ""
    name: str = ""
    namespace: str = ""
    uid: str = ""


class Pin(Object, frozen=True):
    """One pod that is to run on the node. ``instruction`` is the id of the instruction that pinned it."""

    namespace: str
    name: str
    uid: str
    owner: Owner = Owner()
    instruction: str = ""

    @property
    def key(self) -> str:
        """``namespace/name``."""
        return f"{self.namespace}/{self.name}"


class Nomination(Object, frozen=True):
    """The pinner has nominated a pinned pod to the node; a nomination without a record is another program's.

    Attributes:
        uid: of the pod.
        tries: how often it was nominated.
        at: when it was last (RFC 3339).
    """

    uid: str
    tries: int = 1
    at: str = ""


class Slot(Object, frozen=True):
    """Room for pods that do not exist yet: their owner, the requests of each, and their number."""

    owner: Owner
    requests: Quantities = msgspec.field(default_factory=dict)
    count: int = 1


class Promise(Object, frozen=True):
    """The node as it will be: everything that the real node must have.

    Of profile ``late``, ``provider_id``, ``node_claim`` (Karpenter's) and ``match_labels`` say which Node it is, all
    that are given together. ``static_pods`` is the room that the node's static pods will take together, out of
    ``allocatable``; ``pods`` is their number. An empty ``bind_when`` means at once.
    """

    allocatable: Quantities
    labels: Labels = msgspec.field(default_factory=dict)
    taints: tuple[Taint, ...] = ()
    startup_taints: tuple[Taint, ...] = ()
    provider_id: str = msgspec.field(default="", name="providerID")
    profile: str = ""
    node_claim: str = ""
    match_labels: Labels = msgspec.field(default_factory=dict)
    allow_new_zone: bool = False
    static_pods: Quantities = msgspec.field(default_factory=dict)
    bind_when: str = ""

    @property
    def binds_once_started(self) -> bool:
        """Whether pods are bound only once the machine has started: it is Ready, and its startup taints are gone."""
        return self.bind_when == STARTUP_TAINTS_GONE

    @property
    def late(self) -> bool:
        """Whether the kubelet creates the Node itself, without a placeholder."""
        return self.profile == LATE


class Record(Object, frozen=True):
    """An instruction that the spec contains: what the answer to it, or to a repetition, needs.

    Attributes:
        id: the instruction's idempotency key.
        action: its kind, for example ``PinPods``.
        epoch: first part of its position.
        sequence: second part of its position.
        deadline: RFC 3339; after it nothing of the instruction is begun.
        digest: of the action, to tell a repetition from another action under the same id.
    """

    id: str
    action: str
    epoch: int = 0
    sequence: int = 0
    deadline: str = ""
    digest: str = ""

    @property
    def position(self) -> tuple[int, int]:
        """Epoch and sequence, ordered."""
        return (self.epoch, self.sequence)


class Spec(Object, frozen=True):
    """The intent for one node.

    Attributes:
        intent: ``Hold``, or ``Delete`` when the node will not come.
        node_uid: uid of the Node, once it exists.
        node_name: of profile ``late``, name of the Node once it has registered; other Nodes are named like this object.
        promise: what the node will be.
        pins: the pods that are to run there.
        nominations: those of them that the scheduler is to place there itself, once we have nominated them.
        slots: the pods that are expected there, until ``expected_until``.
        expected_until: RFC 3339; empty when nothing is expected.
        released: whether nothing more is expected or held.
        plan: name of the plan, for people.
        deadline: RFC 3339; by then the node must have joined and be Ready.
        instructions: the instructions that the spec contains, oldest first.
    """

    intent: str = HOLD
    node_uid: str = msgspec.field(default="", name="nodeUID")
    node_name: str = ""
    promise: Promise | None = None
    pins: tuple[Pin, ...] = ()
    nominations: tuple[Nomination, ...] = ()
    slots: tuple[Slot, ...] = ()
    expected_until: str = ""
    released: bool = False
    plan: str = ""
    deadline: str = ""
    instructions: tuple[Record, ...] = ()

    def named(self, name: str) -> str:
        """Return the name of the Node; empty until a late node has registered.

        Args:
            name: of the reservation.
        """
        return self.node_name if self.promise is not None and self.promise.late else name


class NodeReservation(KubeObject, frozen=True):
    """A reservation as stored; spec and status are not checked, because people can edit them."""

    spec: Any = None
    status: Any = None
