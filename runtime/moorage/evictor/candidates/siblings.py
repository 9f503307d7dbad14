"""Pods that are judged alike: they do not differ in any field that is read, so they share one verdict.

Labels, annotations, owners and tolerations are compared by identity: caches keep equal ones once (``kube/compact.py``).
Otherwise each pod is judged by itself.
"""

from __future__ import annotations

from collections.abc import Hashable

from moorage.objects import Pod

from . import names
from .budgets import ready


def alike(pod: Pod, node_rules: frozenset[str]) -> Hashable:
    """Return a key that pods which are judged alike have in common.

    Args:
        pod: in memory as long as the result is in use.
        node_rules: places of the rules that match its node.
    """
    meta, spec, status = pod.metadata, pod.spec, pod.status
    return (
        meta.namespace,
        id(meta.labels),
        id(meta.annotations),
        id(meta.owner_references),
        meta.deletion_timestamp is None,
        meta.creation_timestamp if names.DO_NOT_DISRUPT in meta.annotations else None,
        spec.priority,
        spec.priority_class_name,
        spec.termination_grace_period_seconds,
        spec.scheduler_name,
        id(spec.tolerations),
        spec.resource_claims,
        status.phase,
        ready(pod),
        status.extended_resource_claim_status is None,
        # The names of other volumes are often random, and no matter.
        tuple(
            [
                (each.name, each.host_path is None, each.persistent_volume_claim)
                for each in spec.volumes
                if each.persistent_volume_claim is not None
                or each.host_path is not None
                or (each.empty_dir is not None and names.SAFE_LOCAL_VOLUMES in meta.annotations)
            ]
        ),
        node_rules,
    )
