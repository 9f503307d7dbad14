"""Replacements: the pod that a controller creates when a pod is evicted, from the owner's template as it is now.

The pods of a ReplicaSet are equal, so one replacement stands for all of them. It is made from the youngest unchanged
pod, because admission adds to the next pod what it has added to that one. An in-place resize is not inherited. If the
template has changed since, the larger of both requests counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from moorage.evictor.candidates.controllers import Made
from moorage.objects import OwnerReference, Pod, quantity
from moorage.objects.base import Quantities
from moorage.objects.node import COPIED_LABELS
from moorage.objects.pod import Container, PodSpec, PodStatus, ResourceRequirements
from moorage.scheduling import stored


class Replacements:
    """Makes the replacements of a cluster's pods.

    Args:
        pods: all pods.
        templates: pod templates as they are now, by the owner's uid, as far as they are known.
    """

    def __init__(self, pods: Iterable[Pod], templates: Mapping[str, Pod]) -> None:
        self._templates = templates
        self._fresh: dict[str, Pod] = {}
        self._known: dict[str, Pod] = {}
        for pod in pods:
            owner = pod.metadata.controller()
            if owner is not None and pod.metadata.deletion_timestamp is None and not pod.finished:
                known = self._fresh.get(owner.uid)
                if known is None or _freshness(pod) > _freshness(known):
                    self._fresh[owner.uid] = pod

    def of(self, pod: Pod, made: Made) -> Pod:
        """Return the replacement of a pod; it is on no node, and its key is not that of any pod.

        Args:
            pod: the one that goes.
            made: by what.
        """
        owner = pod.metadata.controller()
        replacement = self.of_owner(owner) if owner is not None and made is Made.REPLICATED else None
        if owner is None or replacement is None or not self._known_well(owner.uid):
            return _anew(pod, f"{pod.metadata.name} (replacement)")
        return replacement

    def of_owner(self, owner: OwnerReference) -> Pod | None:
        """Return the next pod of an owner; None when neither a template nor a pod of it is known."""
        replacement = self._known.get(owner.uid)
        if replacement is None:
            fresh, template = self._fresh.get(owner.uid), self._templates.get(owner.uid)
            if fresh is None and template is None:
                return None
            name = f"{owner.name} (replacement)"
            if template is None or fresh is None:
                replacement = _anew(fresh or template or Pod(), name)
            else:
                replacement = _anew(_merged(template, fresh), name)
            self._known[owner.uid] = replacement
        return replacement

    def _known_well(self, owner: str) -> bool:
        """Whether a template or an unchanged pod shows what an owner creates."""
        fresh = self._fresh.get(owner)
        return owner in self._templates or (fresh is not None and _untouched(fresh))


def _untouched(pod: Pod) -> bool:
    """Whether a pod is as it was created."""
    return pod.metadata.generation <= 1


def _freshness(pod: Pod) -> tuple[bool, str, str]:
    meta = pod.metadata
    return _untouched(pod), meta.creation_timestamp or "", meta.name


def _anew(pod: Pod, name: str) -> Pod:
    meta = pod.metadata
    labels = meta.labels
    if any(key in labels for key in COPIED_LABELS):
        labels = {key: value for key, value in labels.items() if key not in COPIED_LABELS}
    metadata = replace(meta, name=name, uid="", labels=labels, deletion_timestamp=None)
    spec = replace(pod.spec, node_name="") if pod.spec.node_name else pod.spec
    return stored(replace(pod, metadata=metadata, spec=spec, status=PodStatus()))


def _merged(template: Pod, fresh: Pod) -> Pod:
    """The template with what admission has added to a pod of this template or of the one before."""
    spec, more, as_made = template.spec, fresh.spec, _untouched(fresh)
    changes = {
        "containers": _containers(spec.containers, more.containers, as_made=as_made),
        "init_containers": _containers(spec.init_containers, more.init_containers, as_made=as_made),
        "node_selector": more.node_selector | spec.node_selector,
        "tolerations": tuple(dict.fromkeys((*spec.tolerations, *more.tolerations))),
        "affinity": spec.affinity or more.affinity,
        "topology_spread_constraints": spec.topology_spread_constraints or more.topology_spread_constraints,
        "overhead": spec.overhead or more.overhead,
        "resources": spec.resources or more.resources,
        "priority": more.priority if spec.priority is None else spec.priority,
        "volumes": spec.volumes + tuple(each for each in more.volumes if each not in spec.volumes),
    }
    made: PodSpec = replace(spec, **changes)
    meta = replace(fresh.metadata, labels=fresh.metadata.labels | template.metadata.labels)
    return replace(fresh, metadata=meta, spec=made)


def _containers(wanted: tuple[Container, ...], have: tuple[Container, ...], *, as_made: bool) -> tuple[Container, ...]:
    """The containers of the template, each at its largest, and those that admission has added."""
    known = {container.name: container for container in have}
    merged = [_larger(container, known.pop(container.name, None), as_made=as_made) for container in wanted]
    return (*merged, *(container for container in have if container.name in known))


def _larger(container: Container, other: Container | None, *, as_made: bool) -> Container:
    """The container with the larger requests; requests that were resized count only where the template has none."""
    if other is None:
        return container
    requests: Quantities = dict(container.resources.requests)
    for name, text in other.resources.requests.items():
        if name not in requests or (as_made and _more(text, requests[name])):
            requests[name] = text
    return replace(container, resources=ResourceRequirements(requests, container.resources.limits))


def _more(text: str | int, other: str | int) -> bool:
    try:
        return quantity.parse(text) > quantity.parse(other)
    except quantity.QuantityError:
        return False  # what cannot be read of the template stays, and makes the answer about the pod unknown
