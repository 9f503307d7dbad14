"""Selectors as data: label selectors and the node selector terms of node affinity and volumes."""

from __future__ import annotations

from .base import Labels, Object


class Requirement(Object, frozen=True):
    """One expression: ``operator`` is In, NotIn, Exists, DoesNotExist and, in node selectors, Gt or Lt."""

    key: str = ""
    operator: str = ""
    values: tuple[str, ...] = ()


class LabelSelector(Object, frozen=True):
    """``metav1.LabelSelector``: all parts must match; an empty one matches everything, an absent one nothing."""

    match_labels: Labels = {}
    match_expressions: tuple[Requirement, ...] = ()


class NodeSelectorTerm(Object, frozen=True):
    """One term of a node selector; an empty term matches no node."""

    match_expressions: tuple[Requirement, ...] = ()
    match_fields: tuple[Requirement, ...] = ()


class NodeSelector(Object, frozen=True):
    """Terms of which at least one must match."""

    node_selector_terms: tuple[NodeSelectorTerm, ...] = ()
