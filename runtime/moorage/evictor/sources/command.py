"""The kubectl command that writes a dump; a module of its own, so that ``--help`` need not load the reader."""

from __future__ import annotations

KINDS = (
    "nodes,pods,namespaces,replicasets,replicationcontrollers,deployments,statefulsets,daemonsets,jobs,cronjobs,"
    "poddisruptionbudgets,persistentvolumes,persistentvolumeclaims,storageclasses,csinodes,volumeattachments,leases"
)
"""Of a complete dump. Leases are small, and say of when it is and that all namespaces are in it."""
COMMAND = f"kubectl get {KINDS} -A -o json > cluster.json"
"""Writes a complete dump."""
