"""The classes of a snapshot's pods: made on first sight, their parts shared, forgotten when nobody needs them."""

from __future__ import annotations

from moorage.objects.pod import Pod

from . import requests
from .counters import Relations
from .plugins.node_declared_features import StaticFacet, facet_source
from .plugins.node_resources_fit import Asked, Needs, ResourceTable
from .pod_class import PodClass, class_key, encode, resize_source
from .reasons import Finding, Reason
from .requests import RequestError

_Requests = tuple[Asked, Needs, bool, tuple[Finding, ...]]
"""What a pending pod needs, what a placed one uses, whether nobody can tell, and what is wrong with the quantities."""


class Classes:
    """Finds the class of a pod."""

    def __init__(self, resources: ResourceTable, relations: Relations) -> None:
        self._resources = resources
        self._relations = relations
        self._facets: dict[bytes, StaticFacet] = {}
        self._requests: dict[bytes, _Requests] = {}
        # A pod that was just asked about is often the next one placed: its class need not be looked up again.
        self._latest: tuple[Pod, PodClass] | tuple[None, None] = (None, None)

    @property
    def facets(self) -> int:
        """How many different sets of static demands there are."""
        return len(self._facets)

    def of(self, pod: Pod) -> PodClass:
        """The class of a pod, made on first sight."""
        if pod is self._latest[0]:
            return self._latest[1]
        key = class_key(pod)
        one = self._relations.classes.get(key)
        if one is None:
            one = PodClass(key, pod, self._facet(pod))
            one.asked_for, one.usage, one.unreadable, problems = self._read_requests(pod)
            one.problems += problems
            self._relations.add_class(one)
        self._latest = (pod, one)
        return one

    def sweep(self, waiting: set[PodClass]) -> None:
        """Forget what no pod and no recent question needs.

        Args:
            waiting: classes of pods whose nodes are not there (yet).
        """
        self._relations.sweep(waiting)
        facets = {id(one.static) for one in self._relations.classes.values()}
        self._facets = {key: facet for key, facet in self._facets.items() if id(facet) in facets}
        for facet in self._facets.values():
            facet.forget()
        self._requests.clear()
        self._latest = (None, None)

    def _facet(self, pod: Pod) -> StaticFacet:
        key = encode(facet_source(pod))
        facet = self._facets.get(key)
        if facet is None:
            facet = self._facets[key] = StaticFacet(pod.spec)
        return facet

    def _read_requests(self, pod: Pod) -> _Requests:
        spec = pod.spec
        key = encode((spec.containers, spec.init_containers, spec.resources, spec.overhead, resize_source(pod)))
        found = self._requests.get(key)
        if found is None:
            asked: Asked = ()
            usage: Needs = ()
            problems: tuple[Finding, ...] = ()
            try:
                asked = self._resources.asked(requests.pending(pod))
            except RequestError as error:
                problems = (Finding(Reason.POD_QUANTITY, error.field, error.problem),)
            unreadable = bool(problems)
            if requests.has_status_resources(pod):
                try:
                    usage = self._resources.needs(requests.placed(pod))
                    unreadable = False
                except RequestError:
                    unreadable = True
            elif not unreadable:
                usage = tuple([(row, int(units)) for row, units in asked])
            found = self._requests[key] = (asked, usage, unreadable, problems)
        return found
