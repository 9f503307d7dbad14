"""Pod classes: all pods that are equal in every field that scheduling reads. A class is worked out once."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import NamedTuple

import msgspec

from moorage.objects.pod import Pod

from . import requests
from .domains import Counter
from .node_masks import KeptMask
from .placement import Placement
from .plugins import inter_pod_affinity, pod_topology_spread
from .plugins.inter_pod_affinity import Carriers, Terms
from .plugins.node_declared_features import required_features
from .plugins.node_ports import host_ports
from .plugins.node_resources_fit import Requests, Usage
from .plugins.plugin import Plugin
from .plugins.pod_topology_spread import Constraint, SpreadCounts
from .plugins.taint_toleration import TolerationMask
from .reasons import Finding, Reason
from .selectors import SelectorError
from .volumes import PodVolumes, pod_volumes, volume_source

_encode = msgspec.json.Encoder().encode


def class_key(pod: Pod) -> bytes:
    """Return the identity of a pod's class: its namespace, labels and every field that scheduling reads."""
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
    """Return bytes that are equal for equal values."""
    try:
        return _encode(source)
    except (OverflowError, UnicodeEncodeError, TypeError):
        return repr(source).encode(errors="backslashreplace")


def resize_source(pod: Pod) -> object:
    """Return what of the status changes the use of resources; None when the spec alone decides."""
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
    """One pod class.

    Attributes:
        node_name: ``spec.nodeName`` of the pod in question; empty in the class itself, which all nodes share.
        replaces: whether this is about the pod that replaces one of the class.
        problems: reasons against every node, found in the pod's own fields.
        requests: what a pending pod requests.
        usage: what a pod uses once it is on a node.
        usage_unknown: whether a quantity of the pod cannot be read.
        resource_claim: its first resource claim; empty when it has none.
        affinity: required terms of inter-pod affinity.
        anti_affinity: required terms of inter-pod anti-affinity.
        constraints: topology spread constraints of the kind DoNotSchedule.
        pods_at: how many pods of the class there are, by slot.
        counters: what counts the pods of the class.
        prepared: whether ``affinity_counts`` and ``spread_counts`` are there.
        affinity_counts: the counts that its affinity terms need.
        spread_counts: the constraints with the counts that they need.
        plugins: the plugins that do not skip the class.
        pod_plugins: those of them that are not decided by nodes alone.
        count_hooks: those of them that count pods.
        node_mask: where the other ones let the class go; shared with classes that are equal in what these read.
        repelled_by: the anti-affinity terms of other pods that select this class.
    """

    __slots__ = (
        "affinity",
        "affinity_counts",
        "anti_affinity",
        "constraints",
        "count_hooks",
        "counters",
        "features",
        "key",
        "labels",
        "namespace",
        "node_affinity",
        "node_mask",
        "node_name",
        "plugins",
        "pod_plugins",
        "pods_at",
        "ports",
        "prepared",
        "problems",
        "repelled_by",
        "replaces",
        "requests",
        "resource_claim",
        "spread_counts",
        "terminating",
        "tolerations",
        "usage",
        "usage_unknown",
        "volumes",
    )

    def __init__(
        self,
        key: bytes,
        pod: Pod,
        node_affinity: Placement,
        tolerations: TolerationMask,
        node_mask: KeptMask,
        plugins: Plugins,
    ) -> None:
        self.key = key
        self.node_affinity = node_affinity
        self.tolerations = tolerations
        self.node_name = ""
        self.replaces = False
        self.namespace = pod.metadata.namespace
        self.labels = pod.metadata.labels
        self.terminating = pod.metadata.deletion_timestamp is not None
        self.problems: list[Finding] = []
        self.requests: Requests = ()
        self.usage: Usage = ()
        self.usage_unknown = False
        self.ports = host_ports(pod.spec)
        self.features = required_features(pod.spec)
        self.resource_claim = pod.spec.resource_claims[0].name if pod.spec.resource_claims else ""
        self.volumes: PodVolumes | None = pod_volumes(pod)
        self.affinity: Terms = ()
        self.anti_affinity: Terms = ()
        self.constraints: tuple[Constraint, ...] = ()
        self._read_terms(pod)
        self.pods_at: dict[int, int] = {}
        self.counters: list[Counter] = []
        self.prepared = False
        self.affinity_counts = inter_pod_affinity.NO_TERMS
        self.spread_counts: SpreadCounts = ()
        self.repelled_by: list[Carriers] = []
        self.node_mask = node_mask
        self.plugins, self.pod_plugins, self.count_hooks = plugins.of(self)

    def bound_to(self, node: str, plugins: Plugins) -> PodClass:
        """Return the class of a pod whose ``spec.nodeName`` is this node.

        Args:
            node: the node's name.
            plugins: all plugins.
        """
        bound = copy(self)
        bound.node_name = node
        bound.plugins, bound.pod_plugins, bound.count_hooks = plugins.of(bound)
        return bound

    def replacement(self) -> PodClass:
        """Return the class of the pod that replaces one of this class."""
        if self.volumes is None or all(claim.owner is None for claim in self.volumes.claims):
            return self
        replacement = copy(self)
        replacement.replaces = True
        return replacement

    def _read_terms(self, pod: Pod) -> None:
        affinity = pod.spec.affinity
        if affinity is not None:
            try:
                self.anti_affinity = inter_pod_affinity.anti_affinity_terms(self.namespace, affinity)
            except SelectorError as error:
                self.problems.append(Finding(Reason.AFFINITY_INVALID, error.field, error.problem))
            try:
                self.affinity = inter_pod_affinity.affinity_terms(self.namespace, affinity)
                inter_pod_affinity.preferred_selectors(self.namespace, affinity)
            except SelectorError as error:
                self.problems.append(Finding(Reason.AFFINITY_INVALID, error.field, error.problem))
        if pod.spec.topology_spread_constraints:
            try:
                constraints = pod.spec.topology_spread_constraints
                self.constraints = pod_topology_spread.constraints(constraints, self.labels)
            except SelectorError as error:
                self.problems.append(Finding(Reason.SPREAD_INVALID, error.field, error.problem))


class Choice(NamedTuple):
    """The plugins that do not skip a class, those of them that nodes alone do not decide, and what counts pods."""

    plugins: tuple[Plugin[PodClass], ...]
    pod_plugins: tuple[Plugin[PodClass], ...]
    count_hooks: tuple[Callable[[PodClass, int, int], None], ...]


class Plugins:
    """All plugins of a snapshot. Classes that the same plugins skip share their choice."""

    def __init__(self, plugins: tuple[Plugin[PodClass], ...]) -> None:
        self._all = plugins
        self._choices: dict[tuple[Plugin[PodClass], ...], Choice] = {}

    def of(self, pod_class: PodClass) -> Choice:
        """Return the plugins that do not skip a class."""
        plugins = tuple([plugin for plugin in self._all if not plugin.skips(pod_class)])
        choice = self._choices.get(plugins)
        if choice is None:
            by_pods = tuple(plugin for plugin in plugins if not plugin.node_only)
            counting = tuple(plugin.count for plugin in plugins if type(plugin).count is not Plugin.count)
            choice = self._choices[plugins] = Choice(plugins, by_pods, counting)
        return choice
