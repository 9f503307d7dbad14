"""Pods that aggressive mode never evicts, whether the cluster or a rule turns it on."""

from __future__ import annotations

from moorage.objects import Pod

from . import names
from .controllers import Controllers, Made
from .reasons import PodFinding, PodReason


def spared(pod: Pod, controllers: Controllers) -> PodFinding | None:
    """Return why aggressive mode does not evict a pod, or None."""
    runs = _names(pod, controllers)
    if runs & names.OURS or pod.metadata.labels.get(names.PART_OF[0]) == names.PART_OF[1]:
        return PodFinding(PodReason.OURSELVES)
    if any(name.endswith(names.CLUSTER_AUTOSCALER) for name in runs):
        return PodFinding(PodReason.CLUSTER_AUTOSCALER)
    if names.KARPENTER in runs:
        return PodFinding(PodReason.KARPENTER)
    if (pod.spec.priority or 0) >= names.CRITICAL_PRIORITY or pod.spec.priority_class_name in names.CRITICAL_CLASSES:
        return PodFinding(PodReason.SYSTEM_CRITICAL, pod.spec.priority_class_name or f"priority {pod.spec.priority}")
    if pod.metadata.namespace == "kube-system" and controllers.made is Made.REPLICATED:
        return PodFinding(PodReason.KUBE_SYSTEM)
    return None


def _names(pod: Pod, controllers: Controllers) -> set[str]:
    """What the pod runs, by its labels and its controllers' names."""
    labels = pod.metadata.labels
    names_of_labels = {labels[key] for key in names.NAME_LABELS if key in labels}
    return names_of_labels | {each.metadata.name for each in controllers.objects}
