"""Topology spread constraints of the kind DoNotSchedule, counted per domain as pods come and go.

Follows ``plugins/podtopologyspread/{common,filtering}.go``. Corners kept: only nodes that have the keys of all
constraints and pass the constraint's inclusion policies are counted; a domain exists when it has such a node, even
without pods; an empty selector counts no pod although it matches the pod itself; terminating pods are not counted;
the pod itself counts one only when the selector matches it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from moorage.objects.pod import TopologySpreadConstraint

from ..domains import DomainCount
from ..nodes import ALL, Bools, NodeRecord, NodeTable, Rows
from ..reasons import Finding, Reason
from ..selectors import Selector, equalities, label_selector
from . import taint_toleration
from .node_affinity import Placement
from .taint_toleration import Tolerations

_UNSET = 2**31 - 1
"""The "minimum" upstream starts from when there is no domain at all."""


class Constraint(NamedTuple):
    """One constraint, read."""

    place: int
    selector: Selector
    topology_key: str
    max_skew: int
    min_domains: int
    by_affinity: bool
    by_taints: bool
    own: int

    @property
    def field(self) -> str:
        """Where it stands in the pod."""
        return f"spec.topologySpreadConstraints[{self.place}]"


def constraints(api: tuple[TopologySpreadConstraint, ...], labels: Mapping[str, str]) -> tuple[Constraint, ...]:
    """Read the constraints that forbid.

    Raises:
        SelectorError: a selector does not parse.
    """
    found = []
    for place, one in enumerate(api):
        if one.when_unsatisfiable != "DoNotSchedule":
            continue
        selector = label_selector(one.label_selector, f"spec.topologySpreadConstraints[{place}].labelSelector")
        merged = {key: labels[key] for key in one.match_label_keys if key in labels}
        if merged and not selector.nothing:
            selector = Selector((*equalities(merged), *selector.requirements))
        affinity = "Honor" if one.node_affinity_policy is None else one.node_affinity_policy
        own = 1 if selector.matches(labels) else 0
        least = 1 if one.min_domains is None else one.min_domains
        policies = (affinity == "Honor", one.node_taints_policy == "Honor")
        found.append(Constraint(place, selector, one.topology_key, one.max_skew, least, *policies, own))
    return tuple(found)


class SpreadKey(NamedTuple):
    """What decides the counts of a constraint; constraints with an equal key share them."""

    namespace: str
    selector: Selector
    topology_key: str
    all_keys: tuple[str, ...]
    placement: Placement | None
    tolerations: Tolerations | None


class SpreadCount:
    """Matching pods and eligible nodes per domain."""

    def __init__(self, key: SpreadKey, nodes: NodeTable) -> None:
        self.key = key
        self._nodes = nodes
        self.pods = DomainCount(nodes.label(key.topology_key))
        self._eligible: Bools = self._rows(ALL)
        self._domains: npt.NDArray[np.intp] | None = None

    def includes(self, namespace: str, labels: Mapping[str, str], terminating: bool) -> bool:
        """Whether pods like this are counted."""
        selector = self.key.selector
        if terminating or namespace != self.key.namespace or selector.everything:
            return False
        return selector.matches(labels)

    def add(self, slot: int, sign: int) -> None:
        """Count matching pods of a slot in or out."""
        if self._eligible[slot]:
            self.pods.add(slot, sign)

    def node_changed(self, slot: int) -> None:
        """Decide anew whether a node is eligible; its pods must be counted out meanwhile."""
        if len(self._eligible) != self._nodes.capacity:
            self._eligible = self._rows(ALL)
        else:
            self._eligible[slot] = self._rows(np.array([slot]))[0]
        self._domains = None

    def least(self, min_domains: int) -> int:
        """Pods in the emptiest domain; 0 while there are fewer domains than wanted."""
        domains = self._domains
        if domains is None:
            # Not np.unique, which loads a part of NumPy that nobody else needs.
            domains = self._domains = np.flatnonzero(np.bincount(self.pods.column.ids[self._eligible]))
        if len(domains) < min_domains:
            return 0
        return int(self.pods.fit()[domains].min()) if len(domains) else _UNSET

    def _rows(self, rows: Rows) -> Bools:
        nodes, key = self._nodes, self.key
        result = nodes.alive[rows].copy()
        for topology_key in key.all_keys:
            result &= nodes.label(topology_key).ids[rows] > 0
        if key.placement is not None:
            result &= key.placement.rows(nodes, rows)
        if key.tolerations is not None:
            result &= taint_toleration.tolerant_rows(key.tolerations, nodes, rows)
        return result


Watched = tuple[tuple[Constraint, SpreadCount], ...]


def restrict(mask: Bools, watched: Watched) -> None:
    """Clear every slot of ``mask`` where one more pod would exceed a skew."""
    for constraint, count in watched:
        most = constraint.max_skew - constraint.own + count.least(constraint.min_domains)
        table = count.pods.fit() <= most
        table[0] = False
        mask &= table[count.pods.column.ids]


def findings(slot: int, record: NodeRecord, watched: Watched) -> list[Finding]:
    """Why the spread forbids a node; empty when it does not."""
    found = []
    for constraint, count in watched:
        key = constraint.topology_key
        if key not in record.labels:
            found.append(Finding(Reason.SPREAD_KEY, f"{constraint.field}.topologyKey", key))
            continue
        least, here = count.least(constraint.min_domains), count.pods.at(slot)
        if here + constraint.own - least > constraint.max_skew:
            detail = f"{key}={record.labels[key]} has {here}, the emptiest {least}, maxSkew {constraint.max_skew}"
            found.append(Finding(Reason.SPREAD_SKEW, constraint.field, detail))
    return found
