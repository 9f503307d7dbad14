"""The commands of the closed product's public documentation, unchanged, and those of Moorage's guide."""

from __future__ import annotations

PUBLISHED_URL = "https://castai.github.io/helm-charts"
NAMESPACE = "castai-agent"
RELEASE = "castai-pod-pinner"

GUIDE_URL = "http://127.0.0.1:8879"

# Published.
PUBLISHED_REPO_ADD = f"helm repo add castai-helm {PUBLISHED_URL}"
REPO_UPDATE = "helm repo update"
PUBLISHED_INSTALL = "helm upgrade --install castai-pod-pinner castai-helm/castai-pod-pinner -n castai-agent"
PUBLISHED_SELF_MANAGED = (
    "helm upgrade -i castai-pod-pinner castai-helm/castai-pod-pinner -n castai-agent --set managedByCASTAI=false"
)
PUBLISHED_SELF_MANAGED_UPGRADE = (
    "helm upgrade --install castai-pod-pinner castai-helm/castai-pod-pinner -n castai-agent --set managedByCASTAI=false"
)
LIST = "helm list -n castai-agent --filter castai-pod-pinner"
DEPLOYMENTS = "kubectl get deployments.apps   -n castai-agent"
REMOVAL_DISABLED = 'kubectl annotate pods {pod} autoscaling.cast.ai/removal-disabled="true"'

# Ours. The closed product has no planner to install.
REPO_ADD = f"helm repo add moorage {GUIDE_URL}"
INSTALL = "helm upgrade --install castai-pod-pinner moorage/castai-pod-pinner -n castai-agent"
SELF_MANAGED = f"{INSTALL} --reset-then-reuse-values --set managedByCASTAI=false"
PLANNER = "helm upgrade --install moorage-planner moorage/moorage-planner -n castai-agent -f {values}"
FRESH_KEY = (
    "helm upgrade castai-pod-pinner moorage/castai-pod-pinner -n castai-agent --reset-then-reuse-values"
    " --set castai.apiKey=null"
)
OWN = (
    "kubectl label crd nodereservations.moorage.dev app.kubernetes.io/managed-by=Helm",
    "kubectl annotate crd nodereservations.moorage.dev"
    " meta.helm.sh/release-name=castai-pod-pinner meta.helm.sh/release-namespace=castai-agent",
)
"""The definition, which Helm has not made, becomes the release's."""
BACK = (
    "kubectl scale deployment castai-pod-pinner -n castai-agent --replicas=0",
    "moorage cleanup",
    "helm history castai-pod-pinner -n castai-agent",
    "helm rollback castai-pod-pinner REVISION -n castai-agent",
)
"""Back to the closed chart; REVISION is its last one."""
