"""What is known of one node, the input of ``decide``, and what has become of its pins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from moorage.objects import Node, Pod
from moorage.protocol import Outcome, PodRef, PodResult, ReasonCode
from moorage.reservations import DELETE, NodeReservation, Problem, Spec

from ..names import FINALIZER, PREPARING_TAINT, made_for, preparing
from ..providers import Profile
from ..refusal import Nominable, Refusal, Wait
from .late import Unclaimed
from .signs import NONE, Signs
from .starting import binding_waits_for


class Room(Protocol):
    """The node as promised, with everything that is on it or about to be; asking changes nothing."""

    def admit(self, pods: Sequence[Pod]) -> Mapping[str, Refusal | Wait | Nominable | None]:
        """Ask whether pods fit, each beside those before it that do.

        Returns:
            By uid, None for those that fit together; or why not, or why nobody can tell, or that only the scheduler
            can place the pod. Room is taken by whoever binds (a claim).
        """

    def nominate(self, pods: Sequence[Pod]) -> Mapping[str, Refusal | Wait | None]:
        """Ask of pods that only the scheduler can place whether they fit together, each beside those before it.

        Returns:
            By uid, None for those that can be nominated; or why not, or what they wait for.
        """

    def turn(self, now: datetime) -> datetime | None:
        """Ask whether pods may be nominated to this node, which is closed to the scheduler, and the node opened then.

        Returns:
            None when it is this node's turn; else when to ask again. Whoever nominates takes the turn.
        """

    def misplaced(self, pod: Pod) -> Refusal | None:
        """Why a pod that is bound here can never start here, or None."""


@dataclass(frozen=True, slots=True)
class PinState:
    """What has become of one pin.

    Attributes:
        outcome: None while the pod is still to be bound.
        refusal: why it never will be, or why it waits.
        node: where the pod is bound.
        awaits: what must come to the node, or be readable again, before anybody can say whether the pod fits.
    """

    outcome: Outcome | None
    refusal: Refusal | None = None
    node: str = ""
    awaits: Refusal | None = None

    def result(self, ref: PodRef) -> PodResult:
        """What is said of the pod to whoever wanted it pinned; only of a state with an outcome."""
        reason, sentence = self.refusal or Refusal(ReasonCode.OK)
        return PodResult(ref, self.outcome or Outcome.FAILED, reason, sentence, node=self.node)


@dataclass(frozen=True, slots=True)
class Observation:
    """One node as it is known at one moment.

    Attributes:
        name: the node's name in plans, and the reservation's.
        now: the API server's time, UTC.
        reservation: the reservation as stored; None when there is none.
        stored: what it says, as far as it can be read.
        spec: the same with the pins that are not written yet: what is intended.
        problems: what in it cannot be read.
        profile: the profile of its promise, or why there is none; None without a promise.
        node: the Node, or None.
        candidate: of profile late, the Node that has registered and is about to be the reservation's own.
        unclaimed: that no reservation has the Node, which a machine brought along with our taint; None otherwise.
        pods: the pods bound to it.
        pinned: what bears the name of each pin's pod now, by pin uid; absent when nothing does.
        unread: why nothing is known of a pod that is there, by pin uid; such a pin waits.
        unseen: nominated pods of which the watch has not shown what we wrote last, or only just now; by uid.
        made: whether a placeholder was made for this reservation.
        made_uid: uid of the Node that was made, while the reservation does not say it yet.
        confirmed: whether ``node`` was read from the API server for this very decision, not from a cache.
        signs: what told of a kubelet that has not reported, when ``node`` was read.
        refused: why the API server refused to create the Node, or None.
        failed: what became of pins that the API server refused for good, by uid.
        hindered: why pins could not be bound so far, by uid.
        trouble: what hindered the other steps when the node was looked at last, or None.
        instance: why the promised instance is not this node's, as far as a providerID tells; None when it may be.
        not_kept: labels and taints (``key:effect``) that the API server accepted on the Node and did not keep.
        sweeps_left: how many more pods of a controller (by uid) may be swept that were not pinned; ``sweep_limit`` for
            all others.
        sweep_limit: how many such pods of one controller may be swept in an hour.
        steered: pods that were pinned to the node while it ran, and that have not started; by uid.
        capped: why no pods of some owners are pinned, by ``ends.account``.
        capped_owners: the same by the owners under whom pods are expected.
        capped_until: when pods of those owners may be pinned again.
    """

    name: str
    now: datetime
    reservation: NodeReservation | None = None
    stored: Spec = Spec()  # noqa: RUF009 - immutable
    spec: Spec = Spec()  # noqa: RUF009 - immutable
    problems: tuple[Problem, ...] = ()
    profile: Profile | Refusal | None = None
    node: Node | None = None
    candidate: Node | None = None
    unclaimed: Unclaimed | None = None
    pods: tuple[Pod, ...] = ()
    pinned: Mapping[str, Pod] = field(default_factory=dict)
    unread: Mapping[str, Refusal] = field(default_factory=dict)
    unseen: frozenset[str] = frozenset()
    made: bool = False
    made_uid: str = ""
    confirmed: bool = False
    signs: Signs = NONE
    refused: Refusal | None = None
    failed: Mapping[str, PinState] = field(default_factory=dict)
    hindered: Mapping[str, Refusal] = field(default_factory=dict)
    trouble: Refusal | None = None
    instance: Refusal | None = None
    not_kept: frozenset[str] = frozenset()
    sweeps_left: Mapping[str, int] = field(default_factory=dict)
    sweep_limit: int = 10
    capped: Mapping[str, Refusal] = field(default_factory=dict)
    capped_owners: Mapping[str, Refusal] = field(default_factory=dict)
    capped_until: Mapping[str, datetime] = field(default_factory=dict)
    steered: frozenset[str] = frozenset()

    @property
    def is_ours(self) -> bool:
        """Whether the Node was made for this reservation; says nothing about what may be done to it."""
        if self.node is None or self.reservation is None:
            return False
        node_uid = self.spec.node_uid or self.made_uid
        return made_for(self.node, reservation_uid=self.reservation.metadata.uid, node_uid=node_uid)

    @property
    def node_name(self) -> str:
        """The name of the Node: another than the plan's, where the machine brings its own; empty until it does."""
        return self.spec.named(self.name)

    @property
    def late(self) -> bool:
        """Whether the machine brings its own Node."""
        return self.spec.promise is not None and self.spec.promise.late

    @property
    def guarded(self) -> bool:
        """Whether the scheduler is kept away from the Node."""
        return self.node is not None and preparing(self.node) == PREPARING_TAINT.effect

    @property
    def binding_waits_for(self) -> Refusal | None:
        """What pins wait for before they are bound, because the promise says so; None when they may be bound now."""
        return binding_waits_for(self.name, self.node, self.spec.promise)

    @property
    def open(self) -> bool:
        """Whether the placeholder may still be ours to clean up: until the node was adopted."""
        return self.reservation is not None and FINALIZER in self.reservation.metadata.finalizers

    @property
    def given_up(self) -> bool:
        """Whether an instruction or a person has ended the reservation."""
        if self.reservation is None:
            return False
        return self.spec.intent == DELETE or self.reservation.metadata.deletion_timestamp is not None
