"""Finding selectors by labels and labels by selectors, without trying every pair.

Most selectors ask for one value of one label in one namespace. Both directions are indexed by that: a class of pods
finds the few counters that may want it, a new counter the few classes it may want. What comes out is only a
candidate.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Generic, Protocol, TypeVar

from .selectors import Requirement, Selector

Places = frozenset[str] | None
"""Namespaces by name; None means that any may be meant."""


class Labelled(Protocol):
    """Something with labels in a namespace."""

    @property
    def namespace(self) -> str:
        """The namespace."""

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels."""


Counter = TypeVar("Counter")
Thing = TypeVar("Thing", bound=Labelled)


def anchor(selector: Selector) -> Requirement | None:
    """The requirement to find a selector by: one of a few values of one label."""
    return next((requirement for requirement in selector.requirements if requirement.operator == "In"), None)


class CounterIndex(Generic[Counter]):
    """Counters, found by namespace and labels."""

    def __init__(self) -> None:
        self._anchored: dict[tuple[str | None, str, str], list[Counter]] = defaultdict(list)
        self._loose: dict[str | None, list[Counter]] = defaultdict(list)

    def add(self, counter: Counter, places: Places, selector: Selector) -> None:
        """Take in a counter of pods that this selector may select in these namespaces."""
        one = anchor(selector)
        for place in (None,) if places is None else places:
            if one is None:
                self._loose[place].append(counter)
            for value in dict.fromkeys(one.values) if one else ():
                self._anchored[place, one.key if one else "", value].append(counter)

    def candidates(self, thing: Labelled) -> Iterator[Counter]:
        """The counters that may want a thing."""
        for place in (thing.namespace, None):
            yield from self._loose.get(place, ())
            for key, value in thing.labels.items():
                yield from self._anchored.get((place, key, value), ())


class LabelIndex(Generic[Thing]):
    """Things, found by selector; a label key is indexed when it is first asked for."""

    def __init__(self, things: Iterable[Thing] = ()) -> None:
        self._all: dict[str, list[Thing]] = defaultdict(list)
        self._by_label: dict[tuple[str, str], dict[str, list[Thing]]] = {}
        for thing in things:
            self.add(thing)

    def add(self, thing: Thing) -> None:
        """Take in a thing."""
        self._all[thing.namespace].append(thing)
        for key, value in thing.labels.items():
            of_key = self._by_label.get((thing.namespace, key))
            if of_key is not None:
                of_key.setdefault(value, []).append(thing)

    def candidates(self, places: Places, selector: Selector) -> Iterator[Thing]:
        """The things that a selector may select."""
        one = anchor(selector)
        for place in list(self._all) if places is None else places:
            if one is None:
                yield from self._all.get(place, ())
                continue
            of_key = self._by_label.get((place, one.key))
            if of_key is None:
                of_key = self._by_label[place, one.key] = {}
                for thing in self._all.get(place, ()):
                    if one.key in thing.labels:
                        of_key.setdefault(thing.labels[one.key], []).append(thing)
            for value in dict.fromkeys(one.values):
                yield from of_key.get(value, ())
