"""Decodes pods from protobuf and shares equal parts. No I/O.

Pods of one controller differ in few fields: name, uid, resourceVersion, node, times, conditions and volumes (the volume
of a token has a random name). These fields are read one by one. The rest of metadata, spec and status is serialized
again without unused fields. The result, a few hundred bytes, is the key into a table of converted parts, and is equal
for all pods of a controller. Only new keys are converted.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

from google.protobuf.message import DecodeError, Message
from msgspec.structs import replace

from moorage.kube.compact import (
    READ_PREFIXES,
    compact_condition,
    compact_meta,
    compact_spec,
    compact_status,
    share_labels,
    share_text,
)
from moorage.kube.unreadable import MISSING_META, paths
from moorage.objects import Condition, ObjectMeta, Pod
from moorage.objects.pod import PodSpec, PodStatus, Volume

from ._generated import kubernetes_pb2 as pb
from .messages import UNREADABLE, Converter, text, timestamp

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_TABLE_SIZE = 8_192
_TABLE_BYTES = 4 << 20


class Known(Generic[K, V]):
    """A bounded table of converted parts: equal bytes are converted once, and the result is shared.

    At a limit the table is cleared, as in ``compact.SharedValues``.

    Args:
        convert: converts the bytes. The result must never be changed.
        size: returns the bytes of a key.
        limit: the number of values in the table.
        limit_bytes: the number of bytes of all keys.
    """

    def __init__(
        self,
        convert: Callable[[K], V],
        size: Callable[[K], int],
        *,
        limit: int = _TABLE_SIZE,
        limit_bytes: int = _TABLE_BYTES,
    ) -> None:
        self._convert = convert
        self._size = size
        self._limit, self._limit_bytes = limit, limit_bytes
        self._values: dict[K, V] = {}
        self._bytes = 0

    def get(self, key: K) -> V:
        """Return the value for these bytes.

        Raises:
            DecodeError, OverflowError: the bytes cannot be converted.
        """
        found = self._values.get(key)
        if found is not None:
            return found
        value = self._convert(key)
        size = self._size(key)
        if len(self._values) >= self._limit or self._bytes + size > self._limit_bytes:
            self._values.clear()
            self._bytes = 0
        if size <= self._limit_bytes:
            self._values[key] = value
            self._bytes += size
        return value


_to_meta = Converter(ObjectMeta, pb.ObjectMeta.DESCRIPTOR)
_to_spec = Converter(PodSpec, pb.PodSpec.DESCRIPTOR)
_to_status = Converter(PodStatus, pb.PodStatus.DESCRIPTOR)
_to_volume = Converter(Volume, pb.Volume.DESCRIPTOR)
_to_condition = Converter(Condition, pb.PodCondition.DESCRIPTOR)


def _convert_meta(raw: bytes) -> ObjectMeta:
    return compact_meta(_to_meta(pb.ObjectMeta.FromString(raw)))


def _convert_spec(raw: bytes) -> PodSpec:
    return compact_spec(_to_spec(pb.PodSpec.FromString(raw)))


def _convert_status(raw: bytes) -> PodStatus:
    return compact_status(_to_status(pb.PodStatus.FromString(raw)))


def _convert_volumes(volumes: tuple[bytes, ...]) -> tuple[Volume, ...]:
    return tuple([_to_volume(pb.Volume.FromString(volume)) for volume in volumes])


def _total(parts: tuple[bytes, ...]) -> int:
    return sum(map(len, parts))


_meta_of = Known(_convert_meta, len).get
_spec_of = Known(_convert_spec, len).get
_status_of = Known(_convert_status, len).get
_volumes_of = Known(_convert_volumes, _total).get


def read_pod(raw: bytes) -> Pod:
    """Decode a pod. The result equals ``compact_pod`` of the same pod in JSON.

    Args:
        raw: a v1 Pod in protobuf, without an envelope.

    Raises:
        DecodeError, OverflowError: the bytes are not a pod.
    """
    pod = pb.Pod.FromString(raw)
    pod.DiscardUnknownFields()
    return Pod(metadata=_read_meta(pod.metadata), spec=_read_spec(pod.spec), status=_read_status(pod.status))


def read_rest(raw: bytes) -> tuple[Pod, tuple[str, ...]]:
    """Decode the readable fields of a pod that ``read_pod`` refuses; also returns the paths of the others.

    Args:
        raw: a v1 Pod in protobuf, without an envelope.

    Raises:
        DecodeError: not even the metadata is readable.
    """
    meta = pb.Bare.FromString(raw).metadata
    names = ObjectMeta(
        name=text(meta.name),
        namespace=text(meta.namespace),
        uid=text(meta.uid),
        resource_version=text(meta.resource_version),
        labels={text(entry.key): text(entry.value) for entry in meta.labels},
    )
    missing = [*MISSING_META]
    try:
        pod = pb.Pod.FromString(raw)
    except DecodeError:
        return Pod(metadata=names), (*missing, "spec", "status")
    spec, status = PodSpec(node_name=text(pod.spec.node_name)), PodStatus(phase=text(pod.status.phase))
    try:
        spec = _read_spec(pod.spec)
    except UNREADABLE:
        missing += paths(PodSpec, "spec", but="nodeName")
    try:
        status = _read_status(pod.status)
    except UNREADABLE:
        missing += paths(PodStatus, "status", but="phase")
    return Pod(metadata=names, spec=spec, status=status), tuple(missing)


def _read_meta(meta: pb.ObjectMeta) -> ObjectMeta:
    name, uid, version, created = meta.name, meta.uid, meta.resource_version, meta.creation_timestamp
    annotations = {
        key: text(entry.value) for entry in meta.annotations if (key := text(entry.key)).startswith(READ_PREFIXES)
    }
    _clear(meta, ("name", "uid", "resource_version", "creation_timestamp", "annotations"))
    return replace(
        _meta_of(meta.SerializeToString()),
        name=text(name),
        uid=text(uid),
        resource_version=text(version),
        creation_timestamp=timestamp(created),
        annotations=share_labels(annotations),
    )


def _read_spec(spec: pb.PodSpec) -> PodSpec:
    node, volumes = spec.node_name, tuple(spec.volumes)
    _clear(spec, ("node_name", "volumes"))
    return replace(
        _spec_of(spec.SerializeToString()),
        node_name=share_text(text(node)),
        volumes=_volumes_of(volumes) if volumes else (),
    )


def _read_status(status: pb.PodStatus) -> PodStatus:
    started = status.start_time
    conditions = tuple([_read_condition(condition) for condition in status.conditions])
    _clear(status, ("start_time", "conditions"))
    return replace(_status_of(status.SerializeToString()), start_time=timestamp(started), conditions=conditions)


def _read_condition(condition: pb.PodCondition) -> Condition:
    """Conditions are not shared as a whole, because their times differ."""
    try:
        return Condition(
            share_text(condition.type),
            share_text(condition.status),
            share_text(condition.reason),
            share_text(condition.message),
            timestamp(condition.last_transition_time),
        )
    except TypeError:  # a text that is not UTF-8 arrives as bytes
        return compact_condition(_to_condition(condition))


def _clear(message: Message, fields: Iterable[str]) -> None:
    for field in fields:
        message.ClearField(field)
