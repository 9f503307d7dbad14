"""What the leader has taken on for a node and its reservation does not show yet.

A pod that can be bound at once is bound first and written down afterwards: until then its instruction has no final
answer, so that whoever leads next is told again, and from then on the mark on the pod says whose pin it is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from moorage.objects import Pod
from moorage.reservations import Pin, Record, Spec, merging

from .names import PIN_ANNOTATION


@dataclass(frozen=True, slots=True)
class Unwritten:
    """Pins, and the records of the instructions that they came with."""

    pins: tuple[Pin, ...] = ()
    records: tuple[Record, ...] = ()

    def on(self, stored: Spec) -> Spec:
        """All of the intent: what is stored with this on top."""
        spec = merging.with_pins(stored, self.pins)
        for record in self.records:
            spec = merging.with_record(spec, record)
        return spec

    def without(self, uids: Collection[str]) -> Unwritten:
        """What is left when some pods will not be bound."""
        return _with_records(tuple(pin for pin in self.pins if pin.uid not in uids), self.records)


NOTHING = Unwritten()
_EMPTY = Spec()


def between(stored: Spec, wanted: Spec) -> Unwritten:
    """What of an intent is not stored yet.

    Args:
        stored: what the reservation says.
        wanted: the same with more pins and records.
    """
    known = {pin.uid for pin in stored.pins}
    return _with_records(tuple(pin for pin in wanted.pins if pin.uid not in known), wanted.instructions)


def _with_records(pins: tuple[Pin, ...], records: Iterable[Record]) -> Unwritten:
    """An instruction is only remembered for its pins: until when they may be bound."""
    if not pins:
        return NOTHING
    needed = {pin.instruction for pin in pins}
    return Unwritten(pins, tuple(record for record in records if record.id in needed))


def done(pods: Iterable[Pod]) -> tuple[Pin, ...]:
    """The pins that pods tell of: bound by us, perhaps by a leader that could not write it down any more.

    Args:
        pods: those that are bound to a node that we have made.
    """
    marked = ((pod.metadata, pod.metadata.annotations.get(PIN_ANNOTATION)) for pod in pods)
    return tuple(Pin(namespace=m.namespace, name=m.name, uid=m.uid, instruction=by) for m, by in marked if by)


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
        unwritten = self._unwritten.get(node)
        if unwritten is not None and uids:
            self._keep(node, unwritten.without(uids))

    def _keep(self, node: str, unwritten: Unwritten) -> None:
        self._unwritten.pop(node, None)
        if unwritten.pins:
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
