"""Changes of a reservation's spec. Every function is pure and idempotent."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import msgspec

from moorage.objects import Quantities, Taint
from moorage.objects.quantity import QuantityError, parse

from .model import (
    DELETE,
    HOLD,
    MAX_BYTES,
    MAX_PINS,
    MAX_RECORDS,
    MAX_SLOTS,
    NodeReservation,
    Nomination,
    Pin,
    Promise,
    Record,
    Slot,
    Spec,
)
from .reading import Problem, moment

_encode = msgspec.json.Encoder().encode
_KEPT_RECORDS = 32


def with_promise(spec: Spec, promise: Promise, *, deadline: str, plan: str) -> Spec:
    """Set the promise, with its deadline and plan; an earlier release or deletion is undone."""
    return _replace(spec, intent=HOLD, released=False, promise=promise, deadline=deadline, plan=plan)


def with_pins(spec: Spec, pins: Iterable[Pin]) -> Spec:
    """Add pins; a pin that another instruction has set already belongs to the newer instruction."""
    merged = {pin.uid: pin for pin in spec.pins}
    for pin in pins:
        known = merged.get(pin.uid)
        if known is None or known.instruction != pin.instruction:
            merged[pin.uid] = pin
    new = tuple(merged.values())
    return _replace(spec, pins=new) if new != spec.pins else spec


def without_pins(spec: Spec, uids: Collection[str]) -> Spec:
    """Remove pins with their nominations."""
    kept = tuple(pin for pin in spec.pins if pin.uid not in uids)
    if len(kept) == len(spec.pins):
        return spec
    return _replace(spec, pins=kept, nominations=tuple(n for n in spec.nominations if n.uid not in uids))


def with_nominations(spec: Spec, uids: Iterable[str], *, at: str) -> Spec:
    """Count one more nomination of each of these pods, at a time (RFC 3339)."""
    known = {nomination.uid: nomination for nomination in spec.nominations}
    for uid in uids:
        tries = known[uid].tries + 1 if uid in known else 1
        known[uid] = Nomination(uid=uid, tries=tries, at=at)
    return _replace(spec, nominations=tuple(known.values()))


def nomination_of(spec: Spec, uid: str) -> Nomination | None:
    """Return the nomination of a pod, or None."""
    return next((nomination for nomination in spec.nominations if nomination.uid == uid), None)


def with_slots(spec: Spec, slots: Iterable[Slot], *, until: str) -> Spec:
    """Replace the slots; they are expected until a time (RFC 3339)."""
    return _replace(spec, slots=tuple(slots), expected_until=until, released=False)


def with_release(spec: Spec) -> Spec:
    """Remove the slots, and expect no more pods."""
    return _replace(spec, slots=(), expected_until="", released=True)


def with_deletion(spec: Spec) -> Spec:
    """Record that the node will not come."""
    return _replace(spec, intent=DELETE, slots=(), expected_until="")


def with_record(spec: Spec, record: Record) -> Spec:
    """Add an instruction; beyond ``_KEPT_RECORDS`` the oldest without pins are dropped."""
    if any(known.id == record.id and known.position == record.position for known in spec.instructions):
        return spec
    records = [known for known in spec.instructions if known.id != record.id] + [record]
    needed = {pin.instruction for pin in spec.pins}
    surplus = len(records) - _KEPT_RECORDS
    kept: list[Record] = []
    for known in records:
        if surplus > 0 and known.id not in needed:
            surplus -= 1
        else:
            kept.append(known)
    return _replace(spec, instructions=tuple(kept))


def record_of(spec: Spec, instruction: str) -> Record | None:
    """Return the record of an instruction, or None."""
    return next((record for record in spec.instructions if record.id == instruction), None)


def changes(old: Spec | None, new: Spec) -> dict[str, object]:
    """Return the fields of ``spec`` that differ, as a merge patch: None removes.

    Args:
        old: as stored; None gives all of ``new``.
        new: as wanted.
    """
    before = msgspec.to_builtins(old) if old is not None else {}
    after = msgspec.to_builtins(new)
    patch: dict[str, object] = {}
    for name in {**before, **after}:
        if before.get(name) != after.get(name):
            patch[name] = _merge_patch(before.get(name), after.get(name))
    return patch


def _merge_patch(old: object, new: object) -> object:
    """The patch from one value to another; a map has to name the keys that go."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return {key: _merge_patch(old.get(key), new.get(key)) for key in {**old, **new} if old.get(key) != new.get(key)}
    return new


def merge_patch(target: object, patch: object) -> object:
    """Apply a merge patch as the API server does (RFC 7386)."""
    if not isinstance(patch, Mapping):
        return patch
    result = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), value)
    return result


def size_problem(spec: Spec) -> Problem | None:
    """Return why a spec is too large to be stored, or None."""
    for field, count, limit in (
        ("spec.pins", len(spec.pins), MAX_PINS),
        ("spec.nominations", len(spec.nominations), MAX_PINS),
        ("spec.slots", len(spec.slots), MAX_SLOTS),
        ("spec.instructions", len(spec.instructions), MAX_RECORDS),
    ):
        if count > limit:
            return Problem(field, f"would have {count} entries, more than {limit}")
    # A pin is at most about 1.5 kB (names are limited by the API): below this many no spec can be too large.
    if len(spec.pins) + len(spec.slots) > MAX_BYTES >> 11 and (size := len(_encode(spec))) > MAX_BYTES:
        return Problem("spec", f"would have {size} bytes, more than {MAX_BYTES}")
    return None


def same_intent(reservation: NodeReservation, other: NodeReservation) -> bool:
    """Whether two states of a stored reservation say the same, apart from ``ends``."""
    if reservation is other:
        return True
    return reservation.metadata.uid == other.metadata.uid and reservation.spec == other.spec


def ends(reservation: NodeReservation) -> tuple[object, object]:
    """Return what beside the spec is read as an intent: that it is still held, and that it is being deleted."""
    return (reservation.metadata.finalizers, reservation.metadata.deletion_timestamp)


def same_promise(promise: Promise, other: Promise) -> bool:
    """Whether two promises describe the same node; ``4`` and ``4000m`` are equal.

    Whether its zone may be new says nothing about the node.
    """
    return (
        _values(promise.allocatable) == _values(other.allocatable)
        and promise.labels == other.labels
        and _taints(promise.taints) == _taints(other.taints)
        and _taints(promise.startup_taints) == _taints(other.startup_taints)
        and promise.provider_id == other.provider_id
        and promise.profile == other.profile
        and promise.node_claim == other.node_claim
        and promise.match_labels == other.match_labels
        and _values(promise.static_pods) == _values(other.static_pods)
        and promise.binds_once_started == other.binds_once_started
    )


def latest_position(spec: Spec) -> tuple[int, int]:
    """Return the greatest position of an instruction other than PinPods, whose pins only add up."""
    return max((r.position for r in spec.instructions if r.action != "PinPods"), default=(0, 0))


def pin_deadlines(spec: Spec) -> Mapping[str, str]:
    """Return the deadlines of pins (RFC 3339), by instruction id."""
    return {record.id: record.deadline for record in spec.instructions if moment(record.deadline) is not None}


def _values(quantities: Quantities) -> dict[str, object]:
    values: dict[str, object] = {}
    for name, text in quantities.items():
        try:
            values[name] = parse(text)
        except QuantityError:
            values[name] = text
    return values


def _taints(taints: tuple[Taint, ...]) -> set[tuple[str, str, str]]:
    return {(taint.key, taint.value, taint.effect) for taint in taints}


def _replace(spec: Spec, **fields: object) -> Spec:
    return msgspec.structs.replace(spec, **fields)
