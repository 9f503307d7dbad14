"""Classes of pods: everything placement reads of a pod, worked out once for all pods that are equal in it."""

from __future__ import annotations

import msgspec

from moorage.objects.pod import Pod

from . import requests
from .domains import Counter
from .plugins import inter_pod_affinity, node_ports, pod_topology_spread
from .plugins.inter_pod_affinity import Repelling
from .plugins.node_declared_features import StaticFacet
from .plugins.node_resources_fit import Asked, Needs
from .reasons import Finding, Reason
from .selectors import SelectorError
from .volumes import VolumeNeeds, volume_needs, volume_source

_encode = msgspec.json.Encoder().encode


def class_key(pod: Pod) -> bytes:
    """The identity of a pod's class: its namespace, labels and every field that placement reads."""
    meta, spec = pod.metadata, pod.spec
    source = (
        meta.namespace,
        meta.labels,
        meta.deletion_timestamp is not None,
        spec.containers,
        spec.init_containers,
        spec.resources,
        spec.overhead,
        spec.node_selector,
        spec.affinity,
        spec.tolerations,
        spec.topology_spread_constraints,
        spec.host_network and spec.host_users is False,
        spec.resource_claims,
        volume_source(pod) if spec.volumes else None,
        resize_source(pod),
    )
    return encode(source)


def encode(source: object) -> bytes:
    """Bytes that are equal for equal values."""
    try:
        return _encode(source)
    except (OverflowError, UnicodeEncodeError, TypeError):
        return repr(source).encode(errors="backslashreplace")


def resize_source(pod: Pod) -> object:
    """What of the status changes the use of resources, or None when the spec says it all."""
    if not requests.has_status_resources(pod):
        return None
    status = pod.status
    wanted = {c.name: c.resources.requests for c in (*pod.spec.containers, *pod.spec.init_containers)}
    differing = tuple(
        (container.name, container.resources, container.allocated_resources)
        for container in (*status.container_statuses, *status.init_container_statuses)
        if container.resources is not None
        and not (
            container.resources.requests == wanted.get(container.name)
            and container.allocated_resources in ({}, container.resources.requests)
        )
    )
    if not differing and status.resources is None:
        return None
    return (differing, status.resources, status.allocated_resources, requests.resize_infeasible(pod))


class PodClass:
    """One class; ``counters`` and ``where`` are kept by the snapshot."""

    __slots__ = (
        "affinity",
        "anti_affinity",
        "asked",
        "asked_for",
        "carried",
        "claims",
        "constraints",
        "counters",
        "key",
        "labels",
        "namespace",
        "ports",
        "problems",
        "relations",
        "repelled_by",
        "static",
        "terminating",
        "unreadable",
        "usage",
        "volumes",
        "watched",
        "where",
    )

    def __init__(self, key: bytes, pod: Pod, static: StaticFacet) -> None:
        self.key = key
        self.static = static
        self.namespace = pod.metadata.namespace
        self.labels = pod.metadata.labels
        self.terminating = pod.metadata.deletion_timestamp is not None
        self.problems: list[Finding] = []
        self.asked_for: Asked = ()
        self.usage: Needs = ()
        self.unreadable = False
        self.ports = node_ports.host_ports(pod.spec)
        self.claims = bool(pod.spec.resource_claims)
        self.volumes: VolumeNeeds | None = volume_needs(pod)
        self.affinity: inter_pod_affinity.Terms = ()
        self.anti_affinity: inter_pod_affinity.Terms = ()
        self.carried: inter_pod_affinity.Terms = ()
        self.constraints: tuple[pod_topology_spread.Constraint, ...] = ()
        self._read_terms(pod)
        if self.claims:
            self.problems.append(
                Finding(Reason.RESOURCE_CLAIM, "spec.resourceClaims", pod.spec.resource_claims[0].name)
            )
        # Kept by the snapshot: who is to hear of pods of this class, whom it is repelled by, how many are in each slot.
        self.counters: list[Counter] = []
        self.repelled_by: list[Repelling] = []
        self.where: dict[int, int] = {}
        self.relations = inter_pod_affinity.ALONE
        self.watched: pod_topology_spread.Watched = ()
        self.asked = False

    def _read_terms(self, pod: Pod) -> None:
        affinity = pod.spec.affinity
        if affinity is not None:
            try:
                self.carried = inter_pod_affinity.anti_affinity_terms(self.namespace, affinity)
            except SelectorError as error:
                self.problems.append(Finding(Reason.AFFINITY_INVALID, error.field, error.problem))
            else:
                self.anti_affinity = self.carried
            try:
                self.affinity = inter_pod_affinity.affinity_terms(self.namespace, affinity)
                inter_pod_affinity.preferred_selectors(self.namespace, affinity)
            except SelectorError as error:
                self.problems.append(Finding(Reason.AFFINITY_INVALID, error.field, error.problem))
        if pod.spec.topology_spread_constraints:
            try:
                self.constraints = pod_topology_spread.constraints(pod.spec.topology_spread_constraints, self.labels)
            except SelectorError as error:
                self.problems.append(Finding(Reason.SPREAD_INVALID, error.field, error.problem))
