"""Reasons why a pod does not fit: one enumeration, each reason with a sentence for people.

A verdict is "no" when at least one reason is definite, "unknown" when the only reasons are things that cannot be
decided from the snapshot, and "yes" when there is no reason at all. Nothing else can make a "yes".
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Fit(Enum):
    """The three answers."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class Reason(Enum):
    """Every reason; ``plugin`` is the scheduler plugin that has it, ``definite`` separates "no" from "unknown"."""

    code: str
    plugin: str
    sentence: str
    definite: bool

    def __init__(self, code: str, plugin: str, sentence: str, definite: bool = True) -> None:
        self.code = code
        self.plugin = plugin
        self.sentence = sentence
        self.definite = definite

    NODE_ABSENT = ("node-absent", "", "there is no such node")
    NODE_NAME = ("node-name", "NodeName", "the pod asks for another node")
    NODE_UNSCHEDULABLE = ("node-unschedulable", "NodeUnschedulable", "the node is cordoned")
    TAINT = ("taint", "TaintToleration", "the node has a taint that the pod does not tolerate")
    NODE_SELECTOR = ("node-selector", "NodeAffinity", "the node lacks a label that the pod's node selector asks for")
    NODE_AFFINITY = ("node-affinity", "NodeAffinity", "the node matches no term of the pod's required node affinity")
    FEATURE = ("node-feature", "NodeDeclaredFeatures", "the node's kubelet lacks a feature that the pod uses")
    HOST_PORT = ("host-port", "NodePorts", "another pod on the node uses the same host port")
    TOO_MANY_PODS = ("too-many-pods", "NodeResourcesFit", "the node runs as many pods as it may")
    RESOURCE = ("resource", "NodeResourcesFit", "the node has too little left of a resource that the pod requests")
    POD_AFFINITY = ("pod-affinity", "InterPodAffinity", "no pod that this one must be near runs in the node's domain")
    POD_ANTI_AFFINITY = (
        "pod-anti-affinity",
        "InterPodAffinity",
        "a pod that this one must be away from runs in the node's domain",
    )
    OTHERS_ANTI_AFFINITY = (
        "others-anti-affinity",
        "InterPodAffinity",
        "a pod in the node's domain must be away from this one",
    )
    SPREAD_KEY = ("spread-key", "PodTopologySpread", "the node lacks the label that the pod is spread over")
    SPREAD_SKEW = ("spread-skew", "PodTopologySpread", "one more pod in the node's domain would be spread too unevenly")
    AFFINITY_INVALID = ("pod-affinity-invalid", "InterPodAffinity", "a selector of the pod's affinity cannot be read")
    SPREAD_INVALID = ("spread-invalid", "PodTopologySpread", "the selector of a spread constraint cannot be read")
    CLAIM_ABSENT = ("claim-absent", "VolumeBinding", "a volume claim of the pod does not exist")
    CLAIM_LOST = ("claim-lost", "VolumeBinding", "a volume claim of the pod has lost its volume")
    CLAIM_DELETED = ("claim-deleted", "VolumeBinding", "a volume claim of the pod is being deleted")
    CLAIM_FOREIGN = ("claim-foreign", "VolumeBinding", "the claim of an ephemeral volume belongs to another pod")
    CLAIM_UNBOUND = ("claim-unbound", "VolumeBinding", "a volume claim of the pod is not bound yet")
    CLAIM_CLASS = ("claim-class", "VolumeZone", "a volume claim of the pod has no usable storage class")
    SELECTED_NODE = ("claim-selected-node", "VolumeBinding", "the pod's volume is being made for another node")
    VOLUME_ABSENT = ("volume-absent", "VolumeBinding", "the volume of a claim no longer exists")
    VOLUME_NODE = ("volume-node", "VolumeBinding", "a volume of the pod cannot be reached from the node")
    VOLUME_ZONE = ("volume-zone", "VolumeZone", "a volume of the pod is in another zone or region")
    VOLUME_LIMIT = ("volume-limit", "NodeVolumeLimits", "the node cannot attach that many volumes")
    DISK_IN_USE = ("disk-in-use", "VolumeRestrictions", "another pod on the node uses the same disk")
    READ_WRITE_ONCE_POD = (
        "read-write-once-pod",
        "VolumeRestrictions",
        "another pod uses a claim that only one pod may use at a time",
    )
    # Not decidable here: never a yes, never a definite no.
    WAIT_FOR_FIRST_CONSUMER = (
        "wait-for-first-consumer",
        "VolumeBinding",
        "not decidable here: the scheduler itself chooses the volume of an unbound WaitForFirstConsumer claim",
        False,
    )
    EPHEMERAL_CLAIM = (
        "ephemeral-claim",
        "VolumeBinding",
        "not decidable here: a generic ephemeral volume is made with its pod, where the scheduler chooses",
        False,
    )
    RESOURCE_CLAIM = (
        "resource-claim",
        "DynamicResources",
        "not decidable here: the pod uses resource claims, which the scheduler itself allocates",
        False,
    )
    DEVICE_CLASS = (
        "device-class",
        "DynamicResources",
        "not decidable here: the resource may be provided by a device class instead of the node",
        False,
    )
    IN_TREE_VOLUME = (
        "in-tree-volume",
        "VolumeBinding",
        "not decidable here: the in-tree volume would be translated to its CSI driver on this node",
        False,
    )
    IN_TREE_LIMIT = (
        "in-tree-limit",
        "NodeVolumeLimits",
        "not decidable here: in-tree volumes count against the limit of their CSI driver after translation",
        False,
    )
    POD_QUANTITY = ("pod-quantity", "NodeResourcesFit", "a quantity of the pod cannot be read", False)
    NODE_QUANTITY = ("node-quantity", "NodeResourcesFit", "a quantity of the node cannot be read", False)
    NEIGHBOUR_QUANTITY = (
        "neighbour-quantity",
        "NodeResourcesFit",
        "what a pod on the node uses cannot be read",
        False,
    )
    UNREADABLE = ("unreadable", "", "not decidable here: an object that could change the answer cannot be read", False)


class Finding(NamedTuple):
    """A reason with the field that causes it and particulars, for example ``cpu: 500 needed, 200 free``."""

    reason: Reason
    field: str
    detail: str = ""

    def __str__(self) -> str:
        """Return the sentence for people."""
        detail = f": {self.detail}" if self.detail else ""
        return f"{self.reason.sentence} ({self.field}{detail})"


class Verdict(NamedTuple):
    """The answer for one pod and one node, with every reason against it."""

    fit: Fit
    findings: tuple[Finding, ...] = ()

    @classmethod
    def of(cls, findings: list[Finding]) -> Verdict:
        """Derive the answer: without reasons yes, with a definite reason no, else unknown."""
        if not findings:
            return YES
        definite = any(finding.reason.definite for finding in findings)
        return cls(Fit.NO if definite else Fit.UNKNOWN, tuple(dict.fromkeys(findings)))

    def __str__(self) -> str:
        """Return the sentences for people, in one line."""
        return self.fit.value + "".join(f"; {finding}" for finding in self.findings)


YES = Verdict(Fit.YES)
