"""The counts of inter-pod affinity and topology spread, shared between pod classes.

A count is made when a pod of a class is judged for the first time, or when a pod with an anti-affinity term is placed.
It counts the pods that are there already, and from then on every pod that comes or goes. A sweep drops the counts that
no class needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .nodes import NodeTable
from .plugins.inter_pod_affinity import NO_TERMS, AffinityCounts, Carriers, Matching, Term, Terms
from .plugins.pod_topology_spread import Constraint, SpreadCount, SpreadKey
from .pod_class import PodClass
from .selector_index import LabelIndex, Namespaces, SelectorIndex
from .selectors import Selector


class Counters:
    """The counts of a snapshot, and the pod classes that they count.

    Attributes:
        namespaces: labels by name.
        classes: all pod classes, by key.
        spreads: the counts of topology spread.
    """

    def __init__(self, nodes: NodeTable) -> None:
        self._nodes = nodes
        self.namespaces: dict[str, Mapping[str, str]] = {}
        self.classes: dict[bytes, PodClass] = {}
        self.spreads: dict[SpreadKey, SpreadCount] = {}
        self._matching: dict[Terms, Matching] = {}
        self._reading: list[Matching] = []  # those that select namespaces by their labels
        self._carriers: dict[Term, Carriers] = {}
        self._index()

    def add_class(self, pod_class: PodClass) -> None:
        """Add a new class, which has no pods yet."""
        self.classes[pod_class.key] = pod_class
        self._class_index.add(pod_class)
        for matching in self._matching_index.candidates(pod_class):
            if matching.includes(pod_class.namespace, pod_class.labels, self.namespaces):
                pod_class.counters.append(matching)
        for spread in self._spread_index.candidates(pod_class):
            if spread.includes(pod_class.namespace, pod_class.labels, pod_class.terminating):
                pod_class.counters.append(spread)
        pod_class.repelled_by = self._repelling(pod_class)
        for term in pod_class.anti_affinity:
            pod_class.counters.append(self._carriers_of(term))

    def prepare(self, pod_class: PodClass) -> None:
        """Make the counts that a class needs to be judged."""
        pod_class.prepared = True
        pod_class.affinity_counts = NO_TERMS
        if pod_class.affinity or pod_class.anti_affinity:
            near = self._matching_of(pod_class.affinity) if pod_class.affinity else None
            away = tuple(self._matching_of((term,)) for term in pod_class.anti_affinity)
            itself = near is not None and near.includes(pod_class.namespace, pod_class.labels, self.namespaces)
            pod_class.affinity_counts = AffinityCounts(near, away, itself)
        if pod_class.constraints:
            keys = tuple(constraint.topology_key for constraint in pod_class.constraints)
            pod_class.spread_counts = tuple(
                (constraint, self._spread_of(pod_class, constraint, keys)) for constraint in pod_class.constraints
            )

    def node_changed(self, slot: int) -> None:
        """React to a node that comes, changes or goes; its pods are counted out meanwhile."""
        for spread in self.spreads.values():
            spread.node_changed(slot)

    def set_namespace(self, name: str, labels: Mapping[str, str] | None) -> None:
        """Set a namespace's labels (None: it does not exist), and count again what reads them."""
        if labels == self.namespaces.get(name):
            return
        classes, reading = self._class_index.within(name), self._reading
        for matching in reading:
            for pod_class in classes:
                self._leave(pod_class, matching)
        if labels is None:
            del self.namespaces[name]
        else:
            self.namespaces[name] = labels
        for matching in reading:
            self._join(matching, (c for c in classes if matching.includes(c.namespace, c.labels, self.namespaces)))
        for pod_class in classes:
            pod_class.repelled_by = self._repelling(pod_class)
            pod_class.prepared = False  # whether it matches its own affinity terms is decided again

    def may_be_repelled(self, pod_class: PodClass, slot: int) -> bool:
        """Whether a pod in the domain of a slot would repel the class if its namespace had the right labels."""
        return any(
            carriers.term.reads_namespaces
            and carriers.term.selector.matches(pod_class.labels)
            and carriers.count.at(slot)
            for carriers in self._carriers.values()
        )

    def sweep(self, in_use: set[PodClass]) -> None:
        """Forget classes without pods that were not judged since the last sweep, and counts that no class needs.

        Args:
            in_use: classes of pods that are on no known node, which are kept.
        """
        self.classes = {k: c for k, c in self.classes.items() if c.pods_at or c.prepared or c in in_use}
        needed: set[int] = set()
        for pod_class in self.classes.values():
            if pod_class.prepared:
                needed |= {id(spread) for _, spread in pod_class.spread_counts}
                counts = pod_class.affinity_counts
                needed |= {id(matching) for matching in (counts.near, *counts.away)}
            needed |= {id(self._carriers[term]) for term in pod_class.anti_affinity}
        self._matching = {key: value for key, value in self._matching.items() if id(value) in needed}
        self._reading = [matching for matching in self._reading if id(matching) in needed]
        self._carriers = {key: value for key, value in self._carriers.items() if id(value) in needed}
        self.spreads = {key: value for key, value in self.spreads.items() if id(value) in needed}
        for pod_class in self.classes.values():
            pod_class.counters = [counter for counter in pod_class.counters if id(counter) in needed]
            pod_class.repelled_by = [carriers for carriers in pod_class.repelled_by if id(carriers) in needed]
            pod_class.prepared = False
        self._index()

    def _index(self) -> None:
        self._class_index = LabelIndex(self.classes.values())
        self._matching_index: SelectorIndex[Matching] = SelectorIndex()
        self._spread_index: SelectorIndex[SpreadCount] = SelectorIndex()
        self._carriers_index: SelectorIndex[Carriers] = SelectorIndex()
        for matching in self._matching.values():
            self._matching_index.add(matching, *_narrowest(matching.terms))
        for spread in self.spreads.values():
            self._spread_index.add(spread, frozenset((spread.key.namespace,)), spread.key.selector)
        for carriers in self._carriers.values():
            self._carriers_index.add(carriers, *_narrowest((carriers.term,)))

    def _repelling(self, pod_class: PodClass) -> list[Carriers]:
        candidates = self._carriers_index.candidates(pod_class)
        namespace, labels = pod_class.namespace, pod_class.labels
        return [each for each in candidates if each.term.repels(namespace, labels, self.namespaces)]

    def _matching_of(self, terms: Terms) -> Matching:
        matching = self._matching.get(terms)
        if matching is None:
            matching = self._matching[terms] = Matching(terms, self._nodes)
            if any(term.reads_namespaces for term in terms):
                self._reading.append(matching)
            self._matching_index.add(matching, *_narrowest(terms))
            classes = self._class_index.candidates(*_narrowest(terms))
            self._join(matching, (c for c in classes if matching.includes(c.namespace, c.labels, self.namespaces)))
        return matching

    def _carriers_of(self, term: Term) -> Carriers:
        carriers = self._carriers.get(term)
        if carriers is None:
            carriers = self._carriers[term] = Carriers(term, self._nodes)
            self._carriers_index.add(carriers, *_narrowest((term,)))
            for pod_class in self._class_index.candidates(*_narrowest((term,))):
                if term.repels(pod_class.namespace, pod_class.labels, self.namespaces):
                    pod_class.repelled_by.append(carriers)
        return carriers

    def _spread_of(self, pod_class: PodClass, constraint: Constraint, keys: tuple[str, ...]) -> SpreadCount:
        placement = pod_class.node_affinity
        key = SpreadKey(
            pod_class.namespace,
            constraint.selector,
            constraint.topology_key,
            keys,
            placement if constraint.by_affinity and not placement.anywhere else None,
            pod_class.tolerations.tolerations if constraint.by_taints else None,
        )
        spread = self.spreads.get(key)
        if spread is None:
            spread = self.spreads[key] = SpreadCount(key, self._nodes)
            namespace = frozenset((pod_class.namespace,))
            self._spread_index.add(spread, namespace, key.selector)
            classes = self._class_index.candidates(namespace, key.selector)
            self._join(spread, (c for c in classes if spread.includes(c.namespace, c.labels, c.terminating)))
        return spread

    @staticmethod
    def _join(counter: Matching | SpreadCount, classes: Iterable[PodClass]) -> None:
        for pod_class in classes:
            pod_class.counters.append(counter)
            for slot, pods in pod_class.pods_at.items():
                counter.add(slot, pods)

    @staticmethod
    def _leave(pod_class: PodClass, counter: Matching) -> None:
        if counter in pod_class.counters:
            pod_class.counters.remove(counter)
            for slot, pods in pod_class.pods_at.items():
                counter.add(slot, -pods)


def _narrowest(terms: Terms) -> tuple[Namespaces, Selector]:
    """Return namespaces and a selector of every pod that matches all of these terms: those of the narrowest term."""
    narrowest = next((term for term in terms if not term.reads_namespaces), terms[0])
    return (None if narrowest.reads_namespaces else narrowest.names), narrowest.selector
