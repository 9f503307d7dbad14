"""Who has to hear of which pods: the counters of inter-pod affinity and topology spread, shared between classes.

A counter is made when a pod of some class is first asked about (or, for anti-affinity of placed pods, placed), counts
what is there already, and from then on hears of every pod that comes or goes. Counters nobody asks for are dropped
again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .nodes import NodeTable
from .plugins import inter_pod_affinity, pod_topology_spread
from .plugins.inter_pod_affinity import Repelling, Term, Terms, Wanted
from .plugins.pod_topology_spread import SpreadCount, SpreadKey
from .pod_class import PodClass
from .selector_index import CounterIndex, LabelIndex, Places
from .selectors import Selector


class Relations:
    """The counters of a snapshot, and the classes they are about."""

    def __init__(self, nodes: NodeTable) -> None:
        self._nodes = nodes
        self.namespaces: dict[str, Mapping[str, str]] = {}
        self.classes: dict[bytes, PodClass] = {}
        self.spreads: dict[SpreadKey, SpreadCount] = {}
        self._wanted: dict[Terms, Wanted] = {}
        self._repelling: dict[Term, Repelling] = {}
        self._index()

    def add_class(self, one: PodClass) -> None:
        """Take in a new class, which has no pods yet."""
        self.classes[one.key] = one
        self._classes_by_label.add(one)
        for wanted in self._wanted_by_label.candidates(one):
            if wanted.includes(one.namespace, one.labels, self.namespaces):
                one.counters.append(wanted)
        for count in self._spreads_by_label.candidates(one):
            if count.includes(one.namespace, one.labels, one.terminating):
                one.counters.append(count)
        one.repelled_by = self._who_repels(one)
        for term in one.carried:
            one.counters.append(self._repelling_for(term))

    def prepare(self, one: PodClass) -> None:
        """Make the counters that are needed to answer for this class."""
        one.asked = True
        one.relations = inter_pod_affinity.ALONE
        if one.affinity or one.anti_affinity:
            near = self._wanted_for(one.affinity) if one.affinity else None
            away = tuple(self._wanted_for((term,)) for term in one.anti_affinity)
            first = near is not None and near.includes(one.namespace, one.labels, self.namespaces)
            one.relations = inter_pod_affinity.Needs(near, away, first)
        if one.constraints:
            keys = tuple(constraint.topology_key for constraint in one.constraints)
            one.watched = tuple((c, self._spread_for(one, c, keys)) for c in one.constraints)

    def set_namespace(self, name: str, labels: Mapping[str, str] | None) -> None:
        """Take over a namespace's labels (None: it does not exist) and recount what reads them."""
        if labels == self.namespaces.get(name):
            return
        classes = [one for one in self.classes.values() if one.namespace == name]
        crossing = [wanted for wanted in self._wanted.values() if any(term.crosses for term in wanted.terms)]
        for wanted in crossing:
            for one in classes:
                self._leave(one, wanted)
        if labels is None:
            del self.namespaces[name]
        else:
            self.namespaces[name] = labels
        for wanted in crossing:
            self._join(wanted, (c for c in classes if wanted.includes(c.namespace, c.labels, self.namespaces)))
        for one in classes:
            one.repelled_by = self._who_repels(one)
            one.asked = False  # whether the first pod may go anywhere is decided again

    def may_be_repelled(self, one: PodClass, slot: int) -> bool:
        """Whether a pod in the domain of a slot would repel the class if its namespace had the right labels."""
        return any(
            repelling.term.crosses and repelling.term.selector.matches(one.labels) and repelling.table.at(slot)
            for repelling in self._repelling.values()
        )

    def sweep(self, waiting: set[PodClass]) -> None:
        """Forget classes without pods that nobody asked about since the last sweep, and counters nobody needs.

        Args:
            waiting: classes of pods whose nodes are not there (yet).
        """
        self.classes = {k: one for k, one in self.classes.items() if one.where or one.asked or one in waiting}
        needed: set[int] = set()
        for one in self.classes.values():
            if one.asked:
                needed |= {id(count) for _, count in one.watched}
                needed |= {id(wanted) for wanted in (one.relations.near, *one.relations.away)}
            needed |= {id(self._repelling[term]) for term in one.carried}
        self._wanted = {key: value for key, value in self._wanted.items() if id(value) in needed}
        self._repelling = {key: value for key, value in self._repelling.items() if id(value) in needed}
        self.spreads = {key: value for key, value in self.spreads.items() if id(value) in needed}
        for one in self.classes.values():
            one.counters = [counter for counter in one.counters if id(counter) in needed]
            one.repelled_by = [repelling for repelling in one.repelled_by if id(repelling) in needed]
            one.asked = False
        self._index()

    def _index(self) -> None:
        self._classes_by_label = LabelIndex(self.classes.values())
        self._wanted_by_label: CounterIndex[Wanted] = CounterIndex()
        self._spreads_by_label: CounterIndex[SpreadCount] = CounterIndex()
        self._repelling_by_label: CounterIndex[Repelling] = CounterIndex()
        for wanted in self._wanted.values():
            self._wanted_by_label.add(wanted, *_reach(wanted.terms))
        for count in self.spreads.values():
            self._spreads_by_label.add(count, frozenset((count.key.namespace,)), count.key.selector)
        for repelling in self._repelling.values():
            self._repelling_by_label.add(repelling, *_reach((repelling.term,)))

    def _who_repels(self, one: PodClass) -> list[Repelling]:
        candidates = self._repelling_by_label.candidates(one)
        return [found for found in candidates if found.term.repels(one.namespace, one.labels, self.namespaces)]

    def _wanted_for(self, terms: Terms) -> Wanted:
        wanted = self._wanted.get(terms)
        if wanted is None:
            wanted = self._wanted[terms] = Wanted(terms, self._nodes)
            self._wanted_by_label.add(wanted, *_reach(terms))
            classes = self._classes_by_label.candidates(*_reach(terms))
            self._join(wanted, (c for c in classes if wanted.includes(c.namespace, c.labels, self.namespaces)))
        return wanted

    def _repelling_for(self, term: Term) -> Repelling:
        repelling = self._repelling.get(term)
        if repelling is None:
            repelling = self._repelling[term] = Repelling(term, self._nodes)
            self._repelling_by_label.add(repelling, *_reach((term,)))
            for one in self._classes_by_label.candidates(*_reach((term,))):
                if term.repels(one.namespace, one.labels, self.namespaces):
                    one.repelled_by.append(repelling)
        return repelling

    def _spread_for(
        self, one: PodClass, constraint: pod_topology_spread.Constraint, keys: tuple[str, ...]
    ) -> SpreadCount:
        placement = one.static.placement
        key = SpreadKey(
            one.namespace,
            constraint.selector,
            constraint.topology_key,
            keys,
            placement if constraint.by_affinity and not placement.anywhere else None,
            one.static.tolerations if constraint.by_taints else None,
        )
        count = self.spreads.get(key)
        if count is None:
            count = self.spreads[key] = SpreadCount(key, self._nodes)
            where = frozenset((one.namespace,))
            self._spreads_by_label.add(count, where, key.selector)
            classes = self._classes_by_label.candidates(where, key.selector)
            self._join(count, (c for c in classes if count.includes(c.namespace, c.labels, c.terminating)))
        return count

    @staticmethod
    def _join(counter: Wanted | SpreadCount, classes: Iterable[PodClass]) -> None:
        for one in classes:
            one.counters.append(counter)
            for slot, pods in one.where.items():
                counter.add(slot, pods)

    @staticmethod
    def _leave(one: PodClass, counter: Wanted) -> None:
        if counter in one.counters:
            one.counters.remove(counter)
            for slot, pods in one.where.items():
                counter.add(slot, -pods)


def _reach(terms: Terms) -> tuple[Places, Selector]:
    """Where pods may be that match all of these terms, and a selector that they match: those of the narrowest term."""
    narrow = next((term for term in terms if not term.crosses), terms[0])
    return (None if narrow.crosses else narrow.names), narrow.selector
