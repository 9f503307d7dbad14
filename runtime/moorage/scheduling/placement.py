"""Node selectors and node affinity terms, of pods and of volumes, for one node or for all nodes at once.

Follows ``k8s.io/component-helpers/scheduling/corev1/nodeaffinity/nodeaffinity.go``: terms are alternatives, an empty
term matches nothing, and a term that does not parse is skipped. Where no term parses, no node matches.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from moorage.objects.pod import Affinity
from moorage.objects.selectors import NodeSelector, NodeSelectorTerm

from .nodes import Bools, NodeTable, Rows
from .selectors import Requirement, SelectorError, equalities, requirement

FIELD = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution"


class FieldRequirement(NamedTuple):
    """One ``matchFields`` expression; every field but the node's name reads as empty."""

    key: str
    equal: bool
    value: str

    def holds(self, name: str) -> bool:
        """Whether the node of this name satisfies it."""
        have = name if self.key == "metadata.name" else ""
        return (have == self.value) == self.equal


class Term(NamedTuple):
    """One term of node affinity; one term that matches is enough."""

    labels: tuple[Requirement, ...] = ()
    fields: tuple[FieldRequirement, ...] = ()

    def matches(self, name: str | None, labels: Mapping[str, str]) -> bool:
        """Whether a node matches; without a name the field expressions are ignored, as upstream does for volumes."""
        if not all(expression.holds(labels.get(expression.key)) for expression in self.labels):
            return False
        return name is None or all(expression.holds(name) for expression in self.fields)

    def rows(self, nodes: NodeTable, rows: Rows, *, named: bool) -> Bools:
        """Return which nodes of ``rows`` match."""
        result = nodes.alive[rows].copy()
        for expression in self.labels:
            column = nodes.label(expression.key)
            result &= column.table(expression.holds)[column.ids[rows]]
        for field in self.fields if named else ():
            if field.key == "metadata.name":
                same = nodes.names.ids[rows] == nodes.names.index.get(field.value, -1)
                result &= same if field.equal else ~same
            elif not field.holds(""):
                result[:] = False
        return result


class Placement(NamedTuple):
    """Requirements on a node's labels and name; ``terms`` None means no required affinity."""

    selector: tuple[Requirement, ...] = ()
    terms: tuple[Term, ...] | None = None
    errors: tuple[str, ...] = ()
    named: bool = True

    @property
    def anywhere(self) -> bool:
        """Whether every node matches."""
        return not self.selector and self.terms is None

    def matches(self, name: str, labels: Mapping[str, str]) -> bool:
        """Whether a node matches selector and affinity."""
        return self.selector_matches(labels) and self.affinity_matches(name, labels)

    def selector_matches(self, labels: Mapping[str, str]) -> bool:
        """Whether a node has all labels of the selector."""
        return all(expression.holds(labels.get(expression.key)) for expression in self.selector)

    def affinity_matches(self, name: str, labels: Mapping[str, str]) -> bool:
        """Whether a node matches at least one term."""
        return self.terms is None or any(term.matches(name if self.named else None, labels) for term in self.terms)

    def rows(self, nodes: NodeTable, rows: Rows) -> Bools:
        """Return which nodes of ``rows`` match."""
        result = nodes.alive[rows].copy()
        for expression in self.selector:
            column = nodes.label(expression.key)
            result &= column.table(expression.holds)[column.ids[rows]]
        if self.terms is not None:
            some = result & False
            for term in self.terms:
                some |= term.rows(nodes, rows, named=self.named)
            result &= some
        return result

    def keys(self) -> set[str]:
        """Return the label keys that it reads."""
        terms = (expression for term in self.terms or () for expression in term.labels)
        return {expression.key for expression in (*self.selector, *terms)}


def of_pod(selector: Mapping[str, str], affinity: Affinity | None) -> Placement:
    """Read a pod's node selector and required node affinity; never fails, see ``errors``."""
    node = affinity.node_affinity if affinity else None
    required = node.required_during_scheduling_ignored_during_execution if node else None
    terms, errors = _terms(required, FIELD)
    return Placement(equalities(selector), terms, errors)


def of_volume(required: NodeSelector | None, field: str) -> Placement:
    """Read the node affinity of a volume, which sees labels only (``storage/volume.CheckNodeAffinity``)."""
    terms, errors = _terms(required, field)
    return Placement((), terms, errors, named=False)


def _terms(required: NodeSelector | None, field: str) -> tuple[tuple[Term, ...] | None, tuple[str, ...]]:
    if required is None:
        return None, ()
    terms, errors = [], []
    for index, api in enumerate(required.node_selector_terms):
        if not api.match_expressions and not api.match_fields:
            continue
        try:
            terms.append(_term(api, f"{field}.nodeSelectorTerms[{index}]"))
        except SelectorError as error:
            errors.append(str(error))
    return tuple(terms), tuple(errors)


def _term(api: NodeSelectorTerm, field: str) -> Term:
    labels = [
        requirement(expression, f"{field}.matchExpressions[{index}]", node=True)
        for index, expression in enumerate(api.match_expressions)
    ]
    fields = []
    for index, expression in enumerate(api.match_fields):
        path = f"{field}.matchFields[{index}]"
        if expression.operator not in ("In", "NotIn"):
            raise SelectorError(f"{path}.operator", f"{expression.operator!r} is not an operator for fields")
        if len(expression.values) != 1:
            raise SelectorError(f"{path}.values", "exactly one value is needed")
        fields.append(FieldRequirement(expression.key, expression.operator == "In", expression.values[0]))
    return Term(tuple(labels), tuple(fields))
