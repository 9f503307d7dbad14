"""Indexes that find selectors by labels and labels by selectors, without a comparison of every pair.

Most selectors require one value of one label in one namespace, and both indexes use that. A pod class finds the few
selectors that may select it; a new selector finds the few classes that it may select. What is found is a candidate
only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Generic, Protocol, TypeVar

from .selectors import Requirement, Selector

Namespaces = frozenset[str] | None
"""Namespaces by name; None means any namespace."""


class Labelled(Protocol):
    """An item with labels in a namespace."""

    @property
    def namespace(self) -> str:
        """The namespace."""

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels."""


Owner = TypeVar("Owner")
Item = TypeVar("Item", bound=Labelled)


def anchor(selector: Selector) -> Requirement | None:
    """Return the requirement by which a selector is indexed: one of a few values of one label."""
    return next((requirement for requirement in selector.requirements if requirement.operator == "In"), None)


class SelectorIndex(Generic[Owner]):
    """Owners of selectors, found by namespace and labels."""

    def __init__(self) -> None:
        self._anchored: dict[tuple[str | None, str, str], list[Owner]] = defaultdict(list)
        self._loose: dict[str | None, list[Owner]] = defaultdict(list)

    def add(self, owner: Owner, namespaces: Namespaces, selector: Selector) -> None:
        """Add the owner of a selector that selects pods of these namespaces."""
        anchored = anchor(selector)
        for namespace in (None,) if namespaces is None else namespaces:
            if anchored is None:
                self._loose[namespace].append(owner)
            else:
                for value in dict.fromkeys(anchored.values):
                    self._anchored[namespace, anchored.key, value].append(owner)

    def candidates(self, item: Labelled) -> Iterator[Owner]:
        """Yield the owners whose selector may select an item."""
        for namespace in (item.namespace, None):
            yield from self._loose.get(namespace, ())
            for key, value in item.labels.items():
                yield from self._anchored.get((namespace, key, value), ())


class LabelIndex(Generic[Item]):
    """Items, found by selector; a label key is indexed when a selector reads it for the first time."""

    def __init__(self, items: Iterable[Item] = ()) -> None:
        self._all: dict[str, list[Item]] = defaultdict(list)
        self._by_label: dict[tuple[str, str], dict[str, list[Item]]] = {}
        for item in items:
            self.add(item)

    def add(self, item: Item) -> None:
        """Add an item."""
        self._all[item.namespace].append(item)
        for key, value in item.labels.items():
            by_value = self._by_label.get((item.namespace, key))
            if by_value is not None:
                by_value.setdefault(value, []).append(item)

    def within(self, namespace: str) -> Sequence[Item]:
        """Return the items of a namespace."""
        return self._all.get(namespace, ())

    def candidates(self, namespaces: Namespaces, selector: Selector) -> Iterator[Item]:
        """Yield the items that a selector may select."""
        anchored = anchor(selector)
        for namespace in list(self._all) if namespaces is None else namespaces:
            if anchored is None:
                yield from self._all.get(namespace, ())
                continue
            by_value = self._by_label.get((namespace, anchored.key))
            if by_value is None:
                by_value = self._by_label[namespace, anchored.key] = {}
                for item in self._all.get(namespace, ()):
                    if anchored.key in item.labels:
                        by_value.setdefault(item.labels[anchored.key], []).append(item)
            for value in dict.fromkeys(anchored.values):
                yield from by_value.get(value, ())
