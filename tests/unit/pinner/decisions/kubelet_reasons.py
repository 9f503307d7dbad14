"""The reasons with which kubelet v1.36.3 makes a pod Failed by itself, by the file below pkg/kubelet that has them."""

from __future__ import annotations

AT_ADMISSION: dict[str, tuple[str, ...]] = {
    "lifecycle/predicate.go": (
        "PodOSSelectorNodeLabelDoesNotMatch",
        "PodOSNotSupported",
        "InvalidNodeInfo",
        "InitContainerRestartPolicyForbidden",
        "SupplementalGroupsPolicyNotSupported",
        "UnexpectedAdmissionError",
        "UnknownReason",
        "UnexpectedPredicateFailureType",
        "OutOfcpu",
        "OutOfmemory",
        "OutOfephemeral-storage",
        "OutOfpods",
        "OutOfnvidia.com/gpu",
        "OutOfhugepages-2Mi",
        "NodeAffinity",
        "NodeName",
        "NodePorts",
        "TaintToleration",
    ),
    "lifecycle/handlers.go": ("AppArmor", "PodLevelResourcesNotSupported", "PodFeatureUnsupported"),
    "sysctl/allowlist.go": ("SysctlForbidden",),
    "eviction/eviction_manager.go": ("Evicted",),
    "nodeshutdown/nodeshutdown_manager.go": ("NodeShutdown",),
    "cm/topologymanager/topology_manager.go": ("TopologyAffinityError",),
    "cm/cpumanager/policy_static.go": ("SMTAlignmentError",),
    "cm/admission/errors.go": ("EmptyPodSharedPoolError",),
    "allocation/handlers.go": ("Infeasible",),
}
BEFORE_IT_BEGINS = {"volumemanager/volume_manager.go": "VolumeAttachmentLimitExceeded"}
"""The pod was admitted: its containers get a status."""

AT_ANY_TIME = {
    "eviction/eviction_manager.go": "Evicted",
    "preemption/preemption.go": "Preempting",
    "nodeshutdown/nodeshutdown_manager.go": "Terminated",
    "active_deadline.go": "DeadlineExceeded",
}

REFUSALS = tuple(reason for reasons in AT_ADMISSION.values() for reason in reasons)
EVERY = (*REFUSALS, *BEFORE_IT_BEGINS.values(), *AT_ANY_TIME.values(), "OfAVersionToCome", "")
