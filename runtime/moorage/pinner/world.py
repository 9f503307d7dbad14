"""All that is known: caches with our own writes on top, the snapshot for the fit check, and pods being bound.

Nodes that are promised stand in the snapshot as promised, with the DaemonSet pods that will come to them. A pod that is
admitted to a node is counted there from that moment (a claim), whether or not the API server has heard of it yet.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

import msgspec

from moorage.kube.cache import Change, WatchCache
from moorage.objects import KubeObject, Node, Pod
from moorage.reservations import NodeReservation, Reading, Spec, merging, read
from moorage.scheduling import Snapshot

from .caches import BY_NODE, Caches, Latest
from .coming import Coming
from .names import FINALIZER, made_for
from .profiles import choose
from .promised import as_promised
from .refusal import Refusal
from .room import NodeRoom
from .signs import UNKNOWN, Signs
from .steps import Observation, PinState
from .sweeps import Sweeps
from .unwritten import Intents, done

_NOTHING = Reading(Spec(), ())
NOTHING_HINDERS: Mapping[str, Refusal] = {}


@dataclass(slots=True)
class Claim:
    """A pod that was admitted to a node: ``bound`` once the API server has said yes."""

    uid: str
    node: str
    arrivals: int
    bound: bool = False


class World:
    """What the pinner knows.

    Args:
        caches: the watch caches; followed from now on.
        default_profile: the profile of promises that name none.
        stir: called with the name of a node about which something has changed.
    """

    def __init__(self, caches: Caches, *, default_profile: str, stir: Callable[[str], None]) -> None:
        self.reservations = Latest(caches.reservations)
        self.nodes = Latest(caches.nodes)
        self.pods = Latest(caches.pods)
        self.snapshot = Snapshot()
        self.intents = Intents()
        self.claims: dict[str, Claim] = {}
        self.refused: dict[str, Refusal] = {}  # by reservation uid: why the API server did not take the Node
        self.failed: dict[str, dict[str, PinState]] = {}  # by reservation uid, then pin uid: refused for good
        self.not_kept: dict[str, frozenset[str]] = {}  # by Node uid: labels and taints that do not stay as they are set
        self.signs: dict[str, Signs] = {}  # node to what told of a kubelet when we looked last
        self._caches = caches
        self._default_profile = default_profile
        self._stir = stir
        self._readings: dict[str, tuple[NodeReservation, Reading]] = {}
        self._landing: defaultdict[str, set[str]] = defaultdict(set)  # node to the keys of pods bound to it, not seen
        self._arrivals: defaultdict[str, int] = defaultdict(int)  # how often a node's room was changed by others
        self._offers: dict[str, object] = {}  # node to what it offers; a new object only when that has changed
        self._in_place: dict[str, tuple[object, object, object]] = {}  # pod uid to what it was found in place by
        self._made: dict[str, str] = {}  # uid of a reservation for which a placeholder was made, to the Node's
        self._coming = Coming(self.snapshot, caches.daemon_sets)
        self._subscriptions = tuple(self._subscribe())

    def close(self) -> None:
        """Follow the caches no more."""
        for unsubscribe in self._subscriptions:
            unsubscribe()

    # --- reading ---

    @property
    def reserved(self) -> Iterator[str]:
        """The names of all nodes that have a reservation."""
        return iter(tuple(self._readings))

    def reading(self, name: str) -> Reading:
        """What the reservation of a node says; nothing when there is none."""
        known = self._readings.get(name)
        return known[1] if known is not None else _NOTHING

    def reservation(self, name: str) -> NodeReservation | None:
        """The reservation of a node."""
        known = self._readings.get(name)
        return known[0] if known is not None else None

    def is_ours(self, name: str) -> bool:
        """Whether the Node of a reservation was made for it."""
        node, reservation = self.nodes.get(name), self.reservation(name)
        if node is None or reservation is None:
            return False
        node_uid = self.reading(name).spec.node_uid or self._made.get(reservation.metadata.uid, "")
        return made_for(node, reservation_uid=reservation.metadata.uid, node_uid=node_uid)

    def pod(self, key: str) -> Pod | None:
        """A pod as it is, our own bindings included."""
        pod = self.pods.get(key)
        claim = self.claims.get(key)
        if pod is None or claim is None or not claim.bound or claim.uid != pod.metadata.uid or pod.spec.node_name:
            return pod
        return msgspec.structs.replace(pod, spec=msgspec.structs.replace(pod.spec, node_name=claim.node))

    def pods_on(self, name: str) -> tuple[Pod, ...]:
        """The pods that are bound to a node, our own bindings included."""
        seen = [pod for pod in self._caches.pods.by(BY_NODE, name) if self.pods.get(pod.key) is not None]
        landing = [self.pod(key) for key in self._landing.get(name, ())]
        known = {pod.key for pod in seen}
        return (*seen, *(pod for pod in landing if pod is not None and pod.key not in known))

    def observe(
        self,
        name: str,
        now: datetime,
        *,
        confirmed: bool,
        sweeps: Sweeps,
        hindered: Mapping[str, Refusal] = NOTHING_HINDERS,
        trouble: Refusal | None = None,
    ) -> Observation:
        """What is known of a node at this moment.

        Args:
            name: the node's name.
            now: the API server's time, UTC.
            confirmed: whether the Node was read from the API server just now.
            sweeps: how often pods were swept.
            hindered: why pins could not be bound so far, by uid.
            trouble: what hindered other steps when it was looked at last.
        """
        reservation, node = self.reservation(name), self.nodes.get(name)
        if reservation is None:
            return Observation(name, now, node=node)
        stored, problems = self.reading(name)
        uid = reservation.metadata.uid
        spec, promise, pods = self.intents.of(name), stored.promise, self.pods_on(name)
        if FINALIZER in reservation.metadata.finalizers:
            spec = merging.with_pins(spec, done(pods, spec))
        pinned = {pin.uid: pod for pin in spec.pins if (pod := self.pod(pin.key)) is not None}
        observation = Observation(
            name,
            now,
            reservation=reservation,
            stored=stored,
            spec=spec,
            problems=problems,
            profile=choose(promise.profile, self._default_profile) if promise is not None else None,
            node=node,
            pods=pods,
            pinned=pinned,
            made=bool(spec.node_uid) or uid in self._made,
            made_uid=self._made.get(uid, ""),
            confirmed=confirmed,
            signs=self.signs.get(name, UNKNOWN),
            refused=self.refused.get(uid),
            failed=self.failed.get(uid, {}),
            hindered=hindered,
            trouble=trouble,
            not_kept=self.not_kept.get(node.metadata.uid, frozenset()) if node is not None else frozenset(),
            sweeps_left=sweeps.left(),
            sweep_limit=sweeps.limit,
        )
        if observation.ours and not observation.made:
            self._made[uid] = ""
            return dataclasses.replace(observation, made=True)
        return observation

    def room(self, name: str) -> NodeRoom:
        """What is left on a node, for ``decide``."""
        return NodeRoom(self, name)

    def known_in_place(self, pod: Pod, name: str) -> bool:
        """Whether a pod was found to be where it may start, and neither it nor the node has changed in that."""
        known = self._in_place.get(pod.metadata.uid)
        return known is not None and all(a is b for a, b in zip(known, self._place_of(pod, name), strict=True))

    def found_in_place(self, pod: Pod, name: str) -> None:
        """A pod is where it may start."""
        self._in_place[pod.metadata.uid] = self._place_of(pod, name)

    def _place_of(self, pod: Pod, name: str) -> tuple[object, object, object]:
        """What decides it; equal parts are the same objects, because caches share them."""
        return (pod.spec.node_selector, pod.spec.affinity, self._offers.get(name))

    # --- our own writes ---

    def wrote_reservation(self, reservation: NodeReservation) -> None:
        """Take over the answer to a write."""
        self.reservations.wrote(reservation)
        self._read(reservation.metadata.name)

    def found_reservation(self, reservation: NodeReservation) -> None:
        """Take over what was read, because it is not as it was thought to be."""
        self.wrote_reservation(reservation)
        self._stir(reservation.metadata.name)

    def ended_reservation(self, reservation: NodeReservation) -> None:
        """A reservation is gone."""
        self.reservations.deleted(reservation.key, reservation.metadata.uid)
        for known in (self._made, self.refused, self.failed):
            known.pop(reservation.metadata.uid, None)
        self.signs.pop(reservation.metadata.name, None)
        self._read(reservation.metadata.name)

    def wrote_node(self, node: Node) -> None:
        """Take over the answer to a write, or a fresh read."""
        self.nodes.wrote(node)
        self._place_node(node.metadata.name)

    def deleted_node(self, node: Node) -> None:
        """A Node is gone."""
        self.nodes.deleted(node.key, node.metadata.uid)
        self.not_kept.pop(node.metadata.uid, None)
        self._place_node(node.metadata.name)

    def made(self, reservation_uid: str, node: Node) -> None:
        """A placeholder was made for this reservation."""
        self._made[reservation_uid] = node.metadata.uid
        self.wrote_node(node)

    def pin_failed(self, name: str, uid: str, state: PinState) -> None:
        """A pin of a node was refused for good."""
        reservation = self.reservation(name)
        if reservation is not None:
            self.failed.setdefault(reservation.metadata.uid, {})[uid] = state

    def pins_anew(self, name: str, uids: Iterable[str]) -> None:
        """Pods are to be pinned to a node, whatever became of it before."""
        reservation = self.reservation(name)
        failed = self.failed.get(reservation.metadata.uid, {}) if reservation is not None else {}
        for uid in uids if failed else ():
            failed.pop(uid, None)

    def deleted_pod(self, pod: Pod) -> None:
        """A pod is gone."""
        self.pods.deleted(pod.key, pod.metadata.uid)
        self.release(pod)
        self.snapshot.delete(Pod, pod.key)

    # --- claims ---

    def claim(self, pod: Pod, node: str) -> None:
        """Count a pod on a node from now on."""
        self.claims[pod.key] = Claim(pod.metadata.uid, node, self._arrivals[node])
        self.snapshot.place(pod, node)

    def still_room(self, pod: Pod) -> bool:
        """Whether nothing came to the node since the pod was admitted: then it still fits."""
        claim = self.claims.get(pod.key)
        return claim is not None and claim.arrivals == self._arrivals[claim.node]

    def landed(self, pod: Pod) -> None:
        """The API server has bound a claimed pod."""
        claim = self.claims.get(pod.key)
        if claim is None:
            return  # the watch was faster, and has told already
        claim.bound = True
        self._landing[claim.node].add(pod.key)

    def release(self, pod: Pod) -> None:
        """A claimed pod will not be bound after all, or the watch has seen it."""
        claim = self.claims.get(pod.key)
        if claim is None or claim.uid != pod.metadata.uid:
            return
        del self.claims[pod.key]
        landing = self._landing.get(claim.node)
        if landing is not None:
            landing.discard(pod.key)
            if not landing:
                del self._landing[claim.node]
        known = self.pods.get(pod.key)
        if known is None or not known.spec.node_name:
            self.snapshot.remove(pod.key)

    # --- what the caches say ---

    def _subscribe(self) -> Iterator[Callable[[], None]]:
        caches = self._caches
        plain: Iterable[WatchCache[KubeObject]] = (
            caches.namespaces,  # type: ignore[assignment] # only read
            caches.storage_classes,
            caches.volumes,
            caches.claims,
            caches.csi_nodes,
            caches.attachments,
        )
        for cache in plain:
            yield cache.subscribe(self._on_plain)
        yield caches.reservations.subscribe(self._on_reservation)
        yield caches.nodes.subscribe(lambda change: self._on_node(change.object.metadata.name))
        yield caches.pods.subscribe(self._on_pod)
        yield caches.daemon_sets.subscribe(lambda change: self._coming.changed(change.object.key))

    def _on_plain(self, change: Change[KubeObject]) -> None:
        if change.new is None:
            self.snapshot.delete(type(change.object), change.object.key)
        else:
            self.snapshot.apply(change.new)

    def _on_reservation(self, change: Change[NodeReservation]) -> None:
        name = change.object.metadata.name
        if self._read(name) or change.new is None:  # no news are our own writes, and all of status
            self._stir(name)

    def _read(self, name: str) -> bool:
        """Take note of a reservation; returns whether it means something else than before."""
        reservation = self.reservations.get(name)
        known = self._readings.get(name)
        if known is None and reservation is None:
            return False
        if known is not None and reservation is not None and _same_intent(known[0], reservation):
            self._readings[name] = (reservation, known[1])
            return _ends(known[0]) != _ends(reservation)
        if reservation is None:
            self._readings.pop(name, None)
            self.intents.stored(name, None, anew=False)
        else:
            reading = read(reservation)
            self._readings[name] = (reservation, reading)
            anew = known is not None and known[0].metadata.uid != reservation.metadata.uid
            self.intents.stored(name, reading.spec, anew=anew)
        before = known[1].spec.promise if known is not None else None
        if self.reading(name).spec.promise != before or (known is None) != (reservation is None):
            self._place_node(name)
        return True

    def _on_node(self, name: str) -> None:
        self._place_node(name)
        if name in self._readings:
            self._stir(name)

    def _place_node(self, name: str) -> None:
        node = self.nodes.get(name)
        if node is None:
            self.snapshot.delete(Node, name)
            self._coming.forget(name)
            self._offers.pop(name, None)
            return
        promise = self.reading(name).spec.promise
        if promise is None:
            self.snapshot.apply(node)
            self._coming.forget(name)
            return
        promised = as_promised(name, promise, node)
        offer = (
            promised.metadata.labels,
            promised.spec.taints,
            promised.spec.unschedulable,
            promised.status.allocatable,
        )
        if self._offers.get(name) != offer:
            self._offers[name] = offer
            self._arrivals[name] += 1
        self.snapshot.apply(promised)
        self._coming.node(promised, self._caches.pods.by(BY_NODE, name))

    def _on_pod(self, change: Change[Pod]) -> None:
        pod = change.object
        key = pod.key
        claim = self.claims.get(key)
        self.pods.get(key)  # lets go of what the watch has caught up with
        if change.new is None and claim is not None and claim.uid != pod.metadata.uid:
            pass  # its successor of the same name is being bound
        elif change.new is None:
            self.snapshot.delete(Pod, key)
            self.release(pod)
            self._in_place.pop(pod.metadata.uid, None)
        elif claim is not None and claim.uid == pod.metadata.uid and not pod.spec.node_name:
            pass  # it is being bound: an older state of it must not take it off its node
        else:
            self.snapshot.apply(pod)
            if claim is not None:
                self.release(pod)
        node = pod.spec.node_name
        if node and node in self._readings:
            came_by_us = claim is not None and claim.uid == pod.metadata.uid and claim.node == node
            if not came_by_us and (change.old is None or not change.old.spec.node_name):
                self._arrivals[node] += 1
            self._coming.pod(node, pod, gone=change.new is None or pod.finished)
            if not came_by_us and self._matters(node, change):
                self._stir(node)
        for name in self.intents.nodes_of(pod.metadata.uid):
            if name != node:
                self._stir(name)

    def _matters(self, node: str, change: Change[Pod]) -> bool:
        """Whether a change of a pod can make a difference to its node's reservation: most heartbeats cannot."""
        reservation, spec = self._readings[node][0], self._readings[node][1].spec
        if FINALIZER in reservation.metadata.finalizers or spec.slots:
            return True
        return change.new is not None and change.new.finished


def _same_intent(one: NodeReservation, other: NodeReservation) -> bool:
    return one is other or (one.metadata.uid == other.metadata.uid and one.spec == other.spec)


def _ends(reservation: NodeReservation) -> tuple[object, object]:
    """What beside the spec is read as an intent."""
    return (reservation.metadata.finalizers, reservation.metadata.deletion_timestamp)
