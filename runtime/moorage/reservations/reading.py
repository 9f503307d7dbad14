"""Reads a stored reservation. A field that cannot be read becomes a problem; reading never fails.

The API server's schema keeps most nonsense out, but a person may have replaced the schema, too. Every problem carries
the field it is in. Whoever acts on a reservation with problems takes no destructive step.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

import msgspec

from moorage.objects import Taint
from moorage.objects.quantity import QuantityError, parse

from .model import (
    BIND_WHEN,
    INTENTS,
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

T = TypeVar("T")

EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


class Problem(NamedTuple):
    """A field that cannot be used, and the reason."""

    field: str
    sentence: str

    def __str__(self) -> str:
        """Return ``spec.deadline: …``."""
        return f"{self.field}: {self.sentence}"


class Reading(NamedTuple):
    """What can be read, and the problems; a field with a problem has its default.

    ``usable`` is False when problems exist: then nothing may be destroyed on its word.
    """

    spec: Spec
    problems: tuple[Problem, ...]

    @property
    def usable(self) -> bool:
        """Whether there are no problems."""
        return not self.problems


def read(reservation: NodeReservation) -> Reading:
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
        return Reading(Spec(), tuple(problems))
    spec = Spec(
        intent=reader.one_of("intent", INTENTS),
        node_uid=reader.text("nodeUID"),
        node_name=reader.text("nodeName"),
        promise=reader.promise(),
        pins=tuple(pin for pin in reader.items("pins", Pin, MAX_PINS) if reader.good_pin(pin)),
        nominations=tuple(n for n in reader.items("nominations", Nomination, MAX_PINS) if reader.good_nomination(n)),
        slots=tuple(slot for slot in reader.items("slots", Slot, MAX_SLOTS) if reader.good_slot(slot)),
        expected_until=reader.time("expectedUntil"),
        released=reader.value("released", bool, False),
        plan=reader.text("plan"),
        deadline=reader.time("deadline"),
        instructions=tuple(reader.items("instructions", Record, MAX_RECORDS)),
    )
    return Reading(spec, tuple(problems))


@lru_cache(maxsize=4096)  # the few deadlines of a reservation are read for each of its pods, again and again
def moment(text: str) -> datetime | None:
    """Read an RFC 3339 time as UTC; None when the text is empty or no time."""
    try:
        time = datetime.fromisoformat(text)
        return time.astimezone(UTC) if time.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


class SpecReader:
    """Reads one field after the other, and collects problems.

    Args:
        raw: the spec.
        problems: takes what is wrong.
    """

    def __init__(self, raw: Mapping[str, Any], problems: list[Problem]) -> None:
        self._raw = raw
        self._problems = problems

    @classmethod
    def of(cls, spec: object, problems: list[Problem]) -> SpecReader | None:
        """Return a reader of a stored spec; None, and a problem, when the spec is no object."""
        if isinstance(spec, Mapping):
            return cls(spec, problems)
        problems.append(Problem("spec", "there is none" if spec is None else "it is not an object"))
        return None

    def value(self, name: str, kind: type[T], default: T) -> T:
        """Read a field of a plain type; the default when it is missing or of another type."""
        given = self._raw.get(name)
        if given is None:
            return default
        if type(given) is not kind:
            self.complain(name, f"{_short(given)} is not {_names[kind]}")
            return default
        return given

    def text(self, name: str) -> str:
        """Read a text; empty when it is missing."""
        return self.value(name, str, "")

    def one_of(self, name: str, choices: tuple[str, ...]) -> str:
        """Read one of some words; the first when it is missing or another word."""
        given = self.text(name)
        if given and given not in choices:
            self.complain(name, f"{_short(given)} is none of {', '.join(choices)}")
        return given if given in choices else choices[0]

    def time(self, name: str) -> str:
        """Read a time, and return it as written; empty when it is missing or no time."""
        given = self.text(name)
        if given and moment(given) is None:
            self.complain(name, f"{_short(given)} is not a time (example: 2026-01-31T12:00:00Z)")
            return ""
        return given

    def items(self, name: str, kind: type[T], limit: int) -> Iterator[T]:
        """Yield the entries of a list that can be read, up to a limit."""
        given = self.value(name, list, [])
        if len(given) > limit:
            self.complain(name, f"has {len(given)} entries, more than {limit}")
        for index, item in enumerate(given[:limit]):
            entry = self._convert(f"{name}[{index}]", item, kind)
            if entry is not None:
                yield entry

    def promise(self) -> Promise | None:
        """Read the promise; None when any part of it cannot be read."""
        given = self._raw.get("promise")
        if given is None:
            return None
        promise = self._convert("promise", given, Promise)
        if promise is None:
            return None
        bad = (
            _bad_quantity("promise.allocatable", promise.allocatable)
            or _bad_quantity("promise.staticPods", promise.static_pods)
            or _bad_taint(promise)
            or _bad_choice(promise)
        )
        if bad is not None:
            self._problems.append(Problem(f"spec.{bad.field}", bad.sentence))
            return None
        return promise

    def good_pin(self, pin: Pin) -> bool:
        """Whether a pin identifies a pod."""
        if pin.namespace and pin.name and pin.uid:
            return True
        self.complain("pins", f"{pin.key}: a pin has a namespace, a name and a uid")
        return False

    def good_nomination(self, nomination: Nomination) -> bool:
        """Whether a nomination names its pod and its time."""
        if nomination.uid and nomination.tries > 0 and moment(nomination.at) is not None:
            return True
        text = (
            f"{nomination.uid or 'one'}: a nomination has the uid of a pod, at least one try, and the time of the last"
        )
        self.complain("nominations", text)
        return False

    def good_slot(self, slot: Slot) -> bool:
        """Whether the quantities of a slot are valid."""
        bad = _bad_quantity("slots.requests", slot.requests)
        if bad is None and slot.count < 0:
            bad = Problem("slots.count", f"{slot.count} is negative")
        if bad is not None:
            self._problems.append(Problem(f"spec.{bad.field}", bad.sentence))
        return bad is None

    def _convert(self, name: str, given: object, kind: type[T]) -> T | None:
        try:
            return msgspec.convert(given, kind)
        except (msgspec.ValidationError, RecursionError) as error:
            sentence, _, path = str(error).partition(" - at `$")
            self.complain(f"{name}{path.rstrip('`')}", sentence)
            return None

    def complain(self, name: str, sentence: str) -> None:
        """Add a problem of a field."""
        self._problems.append(Problem(f"spec.{name}", sentence))


_names: dict[type, str] = {str: "a text", bool: "true or false", list: "a list"}


def _short(given: object) -> str:
    text = repr(given)
    return text if len(text) <= 60 else text[:57] + "…"


def _bad_quantity(field: str, quantities: Mapping[str, str | int]) -> Problem | None:
    for name, quantity in quantities.items():
        try:
            if parse(quantity) < 0:
                return Problem(f"{field}[{name}]", f"{quantity} is negative")
        except QuantityError as error:
            return Problem(f"{field}[{name}]", str(error))
    return None


def _bad_choice(promise: Promise) -> Problem | None:
    if promise.bind_when in ("", *BIND_WHEN):
        return None
    return Problem("promise.bindWhen", f"{_short(promise.bind_when)} is none of {', '.join(BIND_WHEN)}")


def _bad_taint(promise: Promise) -> Problem | None:
    lists: tuple[tuple[str, tuple[Taint, ...]], ...] = (
        ("taints", promise.taints),
        ("startupTaints", promise.startup_taints),
    )
    for name, taints in lists:
        for index, taint in enumerate(taints):
            if not taint.key or taint.effect not in EFFECTS:
                return Problem(f"promise.{name}[{index}]", "a taint has a key and one of the three effects")
    return None
