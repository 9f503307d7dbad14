"""Volumes whose data are on one node."""

from __future__ import annotations

from collections.abc import Iterator

from moorage.objects import PersistentVolume, Pod
from moorage.objects.selectors import Requirement

from . import names
from .reasons import PodFinding, PodReason
from .view import View

_OF_ONE_NODE = frozenset(("hostname", "node", "nodename", "node-name"))
"""How the labels end by which local drivers name a node: ``kubernetes.io/hostname``, ``topology.topolvm.io/node``."""


def claims(pod: Pod) -> list[str]:
    """Return the PersistentVolumeClaims of a pod that outlive it."""
    return [each.persistent_volume_claim.claim_name for each in pod.spec.volumes if each.persistent_volume_claim]


def local(pod: Pod, view: View) -> Iterator[PodFinding]:
    """Return the volumes that hold a pod on its node.

    An emptyDir does not, unless the pod's author has listed the volumes that are safe to lose, and left it out. Nor
    does a generic ephemeral volume: it goes with its pod.
    """
    if not pod.spec.volumes:
        return
    listed = pod.metadata.annotations.get(names.SAFE_LOCAL_VOLUMES)
    safe = frozenset(name.strip() for name in listed.split(",")) if listed is not None else frozenset()
    for volume in pod.spec.volumes:
        if volume.name in safe:
            continue
        if volume.host_path is not None:
            yield PodFinding(PodReason.LOCAL_VOLUME, f"hostPath {volume.name}")
        elif volume.empty_dir is not None and listed is not None:
            yield PodFinding(PodReason.LOCAL_VOLUME, f"emptyDir {volume.name}, not in {names.SAFE_LOCAL_VOLUMES}")
        elif volume.persistent_volume_claim is not None:
            yield from _of_claim(pod, volume.persistent_volume_claim.claim_name, view)


def _of_claim(pod: Pod, name: str, view: View) -> Iterator[PodFinding]:
    key = f"{pod.metadata.namespace}/{name}"
    claim = view.claims.get(key)
    bound = claim.spec.volume_name if claim is not None else ""
    volume = view.volumes.get(bound)
    doubt = view.doubt("PersistentVolumeClaim", key) or (bound and view.doubt("PersistentVolume", bound))
    if doubt:
        yield PodFinding(PodReason.VOLUME_UNSEEN, doubt)
    elif claim is None:
        yield PodFinding(PodReason.VOLUME_UNSEEN, f"PersistentVolumeClaim {name} does not exist")
    elif not bound:
        yield PodFinding(PodReason.VOLUME_UNSEEN, f"PersistentVolumeClaim {name} has no volume")
    elif volume is None:
        yield PodFinding(PodReason.VOLUME_UNSEEN, f"PersistentVolume {bound} does not exist")
    elif _on_one_node(volume):
        yield PodFinding(PodReason.LOCAL_VOLUME, f"PersistentVolume {bound} of claim {name}")


def _on_one_node(volume: PersistentVolume) -> bool:
    """Whether a volume is local, or only one node can reach it, as with drivers for local volumes."""
    spec = volume.spec
    if spec.local is not None or spec.host_path is not None:
        return True
    required = spec.node_affinity.required if spec.node_affinity is not None else None
    terms = required.node_selector_terms if required is not None else ()
    return bool(terms) and all(any(_names_a_node(each) for each in term.match_expressions) for term in terms)


def _names_a_node(expression: Requirement) -> bool:
    one = expression.operator == "In" and len(expression.values) == 1
    return one and expression.key.rpartition("/")[2] in _OF_ONE_NODE
