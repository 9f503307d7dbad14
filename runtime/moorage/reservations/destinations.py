"""SlotReservations: which replacements are expected on a running node, and until when.

The evictor writes one for each node on which its simulation places replacements, before it evicts. The pod pinner
steers the replacements there. A SlotReservation has the name of the node, changes nothing on the Node, and expires by
itself: see ``in_force``. The shapes are those of ``schemas/crds/slotreservations.moorage.dev.yaml``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from moorage.objects import KubeObject, Object, Pod

from . import rules
from .model import Slot
from .reading import Problem, SpecReader, moment

MAX_SLOTS = 256
MAX_PODS = 1000
"""Pods of all slots of a node together: no node holds more."""
LONGEST = timedelta(hours=1)
"""From ``since`` to ``until``: after a crash of the evictor, the room is held until then."""
EARLY = timedelta(seconds=5)
"""How far two processes that learn the API server's time may be apart: a ``since`` that is later counts as wrong."""


class SlotsSpec(Object, frozen=True):
    """The slots of one running node.

    Attributes:
        node_uid: uid of the Node: another one of the same name is not meant.
        by: the installation that reserves, ``namespace/name``.
        since: RFC 3339; pods that were created before are not among those that are expected.
        until: RFC 3339; nothing is expected from then on.
        slots: the pods that are expected.
    """

    node_uid: str = msgspec.field(default="", name="nodeUID")
    by: str = ""
    since: str = ""
    until: str = ""
    slots: tuple[Slot, ...] = ()


class Served(Object, frozen=True):
    """A leader counts the slots, and the API server calls its webhook for new pods.

    Attributes:
        generation: the ``metadata.generation`` that it counts.
        at: since when (RFC 3339).
        by: name of its pod.
    """

    generation: int
    at: str = ""
    by: str = ""


class SlotsStatus(Object, frozen=True):
    """The status, for people; programs read only ``served``: see ``is_served``."""

    served: Served | None = None
    filled: str = ""
    message: str = ""
    problems: tuple[str, ...] = ()
    conditions: tuple[Any, ...] = ()


class SlotReservation(KubeObject, frozen=True):
    """A reservation as stored; spec and status are not checked, because people can edit them."""

    spec: Any = None
    status: Any = None


class Reading(NamedTuple):
    """What can be read, and the problems; with any problem the reservation does not count."""

    spec: SlotsSpec
    problems: tuple[Problem, ...]


def read(reservation: SlotReservation) -> Reading:
    """Read a stored reservation; never raises.

    Args:
        reservation: as it came from the API server.

    Returns:
        The spec with every field that makes sense, and a problem for each that does not. Fields this version does not
        know are no problem: a newer one may have written them.
    """
    problems: list[Problem] = []
    reader = SpecReader.of(reservation.spec, problems)
    if reader is None:
        return Reading(SlotsSpec(), tuple(problems))
    spec = SlotsSpec(
        node_uid=reader.text("nodeUID"),
        by=reader.text("by"),
        since=reader.time("since"),
        until=reader.time("until"),
        slots=tuple(slot for slot in reader.items("slots", Slot, MAX_SLOTS) if reader.good_slot(slot)),
    )
    for field, sentence in () if problems else _nonsense(spec):
        reader.complain(field, sentence)
    return Reading(spec, tuple(problems))


def in_force(spec: SlotsSpec, now: datetime) -> bool:
    """Whether pods are expected now.

    Args:
        spec: a reservation that could be read.
        now: the API server's time, UTC.
    """
    since, until = moment(spec.since), moment(spec.until)
    return since is not None and until is not None and since - now <= EARLY and now < until


def slots_filled(spec: SlotsSpec, pods: Iterable[Pod]) -> tuple[tuple[Slot, tuple[Pod, ...]], ...]:
    """Return the slots, each with the pods that fill it.

    Args:
        spec: a reservation that could be read.
        pods: the pods that are on the node.
    """
    return rules.slots_filled(spec.slots, rules.created_since(spec.since, pods))


def is_served(reservation: SlotReservation) -> bool:
    """Whether a pod pinner serves the slots of the current generation.

    The pinner writes it once for a generation, and removes it while it runs. A pinner that has crashed steers nothing:
    replacements go where the scheduler puts them.

    Args:
        reservation: as it was read after it was written.
    """
    status = reservation.status
    served = status.get("served") if isinstance(status, Mapping) else None
    generation = served.get("generation") if isinstance(served, Mapping) else None
    return type(generation) is int and generation == reservation.metadata.generation


def _nonsense(spec: SlotsSpec) -> Iterator[tuple[str, str]]:
    """Fields that can be read, and that contradict each other."""
    since, until = moment(spec.since), moment(spec.until)
    if not spec.node_uid:
        yield "nodeUID", "is missing: nothing else shows which Node is meant"
    if since is None or until is None:
        yield "since" if since is None else "until", "there is none"
    elif not since < until or until - since > LONGEST:  # sums of what a person wrote may be beyond all time
        yield "until", f"{spec.until} is not within an hour after {spec.since}"
    for index, slot in enumerate(spec.slots):
        if not (slot.owner.kind and slot.owner.name and slot.owner.namespace):
            yield f"slots[{index}].owner", "an owner has a kind, a namespace and a name"
    if (pods := sum(slot.count for slot in spec.slots)) > MAX_PODS:
        yield "slots", f"{pods} pods are expected, more than {MAX_PODS}"
