"""Topology spread constraints of the kind DoNotSchedule, counted per domain as pods come and go.

Follows ``plugins/podtopologyspread/{common,filtering}.go``. Corners kept:

- A node is eligible when it has the keys of all constraints and passes the inclusion policies of the constraint.
- A domain exists when it has an eligible node, even without pods.
- An empty selector counts no placed pod, although it matches the pod in question.
- Terminating pods are not counted.
- The pod in question counts as one only when the selector matches it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from moorage.objects.pod import TopologySpreadConstraint
from moorage.scheduling.domains import DomainCount
from moorage.scheduling.nodes import ALL, Bools, NodeTable, Rows
from moorage.scheduling.placement import Placement
from moorage.scheduling.reasons import Finding, Reason
from moorage.scheduling.selectors import Selector, equalities, label_selector

from .plugin import Plugin
from .taint_toleration import Tolerations, tolerant_rows

_UNSET = 2**31 - 1
"""The "minimum" upstream starts from when there is no domain at all."""


class Constraint(NamedTuple):
    """One constraint.

    Attributes:
        position: its index in the pod.
        selector: of the pods that are counted.
        topology_key: the label whose value is the domain.
        max_skew: how many pods more than the emptiest domain a domain may have.
        min_domains: with fewer domains, the emptiest counts as empty.
        by_affinity: whether only nodes are eligible that the pod's node affinity matches.
        by_taints: whether only nodes are eligible whose taints the pod tolerates.
        own: 1 when the selector matches the pod itself, else 0.
    """

    position: int
    selector: Selector
    topology_key: str
    max_skew: int
    min_domains: int
    by_affinity: bool
    by_taints: bool
    own: int

    @property
    def field(self) -> str:
        """Its path in the pod."""
        return f"spec.topologySpreadConstraints[{self.position}]"


def constraints(api: tuple[TopologySpreadConstraint, ...], labels: Mapping[str, str]) -> tuple[Constraint, ...]:
    """Read the constraints that forbid nodes.

    Raises:
        SelectorError: a selector does not parse.
    """
    read = []
    for index, each in enumerate(api):
        if each.when_unsatisfiable != "DoNotSchedule":
            continue
        selector = label_selector(each.label_selector, f"spec.topologySpreadConstraints[{index}].labelSelector")
        merged = {key: labels[key] for key in each.match_label_keys if key in labels}
        if merged and not selector.nothing:
            selector = Selector((*equalities(merged), *selector.requirements))
        affinity = "Honor" if each.node_affinity_policy is None else each.node_affinity_policy
        own = 1 if selector.matches(labels) else 0
        least = 1 if each.min_domains is None else each.min_domains
        policies = (affinity == "Honor", each.node_taints_policy == "Honor")
        read.append(Constraint(index, selector, each.topology_key, each.max_skew, least, *policies, own))
    return tuple(read)


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
        """Whether pods with these labels are counted."""
        selector = self.key.selector
        if terminating or namespace != self.key.namespace or selector.everything:
            return False
        return selector.matches(labels)

    def add(self, slot: int, sign: int) -> None:
        """Count matching pods that come to a slot (positive) or leave it (negative)."""
        if self._eligible[slot]:
            self.pods.add(slot, sign)

    def node_changed(self, slot: int) -> None:
        """Decide again whether a node is eligible; the caller counts its pods out before, and in again after."""
        if len(self._eligible) != self._nodes.capacity:
            self._eligible = self._rows(ALL)
        else:
            self._eligible[slot] = self._rows(np.array([slot]))[0]
        self._domains = None

    def least(self, min_domains: int) -> int:
        """Return the pods in the emptiest domain; 0 while there are fewer domains than wanted."""
        domains = self._domains
        if domains is None:
            # Not np.unique, which loads a part of NumPy that is not needed otherwise.
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
            result &= tolerant_rows(key.tolerations, nodes, rows)
        return result


SpreadCounts = tuple[tuple[Constraint, SpreadCount], ...]


class _PodClass(Protocol):
    @property
    def constraints(self) -> tuple[Constraint, ...]: ...
    @property
    def spread_counts(self) -> SpreadCounts: ...


class PodTopologySpread(Plugin[_PodClass]):
    """One more pod in a domain must not exceed the skew of a constraint."""

    def skips(self, pod_class: _PodClass) -> bool:
        """Skip a pod without constraints."""
        return not pod_class.constraints

    def restrict(self, mask: Bools, pod_class: _PodClass) -> None:
        """Clear nodes where a skew would be exceeded."""
        for constraint, count in pod_class.spread_counts:
            most = constraint.max_skew - constraint.own + count.least(constraint.min_domains)
            table = count.pods.fit() <= most
            table[0] = False
            mask &= table[count.pods.column.ids]

    def findings(self, slot: int, pod_class: _PodClass) -> list[Finding]:
        """Name the constraints whose key the node lacks, or whose skew would be exceeded."""
        labels = self._nodes.record(slot).labels
        reasons = []
        for constraint, count in pod_class.spread_counts:
            key = constraint.topology_key
            if key not in labels:
                reasons.append(Finding(Reason.SPREAD_KEY, f"{constraint.field}.topologyKey", key))
                continue
            least, here = count.least(constraint.min_domains), count.pods.at(slot)
            if here + constraint.own - least > constraint.max_skew:
                detail = f"{key}={labels[key]} has {here}, the emptiest {least}, maxSkew {constraint.max_skew}"
                reasons.append(Finding(Reason.SPREAD_SKEW, constraint.field, detail))
        return reasons
