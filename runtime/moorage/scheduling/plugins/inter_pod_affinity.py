"""Inter-pod affinity and anti-affinity, in both directions, counted per domain as pods come and go.

Follows ``plugins/interpodaffinity/filtering.go`` and GetAffinityTerms of ``k8s.io/kube-scheduler/framework``. Corners
kept: a pod near which another must be has to match *all* terms; the first pod of a group that must be near itself may
go anywhere; a namespace selector of the pod at hand sees existing Namespace objects only, but one that matches an empty
set of labels matches every namespace; one of a pod already placed reads a missing Namespace as one without labels; a
placed pod whose terms do not parse repels nobody.
``matchLabelKeys`` is merged into the selector by the API server when a pod is created, the scheduler never reads it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from moorage.objects.pod import Affinity, PodAffinityTerm

from ..domains import DomainCount
from ..nodes import Bools, NodeRecord, NodeTable
from ..reasons import Finding, Reason
from ..selectors import Selector, label_selector

Namespaces = Mapping[str, Mapping[str, str]]
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


class Term(NamedTuple):
    """One required term: which pods, in which namespaces, over which topology."""

    selector: Selector
    names: frozenset[str]
    namespaces: Selector
    topology_key: str

    @property
    def crosses(self) -> bool:
        """Whether labels of namespaces decide."""
        return not self.namespaces.nothing

    def wants(self, namespace: str, labels: Mapping[str, str], known: Namespaces) -> bool:
        """Whether it selects a placed pod, as a term of the pod to be placed."""
        return self.reaches(namespace, known) and self.selector.matches(labels)

    def reaches(self, namespace: str, known: Namespaces) -> bool:
        """Whether it selects placed pods of a namespace at all."""
        return (
            namespace in self.names
            or self.namespaces.matches({})  # upstream loses the "nothing" it means to put in the selector's place
            or (namespace in known and self.namespaces.matches(known[namespace]))
        )

    def repels(self, namespace: str, labels: Mapping[str, str], known: Namespaces) -> bool:
        """Whether it selects the pod to be placed, as a term of a placed pod."""
        selected = namespace in self.names or self.namespaces.matches(known.get(namespace, {}))
        return selected and self.selector.matches(labels)


Terms = tuple[Term, ...]


def affinity_terms(namespace: str, affinity: Affinity | None) -> Terms:
    """Required affinity terms of a pod.

    Raises:
        SelectorError: a selector does not parse.
    """
    pods = affinity.pod_affinity if affinity else None
    required = pods.required_during_scheduling_ignored_during_execution if pods else ()
    return _terms(namespace, required, f"spec.affinity.podAffinity.{_REQUIRED}")


def anti_affinity_terms(namespace: str, affinity: Affinity | None) -> Terms:
    """Required anti-affinity terms of a pod.

    Raises:
        SelectorError: a selector does not parse.
    """
    pods = affinity.pod_anti_affinity if affinity else None
    required = pods.required_during_scheduling_ignored_during_execution if pods else ()
    return _terms(namespace, required, f"spec.affinity.podAntiAffinity.{_REQUIRED}")


def preferred_selectors(namespace: str, affinity: Affinity | None) -> None:
    """Read the preferred terms, which decide nothing: upstream refuses a pod whose preferred terms do not parse.

    Raises:
        SelectorError: a selector does not parse.
    """
    if affinity is None:
        return
    for pods, kind in ((affinity.pod_affinity, "podAffinity"), (affinity.pod_anti_affinity, "podAntiAffinity")):
        weighted = pods.preferred_during_scheduling_ignored_during_execution if pods else ()
        field = f"spec.affinity.{kind}.preferredDuringSchedulingIgnoredDuringExecution"
        _terms(namespace, tuple(term.pod_affinity_term for term in weighted), field)


def _terms(namespace: str, required: tuple[PodAffinityTerm, ...], field: str) -> Terms:
    found = []
    for place, api in enumerate(required):
        path = f"{field}[{place}]"
        own = not api.namespaces and api.namespace_selector is None
        found.append(
            Term(
                label_selector(api.label_selector, f"{path}.labelSelector"),
                frozenset((namespace,) if own else api.namespaces),
                label_selector(api.namespace_selector, f"{path}.namespaceSelector"),
                api.topology_key,
            )
        )
    return tuple(found)


class Wanted:
    """Pods that match all of some terms, per domain of each of their topology keys."""

    def __init__(self, terms: Terms, nodes: NodeTable) -> None:
        self.terms = terms
        self.tables = {term.topology_key: DomainCount(nodes.label(term.topology_key)) for term in terms}

    def add(self, slot: int, sign: int) -> None:
        """Count matching pods of a slot in or out."""
        for table in self.tables.values():
            table.add(slot, sign)

    def includes(self, namespace: str, labels: Mapping[str, str], known: Namespaces) -> bool:
        """Whether pods like this are counted."""
        return all(term.wants(namespace, labels, known) for term in self.terms)

    @property
    def nowhere(self) -> bool:
        """Whether no matching pod runs in any domain at all."""
        return not any(table.total for table in self.tables.values())


class Repelling:
    """Placed pods that carry one anti-affinity term, per domain of its topology key."""

    def __init__(self, term: Term, nodes: NodeTable) -> None:
        self.term = term
        self.table = DomainCount(nodes.label(term.topology_key))

    def add(self, slot: int, sign: int) -> None:
        """Count carriers of a slot in or out."""
        self.table.add(slot, sign)


class Needs(NamedTuple):
    """What a class of pods asks of others: all affinity terms together, each anti-affinity term, and its own match."""

    near: Wanted | None
    away: tuple[Wanted, ...]
    first: bool

    def restrict(self, mask: Bools, repelling: Iterable[Repelling]) -> None:
        """Clear every slot of ``mask`` that affinity forbids."""
        if self.near is not None:
            free_choice = self.first and self.near.nowhere
            for table in self.near.tables.values():
                mask &= (table.column.ids > 0) if free_choice else table.occupied()
        for wanted in self.away:
            for table in wanted.tables.values():
                if table.total:
                    mask &= ~table.occupied()
        for carrier in repelling:
            if carrier.table.total:
                mask &= ~carrier.table.occupied()

    def findings(self, slot: int, record: NodeRecord, repelling: Iterable[Repelling]) -> list[Finding]:
        """Why affinity forbids a node; empty when it does not."""
        found = []
        if self.near is not None:
            field = f"spec.affinity.podAffinity.{_REQUIRED}"
            free_choice = self.first and self.near.nowhere
            for key, table in self.near.tables.items():
                if key not in record.labels:
                    found.append(Finding(Reason.POD_AFFINITY, field, f"the node has no label {key}"))
                elif not free_choice and not table.at(slot):
                    found.append(Finding(Reason.POD_AFFINITY, field, f"{key}={record.labels[key]}"))
        for place, wanted in enumerate(self.away):
            for key, table in wanted.tables.items():
                if table.at(slot):
                    field = f"spec.affinity.podAntiAffinity.{_REQUIRED}[{place}]"
                    found.append(Finding(Reason.POD_ANTI_AFFINITY, field, f"{key}={record.labels.get(key)}"))
        for carrier in repelling:
            if carrier.table.at(slot):
                key = carrier.term.topology_key
                found.append(Finding(Reason.OTHERS_ANTI_AFFINITY, "metadata.labels", f"{key}={record.labels.get(key)}"))
        return found


ALONE = Needs(None, (), first=False)
"""A pod without required terms, which others may repel all the same."""
