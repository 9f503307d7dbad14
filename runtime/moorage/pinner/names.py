"""The labels, taints and annotations that pinning reads or writes."""

from __future__ import annotations

from moorage.objects import Node, Taint
from moorage.protocol import validate

MANAGED_LABEL = "provisioner.cast.ai/managed-by"
MANAGED_VALUE = "cast.ai"
"""Marks a placeholder for people and for ``moorage cleanup``; it stays on the node that joins."""

RESERVATION_ANNOTATION = "moorage.dev/reservation"
"""On a placeholder: uid of the reservation it was created for. Tells our placeholder from another's, nothing else."""

PIN_ANNOTATION = "moorage.dev/pinned-by"
"""On a pod: by what it was bound: an instruction's id, or ``STEERED_BY`` and who wrote the SlotReservation.

Written with the binding itself; for people and audits.
"""
STEERED_BY = "SlotReservation of "
"""How that begins on a pod that was pinned to a node that runs."""

CLAIM_ANNOTATION = "moorage.dev/claim"
"""On a pod: the random id of the claim under which the webhook pinned it, by which the webhook knows it again."""

NOT_PINNED_ANNOTATION = "moorage.dev/not-pinned"
"""On a pod that was expected and is left to the scheduler: why. For people."""

RENEWED_ANNOTATION = "moorage.dev/renewed"
"""On the Lease of a placeholder: the renewTime that we wrote. Another renewTime beside it was written by a kubelet."""

PREPARING = "scheduling.cast.ai/pod-pinning-preparing"
PREPARING_TAINT = Taint(key=PREPARING, value="true", effect="NoSchedule")
"""Keeps the scheduler away until the expected pods are there."""

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
NETWORK_UNAVAILABLE = "node.kubernetes.io/network-unavailable"
UNINITIALIZED = "node.cloudprovider.kubernetes.io/uninitialized"

LIFECYCLE_TAINTS = frozenset((NOT_READY, UNREACHABLE, NETWORK_UNAVAILABLE, UNINITIALIZED))
"""Taints that come and go while a node starts: no promise is checked against them."""

EXCLUDE_DISRUPTION = "node.kubernetes.io/exclude-disruption"
EXCLUDE_BALANCERS = "node.kubernetes.io/exclude-from-external-load-balancers"
PLACEHOLDER_LABEL = "moorage.dev/placeholder"
"""On a placeholder only: pods that tolerate everything can ask for nodes without it."""
JOINING_LABELS = {EXCLUDE_DISRUPTION: "true", EXCLUDE_BALANCERS: "true", PLACEHOLDER_LABEL: "true"}
"""On a placeholder only: it is neither counted as a failed node of its zone, nor sent traffic, nor taken for real."""

COMPONENT_LABEL = "app.kubernetes.io/name"
COMPONENT_NAME = "castai-pod-pinner"
"""On the pod pinner's own pods: the webhook is not asked about them."""

WEBHOOK = "pods.pod-pinner.moorage.dev"
"""By this name the API server asks the leader about pods that are created."""

ROLE_LABEL = "moorage.dev/role"
LEADER = "leader"
"""On the pod of the replica that leads: the Service of the webhook selects it."""

NO_MANAGERS: tuple[dict[str, str], ...] = ({},)
"""``managedFields`` that mean: keep none (k8s.io/apimachinery/pkg/util/managedfields), of objects that only we write.

The API server would work out anew with each write who wrote which field.
"""

FINALIZER = "moorage.dev/placeholder"
"""On a reservation while a placeholder may exist that only we would ever clean up."""

HOSTNAME = validate.HOSTNAME
KUBELET_LABELS = frozenset(
    (
        HOSTNAME,
        "kubernetes.io/os",
        "kubernetes.io/arch",
        "beta.kubernetes.io/os",
        "beta.kubernetes.io/arch",
        "node.kubernetes.io/instance-type",
        "beta.kubernetes.io/instance-type",
        "topology.kubernetes.io/zone",
        "topology.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "failure-domain.beta.kubernetes.io/region",
        "node.kubernetes.io/windows-build",
    )
)
"""Labels a kubelet sets even on a Node that is there already (kubelet_node_status.go, updateDefaultLabels)."""

KARPENTER_PREFIX = "karpenter.sh/"
UNREGISTERED = "karpenter.sh/unregistered"
"""Karpenter's taint on a Node that it has not completed yet: labels, owner and startup taints of its NodeClaim come."""


def preparing(node: Node) -> str:
    """The effect of our preparing taint on a node; empty when it has none."""
    return next((taint.effect for taint in node.spec.taints if taint.key == PREPARING), "")


def marked(node: Node) -> bool:
    """Whether a Node carries our taint or a mark of ours: what does not is nobody's but its own, whatever we remember.

    The admission policy of the chart says the same, and refuses every write to other Nodes.
    """
    meta = node.metadata
    return bool(preparing(node)) or RESERVATION_ANNOTATION in meta.annotations or PLACEHOLDER_LABEL in meta.labels


def made_for(node: Node, *, reservation_uid: str, node_uid: str) -> bool:
    """Whether a Node was made for a reservation, and still carries a mark of ours.

    Args:
        node: any Node.
        reservation_uid: uid of the reservation.
        node_uid: uid of the Node as the reservation says; may be empty.
    """
    meta = node.metadata
    by_mark = meta.annotations.get(RESERVATION_ANNOTATION) == reservation_uid
    return by_mark or (meta.uid == node_uid and marked(node))
