"""Inter-pod affinity and anti-affinity in both directions, counted per domain as pods come and go.

Follows ``plugins/interpodaffinity/filtering.go`` and GetAffinityTerms of ``k8s.io/kube-scheduler/framework``. Corners
kept:

- A pod near which another must be has to match *all* terms.
- The first pod of a group that must be near itself may go anywhere.
- A namespace selector of the pod in question reads existing Namespaces only, but one that matches an empty set of
  labels matches every namespace. A namespace selector of a placed pod reads a missing Namespace as one without labels.
- A placed pod whose terms do not parse repels no pod.

The API server merges ``matchLabelKeys`` into the selector when a pod is created; the scheduler never reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from moorage.objects.pod import Affinity, PodAffinityTerm
from moorage.scheduling.domains import DomainCount
from moorage.scheduling.nodes import Bools, NodeTable
from moorage.scheduling.reasons import Finding, Reason
from moorage.scheduling.selectors import Selector, label_selector

from .plugin import Plugin

Namespaces = Mapping[str, Mapping[str, str]]
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


class Term(NamedTuple):
    """One required term.

    Attributes:
        selector: of pods, by their labels.
        names: of namespaces.
        namespaces: of namespaces, by their labels.
        topology_key: the label whose value is the domain.
    """

    selector: Selector
    names: frozenset[str]
    namespaces: Selector
    topology_key: str

    @property
    def reads_namespaces(self) -> bool:
        """Whether it selects namespaces by their labels."""
        return not self.namespaces.nothing

    def selects(self, namespace: str, labels: Mapping[str, str], known: Namespaces) -> bool:
        """Whether it selects a placed pod, as a term of the pod in question."""
        return self.selects_namespace(namespace, known) and self.selector.matches(labels)

    def selects_namespace(self, namespace: str, known: Namespaces) -> bool:
        """Whether it selects placed pods of a namespace."""
        return (
            namespace in self.names
            or self.namespaces.matches({})  # upstream loses the "nothing" it means to put in the selector's place
            or (namespace in known and self.namespaces.matches(known[namespace]))
        )

    def repels(self, namespace: str, labels: Mapping[str, str], known: Namespaces) -> bool:
        """Whether it selects the pod in question, as a term of a placed pod."""
        selected = namespace in self.names or self.namespaces.matches(known.get(namespace, {}))
        return selected and self.selector.matches(labels)


Terms = tuple[Term, ...]


def affinity_terms(namespace: str, affinity: Affinity | None) -> Terms:
    """Return the required affinity terms of a pod.

    Raises:
        SelectorError: a selector does not parse.
    """
    pods = affinity.pod_affinity if affinity else None
    required = pods.required_during_scheduling_ignored_during_execution if pods else ()
    return _terms(namespace, required, f"spec.affinity.podAffinity.{_REQUIRED}")


def anti_affinity_terms(namespace: str, affinity: Affinity | None) -> Terms:
    """Return the required anti-affinity terms of a pod.

    Raises:
        SelectorError: a selector does not parse.
    """
    pods = affinity.pod_anti_affinity if affinity else None
    required = pods.required_during_scheduling_ignored_during_execution if pods else ()
    return _terms(namespace, required, f"spec.affinity.podAntiAffinity.{_REQUIRED}")


def preferred_selectors(namespace: str, affinity: Affinity | None) -> None:
    """Check the preferred terms: they decide nothing, but upstream rejects a pod whose preferred terms do not parse.

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
    terms = []
    for index, api in enumerate(required):
        path = f"{field}[{index}]"
        own = not api.namespaces and api.namespace_selector is None
        terms.append(
            Term(
                label_selector(api.label_selector, f"{path}.labelSelector"),
                frozenset((namespace,) if own else api.namespaces),
                label_selector(api.namespace_selector, f"{path}.namespaceSelector"),
                api.topology_key,
            )
        )
    return tuple(terms)


class Matching:
    """Placed pods that match all of some terms, per domain of each of their topology keys."""

    def __init__(self, terms: Terms, nodes: NodeTable) -> None:
        self.terms = terms
        self.counts = {term.topology_key: DomainCount(nodes.label(term.topology_key)) for term in terms}

    def add(self, slot: int, sign: int) -> None:
        """Count matching pods that come to a slot (positive) or leave it (negative)."""
        for count in self.counts.values():
            count.add(slot, sign)

    def includes(self, namespace: str, labels: Mapping[str, str], known: Namespaces) -> bool:
        """Whether pods with these labels are counted."""
        return all(term.selects(namespace, labels, known) for term in self.terms)

    @property
    def empty(self) -> bool:
        """Whether no matching pod runs in any domain."""
        return not any(count.total for count in self.counts.values())


class Carriers:
    """Placed pods that carry one anti-affinity term, per domain of its topology key."""

    def __init__(self, term: Term, nodes: NodeTable) -> None:
        self.term = term
        self.count = DomainCount(nodes.label(term.topology_key))

    def add(self, slot: int, sign: int) -> None:
        """Count carriers that come to a slot (positive) or leave it (negative)."""
        self.count.add(slot, sign)


class AffinityCounts(NamedTuple):
    """The counts that the terms of a pod class need.

    Attributes:
        near: the pods that match all affinity terms; None without such terms.
        away: the pods that match each anti-affinity term.
        matches_itself: whether the class matches its own affinity terms.
    """

    near: Matching | None
    away: tuple[Matching, ...]
    matches_itself: bool

    @property
    def first(self) -> bool:
        """Whether a pod is the first of a group that must be near itself."""
        return self.matches_itself and self.near is not None and self.near.empty


NO_TERMS = AffinityCounts(None, (), matches_itself=False)
"""Of a pod without required terms, which other pods may repel."""


class _PodClass(Protocol):
    @property
    def affinity_counts(self) -> AffinityCounts: ...
    @property
    def repelled_by(self) -> list[Carriers]: ...


class InterPodAffinity(Plugin[_PodClass]):
    """A pod runs near and away from other pods, as its terms and theirs require."""

    def restrict(self, mask: Bools, pod_class: _PodClass) -> None:
        """Clear nodes in domains that a term forbids."""
        needed = pod_class.affinity_counts
        if needed.near is not None:
            first = needed.first
            for count in needed.near.counts.values():
                mask &= (count.column.ids > 0) if first else count.occupied()
        for matching in needed.away:
            for count in matching.counts.values():
                if count.total:
                    mask &= ~count.occupied()
        for carriers in pod_class.repelled_by:
            if carriers.count.total:
                mask &= ~carriers.count.occupied()

    def findings(self, slot: int, pod_class: _PodClass) -> list[Finding]:
        """Name the domains that a term forbids."""
        needed, repelled_by = pod_class.affinity_counts, pod_class.repelled_by
        if needed is NO_TERMS and not repelled_by:
            return []
        labels = self._nodes.record(slot).labels
        reasons = []
        if needed.near is not None:
            field = f"spec.affinity.podAffinity.{_REQUIRED}"
            first = needed.first
            for key, count in needed.near.counts.items():
                if key not in labels:
                    reasons.append(Finding(Reason.POD_AFFINITY, field, f"the node has no label {key}"))
                elif not first and not count.at(slot):
                    reasons.append(Finding(Reason.POD_AFFINITY, field, f"{key}={labels[key]}"))
        for index, matching in enumerate(needed.away):
            for key, count in matching.counts.items():
                if count.at(slot):
                    field = f"spec.affinity.podAntiAffinity.{_REQUIRED}[{index}]"
                    reasons.append(Finding(Reason.POD_ANTI_AFFINITY, field, f"{key}={labels.get(key)}"))
        for carriers in repelled_by:
            if carriers.count.at(slot):
                key = carriers.term.topology_key
                reasons.append(Finding(Reason.OTHERS_ANTI_AFFINITY, "metadata.labels", f"{key}={labels.get(key)}"))
        return reasons
