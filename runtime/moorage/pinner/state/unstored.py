"""What the leader has taken on for a node and its reservation does not show yet.

A pod that can be bound at once is bound first and written down afterwards: until then its instruction has no final
answer, so that whoever leads next is told again, and from then on the mark on the pod says whose pin it is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from moorage.objects import Pod
from moorage.objects.quantity import QuantityError, parse
from moorage.reservations import MAX_PINS, Pin, Record, Spec, merging

from .. import eligibility
from ..names import PIN_ANNOTATION

MAX_MARK = 128
"""Characters of an instruction's id: a longer mark is none of ours."""


@dataclass(frozen=True, slots=True)
class Unwritten:
    """Pins, and the records of instructions that pins came with, those written down already included."""

    pins: tuple[Pin, ...] = ()
    records: tuple[Record, ...] = ()

    def on(self, stored: Spec) -> Spec:
        """All of the intent: what is stored with this on top."""
        spec = merging.with_pins(stored, self.pins)
        for record in self.records:
            spec = merging.with_record(spec, record)
        return spec


NOTHING = Unwritten()
_EMPTY = Spec()


def between(stored: Spec, wanted: Spec) -> Unwritten:
    """What of an intent is not stored yet.

    Args:
        stored: what the reservation says.
        wanted: the same with more pins and records.
    """
    known = {pin.uid: pin for pin in stored.pins}
    pins = tuple(pin for pin in wanted.pins if known.get(pin.uid) != pin)
    # An instruction is only remembered for its pins: until when they may be bound. One that was issued again, for pins
    # that are written down, brings a later deadline.
    old = {record.id: record for record in stored.instructions}
    needed = {pin.instruction for pin in wanted.pins}
    records = tuple(record for record in wanted.instructions if record.id in needed and old.get(record.id) != record)
    return Unwritten(pins, records) if pins or records else NOTHING


def done(pods: Iterable[Pod], stored: Spec) -> tuple[Pin, ...]:
    """The pins that pods tell of: bound by us, perhaps by a leader that could not write it down any more.

    Anybody who may create pods can write such a mark, so it is only taken for what a pin of ours can be: on a pod that
    we would have bound, with an id that an instruction can have, and no more pods than the node was promised to hold.

    Args:
        pods: those that are bound to a node that we have made.
        stored: what the node's reservation says.
    """
    known = {pin.uid for pin in stored.pins}
    marked = [pod for pod in pods if pod.metadata.uid not in known and _is_marked(pod)]
    meant = {record.id for record in stored.instructions}
    marked.sort(key=lambda pod: (_mark(pod) not in meant, pod.metadata.creation_timestamp or "", pod.metadata.uid))
    metas = ((pod.metadata, _mark(pod)) for pod in marked[: max(_capacity(stored) - len(known), 0)])
    return tuple(Pin(namespace=m.namespace, name=m.name, uid=m.uid, instruction=by) for m, by in metas)


def _mark(pod: Pod) -> str:
    return pod.metadata.annotations.get(PIN_ANNOTATION, "")


def _is_marked(pod: Pod) -> bool:
    mark = _mark(pod)
    return 0 < len(mark) <= MAX_MARK and mark.isprintable() and eligibility.recreated(pod)


def _capacity(stored: Spec) -> int:
    """How many pods the node holds, as far as it was promised."""
    offered = stored.promise.allocatable.get("pods", MAX_PINS) if stored.promise is not None else MAX_PINS
    try:
        return min(int(parse(offered)), MAX_PINS)
    except QuantityError:
        return MAX_PINS


class Intents:
    """What is intended for all nodes: what their reservations say, with what is not written yet on top."""

    def __init__(self) -> None:
        self._stored: dict[str, Spec] = {}
        self._unwritten: dict[str, Unwritten] = {}
        self._pinned: dict[str, frozenset[str]] = {}  # node to the uids of the pods intended for it
        self._nodes: dict[str, tuple[str, ...]] = {}  # the same the other way round, nearly always a single one

    def of(self, node: str) -> Spec:
        """All that is intended for a node."""
        stored, unwritten = self._stored.get(node, _EMPTY), self._unwritten.get(node)
        return stored if unwritten is None else unwritten.on(stored)

    def nodes_of(self, uid: str) -> Collection[str]:
        """The nodes that a pod is intended for."""
        return self._nodes.get(uid, ())

    def stored(self, node: str, spec: Spec | None, *, anew: bool) -> None:
        """A reservation says something else than before.

        Args:
            node: its name.
            spec: what it says; None when it is gone.
            anew: whether it is another object of the same name.
        """
        unwritten = self._unwritten.get(node, NOTHING)
        if spec is None:
            self._stored.pop(node, None)
            unwritten = NOTHING
        else:
            self._stored[node] = spec
            unwritten = NOTHING if anew else between(spec, unwritten.on(spec))
        self._keep(node, unwritten)

    def take_on(self, node: str, wanted: Spec) -> None:
        """Go by an intent that has more pins than the reservation shows, until it is written."""
        self._keep(node, between(self._stored.get(node, _EMPTY), wanted))

    def give_up(self, node: str, uids: Collection[str]) -> None:
        """Some pods will not be bound to the node: forget those of them that were never written."""
        if uids and node in self._unwritten:
            self.take_on(node, merging.without_pins(self.of(node), uids))

    def _keep(self, node: str, unwritten: Unwritten) -> None:
        self._unwritten.pop(node, None)
        if unwritten != NOTHING:
            self._unwritten[node] = unwritten
        before, now = self._pinned.pop(node, frozenset()), frozenset(pin.uid for pin in self.of(node).pins)
        if now:
            self._pinned[node] = now
        for uid in now - before:
            self._nodes[uid] = (*self._nodes.get(uid, ()), node)
        for uid in before - now:
            left = tuple(each for each in self._nodes.pop(uid) if each != node)
            if left:
                self._nodes[uid] = left
