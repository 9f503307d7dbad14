"""How people make a dump; apart from what reads it, so that ``--help`` can say it at once."""

from __future__ import annotations

KINDS = (
    "nodes,pods,namespaces,replicasets,replicationcontrollers,deployments,statefulsets,daemonsets,jobs,cronjobs,"
    "poddisruptionbudgets,persistentvolumes,persistentvolumeclaims,storageclasses,csinodes,volumeattachments,leases"
)
"""Of a whole dump. Leases are small, and say of when it is and that all namespaces are in it."""
COMMAND = f"kubectl get {KINDS} -A -o json > cluster.json"
"""Writes a whole dump."""
