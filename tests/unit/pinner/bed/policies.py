"""Mutating policies that remove parts of our writes, as a cluster's rules or an older schema may."""

from __future__ import annotations

from moorage.pinner.names import MANAGED_LABEL, PIN_ANNOTATION, RESERVATION_ANNOTATION

from .api import Policy
from .faults import prune


def _reservation(*path: str) -> Policy:
    return prune("spec", *path, resource="nodereservations")


POLICIES = {
    "annotations of bindings": prune("metadata", "annotations", resource="pods/binding"),
    "our mark of bindings": prune("metadata", "annotations", PIN_ANNOTATION, resource="pods/binding"),
    "annotations of nodes": prune("metadata", "annotations", resource="nodes"),
    "our mark of nodes": prune("metadata", "annotations", RESERVATION_ANNOTATION, resource="nodes", verb="create"),
    "taints of new nodes": prune("spec", "taints", resource="nodes", verb="create"),
    "labels of nodes": prune("metadata", "labels", resource="nodes"),
    "a promised label": prune("metadata", "labels", "pool", resource="nodes"),
    "our label": prune("metadata", "labels", MANAGED_LABEL, resource="nodes"),
    "status of new nodes": prune("status", resource="nodes", verb="create"),
    "status": prune("status", resource="nodereservations/status"),
    "message of the status": prune("status", "message", resource="nodereservations/status"),
    "finalizers": prune("metadata", "finalizers", resource="nodereservations"),
    **{
        name: _reservation(name)
        for name in (
            "pins",
            "nominations",
            "instructions",
            "nodeUID",
            "nodeName",
            "deadline",
            "promise",
            "slots",
            "plan",
            "intent",
            "released",
        )
    },
    "promised labels": _reservation("promise", "labels"),
    "instructions of pins": _reservation("pins", "instruction"),
    "digests": _reservation("instructions", "digest"),
}
