"""Pods that are expected on nodes: who may come where, and the room that is held for them until they do.

Nodes are called by the names of their reservations here, which late ones have before they have a Node.

A free slot holds room in the snapshot as a simulated pod. A pod that the webhook has pinned holds its slot as a claim,
from the moment it is created until the watch shows it: until then it has no uid, and often no name. A claim is
forgotten after ``CLAIM_LASTS`` seconds: the pod was never stored, because a quota, a later webhook or a client said no.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from heapq import heappop, heappush
from itertools import takewhile, zip_longest
from typing import TYPE_CHECKING

import msgspec

from moorage.objects import Container, Pod, PodSpec, ResourceRequirements
from moorage.objects.base import ObjectMeta
from moorage.objects.quantity import QuantityError, parse
from moorage.reservations import DELETE, Owner, Slot, Spec, moment, rules

from ..names import CLAIM_ANNOTATION

if TYPE_CHECKING:  # it needs numpy, and moorage cleanup does not
    from moorage.scheduling import Snapshot, Verdict

CLAIM_LASTS = 10.0
"""Seconds until a pod that was admitted is seen; a watch is behind by less."""
MOST_HELD = 1000
"""Simulated pods of one slot: no node holds more."""

OwnerKey = str
"""Namespace, kind and name, with slashes."""

_NOTHING = Slot(owner=Owner(), requests={}, count=0)


@dataclass(frozen=True, slots=True)
class Expectation:
    """The pods that are expected on one node.

    Attributes:
        slots: who, and how many.
        until: RFC 3339; nobody is expected from then on. Empty: there is no such time.
        by: what says so: the id of an instruction, or who wrote a SlotReservation.
        since: RFC 3339; pods that were created before are not among them. Empty: there is no such time.
        running: whether the node runs, and the scheduler places pods there, too.
    """

    slots: tuple[Slot, ...]
    until: str = ""
    by: str = ""
    since: str = ""
    running: bool = False

    @classmethod
    def of(cls, spec: Spec) -> Expectation | None:
        """What the reservation of a promised node expects; None when that is nothing."""
        if spec.intent == DELETE or spec.released or not spec.slots:
            return None
        by = next((record.id for record in reversed(spec.instructions) if record.action == "ExpectPods"), "")
        return cls(spec.slots, spec.expected_until, by)

    def left(self, pods: Iterable[Pod]) -> tuple[Slot, ...]:
        """The slots with the number of pods that are still to come.

        Args:
            pods: those that are on the node, or on their way to it.
        """
        return rules.slots_left(self.slots, rules.created_since(self.since, pods))


@dataclass(frozen=True, slots=True)
class Claim:
    """A pod that the webhook has pinned and that the watch has not shown.

    Attributes:
        id: random.
        pod: as it was admitted, under a name of our own.
        node: the Node where it is to run.
        reserved: name of that Node's reservation.
        until: when it is forgotten (monotonic seconds).
    """

    id: str
    pod: Pod
    node: str
    reserved: str
    until: float


class Expected:
    """Keeps account.

    Args:
        snapshot: gives the snapshot in which room is held.
        pods_on: the pods on a node, those that are being bound included.
        node_name: what the Node of a reservation is called; empty while nobody knows.
        monotonic: seconds on a clock that never goes back.
    """

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        pods_on: Callable[[str], Iterable[Pod]],
        node_name: Callable[[str], str] = lambda name: name,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._snapshot, self._pods_on, self._monotonic = snapshot, pods_on, monotonic
        self._node_name = node_name
        self._expectations: dict[str, Expectation] = {}
        self._nodes: defaultdict[OwnerKey, set[str]] = defaultdict(set)
        self._free: dict[str, tuple[Slot, ...]] = {}  # node to its slots, with the pods that are still to come
        self._open: set[str] = set()  # the nodes to which some are still to come
        self._held: dict[str, tuple[Slot, ...]] = {}  # node to the slots whose pods are simulated
        self._claims: dict[str, Claim] = {}  # in the order in which they are forgotten
        self._claims_on: defaultdict[str, dict[str, Claim]] = defaultdict(dict)  # the same by reservation
        self._ends: list[tuple[datetime, str]] = []  # a heap of when nodes expect nobody any more, or did not once

    # --- reading ---

    @property
    def any(self) -> bool:
        """Whether a pod is still to come to any node."""
        return bool(self._open)

    @property
    def nothing(self) -> bool:
        """Whether no node holds room for any pod, or ever did since pods were expected there."""
        return not self._expectations and not self._held

    def free(self, name: str) -> tuple[Slot, ...]:
        """The slots of a node, with the number of pods that are still to come; none when all have come."""
        return self._free.get(name, ())

    def nodes(self, pod: Pod) -> list[str]:
        """The nodes with a slot for a pod, those with the fewest first: what is nearly done is finished.

        Args:
            pod: the pod; it need not have been stored.
        """
        left = {name: self._left(name, pod) for name in self.expecting(pod)}
        return sorted((name for name in left if left[name]), key=lambda name: (left[name], name))

    def expecting(self, pod: Pod) -> set[str]:
        """The nodes on which pods of a pod's owner are expected, whether or not all have come."""
        return {name for key in owner_keys(pod) for name in self._nodes.get(key, ())}

    def beside(self, name: str) -> set[str]:
        """The other nodes on which pods of the owners are expected that are expected on a node."""
        known = self._expectations.get(name)
        keys = {key_of(slot.owner) for slot in known.slots} if known is not None else set[OwnerKey]()
        return {each for key in keys for each in self._nodes.get(key, ())} - {name}

    def claim(self, id: str) -> Claim | None:
        """A claim by its id; None when there is none, or none any more."""
        return self._claims.get(id)

    def all(self) -> Iterator[tuple[Pod, str]]:
        """Everything that holds room: simulated pods and claims, each with its node."""
        for name, held in self._held.items():
            node = self._node_name(name)
            yield from ((pod, node) for index, slot in enumerate(held) for pod in _simulated(slot, name, index))
        yield from ((claim.pod, claim.node) for claim in self._claims.values())

    def by(self, name: str) -> str:
        """By what pods are expected on a node (``Expectation.by``); empty when none are."""
        known = self._expectations.get(name)
        return known.by if known is not None else ""

    def running(self, name: str) -> Expectation | None:
        """What is expected on a node that runs; None when nothing is, or when the node is kept for pods of ours."""
        known = self._expectations.get(name)
        return known if known is not None and known.running else None

    # --- changes ---

    def reserve(self, name: str, expectation: Expectation | None) -> None:
        """What is expected on a node has changed; None: nothing is."""
        before = self._expectations.pop(name, None)
        for slot in before.slots if before is not None else ():
            self._nodes[key_of(slot.owner)].discard(name)
        if expectation is not None:
            self._expectations[name] = expectation
            for slot in expectation.slots:
                self._nodes[key_of(slot.owner)].add(name)
            until = moment(expectation.until)
            if until is not None and (before is None or before.until != expectation.until):
                heappush(self._ends, (until, name))
        if before is not None or expectation is not None:
            self.refresh(name)

    def refresh(self, name: str, beside: Sequence[Pod] = ()) -> None:
        """Hold as much room on a node as there are slots free: pods have come or gone, or the node has.

        Args:
            name: the node's name.
            beside: pods that count as if they had come, too.
        """
        if name not in self._expectations and name not in self._held:
            return
        self._count(name, beside)
        snapshot, node = self._snapshot(), self._node_name(name)
        before, now = self._held.pop(name, ()), self._free.get(name, ()) if node in snapshot.nodes.slots else ()
        for index, (old, new) in enumerate(zip_longest(before, now, fillvalue=_NOTHING)):
            kept = min(old.count, new.count) if _alike(old, new) else 0
            for pod in _simulated(old, name, index, kept):
                snapshot.remove(pod.key)
            for pod in _simulated(new, name, index, kept):
                snapshot.place(pod, node)
        if now:
            self._held[name] = now

    def pass_time(self, now: datetime) -> list[Claim]:
        """Expect nothing more where the time for that has passed, and forget claims whose pods were never seen.

        Args:
            now: the API server's time, UTC.

        Returns:
            Those claims.
        """
        while self._ends and self._ends[0][0] <= now:
            _, name = heappop(self._ends)
            until = moment(self._expectations[name].until) if name in self._expectations else None
            if until is not None and until <= now:
                self.reserve(name, None)
        late = list(takewhile(lambda claim: claim.until <= self._monotonic(), self._claims.values()))
        for claim in late:
            self.release(claim)
        return late

    def verdict(self, pod: Pod, name: str) -> Verdict:
        """Whether a pod fits a node, which holds room for it if it is expected there.

        Args:
            pod: the pod.
            name: the node's name.
        """
        snapshot, node = self._snapshot(), self._node_name(name)
        own = next(self._held_for(pod, name), None) if name in self._free else None
        if own is None:
            return snapshot.verdict(pod, node)
        with snapshot.trial():
            snapshot.remove(own)
            return snapshot.verdict(pod, node)

    def admit(self, id: str, pod: Pod, name: str) -> Claim:
        """Count a pod on a node that is about to be stored.

        Args:
            id: of the claim.
            pod: as it will be stored.
            name: the node's name.
        """
        metadata = msgspec.structs.replace(pod.metadata, name=f"{name}:claim:{id}", uid=id)
        known, node = msgspec.structs.replace(pod, metadata=metadata), self._node_name(name)
        claim = self._claims[id] = Claim(id, known, node, name, self._monotonic() + CLAIM_LASTS)
        self._claims_on[name][id] = claim
        if node in self._snapshot().nodes.slots:
            self._snapshot().place(known, node)
        self.refresh(name)
        return claim

    def seen(self, pod: Pod) -> Claim | None:
        """Forget the claim of a pod that has a node, or will never have one; the caller counts it, and refreshes."""
        claim = self._claims.get(pod.metadata.annotations.get(CLAIM_ANNOTATION, ""))
        if claim is not None:
            self._drop(claim)
        return claim

    def release(self, claim: Claim) -> None:
        """A pod that was admitted is left to the scheduler after all."""
        if self._drop(claim):
            self.refresh(claim.reserved)

    # --- pieces ---

    def _drop(self, claim: Claim) -> bool:
        if self._claims.pop(claim.id, None) is None:
            return False
        on_node = self._claims_on[claim.reserved]
        del on_node[claim.id]
        if not on_node:
            del self._claims_on[claim.reserved]
        self._snapshot().remove(claim.pod.key)
        return True

    @contextmanager
    def kept(self, names: Sequence[str]) -> Iterator[None]:
        """A block after which the account of some nodes is as before; the snapshot is the caller's (a trial)."""
        before = [(known, name, known.get(name)) for name in names for known in (self._free, self._held)]
        try:
            yield
        finally:
            for known, name, slots in before:
                if slots is None:
                    known.pop(name, None)
                else:
                    known[name] = slots
                self._note_open(name)

    def _count(self, name: str, beside: Sequence[Pod]) -> None:
        """See which slots of a node are free."""
        expectation = self._expectations.get(name)
        self._free.pop(name, None)
        if expectation is not None:
            claimed = (claim.pod for claim in self._claims_on.get(name, {}).values())
            left = expectation.left([*self._pods_on(name), *claimed, *beside])
            self._free[name] = left if any(slot.count for slot in left) else ()
        self._note_open(name)

    def _note_open(self, name: str) -> None:
        if self._free.get(name):
            self._open.add(name)
        else:
            self._open.discard(name)

    def _left(self, name: str, pod: Pod) -> int:
        return sum(slot.count for slot in self._free.get(name, ()) if rules.belongs_to(pod, slot.owner))

    def _held_for(self, pod: Pod, name: str) -> Iterator[str]:
        """The simulated pods that stand for a pod's owner on a node."""
        for index, slot in enumerate(self._free.get(name, ())):
            if slot.count and rules.belongs_to(pod, slot.owner):
                yield f"{slot.owner.namespace}/{_held_name(name, index, 0)}"


def _held_name(node: str, slot: int, number: int) -> str:
    """Never the name of a real pod: no name has a colon."""
    return f"{node}:slot:{slot}:{number}"


def key_of(owner: Owner) -> OwnerKey:
    """The key of an owner."""
    return f"{owner.namespace}/{owner.kind}/{owner.name}"


def owner_keys(pod: Pod) -> Iterator[OwnerKey]:
    """Under which owners a pod may be expected: its controller, and the Deployment of that (see ``belongs_to``)."""
    controller, namespace = pod.metadata.controller(), pod.metadata.namespace
    if controller is None:
        return
    yield f"{namespace}/{controller.kind}/{controller.name}"
    if name := pod.deployment:
        yield f"{namespace}/Deployment/{name}"


def _alike(one: Slot, other: Slot) -> bool:
    """Whether the simulated pods of two slots are the same, however many there are."""
    return one.owner.namespace == other.owner.namespace and one.requests == other.requests


def _simulated(slot: Slot, node: str, index: int, first: int = 0) -> Iterator[Pod]:
    """The pods that stand for those that are still to come to a slot, from one of them on; they want what those do."""
    count = min(slot.count, MOST_HELD)
    if first >= count:
        return
    spec = PodSpec(containers=(Container(resources=_requirements(slot.requests)),))
    for number in range(first, count):
        metadata = ObjectMeta(name=_held_name(node, index, number), namespace=slot.owner.namespace)
        yield Pod(metadata=metadata, spec=spec)


def _requirements(requests: Mapping[str, str | int]) -> ResourceRequirements:
    """What a slot requests, as far as it can be read."""
    return ResourceRequirements(requests={name: text for name, text in requests.items() if _readable(text)})


def _readable(text: str | int) -> bool:
    try:
        return parse(text) >= 0
    except QuantityError:
        return False
