"""The commands of the product's public documentation, as they stand there."""

from __future__ import annotations

PUBLISHED_URL = "https://castai.github.io/helm-charts"
NAMESPACE = "castai-agent"
RELEASE = "castai-pod-pinner"

REPO_ADD = f"helm repo add castai-helm {PUBLISHED_URL}"
REPO_UPDATE = "helm repo update"
INSTALL = "helm upgrade --install castai-pod-pinner castai-helm/castai-pod-pinner -n castai-agent"
SELF_MANAGED = (
    "helm upgrade -i castai-pod-pinner castai-helm/castai-pod-pinner -n castai-agent --set managedByCASTAI=false"
)
SELF_MANAGED_UPGRADE = (
    "helm upgrade --install castai-pod-pinner castai-helm/castai-pod-pinner -n castai-agent --set managedByCASTAI=false"
)
LIST = "helm list -n castai-agent --filter castai-pod-pinner"
DEPLOYMENTS = "kubectl get deployments.apps   -n castai-agent"
REMOVAL_DISABLED = 'kubectl annotate pods {pod} autoscaling.cast.ai/removal-disabled="true"'

PLANNER = "helm upgrade --install moorage-planner castai-helm/moorage-planner -n castai-agent -f {values}"
"""Ours: the closed product has no planner to install."""
