"""The pods that DaemonSets will create on a node once it runs. Pinned pods must leave room for them.

Follows pkg/controller/daemon. NewPod and AddOrUpdateDaemonPodTolerations (util/daemonset_util.go) give the pod.
NodeShouldRunDaemonPod (daemon_controller.go) decides whether it is created: by name, affinity and taints only.
"""

from __future__ import annotations

import msgspec

from moorage.kube.compact import compact_template
from moorage.kube.resource import Resource
from moorage.objects import KubeObject, Object, ObjectMeta, Pod, PodTemplate, Toleration
from moorage.objects.base import OwnerReference
from moorage.scheduling import Reason, Verdict


class DaemonSetSpec(Object, frozen=True):
    """The part of a DaemonSet's ``spec`` that describes its pods."""

    template: PodTemplate = PodTemplate()


class DaemonSet(KubeObject, frozen=True):
    """A DaemonSet with its template."""

    spec: DaemonSetSpec = DaemonSetSpec()


def _compact(daemons: DaemonSet) -> DaemonSet:
    """Copy the template out of the response, so that the response is freed."""
    return msgspec.structs.replace(daemons, spec=DaemonSetSpec(template=compact_template(daemons.spec.template)))


DAEMON_SETS = Resource("apps/v1", "daemonsets", "DaemonSet", DaemonSet, compact=_compact)

_TOLERATIONS = tuple(
    Toleration(key=f"node.kubernetes.io/{key}", operator="Exists", effect=effect)
    for key, effect in (
        ("not-ready", "NoExecute"),
        ("unreachable", "NoExecute"),
        ("disk-pressure", "NoSchedule"),
        ("memory-pressure", "NoSchedule"),
        ("pid-pressure", "NoSchedule"),
        ("unschedulable", "NoSchedule"),
    )
)
_HOST_NETWORK = Toleration(key="node.kubernetes.io/network-unavailable", operator="Exists", effect="NoSchedule")

_DECIDES = frozenset(
    (Reason.NODE_NAME, Reason.TAINT, Reason.NODE_SELECTOR, Reason.NODE_AFFINITY, Reason.NODE_UNSCHEDULABLE)
)


def daemon_pod(daemons: DaemonSet) -> Pod:
    """The pod that a DaemonSet will create for a node. It is not bound yet."""
    template = daemons.spec.template
    tolerations = template.spec.tolerations + _TOLERATIONS
    if template.spec.host_network:
        tolerations += (_HOST_NETWORK,)
    owner = OwnerReference("apps/v1", "DaemonSet", daemons.metadata.name, daemons.metadata.uid, controller=True)
    return Pod(
        metadata=ObjectMeta(
            name=f"{daemons.metadata.name}-to-come",
            namespace=daemons.metadata.namespace,
            labels=template.metadata.labels,
            owner_references=(owner,),
        ),
        spec=msgspec.structs.replace(template.spec, tolerations=tolerations),
    )


def comes(verdict: Verdict) -> bool:
    """Whether the DaemonSet controller will create the pod."""
    return not any(finding.reason in _DECIDES for finding in verdict.findings)
