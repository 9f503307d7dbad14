"""Who has to hear of which pods: the counters of inter-pod affinity and topology spread, shared between classes.

A counter is made when a pod of some class is first asked about (or, for anti-affinity of placed pods, placed), counts
what is there already, and from then on hears of every pod that comes or goes. Counters nobody asks for are dropped
again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from . import interpod, spread
from .interpod import Repelling, Term, Terms, Wanted
from .nodes import NodeTable
from .podclass import PodClass
from .spread import SpreadCount, SpreadKey


class Relations:
    """The counters of a snapshot, and the classes they are about."""

    def __init__(self, nodes: NodeTable) -> None:
        self._nodes = nodes
        self.namespaces: dict[str, Mapping[str, str]] = {}
        self.classes: dict[str, dict[bytes, PodClass]] = defaultdict(dict)
        self._wanted: dict[Terms, Wanted] = {}
        self._repelling: dict[Term, Repelling] = {}
        self.spreads: dict[SpreadKey, SpreadCount] = {}

    def add_class(self, one: PodClass) -> None:
        """Take in a new class, which has no pods yet."""
        self.classes[one.namespace][one.key] = one
        for wanted in self._wanted.values():
            if wanted.includes(one.namespace, one.labels, self.namespaces):
                one.counters.append(wanted)
        for count in self.spreads.values():
            if count.includes(one.namespace, one.labels, one.terminating):
                one.counters.append(count)
        for repelling in self._repelling.values():
            if repelling.term.repels(one.namespace, one.labels, self.namespaces):
                one.repelled_by.append(repelling)
        for term in one.carried:
            one.counters.append(self._repelling_for(term))

    def prepare(self, one: PodClass) -> None:
        """Make the counters that are needed to answer for this class."""
        one.asked = True
        one.relations = interpod.ALONE
        if one.affinity or one.anti_affinity:
            near = self._wanted_for(one.affinity) if one.affinity else None
            away = tuple(self._wanted_for((term,)) for term in one.anti_affinity)
            first = near is not None and near.includes(one.namespace, one.labels, self.namespaces)
            one.relations = interpod.Needs(near, away, first)
        if one.constraints:
            keys = tuple(constraint.topology_key for constraint in one.constraints)
            one.watched = tuple((c, self._spread_for(one, c, keys)) for c in one.constraints)

    def set_namespace(self, name: str, labels: Mapping[str, str] | None) -> None:
        """Take over a namespace's labels (None: it does not exist) and recount what reads them."""
        if labels == self.namespaces.get(name):
            return
        classes = self.classes.get(name, {}).values()
        for wanted in self._wanted.values():
            if any(term.crosses for term in wanted.terms):
                for one in classes:
                    self._leave(one, wanted)
        if labels is None:
            del self.namespaces[name]
        else:
            self.namespaces[name] = labels
        for wanted in self._wanted.values():
            if any(term.crosses for term in wanted.terms):
                self._join(wanted, (c for c in classes if wanted.includes(c.namespace, c.labels, self.namespaces)))
        for one in classes:
            one.repelled_by = [
                repelling
                for repelling in self._repelling.values()
                if repelling.term.repels(one.namespace, one.labels, self.namespaces)
            ]
            one.asked = False  # whether the first pod may go anywhere is decided again

    def sweep(self) -> None:
        """Forget classes without pods that nobody asked about since the last sweep, and counters nobody needs."""
        for namespace in list(self.classes):
            kept = {key: one for key, one in self.classes[namespace].items() if one.where or one.asked}
            if kept:
                self.classes[namespace] = kept
            else:
                del self.classes[namespace]
        alive = [one for classes in self.classes.values() for one in classes.values()]
        needed: set[int] = set()
        for one in alive:
            if one.asked:
                needed |= {id(count) for _, count in one.watched}
                needed |= {id(wanted) for wanted in (one.relations.near, *one.relations.away)}
            needed |= {id(self._repelling[term]) for term in one.carried}
        self._wanted = {key: value for key, value in self._wanted.items() if id(value) in needed}
        self._repelling = {key: value for key, value in self._repelling.items() if id(value) in needed}
        self.spreads = {key: value for key, value in self.spreads.items() if id(value) in needed}
        for one in alive:
            one.counters = [counter for counter in one.counters if id(counter) in needed]
            one.repelled_by = [repelling for repelling in one.repelled_by if id(repelling) in needed]
            one.asked = False

    def _wanted_for(self, terms: Terms) -> Wanted:
        wanted = self._wanted.get(terms)
        if wanted is None:
            wanted = self._wanted[terms] = Wanted(terms, self._nodes)
            self._join(wanted, (c for c in self._all() if wanted.includes(c.namespace, c.labels, self.namespaces)))
        return wanted

    def _repelling_for(self, term: Term) -> Repelling:
        repelling = self._repelling.get(term)
        if repelling is None:
            repelling = self._repelling[term] = Repelling(term, self._nodes)
            for one in self._all():
                if term.repels(one.namespace, one.labels, self.namespaces):
                    one.repelled_by.append(repelling)
        return repelling

    def _spread_for(self, one: PodClass, constraint: spread.Constraint, keys: tuple[str, ...]) -> SpreadCount:
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
            classes = self.classes.get(one.namespace, {}).values()
            self._join(count, (c for c in classes if count.includes(c.namespace, c.labels, c.terminating)))
        return count

    def _all(self) -> Iterable[PodClass]:
        for classes in self.classes.values():
            yield from classes.values()

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
