"""The pod classes of a snapshot: made on first sight, their parts shared, forgotten when they are not needed."""

from __future__ import annotations

from moorage.objects.pod import Pod

from . import requests
from .counters import Counters
from .node_masks import KeptMask
from .placement import Placement, of_pod
from .plugins.node_declared_features import required_features
from .plugins.node_resources_fit import NodeResourcesFit, Requests, Usage
from .plugins.taint_toleration import TolerationMask
from .pod_class import Plugins, PodClass, class_key, encode, resize_source
from .reasons import Finding, Reason
from .requests import RequestError

_Resources = tuple[Requests, Usage, bool, tuple[Finding, ...]]
"""What a pending pod requests, what a placed one uses, whether that is unknown, and problems of the quantities."""


class Classes:
    """Finds the class of a pod."""

    def __init__(self, resources: NodeResourcesFit, counters: Counters, plugins: Plugins) -> None:
        self._resources = resources
        self._counters = counters
        self._plugins = plugins
        self._node_masks: dict[tuple[object, ...], KeptMask] = {}
        self._node_affinities: dict[bytes, Placement] = {}
        self._tolerations: dict[bytes, TolerationMask] = {}
        self._known_resources: dict[bytes, _Resources] = {}
        # A pod is often placed right after a question about it: its class need not be looked up again.
        self._latest: tuple[Pod, PodClass] | tuple[None, None] = (None, None)

    @property
    def node_masks(self) -> int:
        """How many masks over nodes are kept."""
        return len(self._node_masks) + len(self._tolerations)

    def of(self, pod: Pod) -> PodClass:
        """Return the class of a pod, made on first sight."""
        if pod is self._latest[0]:
            return self._latest[1]
        key = class_key(pod)
        pod_class = self._counters.classes.get(key)
        if pod_class is None:
            pod_class = self._make(key, pod)
            pod_class.requests, pod_class.usage, pod_class.usage_unknown, problems = self._read_resources(pod)
            pod_class.problems += problems
            self._counters.add_class(pod_class)
        self._latest = (pod, pod_class)
        return pod_class

    def sweep(self, in_use: set[PodClass]) -> None:
        """Forget the classes that no pod and no recent question needs.

        Args:
            in_use: classes of pods that are on no known node, which are kept.
        """
        self._counters.sweep(in_use)
        kept = self._counters.classes.values()
        shared = {id(part) for pod_class in kept for part in (pod_class.node_affinity, pod_class.tolerations)}
        self._node_affinities = {key: part for key, part in self._node_affinities.items() if id(part) in shared}
        self._tolerations = {key: part for key, part in self._tolerations.items() if id(part) in shared}
        for tolerations in self._tolerations.values():
            tolerations.forget()
        masks = {id(pod_class.node_mask) for pod_class in kept}
        self._node_masks = {key: mask for key, mask in self._node_masks.items() if id(mask) in masks}
        for mask in self._node_masks.values():
            mask.forget()
        self._known_resources.clear()
        self._latest = (None, None)

    def _make(self, key: bytes, pod: Pod) -> PodClass:
        affinity, tolerations = self._node_affinity(pod), self._toleration_mask(pod)
        read_of_nodes = (id(affinity), id(tolerations), required_features(pod.spec))
        node_mask = self._node_masks.setdefault(read_of_nodes, KeptMask())
        return PodClass(key, pod, affinity, tolerations, node_mask, self._plugins)

    def _node_affinity(self, pod: Pod) -> Placement:
        spec = pod.spec
        affinity = spec.affinity.node_affinity if spec.affinity else None
        required = affinity.required_during_scheduling_ignored_during_execution if affinity else None
        key = encode((spec.node_selector, required))
        placement = self._node_affinities.get(key)
        if placement is None:
            placement = self._node_affinities[key] = of_pod(spec.node_selector, spec.affinity)
        return placement

    def _toleration_mask(self, pod: Pod) -> TolerationMask:
        key = encode(pod.spec.tolerations)
        mask = self._tolerations.get(key)
        if mask is None:
            mask = self._tolerations[key] = TolerationMask(pod.spec.tolerations)
        return mask

    def _read_resources(self, pod: Pod) -> _Resources:
        spec = pod.spec
        key = encode((spec.containers, spec.init_containers, spec.resources, spec.overhead, resize_source(pod)))
        known = self._known_resources.get(key)
        if known is None:
            requested: Requests = ()
            usage: Usage = ()
            problems: tuple[Finding, ...] = ()
            try:
                requested = self._resources.requests(requests.pending(pod))
            except RequestError as error:
                problems = (Finding(Reason.POD_QUANTITY, error.field, error.problem),)
            unknown = bool(problems)
            if requests.has_status_resources(pod):
                try:
                    usage = self._resources.usage(requests.placed(pod))
                    unknown = False
                except RequestError:
                    unknown = True
            elif not unknown:
                usage = tuple([(row, int(units)) for row, units in requested])
            known = self._known_resources[key] = (requested, usage, unknown, problems)
        return known
