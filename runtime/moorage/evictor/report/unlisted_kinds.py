"""What is unknown when a kind cannot be listed."""

from __future__ import annotations

HIDES = {
    "Namespace": "whether a namespace is being deleted: every pod holds its node that is not disposable",
    "StorageClass": "where volumes can be made that are not there yet: pods that wait for one fit nowhere",
    "PersistentVolume": "whether volumes are on one node only: pods with claims hold their nodes",
    "PersistentVolumeClaim": "which volumes pods use: pods with claims hold their nodes",
    "CSINode": "how many volumes nodes take: pods with volumes that are attached fit nowhere",
    "VolumeAttachment": "how many volumes are attached to nodes: pods with volumes that are attached fit nowhere",
    "DeviceClass": "whether devices provide a resource: pods fit only where nodes themselves have it",
    "NodeClaim": "whether Karpenter is removing a node: the nodes stay that belong to a NodeClaim, and take nothing",
    "NodePool": "whether Karpenter empties nodes itself, and removes empty ones: all nodes of its NodePools stay",
    "ReplicaSet": "how many pods are wanted, and what the next one is like: pods of ReplicaSets hold their nodes",
    "ReplicationController": "how many pods are wanted: pods of ReplicationControllers hold their nodes",
    "Deployment": "whether a Deployment protects its pods or is being rolled out: pods of Deployments hold their nodes",
    "StatefulSet": "whether a StatefulSet protects its pods: all of them hold their nodes, disposable or not",
    "DaemonSet": "whether a DaemonSet is marked with removal-disabled, which would hold every node that it runs on",
    "Job": "whether a Job survives an eviction, or is disposable: pods of Jobs hold their nodes",
    "CronJob": "whether a CronJob protects its pods: pods of CronJobs hold their nodes",
    "PodDisruptionBudget": "which evictions would be refused: running pods that would have to move hold their nodes",
    "Node": "everything: without nodes there is nothing to look at",
    "Pod": "what runs on the nodes: all of them stay",
    "ConfigMap": "rules that may protect pods and nodes, and prices: none of them counts",
    "EvictorConfig": "settings and rules of the cluster: none of them counts",
}
"""By kind; the last two hold configuration."""
