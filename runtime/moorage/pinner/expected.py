"""Pods that are expected on nodes: who may come where, and the room that is held for them until they do.

A free slot holds room in the snapshot as a simulated pod. A pod that the webhook has pinned holds its slot as a claim,
from the moment it is created until the watch shows it: until then it has no uid, and often no name. A claim is
forgotten after ``CLAIM_LASTS`` seconds: the pod was never stored, because a quota, a later webhook or a client said no.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import msgspec

from moorage.objects import Container, Pod, PodSpec, ResourceRequirements
from moorage.objects.base import ObjectMeta
from moorage.objects.quantity import QuantityError, parse
from moorage.reservations import Owner, Slot, Spec, moment, rules
from moorage.scheduling import Snapshot

from .names import CLAIM_ANNOTATION

CLAIM_LASTS = 10.0
"""Seconds until a pod that was admitted is seen; a watch is behind by less."""
MOST_HELD = 1000
"""Simulated pods of one slot: no node holds more."""

_REVISION = "pod-template-hash"
OwnerKey = str
"""Namespace, kind and name, with slashes."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A pod that the webhook has pinned and that the watch has not shown.

    Attributes:
        id: random.
        pod: as it was admitted, under a name of our own.
        node: where it is to run.
        until: when it is forgotten (monotonic seconds).
    """

    id: str
    pod: Pod
    node: str
    until: float


class Expected:
    """Keeps account.

    Args:
        snapshot: gives the snapshot in which room is held.
        pods_on: the pods on a node, those that are being bound included.
        monotonic: seconds on a clock that never goes back.
    """

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        pods_on: Callable[[str], Iterable[Pod]],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._snapshot, self._pods_on, self._monotonic = snapshot, pods_on, monotonic
        self._specs: dict[str, Spec] = {}
        self._nodes: defaultdict[OwnerKey, set[str]] = defaultdict(set)
        self._free: dict[str, tuple[Slot, ...]] = {}  # node to its slots, with the pods that are still to come
        self._held: dict[str, dict[str, Pod]] = {}  # node to its simulated pods, by key
        self._claims: dict[str, Claim] = {}

    # --- reading ---

    @property
    def any(self) -> bool:
        """Whether a pod is still to come to any node."""
        return any(self._free.values())

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

    def claim(self, id: str) -> Claim | None:
        """A claim by its id; None when there is none, or none any more."""
        return self._claims.get(id)

    def all(self) -> Iterator[tuple[Pod, str]]:
        """Everything that holds room: simulated pods and claims, each with its node."""
        for name, held in self._held.items():
            yield from ((pod, name) for pod in held.values())
        yield from ((claim.pod, claim.node) for claim in self._claims.values())

    def instruction(self, name: str) -> str:
        """The id of the instruction by which pods are expected on a node; empty when none are."""
        records = self._specs[name].instructions if name in self._specs else ()
        return next((record.id for record in reversed(records) if record.action == "ExpectPods"), "")

    # --- changes ---

    def reserve(self, name: str, spec: Spec | None) -> None:
        """What is expected on a node has changed; None: nothing is."""
        before = self._specs.pop(name, None)
        for slot in before.slots if before is not None else ():
            self._nodes[key_of(slot.owner)].discard(name)
        if spec is not None and spec.slots and not spec.released:
            self._specs[name] = spec
            for slot in spec.slots:
                self._nodes[key_of(slot.owner)].add(name)
        if before is not None or name in self._specs:
            self.refresh(name)

    def refresh(self, name: str) -> None:
        """Hold as much room on a node as there are slots free: pods have come or gone, or the node has.

        Args:
            name: the node's name.
        """
        if name not in self._specs and name not in self._held:
            return
        self._count(name)
        snapshot = self._snapshot()
        there = name in snapshot.nodes.slots
        held, wanted = self._held.pop(name, {}), self._to_hold(name) if there else {}
        for key in held.keys() - wanted.keys():
            snapshot.remove(key)
        for key, pod in wanted.items():
            if held.get(key) != pod:
                snapshot.place(pod, name)
        if wanted:
            self._held[name] = wanted

    def pass_time(self, now: datetime) -> list[Claim]:
        """Expect nothing more where the time for that has passed, and forget claims whose pods were never seen.

        Args:
            now: the API server's time, UTC.

        Returns:
            Those claims.
        """
        over = [name for name, spec in self._specs.items() if (until := moment(spec.expected_until)) and until <= now]
        for name in over:
            self.reserve(name, None)
        late = [claim for claim in self._claims.values() if claim.until <= self._monotonic()]
        for claim in late:
            self.release(claim)
        return late

    @contextmanager
    def making_way(self, pod: Pod, name: str) -> Iterator[None]:
        """A block in which the room that is held for a pod on a node is free.

        Args:
            pod: the pod.
            name: the node's name.
        """
        snapshot = self._snapshot()
        own = next(self._held_for(pod, name), None)
        with snapshot.trial():
            if own is not None:
                snapshot.remove(own)
            yield

    def admit(self, id: str, pod: Pod, name: str) -> Claim:
        """Count a pod on a node that is about to be stored.

        Args:
            id: of the claim.
            pod: as it will be stored.
            name: the node's name.
        """
        metadata = msgspec.structs.replace(pod.metadata, name=f"{name}:claim:{id}", uid=id)
        known = msgspec.structs.replace(pod, metadata=metadata)
        claim = self._claims[id] = Claim(id, known, name, self._monotonic() + CLAIM_LASTS)
        if name in self._snapshot().nodes.slots:
            self._snapshot().place(known, name)
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
            self.refresh(claim.node)

    # --- pieces ---

    def _drop(self, claim: Claim) -> bool:
        if self._claims.pop(claim.id, None) is None:
            return False
        self._snapshot().remove(claim.pod.key)
        return True

    def _count(self, name: str) -> None:
        """See which slots of a node are free."""
        spec = self._specs.get(name)
        self._free.pop(name, None)
        if spec is not None:
            claimed = (claim.pod for claim in self._claims.values() if claim.node == name)
            left = rules.slots_left(spec.slots, [*self._pods_on(name), *claimed])
            self._free[name] = left if any(slot.count for slot in left) else ()

    def _left(self, name: str, pod: Pod) -> int:
        return sum(slot.count for slot in self._free.get(name, ()) if rules.belongs_to(pod, slot.owner))

    def _to_hold(self, name: str) -> dict[str, Pod]:
        pods = (
            _simulated(slot, _held_name(name, index, number))
            for index, slot in enumerate(self._free.get(name, ()))
            for number in range(min(slot.count, MOST_HELD))
        )
        return {pod.key: pod for pod in pods}

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
    revision = pod.metadata.labels.get(_REVISION, "")
    if controller.kind == "ReplicaSet" and revision and controller.name.endswith(f"-{revision}"):
        yield f"{namespace}/Deployment/{controller.name[: -len(revision) - 1]}"


def _simulated(slot: Slot, name: str) -> Pod:
    """A pod that wants what a slot's pods do."""
    metadata = ObjectMeta(name=name, namespace=slot.owner.namespace)
    return Pod(metadata=metadata, spec=PodSpec(containers=(Container(resources=_requirements(slot.requests)),)))


def _requirements(requests: Mapping[str, str | int]) -> ResourceRequirements:
    """What a slot requests, as far as it can be read."""
    return ResourceRequirements(requests={name: text for name, text in requests.items() if _readable(text)})


def _readable(text: str | int) -> bool:
    try:
        return parse(text) >= 0
    except QuantityError:
        return False
