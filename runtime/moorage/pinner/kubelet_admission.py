"""What a kubelet refuses a pod for that kube-scheduler never looks at, as far as it is known before.

A pod that the scheduler has placed has the same fate, so the fit check does not know these rules. What depends on the
kubelet's own configuration (sysctls, AppArmor, topology) only its refusal tells; such a pod is swept then.
"""

from __future__ import annotations

from moorage.objects import Node, Pod
from moorage.protocol import ReasonCode

from .refusal import Refusal

OS_LABEL = "kubernetes.io/os"
LINUX = "linux"


def refuse(pod: Pod, node: Node | None) -> Refusal | None:
    """Return why the kubelet of a node would refuse a pod, or None (pkg/kubelet/lifecycle/predicate.go).

    Args:
        pod: the pod.
        node: the Node as it is promised, or as it is; None while nobody knows.
    """
    # Of the label, which is no selector, the kubelet reads the pod's own (rejectPodAdmissionBasedOnOSSelector).
    labelled = pod.metadata.labels.get(OS_LABEL)
    if node is None or (pod.spec.os is None and labelled is None):
        return None
    system = operating_system(node)
    if labelled is not None and labelled != system:
        return _refused(node, f"label {OS_LABEL}: {labelled}", system, "PodOSSelectorNodeLabelDoesNotMatch")
    if pod.spec.os is not None and pod.spec.os.name != system:
        return _refused(node, f"spec.os.name: {pod.spec.os.name}", system, "PodOSNotSupported")
    return None


def operating_system(node: Node) -> str:
    """Return the system of a node: as its kubelet has reported it, or as its label says; linux while neither does."""
    return node.status.node_info.operating_system or node.metadata.labels.get(OS_LABEL, "") or LINUX


def _refused(node: Node, what: str, system: str, reason: str) -> Refusal:
    text = f"node {node.metadata.name} runs {system}, and the pod has {what}: its kubelet would refuse it ({reason})"
    return Refusal(ReasonCode.DOES_NOT_FIT, text)
