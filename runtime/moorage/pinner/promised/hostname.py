"""The hostname label of promised nodes: no placeholder has it, and its kubelet sets it when it registers. Pure.

A placeholder with the label would be an empty domain of ``kubernetes.io/hostname``: no other pod that is spread over
host names (DoNotSchedule) could be scheduled while it stands. The kubelet sets the label about 100 ms after it has
begun to admit pods (kubelet_node_status.go: registerWithAPIServer, updateDefaultLabels). It checks node selectors and
required node affinity when it admits a pod, and the node affinity of volumes when it mounts them
(lifecycle/predicate.go; volume/util, CheckNodeAffinity). It never checks spread or pod affinity.

So the fit check gives a placeholder the label: then spread and pod affinity come out as on the node that joins. Pods
that could only be admitted because of the label are refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from moorage.objects import Node, Pod
from moorage.protocol import ReasonCode
from moorage.reservations import Promise
from moorage.scheduling import Reason

from ..names import HOSTNAME
from ..refusal import Refusal

if TYPE_CHECKING:  # it needs numpy, and moorage cleanup does not
    from moorage.scheduling import Snapshot, Verdict
    from moorage.scheduling.placement import Placement

_SPREAD = frozenset((Reason.SPREAD_KEY, Reason.SPREAD_SKEW, Reason.SPREAD_INVALID))


def domain(name: str, promise: Promise) -> str:
    """The value that the label will have: the kubelet takes its node's name, unless it is started with another.

    Args:
        name: the node's name.
        promise: what was promised.
    """
    return promise.labels.get(HOSTNAME) or name


def refuse(pod: Pod, node: Node, snapshot: Snapshot) -> Refusal | None:
    """Why a kubelet would refuse a pod that fits, because its node has no hostname label yet; or None.

    Args:
        pod: the pod.
        node: its node, as it is.
        snapshot: of the fit check, which has said that the pod fits.
    """
    labels = node.metadata.labels
    if HOSTNAME in labels:
        return None
    name, pod_class = node.metadata.name, snapshot.class_of(pod)
    if _needs_it(pod_class.node_affinity) and not pod_class.node_affinity.matches(name, labels):
        what = "the pod selects by"
    elif pod_class.volumes is not None and any(
        _needs_it(each.placement) and not each.placement.matches("", labels)
        for each in snapshot.volumes.of(pod_class).node_affinities
    ):
        what = "a volume of the pod can be reached only by"
    else:
        return None
    text = (
        f"node {name}: {what} {HOSTNAME}, a label that a placeholder does not have: the kubelet sets it when it joins"
    )
    return Refusal(ReasonCode.DOES_NOT_FIT, text)


def spreads(pod: Pod) -> bool:
    """Whether a pod must be spread over host names: nodes without the label are no domains for kube-scheduler."""
    constraints = pod.spec.topology_spread_constraints
    return any(each.topology_key == HOSTNAME and each.when_unsatisfiable == "DoNotSchedule" for each in constraints)


def matters(pod: Pod, node: Node | None, verdict: Verdict) -> bool:
    """Whether the answer may be another one when nodes without the label are no domains.

    With fewer domains the emptiest one has no fewer pods. So a single constraint that holds holds then, too. That is
    known at once, and each node that is counted anew costs 0.1 ms.

    Args:
        pod: a pod that must be spread over host names.
        node: the node that it is checked against; None when there is none.
        verdict: the answer when all promised nodes count as domains.
    """
    constraints = [each for each in pod.spec.topology_spread_constraints if each.when_unsatisfiable == "DoNotSchedule"]
    plain = len(constraints) == 1 and (constraints[0].min_domains or 1) == 1
    named = node is not None and HOSTNAME in node.metadata.labels
    return not (plain and named) or any(finding.reason in _SPREAD for finding in verdict.findings)


def without(node: Node) -> Node:
    """A node as kube-scheduler sees it while its kubelet has not set the label."""
    labels = {key: value for key, value in node.metadata.labels.items() if key != HOSTNAME}
    return msgspec.structs.replace(node, metadata=msgspec.structs.replace(node.metadata, labels=labels))


def _needs_it(placement: Placement) -> bool:
    keys = placement.keys()
    return HOSTNAME in keys
