"""Gangs: pods that are placed together or not at all, by the labels of the programs that place them."""

from __future__ import annotations

from moorage.objects.pod import Pod

LABELS = (
    "scheduling.x-k8s.io/pod-group",
    "pod-group.scheduling.sigs.k8s.io",
    "pod-group.scheduling.sigs.k8s.io/name",
    "scheduling.k8s.io/group-name",
    "gang.scheduling.koordinator.sh/name",
    "scheduling.koordinator.sh/gang-name",
    "volcano.sh/job-name",
    "yunikorn.apache.org/task-group-name",
    "kueue.x-k8s.io/pod-group-name",
    "jobset.sigs.k8s.io/jobset-name",
    "leaderworkerset.sigs.k8s.io/name",
    "training.kubeflow.org/job-name",
)
"""Coscheduling, Volcano, Koordinator, YuniKorn, Kueue, JobSet, LeaderWorkerSet and Kubeflow's trainer."""


def mark(pod: Pod) -> str:
    """Return the label that makes a pod part of a gang, ``key=value``; empty when there is none."""
    labels = pod.metadata.labels
    return next((f"{key}={labels[key]}" for key in LABELS if key in labels), "")
