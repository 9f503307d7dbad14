"""All that is known: caches with our own writes on top, the snapshot for the fit check, and pods being bound.

Nodes that are promised stand in the snapshot as promised, with the DaemonSet pods that will come to them. A pod that is
admitted to a node is counted there from that moment (a claim), whether or not the API server has heard of it yet.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from moorage.objects import Node, Pod
from moorage.protocol import Outcome, ReasonCode
from moorage.reservations import NodeReservation, Owner, Pin, Problem, Promise, Spec, merging, rules
from moorage.scheduling import Verdict

from ..decisions import late, nominations, renamed, slot_reservations
from ..decisions.ends import Ends
from ..decisions.late import Unclaimed
from ..decisions.observation import Observation, PinState
from ..decisions.signs import UNKNOWN, Signs
from ..decisions.sweeps import Sweeps
from ..names import FINALIZER, HOSTNAME, PREPARING_TAINT, made_for, preparing
from ..promised import hostname
from ..promised.expected import key_of
from ..providers import choose
from ..refusal import Refusal
from .caches import WAITING, Caches
from .following import Following
from .unstored import done

LONGEST_TURN = timedelta(seconds=3)
"""How long a node that is being opened to the scheduler keeps others from it."""
AFTER_TURN = timedelta(seconds=1)
"""How long after one node was opened the next is: whom that has woken the scheduler tries first."""
EPOCH = datetime.min.replace(tzinfo=UTC)
ASK_AGAIN = timedelta(seconds=0.25)
NOTHING_HINDERS: Mapping[str, Refusal] = {}


class ClusterState(Following):
    """What the pinner knows, once ``follow`` has taken over what the caches hold.

    Args:
        caches: the watch caches.
        default_profile: the profile of promises that name none.
        enqueue: called with the name of a node about which something has changed.
        enqueue_later: the same where nothing is urgent; as ``enqueue`` unless it is given.
        enqueue_slots: called with the name of a node of whose SlotReservation something may be different now.
        ends: what became of pins; somebody else lets it follow the pods. None: nobody asks.
    """

    def __init__(
        self,
        caches: Caches,
        *,
        default_profile: str,
        enqueue: Callable[[str], None],
        enqueue_later: Callable[[str], None] | None = None,
        enqueue_slots: Callable[[str], None] = lambda _: None,
        ends: Ends | None = None,
    ) -> None:
        self.refused: dict[str, Refusal] = {}  # by reservation uid: why the API server did not take the Node
        self.failed: dict[str, dict[str, PinState]] = {}  # by reservation uid, then pin uid: refused for good
        self.not_kept: dict[str, frozenset[str]] = {}  # by Node uid: labels and taints that do not stay as they are set
        self.signs: dict[str, Signs] = {}  # node to what told of a kubelet when we looked last
        self._made: dict[str, str] = {}  # uid of a reservation for which a placeholder was made, to the Node's
        self._shown: dict[str, dict[tuple[str, int], datetime]] = {}  # node to its nominations, and since when seen
        self._turn = ("", EPOCH)  # whose it is to be opened, and for how long
        self._default_profile = default_profile
        super().__init__(caches, ends or Ends(1, lambda: EPOCH), enqueue, enqueue_later, enqueue_slots)

    # --- reading ---

    @property
    def reserved(self) -> Iterator[str]:
        """The names of all nodes that have a reservation."""
        return iter(tuple(self._readings))

    def all_nodes(self) -> Iterator[Node]:
        """The Nodes of the cluster as the watch shows them."""
        return iter(self._caches.nodes)

    def is_ours(self, name: str) -> bool:
        """Whether the Node of a reservation was made for it."""
        node, reservation = self.node(name), self.reservation(name)
        if node is None or reservation is None:
            return False
        node_uid = self.reading(name).spec.node_uid or self._made.get(reservation.metadata.uid, "")
        return made_for(node, reservation_uid=reservation.metadata.uid, node_uid=node_uid)

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
            name: of the reservation.
            now: the API server's time, UTC.
            confirmed: whether the Node was read from the API server just now.
            sweeps: how often pods were swept.
            hindered: why pins could not be bound so far, by uid.
            trouble: what hindered other steps when it was looked at last.
        """
        reservation, node, pods = self.reservation(name), self.node(name), self.pods_on(name)
        self.expected.pass_time(now)
        self._pass_turn(now)
        steered = frozenset(pod.metadata.uid for pod in pods if slot_reservations.may_be_stuck(pod))
        swept: dict[str, Any] = {
            "pods": pods,
            "steered": steered,
            "sweeps_left": sweeps.left(),
            "sweep_limit": sweeps.limit,
        }
        if reservation is None:
            unclaimed = self._unclaimed(name, node, now)
            return Observation(name, now, node=node, unclaimed=unclaimed, **(swept if steered else {}))
        if capped := self.ends.capped:
            owners, until = self.ends.capped_owners, self.ends.capped_until
            swept |= {"capped": capped, "capped_owners": owners, "capped_until": until}
        observation = Observation(
            name,
            now,
            reservation=reservation,
            node=node,
            confirmed=confirmed,
            trouble=trouble,
            **self._promised(name, reservation, now),
            **self._tried(reservation, node),
            **self._pins(name, reservation, pods, hindered, now),
            **swept,
        )
        if not observation.made and observation.is_ours:
            self._made[reservation.metadata.uid] = ""
            return dataclasses.replace(observation, made=True)
        return observation

    def _promised(self, name: str, reservation: NodeReservation, now: datetime) -> dict[str, Any]:
        """What a reservation says, and which Node and instance are meant, as fields of an observation."""
        stored, problems = self.reading(name)
        promise = stored.promise
        is_late = promise is not None and promise.late
        other = self.reserved_as(stored.named(name)) if is_late else self._machines.owner(name)
        if other not in ("", name):
            problems += (Problem("spec.nodeName", f"node {stored.named(name)} is that of reservation {other}"),)
        return {
            "made": bool(stored.node_uid) or reservation.metadata.uid in self._made,
            "stored": stored,
            "problems": problems,
            "profile": choose(promise.profile, self._default_profile) if promise is not None else None,
            "candidate": self._candidate(name, reservation) if is_late else None,
            "instance": self.instance_refusal(name, promise, now)
            if promise is not None and promise.provider_id
            else None,
        }

    def _tried(self, reservation: NodeReservation, node: Node | None) -> dict[str, Any]:
        """What became of our own writes, and what told of a kubelet, as fields of an observation."""
        uid = reservation.metadata.uid
        return {
            "made_uid": self._made.get(uid, ""),
            "signs": self.signs.get(reservation.metadata.name, UNKNOWN),
            "refused": self.refused.get(uid),
            "failed": self.failed.get(uid, {}),
            "not_kept": self.not_kept.get(node.metadata.uid, frozenset()) if node is not None else frozenset(),
        }

    def with_intent(self, o: Observation, hindered: Mapping[str, Refusal], trouble: Refusal | None) -> Observation:
        """The same observation after pins were taken on; nothing must have been waited for since it was made.

        Args:
            o: of a node that has a reservation.
            hindered: as for ``observe``.
            trouble: as for ``observe``.
        """
        if o.reservation is None:
            return o
        changed = self._pins(o.name, o.reservation, o.pods, hindered, o.now)
        return dataclasses.replace(o, trouble=trouble, **changed)

    def _pins(
        self,
        name: str,
        reservation: NodeReservation,
        pods: tuple[Pod, ...],
        hindered: Mapping[str, Refusal],
        now: datetime,
    ) -> dict[str, Any]:
        """What is intended for a node and what is known of the pins' pods, as fields of an observation."""
        spec = self.intents.of(name)
        if FINALIZER in reservation.metadata.finalizers:
            spec = merging.with_pins(spec, done(pods, spec))
        pinned = {pin.uid: pod for pin in spec.pins if (pod := self.pod(pin.key)) is not None}
        waits = self._waits.get(name)
        return {
            "spec": spec,
            "pinned": pinned,
            "unread": {pin.uid: why for pin in spec.pins if pin.uid not in pinned and (why := self._unread_pod(pin))},
            "unseen": self._unseen(name, spec, pinned, now),
            "hindered": {**waits, **hindered} if waits else hindered,
        }

    def _unclaimed(self, name: str, node: Node | None, now: datetime) -> Unclaimed | None:
        """That no reservation has a Node which a machine brought along with our taint, if so."""
        wanted = self.reserved_as(name) or self._machines.sought_by(name, node)
        if node is None or wanted or not late.brought(node):
            self._machines.claimed(name)
            return None
        promises = ((each, self.reading(each).spec.promise) for each in self._machines.owners)
        like = sorted(each for each, promise in promises if promise is not None and late.selects(promise, node))
        return Unclaimed(self._machines.unclaimed(node, now), tuple(like))

    def instance_refusal(self, name: str, promise: Promise, now: datetime) -> Refusal | None:
        """Why the instance of a promise is not this node's; None when it may be, or when the promise names none.

        Of several reservations of one instance the oldest has it.

        Args:
            name: of the reservation, which need not exist.
            promise: what it promises.
            now: the API server's time, UTC.
        """
        if not promise.provider_id:
            return None
        own = self._age(name)
        for other in sorted(self._instances.promised(promise.provider_id) - {name}, key=self._age):
            node, spec = self.node(other), self.reading(other).spec
            ends = rules.expired(spec, now) and (node is None or not node.has_kubelet)
            if not ends and self._age(other) < own:
                return renamed.promised_before(name, promise.provider_id, other)
        since = self.reservation(name)
        known = (self.nodes.get(each) for each in sorted(self._instances.nodes(promise.provider_id)))
        return renamed.refuse(name, promise, since, [node for node in known if node is not None])

    def _age(self, name: str) -> tuple[str, str]:
        """What reservations are ordered by; one that does not exist yet comes last."""
        reservation = self.reservation(name)
        return (reservation.metadata.creation_timestamp or "" if reservation is not None else "~", name)

    def _candidate(self, name: str, reservation: NodeReservation) -> Node | None:
        """The Node that a late reservation learns next."""
        promise = self.reading(name).spec.promise
        if promise is None or not self._machines.waits(name):
            return None
        meant = (each.metadata.name for each in self._meant(promise))
        free = (node for each in meant if not self.reserved_as(each) and (node := self.nodes.get(each)) is not None)
        return self._machines.choose(name, reservation.metadata.creation_timestamp or "", free)

    def turn(self, name: str, now: datetime) -> datetime | None:
        """Whose turn it is to nominate pods to a closed node and to open it: None when it is this node's.

        A turn lasts until the node is open, and a moment longer, so that whom that wakes is tried first; and never
        long.

        Returns:
            None, or when to ask again.
        """
        holder, until = self._turn
        if holder == name or now >= until:
            return None
        return until if self._is_opened(holder) else now + ASK_AGAIN

    def take_turn(self, name: str, now: datetime) -> None:
        """Pods are about to be nominated to a closed node, which is opened then."""
        self._turn = (name, now + LONGEST_TURN)

    def _is_opened(self, name: str) -> bool:
        node = self.node(name)
        return node is None or preparing(node) != PREPARING_TAINT.effect

    def _pass_turn(self, now: datetime) -> None:
        """The turn of a node ends soon after it was opened."""
        holder, until = self._turn
        if now < until and until > now + AFTER_TURN and self._is_opened(holder):
            self._turn = (holder, now + AFTER_TURN)

    def _unseen(self, name: str, spec: Spec, pinned: Mapping[str, Pod], now: datetime) -> frozenset[str]:
        """The nominated pods of which the watch has not shown what we wrote last, or only just now."""
        before = self._shown.pop(name, {})
        known = [each for each in spec.nominations if each.uid in pinned and self.pods.seen(pinned[each.uid].key)]
        if known:
            self._shown[name] = {(each.uid, each.tries): before.get((each.uid, each.tries), now) for each in known}
        shown = {uid for (uid, _), since in self._shown.get(name, {}).items() if now >= since + nominations.SHOWN}
        return frozenset(each.uid for each in spec.nominations if each.uid in pinned and each.uid not in shown)

    def _unread_pod(self, pin: Pin) -> Refusal | None:
        """Why nothing is known of a pod that is there."""
        item = self._layout.unread(Pod, pin.key)
        if item is None or item.uid != pin.uid:
            return None
        return Refusal(ReasonCode.DEADLINE_PASSED, f"pod {pin.key} cannot be read: {item.reason}")

    def note_waits(self, name: str, states: Mapping[str, PinState]) -> None:
        """Take note of what pods wait for that is to come to a node, and which do not wait any more.

        Args:
            name: of the reservation.
            states: what has become of its pins, by uid.
        """
        known = self._waits.get(name, {})
        for uid, state in states.items():
            if state.awaits is not None:
                self._waits.setdefault(name, known)[uid] = state.awaits
            elif known and state.refusal is not None and state.outcome is not Outcome.FAILED:
                known.pop(uid, None)  # one that has failed has failed for what it waited for
        if not known:
            self._waits.pop(name, None)

    def admit(self, pod: Pod, name: str) -> None:
        """Count a pod on a reservation's Node, where it fits, until it is bound there or is not."""
        node = self.node_name(name)
        self.claim(pod, node)
        self.found_in_place(pod, node)
        known = self._waits.get(name)
        if known is not None and known.pop(pod.metadata.uid, None) is not None and not known:
            del self._waits[name]

    def waiting_for(self, owner: Owner, name: str) -> Iterator[Pod]:
        """The pods of an owner that wait without a node and are not intended for one, those that wait longest first.

        Args:
            owner: the top controller.
            name: of the node that they could be bound to: pods that were refused there for good are left out.
        """
        reservation = self.reservation(name)
        failed = self.failed.get(reservation.metadata.uid, {}) if reservation is not None else {}
        found = self._caches.pods.by(WAITING, key_of(owner))
        for pod in sorted(found, key=lambda pod: (pod.metadata.creation_timestamp or "", pod.metadata.name)):
            uid, claim = pod.metadata.uid, self.claims.get(pod.key)
            taken = uid in failed or self.intents.nodes_of(uid) or (claim is not None and claim.uid == uid)
            if not taken and self.pods.get(pod.key) is not None:
                yield pod

    def refuse_owner(self, pod: Pod) -> Refusal | None:
        """Why a pod is not pinned for its owner's sake: those before it came to nothing too often; or None."""
        known = self._caches.pods.get(pod.key)
        return self.ends.refuse(pod, shown=known is not None and known.metadata.uid == pod.metadata.uid)

    def refuse_hostname(self, pod: Pod, name: str) -> Refusal | None:
        """Why a kubelet would refuse a pod that fits a reservation's Node, for want of its hostname label; or None."""
        node = self.nodes.get(self.node_name(name))
        return hostname.refuse(pod, node, self.snapshot) if node is not None else None

    def as_scheduled(self, pod: Pod, name: str) -> Verdict:
        """Whether kube-scheduler would find that a pod fits a node that runs, which may hold room for it.

        For it a placeholder is no domain of host names; for pins it is one, because it will be.
        """
        verdict = self.expected.verdict(pod, name)
        if not hostname.spreads(pod) or not hostname.matters(pod, self.nodes.get(self.node_name(name)), verdict):
            return verdict
        with self.snapshot.trial():
            for node in self._unnamed():
                self.snapshot.add_node(hostname.without(node))
            return self.expected.verdict(pod, name)

    def _unnamed(self) -> Iterator[Node]:
        """The promised nodes without a hostname label, as they stand in the snapshot."""
        nodes = self.snapshot.nodes
        for name in self._readings:
            node = self.nodes.get(self.node_name(name))
            slot = nodes.slots.get(node.metadata.name) if node is not None else None
            if node is not None and slot is not None and HOSTNAME not in node.metadata.labels:
                yield nodes.record(slot).node

    def offered(self, node: str) -> Node | None:
        """A Node as pods are checked against it: as it is promised, or as it is; None when there is none."""
        slot = self.snapshot.nodes.slots.get(node)
        return self.snapshot.nodes.record(slot).node if slot is not None else None

    def known_in_place(self, pod: Pod, name: str) -> bool:
        """Whether a pod was found to be where it may start, and neither it nor the node has changed in that."""
        known = self._in_place.get(pod.metadata.uid)
        return known is not None and all(a is b for a, b in zip(known, self._place_of(pod, name), strict=True))

    def found_in_place(self, pod: Pod, name: str) -> None:
        """A pod is where it may start."""
        self._in_place[pod.metadata.uid] = self._place_of(pod, name)

    def _place_of(self, pod: Pod, name: str) -> tuple[object, object, object]:
        """What decides it; equal parts are the same objects, because caches share them."""
        return (pod.spec.node_selector, pod.spec.affinity, self._layout.offers.get(name))

    # --- our own writes ---

    def wrote_reservation(self, reservation: NodeReservation) -> None:
        """Take over the answer to a write."""
        self.reservations.wrote(reservation)
        self._read(reservation.metadata.name)

    def found_reservation(self, reservation: NodeReservation) -> None:
        """Take over what was read, because it is not as it was thought to be."""
        self.wrote_reservation(reservation)
        self._enqueue(reservation.metadata.name)

    def ended_reservation(self, reservation: NodeReservation) -> None:
        """A reservation is gone."""
        self.reservations.deleted(reservation.key, reservation.metadata.uid)
        for known in (self._made, self.refused, self.failed):
            known.pop(reservation.metadata.uid, None)
        self.signs.pop(reservation.metadata.name, None)
        self._waits.pop(reservation.metadata.name, None)
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

    def forget_node(self, name: str) -> None:
        """A Node was only imagined, and is not any more."""
        self.nodes.forget(name)
        self._place_node(name)

    def forget_reservation(self, name: str) -> None:
        """A reservation was only imagined, and is not any more."""
        self.reservations.forget(name)
        self._read(name)

    def made(self, reservation_uid: str, node: Node) -> None:
        """A placeholder was made for this reservation."""
        self._made[reservation_uid] = node.metadata.uid
        self.wrote_node(node)

    def pin_failed(self, name: str, uid: str, state: PinState) -> None:
        """A pin of a node was refused for good."""
        reservation = self.reservation(name)
        if reservation is not None:
            self.failed.setdefault(reservation.metadata.uid, {})[uid] = state

    def pins_anew(self, reservation: str, pods: Iterable[str]) -> None:
        """Pods are to be pinned to a node, whatever became of it before; all are named by uid."""
        failed = self.failed.get(reservation, {})
        for uid in pods if failed else ():
            failed.pop(uid, None)

    def deleted_pod(self, pod: Pod) -> None:
        """A pod is gone."""
        self.pods.deleted(pod.key, pod.metadata.uid)
        self.release(pod)
        self.snapshot.delete(Pod, pod.key)
