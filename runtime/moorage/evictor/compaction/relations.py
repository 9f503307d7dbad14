"""What affinity and topology spread allow before the pods have moved.

A pod that stays in its zone changes no count per zone. A pod whose terms concern single nodes gets a verdict for each
node. The simulation decides the rest pod by pod.
"""

from __future__ import annotations

from moorage.scheduling.nodes import NodeTable
from moorage.scheduling.pod_class import PodClass

UNBOUNDED = 2**31
"""More than any node takes."""


def kept_domains(pod_class: PodClass, nodes: NodeTable) -> tuple[str, ...]:
    """Return the topology keys whose value a pod should keep: those whose domains have more than one node."""
    keys = {constraint.topology_key for constraint in pod_class.constraints}
    keys |= {term.topology_key for term in pod_class.affinity}
    return tuple(sorted(key for key in keys if not _single(key, nodes)))


def by_node(pod_class: PodClass, nodes: NodeTable) -> bool:
    """Whether the terms and constraints of the class concern single nodes only."""
    keys = {constraint.topology_key for constraint in pod_class.constraints}
    keys |= {term.topology_key for term in (*pod_class.affinity, *pod_class.anti_affinity)}
    keys |= {carriers.term.topology_key for carriers in pod_class.repelled_by}
    return all(_single(key, nodes) for key in keys)


def most(pod_class: PodClass, nodes: NodeTable) -> int:
    """Return how many pods of the class one node may take."""
    if pod_class.ports or any(_against_itself(pod_class, term.topology_key, nodes) for term in pod_class.anti_affinity):
        return 1
    skews = [c.max_skew for c in pod_class.constraints if c.own and _single(c.topology_key, nodes)]
    return min(skews, default=UNBOUNDED)


def _against_itself(pod_class: PodClass, key: str, nodes: NodeTable) -> bool:
    namespace, labels = pod_class.namespace, pod_class.labels
    away = any(term.topology_key == key and term.selects(namespace, labels, {}) for term in pod_class.anti_affinity)
    return away and _single(key, nodes)


def _single(key: str, nodes: NodeTable) -> bool:
    """Whether each value of a label is that of about one node."""
    return 2 * len(nodes.label(key).index) > len(nodes.slots)
