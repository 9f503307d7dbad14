"""Keeps a cache of 30,000 pods small and fast: equal parts are stored once, and unused annotations are dropped.

Pods of one controller differ in name, node and times. Their containers, affinity, tolerations, labels and owners are
equal. Sharing these parts costs a few microseconds per object, and "same template" becomes an identity check.

A cached struct must not hold a ``msgspec.Raw``: it is a view that keeps the whole response in memory.
"""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from moorage.objects import (
    Condition,
    Container,
    Labels,
    Node,
    ObjectMeta,
    OwnerReference,
    Pod,
    PodTemplate,
    Quantities,
    Toleration,
)
from moorage.objects.pod import Affinity, ContainerStatus, PodSpec, PodStatus, TopologySpreadConstraint, Volume

V = TypeVar("V")

READ_PREFIXES = (
    "moorage.dev/",
    "autoscaling.cast.ai/",
    "beta.evictor.cast.ai/",
    "evictor.cast.ai/",
    "scheduling.cast.ai/",
    "provisioner.cast.ai/",
    "karpenter.sh/",
    "cluster-autoscaler.kubernetes.io/",
    "kubernetes.io/config.",
    "controller.kubernetes.io/",
    "node.alpha.kubernetes.io/",
)
"""Annotations with other prefixes are dropped: last-applied manifests, checksums, settings of sidecars."""

_POOL_LIMIT = 20_000
_LONGEST_TEXT = 1024
_encode = msgspec.msgpack.Encoder().encode


class SharedValues(Generic[V]):
    """Stores equal values of one type once. The number of values is bounded, because workloads come and go.

    At the limit the table is cleared. Cached objects keep what they share; later objects share anew. Each type of value
    needs its own table, because values of two types may be equal once encoded.

    Args:
        limit: the number of values in the table.
    """

    def __init__(self, limit: int = _POOL_LIMIT) -> None:
        self._limit = limit
        self._values: dict[bytes, V] = {}

    def share(self, value: V) -> V:
        """Return the first value that was equal to this one. A shared value must never be changed."""
        try:
            key = _encode(value)
        except OverflowError:  # a number of more than 64 bits is too rare to share
            return value
        found = self._values.get(key)
        if found is not None:
            return found
        if len(self._values) >= self._limit:
            self._values.clear()
        self._values[key] = value
        return value


class SharedTexts:
    """Stores equal texts once. The number of texts is bounded, because strangers write them.

    ``sys.intern`` would do the same, but Python 3.12 keeps interned strings until the process ends.

    Args:
        limit: the number of texts in the table. At the limit it is cleared, as in ``SharedValues``.
        longest: texts with more characters are not shared.
    """

    def __init__(self, limit: int = _POOL_LIMIT, longest: int = _LONGEST_TEXT) -> None:
        self._limit, self._longest = limit, longest
        self._texts: dict[str, str] = {}

    def share(self, text: str) -> str:
        """Return the first text that was equal to this one.

        Raises:
            TypeError: it is not a text. Protobuf passes on bytes that are not UTF-8.
        """
        found = self._texts.get(text)
        if found is not None:
            return found
        if not isinstance(text, str):
            raise TypeError("not a text")
        if len(text) > self._longest:
            return text
        if len(self._texts) >= self._limit:
            self._texts.clear()
        self._texts[text] = text
        return text


share_text = SharedTexts().share
_labels = SharedValues[Labels]().share
_quantities = SharedValues[Quantities]().share
_owners = SharedValues[tuple[OwnerReference, ...]]().share
_containers = SharedValues[tuple[Container, ...]]().share
_container_statuses = SharedValues[tuple[ContainerStatus, ...]]().share
_affinity = SharedValues[Affinity]().share
_tolerations = SharedValues[tuple[Toleration, ...]]().share
_spread = SharedValues[tuple[TopologySpreadConstraint, ...]]().share
_volumes = SharedValues[tuple[Volume, ...]]().share

_NO_LABELS: Labels = {}
_NO_QUANTITIES: Quantities = {}


def share_labels(labels: Labels) -> Labels:
    """Share equal labels."""
    return _labels(labels) if labels else _NO_LABELS


def _read_annotations(annotations: Labels) -> Labels:
    return share_labels({key: value for key, value in annotations.items() if key.startswith(READ_PREFIXES)})


def _time(time: str | None) -> str | None:
    """Share a time: most times of an object are equal, because it is created, scheduled and started within a second."""
    return share_text(time) if time is not None else None


def _conditions(conditions: tuple[Condition, ...]) -> tuple[Condition, ...]:
    """Share the texts of conditions. The conditions themselves differ by their times."""
    return tuple([compact_condition(condition) for condition in conditions])


def compact_condition(condition: Condition) -> Condition:
    """Share the texts of a condition."""
    return msgspec.structs.replace(
        condition,
        type=share_text(condition.type),
        status=share_text(condition.status),
        reason=share_text(condition.reason),
        message=share_text(condition.message),
        last_transition_time=_time(condition.last_transition_time),
    )


def compact_meta(meta: ObjectMeta) -> ObjectMeta:
    """Share the parts of metadata that are equal for pods of one controller."""
    return msgspec.structs.replace(
        meta,
        namespace=share_text(meta.namespace),
        generate_name=share_text(meta.generate_name),
        creation_timestamp=_time(meta.creation_timestamp),
        labels=share_labels(meta.labels),
        annotations=_read_annotations(meta.annotations),
        owner_references=_owners(meta.owner_references) if meta.owner_references else (),
        finalizers=tuple([share_text(finalizer) for finalizer in meta.finalizers]),
    )


def compact_spec(spec: PodSpec) -> PodSpec:
    """Share the parts of a pod's spec that are equal for pods of one controller."""
    return msgspec.structs.replace(
        spec,
        node_name=share_text(spec.node_name),
        scheduler_name=share_text(spec.scheduler_name),
        preemption_policy=share_text(spec.preemption_policy),
        priority_class_name=share_text(spec.priority_class_name),
        restart_policy=share_text(spec.restart_policy),
        containers=_containers(spec.containers),
        init_containers=_containers(spec.init_containers) if spec.init_containers else (),
        overhead=_quantities(spec.overhead) if spec.overhead else _NO_QUANTITIES,
        node_selector=share_labels(spec.node_selector),
        affinity=_affinity(spec.affinity) if spec.affinity is not None else None,
        tolerations=_tolerations(spec.tolerations) if spec.tolerations else (),
        topology_spread_constraints=_spread(spec.topology_spread_constraints)
        if spec.topology_spread_constraints
        else (),
        volumes=_volumes(spec.volumes) if spec.volumes else (),
    )


def compact_status(status: PodStatus) -> PodStatus:
    """Share the parts of a pod's status that are equal for pods of one controller."""
    return msgspec.structs.replace(
        status,
        phase=share_text(status.phase),
        start_time=_time(status.start_time),
        nominated_node_name=share_text(status.nominated_node_name),
        conditions=_conditions(status.conditions),
        container_statuses=_container_statuses(status.container_statuses) if status.container_statuses else (),
        init_container_statuses=_container_statuses(status.init_container_statuses)
        if status.init_container_statuses
        else (),
    )


def compact_pod(pod: Pod) -> Pod:
    """Share the parts of a pod that are equal for pods of one controller."""
    return Pod(metadata=compact_meta(pod.metadata), spec=compact_spec(pod.spec), status=compact_status(pod.status))


def compact_template(template: PodTemplate) -> PodTemplate:
    """Share the parts of a pod template that are equal for other revisions and controllers."""
    return PodTemplate(metadata=compact_meta(template.metadata), spec=compact_spec(template.spec))


def compact_node(node: Node) -> Node:
    """Share the parts of a node that are equal for nodes of one kind."""
    return msgspec.structs.replace(
        node,
        metadata=compact_meta(node.metadata),
        status=msgspec.structs.replace(
            node.status,
            allocatable=_quantities(node.status.allocatable),
            capacity=_quantities(node.status.capacity),
            conditions=_conditions(node.status.conditions),
        ),
    )
