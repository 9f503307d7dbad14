"""What the caches say, and pods that are being bound before the caches say so; ``ClusterState`` adds the rest."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, NoReturn

import msgspec

from moorage.cluster.caches import BY_NODE, Latest
from moorage.cluster.fit_snapshot import FitSnapshot
from moorage.kube.cache import Change, WatchCache
from moorage.kube.unreadable import Unreadable
from moorage.objects import KubeObject, Node, Pod
from moorage.reservations import NodeReservation, SlotReservation, merging, read, rules
from moorage.scheduling import Snapshot

from ..decisions import late, slot_reservations
from ..decisions.ends import Ends
from ..names import FINALIZER
from ..promised.expected import Expectation, Expected
from ..promised.manifest import as_promised
from ..refusal import Refusal
from .caches import Caches
from .readings import NOTHING, Readings
from .unstored import Intents

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Claim:
    """A pod that was admitted to a node: ``bound`` once the API server has said yes."""

    uid: str
    node: str
    arrivals: int
    bound: bool = False


class SnapshotUnusable(Exception):
    """The snapshot for the fit check is wrong, and cannot be built anew: the next term begins from the caches."""


class Following(Readings):
    """Follows the caches, once ``follow`` has taken over what they hold.

    Args:
        caches: the watch caches.
        ends: what became of pins; told of those that do not say so themselves.
        enqueue: called with the name of a node about which something has changed.
        enqueue_later: the same where nothing is urgent: a pod has come that we have admitted ourselves, and more
            come after it.
        enqueue_slots: called with the name of a node of whose SlotReservation something may be different now.
    """

    def __init__(
        self,
        caches: Caches,
        ends: Ends,
        enqueue: Callable[[str], None],
        enqueue_later: Callable[[str], None] | None = None,
        enqueue_slots: Callable[[str], None] = lambda _: None,
    ) -> None:
        super().__init__(caches)
        self.slot_reservations = Latest(caches.slot_reservations)
        self.pods = Latest(caches.pods)
        self.intents = Intents()
        self.ends = ends
        self.claims: dict[str, Claim] = {}
        self._enqueue, self._enqueue_later, self._enqueue_slots = enqueue, enqueue_later or enqueue, enqueue_slots
        self._on_running: dict[str, Expectation] = {}  # node that runs to what is expected there
        self._admitted: defaultdict[str, set[str]] = defaultdict(set)  # node to the keys of the pods claimed for it
        self._arrivals: defaultdict[str, int] = defaultdict(int)  # how often a node's room was changed by others
        self._arrivals_everywhere = 0  # how often that of all nodes may have been
        self._in_place: dict[str, tuple[object, object, object]] = {}  # pod uid to what it was found in place by
        self._waits: dict[str, dict[str, Refusal]] = {}  # node to the pods that wait for what cannot be read, by uid
        self._unusable: Exception | None = None
        self._ended = asyncio.Event()
        self._layout = FitSnapshot(caches, self.nodes, self._as_promised, self._claimed, self._is_claimed)
        self.expected = Expected(lambda: self.snapshot, self._coming_to, self.node_name)
        self._subscriptions: list[Callable[[], None]] = []

    def follow(self) -> Iterator[None]:
        """Take over what the caches hold, and follow them from then on.

        Each step takes over one object. Nothing may be asked before the last one: until then a part is missing. All
        kinds are followed from the first step on: what goes meanwhile may be known through an object of another kind.
        """
        parts = tuple(self._subscribe())
        self._subscriptions += (unsubscribe for unsubscribe, _ in parts)
        for _, steps in parts:
            yield from steps

    def close(self) -> None:
        """Follow the caches no more."""
        for unsubscribe in self._subscriptions:
            unsubscribe()

    async def wait_unusable(self) -> NoReturn:
        """Wait for as long as the snapshot can be relied upon.

        Raises:
            SnapshotUnusable: it cannot any more.
        """
        await self._ended.wait()
        raise SnapshotUnusable(str(self._unusable)) from self._unusable

    # --- reading ---

    @property
    def snapshot(self) -> Snapshot:
        """What the fit check is asked of; another one after it was built anew."""
        return self._layout.snapshot

    def pod(self, key: str) -> Pod | None:
        """A pod as it is, our own bindings included."""
        pod = self.pods.get(key)
        claim = self.claims.get(key)
        if pod is None or claim is None or not claim.bound or claim.uid != pod.metadata.uid or pod.spec.node_name:
            return pod
        return msgspec.structs.replace(pod, spec=msgspec.structs.replace(pod.spec, node_name=claim.node))

    def pods_on(self, name: str) -> tuple[Pod, ...]:
        """The pods that are bound to a reservation's Node, our own bindings included."""
        node = self.node_name(name)
        if not node:
            return ()
        newest = self.pods.remaining(self._caches.pods.by(BY_NODE, node))
        seen = [pod for pod in newest if pod.spec.node_name == node]  # one of the same name may be elsewhere
        landing = [self.pod(key) for key in self._admitted.get(node, ()) if self.claims[key].bound]
        known = {pod.key for pod in seen}
        return (*seen, *(pod for pod in landing if pod is not None and pod.key not in known))

    def _coming_to(self, name: str) -> Iterator[Pod]:
        """The pods on a reservation's Node, and those that are being bound to it."""
        yield from self.pods_on(name)
        keys = [key for key in self._admitted.get(self.node_name(name), ()) if not self.claims[key].bound]
        yield from (pod for key in keys if (pod := self.pods.get(key)) is not None)

    def _as_promised(self, name: str, node: Node) -> Node | None:
        promise = self.reading(self.reserved_as(name)).spec.promise
        if promise is None:  # a node on which pods are expected is what it is, with the DaemonSet pods to come
            return node if name in self._on_running else None
        return as_promised(name, promise, node, self._caches.pods.by(BY_NODE, name))

    # --- claims ---

    def claim(self, pod: Pod, node: str) -> None:
        """Count a pod on a node from now on."""
        if (before := self.claims.get(pod.key)) is not None:  # of a pod whose name is another's now
            self._unadmit(pod.key, before.node)
        self.claims[pod.key] = Claim(pod.metadata.uid, node, self._arrivals_at(node))
        self._admitted[node].add(pod.key)
        self.snapshot.place(pod, node)
        self._recount(node)

    @contextmanager
    def trial(self, node: str) -> Iterator[Callable[[Pod], None]]:
        """A block in which pods can be counted on a node as if they were claimed; all is taken back at its end.

        Args:
            node: the Node's name.

        Yields:
            What counts a pod.
        """
        counted: list[Pod] = []

        def count(pod: Pod) -> None:
            counted.append(pod)
            self.snapshot.place(pod, node)
            for each in names:
                self.expected.refresh(each, counted)

        names = tuple(dict.fromkeys((self.reserved_as(node), node)))
        with self.expected.kept(names), self.snapshot.trial():
            yield count

    def expect(self, id: str, pod: Pod, name: str) -> None:
        """Count a pod on a reservation's Node that is about to be created there."""
        self._arrivals[self.expected.admit(id, pod, name).node] += 1

    def still_room(self, pod: Pod) -> bool:
        """Whether nothing came to the node since the pod was admitted: then it still fits."""
        claim = self.claims.get(pod.key)
        return claim is not None and claim.arrivals == self._arrivals_at(claim.node)

    def _arrivals_at(self, node: str) -> int:
        return self._arrivals_everywhere + self._arrivals.get(node, 0)

    def _unadmit(self, key: str, node: str) -> None:
        self._admitted[node].discard(key)
        if not self._admitted[node]:
            del self._admitted[node]
            self._forget_arrivals(node)

    def _forget_arrivals(self, node: str) -> None:
        """Count no more for a Node that has gone, once nobody's admission is compared with it."""
        if self.nodes.get(node) is None and node not in self._admitted:
            self._arrivals.pop(node, None)

    def landed(self, pod: Pod) -> None:
        """The API server has bound a claimed pod."""
        claim = self.claims.get(pod.key)
        if claim is None:
            return  # the watch was faster, and has told already
        claim.bound = True

    def release(self, pod: Pod) -> None:
        """A claimed pod will not be bound after all, or the watch has seen it."""
        claim = self.claims.get(pod.key)
        if claim is None or claim.uid != pod.metadata.uid:
            return
        del self.claims[pod.key]
        self._unadmit(pod.key, claim.node)
        known = self.pods.get(pod.key)
        if known is None or not known.spec.node_name:
            self.snapshot.remove(pod.key)
        self._recount(claim.node)

    # --- what the caches say ---

    def _subscribe(self) -> Iterator[tuple[Callable[[], None], Iterator[None]]]:
        """Subscribe to one kind after the other; those that others are understood by come first."""
        caches = self._caches
        for cache in caches.plain:
            yield self._follow(cache, self._layout.changed)
        yield self._follow(caches.daemon_sets, self._layout.daemons_changed)
        yield self._follow(caches.reservations, self._on_reservation)
        yield caches.slot_reservations.subscribe_in_steps(
            lambda change: self._enqueue_slots(change.object.metadata.name)
        )
        yield self._follow(caches.nodes, lambda change: self._on_node(change.object.metadata.name))
        yield self._follow(caches.pods, self._on_pod)

    def _follow(
        self, cache: WatchCache[Any], changed: Callable[[Change[Any]], None]
    ) -> tuple[Callable[[], None], Iterator[None]]:
        def told(change: Change[Any]) -> None:
            changed(change)
            if self._layout.in_doubt:
                self._trust(type(change.object), change.object.key)

        return cache.subscribe_in_steps(told, unread=partial(self._on_unread, cache))

    def _on_unread(self, cache: WatchCache[Any], key: str, item: Unreadable[Any] | None) -> None:
        kind = cache.resource.type
        try:
            if item is None:
                self._trust(kind, key)
            elif self._layout.doubt(kind, key, item):  # who was admitted there is judged again
                if kind is Pod:
                    self._arrivals[item.rest.spec.node_name] += 1
                else:
                    self._arrivals_everywhere += 1
        except Exception as error:
            fields = {"kind": cache.resource.kind, "object": key}
            logger.critical("fit snapshot cannot be built anew, the term ends", extra=fields, exc_info=error)
            self._unusable = error
            self._ended.set()

    def _trust(self, kind: type[KubeObject], key: str) -> None:
        """An object can be read: who waits for it is looked at again."""
        if self._layout.trust(kind, key):
            for name in self._waits:
                self._enqueue(name)

    def _claimed(self) -> Iterator[tuple[Pod, str]]:
        """The pods that are being bound or created, room that is held for others, and where."""
        yield from self.expected.all()
        for key, claim in self.claims.items():
            pod = self.pods.get(key)
            if pod is not None and pod.metadata.uid == claim.uid:
                yield pod, claim.node

    def _is_claimed(self, key: str) -> bool:
        """Whether a pod is being bound; pods that only hold room have keys that no real one has."""
        claim, pod = self.claims.get(key), self.pods.get(key)
        return claim is not None and pod is not None and pod.metadata.uid == claim.uid

    def _on_reservation(self, change: Change[NodeReservation]) -> None:
        name = change.object.metadata.name
        if self._read(name) or change.new is None:  # no news are our own writes, and all of status
            self._enqueue(name)

    def _read(self, name: str) -> bool:
        """Take note of a reservation; returns whether it means something else than before."""
        reservation = self.reservations.get(name)
        known = self._readings.get(name)
        if known is None and reservation is None:
            return False
        if known is not None and reservation is not None and merging.same_intent(known[0], reservation):
            self._readings[name] = (reservation, known[1])
            if merging.ends(known[0]) == merging.ends(reservation):
                return False
            self._learn(name, self.node_name(name))
            return True
        node = self.node_name(name) if known is not None else ""
        if reservation is None:
            self._readings.pop(name, None)
            self.intents.stored(name, None, anew=False)
        else:
            reading = read(reservation)
            self._readings[name] = (reservation, reading)
            anew = known is not None and known[0].metadata.uid != reservation.metadata.uid
            self.intents.stored(name, reading.spec, anew=anew)
        self._learn(name, node)
        self._reserve(name)
        self._enqueue_slots(self.node_name(name) or name)
        before = known[1].spec.promise if known is not None else None
        if self.reading(name).spec.promise != before or (known is None) != (reservation is None):
            self._place_node(self.node_name(name) or node)
        return True

    def _learn(self, name: str, before: str) -> None:
        """Take note of which Node a late reservation has, or that it waits for one.

        Args:
            name: of the reservation.
            before: name of its Node so far.
        """
        spec = self.reading(name).spec
        node = spec.named(name) if name in self._readings else ""
        instance = spec.promise.provider_id if spec.promise is not None and self._is_wanted(name) else ""
        for other in self._instances.promise(name, instance):
            self._enqueue(other)
        self._machines.learned(name, before, node)
        sought = self._machines.seek(name, spec.promise if not node and self._is_wanted(name) else None)
        changed = [each for each in (before, node) if each and before != node]
        for each in changed:
            self._place_node(each)
        if sought is not None:  # what else it would have meant is for somebody else now
            changed += [each.metadata.name for each in self._meant(sought)]
        for each in dict.fromkeys(changed):
            self._offer(each)

    def _reserve(self, name: str) -> None:
        """Count on a node who is expected there."""
        reservation, reading = self._readings.get(name, (None, NOTHING))
        counts = reservation is not None and reservation.metadata.deletion_timestamp is None and not reading.problems
        promised = Expectation.of(reading.spec) if counts else None
        self.expected.reserve(name, self._on_running.get(name) or promised)

    def promised(self, name: str, now: datetime) -> bool:
        """Whether a NodeReservation holds a node, or expects pods there.

        Args:
            name: the node's name.
            now: the API server's time, UTC.
        """
        name = self.reserved_as(name)
        reservation, reading = self._readings.get(name, (None, NOTHING))
        holds = reservation is not None and FINALIZER in reservation.metadata.finalizers
        return holds or rules.expecting(reading.spec, now, self.pods_on(name))

    def expect_on_running(self, name: str, expectation: Expectation | None) -> None:
        """What is expected on a node that runs; None: nothing is."""
        if self._on_running.get(name) == expectation:
            return
        if expectation is None:
            del self._on_running[name]
        else:
            self._on_running[name] = expectation
        self._place_node(name)
        self._reserve(name)

    @property
    def slot_reserved(self) -> list[str]:
        """The names of all nodes that have a SlotReservation."""
        return [each.metadata.name for each in self._caches.slot_reservations]

    def slot_reservation(self, name: str) -> SlotReservation | None:
        """The SlotReservation of a node."""
        return self.slot_reservations.get(name)

    def _on_node(self, name: str) -> None:
        for reserved in self._instances.node(name, self.nodes.get(name)):
            self._enqueue(reserved)
        self._place_node(name)
        self._forget_arrivals(name)
        self._offer(name)
        if self.slot_reservation(name) is not None:
            self._enqueue_slots(name)

    def _offer(self, name: str) -> None:
        """See that a Node is looked at: by the reservation that has it, by one that wants it, or for itself."""
        node = self.nodes.get(name)
        wanted = self.reserved_as(name) or self._machines.sought_by(name, node)
        if wanted or (node is not None and late.brought(node)):
            self._enqueue(wanted or name)

    def _place_node(self, name: str) -> None:
        if self._layout.place_node(name):
            self._arrivals[name] += 1
        self._recount(name)

    def _recount(self, node: str) -> None:
        """Hold what is held on a Node, by its reservation or because it runs."""
        if self.expected.nothing:
            return
        for each in dict.fromkeys((self.reserved_as(node), node)):
            self.expected.refresh(each)

    def _on_pod(self, change: Change[Pod]) -> None:
        pod = change.object
        key = pod.key
        claim = self.claims.get(key)
        created = self.expected.seen(pod) if pod.spec.node_name or change.new is None else None
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
        reserved = self.reserved_as(node) if node else ""
        bound = claim is not None and claim.uid == pod.metadata.uid and claim.node == node
        expected = created is not None and created.node == node
        if reserved:
            if not bound and not expected and (change.old is None or not change.old.spec.node_name):
                self._arrivals[node] += 1
            if not bound and self._matters(reserved, change):
                (self._enqueue_later if expected else self._enqueue)(reserved)
        if node:
            self._count_on(node, reserved, change)
        if created is not None and created.node != node:
            self.expected.refresh(created.reserved)
        waits = self.expected.expecting(pod) if change.new is not None and not node else ()
        for name in {*self.intents.nodes_of(pod.metadata.uid), *(each for each in waits if each in self._readings)}:
            if name != reserved:
                self._enqueue(name)

    def _count_on(self, node: str, reserved: str, change: Change[Pod]) -> None:
        """A pod has come to a Node, has changed there or is gone.

        Args:
            node: the Node's name.
            reserved: of its reservation; empty when it has none.
            change: of the pod.
        """
        pod, runs = change.object, node in self._on_running
        if pod.is_mirror and reserved and (promise := self.reading(reserved).spec.promise) and promise.static_pods:
            self._place_node(node)  # room was held for it
        if change.new is not None and reserved in self.intents.nodes_of(pod.metadata.uid):
            self.ends.pinned(pod)  # the scheduler has followed our nomination, or a policy took our mark off
        if runs or reserved:
            self._layout.coming.pod(node, pod, gone=change.new is None or pod.finished)
            self._recount(node)
        if runs:
            self._enqueue_slots(node)
        if change.new is not None and slot_reservations.may_be_stuck(pod):
            self._enqueue(reserved or node)

    def _matters(self, name: str, change: Change[Pod]) -> bool:
        """Whether a change of a pod can make a difference to its node's reservation: most heartbeats cannot."""
        reservation, spec = self._readings[name][0], self._readings[name][1].spec
        if FINALIZER in reservation.metadata.finalizers or spec.slots:
            return True
        return change.new is not None and change.new.finished
