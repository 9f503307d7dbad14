"""Whether this process runs in a pod, where a kubelet may create some files after the process has started."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


def in_cluster(environ: Mapping[str, str]) -> bool:
    """Whether this is a pod with a service account (client-go rest/config.go, InClusterConfig)."""
    return bool(environ.get("KUBERNETES_SERVICE_HOST")) and TOKEN.exists()
