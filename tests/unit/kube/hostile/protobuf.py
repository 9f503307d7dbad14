"""An API server's protobuf messages, from the same documents as its JSON."""

from __future__ import annotations

import calendar
import time
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from moorage.kube.wire._generated import kubernetes_pb2 as pb

from .store import Json

CONTENT_TYPE = "application/vnd.kubernetes.protobuf"
WATCH = f"{CONTENT_TYPE};stream=watch"

BROKEN_SPEC = b"\x12\x02\x0a\xff"
"""A Pod's field `spec` with something in it that is no PodSpec."""


def fill(message: Any, document: Json) -> Any:
    """Convert a JSON document to a message. Fields that the message does not declare are left out."""
    for field in message.DESCRIPTOR.fields:
        if field.name == "volume_source":  # inlined in JSON
            source = fill(pb.VolumeSource(), document)
            if source.ListFields():
                message.volume_source.CopyFrom(source)
        elif document.get(field.json_name) is not None:
            _put(message, field, document[field.json_name])
    return message


def _put(message: Any, field: Any, value: Any) -> None:
    into = getattr(message, field.name)
    if field.message_type in (pb.StringEntry.DESCRIPTOR, pb.QuantityEntry.DESCRIPTOR):
        for key, each in value.items():
            quantity = field.message_type == pb.QuantityEntry.DESCRIPTOR
            into.add(key=key, value=pb.Quantity(string=each) if quantity else each)
    elif field.name == "volumes":
        into.extend([fill(pb.Volume(), each).SerializeToString() for each in value])
    elif field.message_type is not None and field.is_repeated:
        for each in value:
            fill(into.add(), each)
    elif field.message_type is not None:
        into.SetInParent()
        fill(into, value)
    elif field.is_repeated:
        into.extend(value)
    else:
        setattr(message, field.name, instant(value) if field.type == FieldDescriptor.TYPE_BYTES else value)


def instant(text: str) -> bytes:
    """A JSON time in protobuf."""
    return pb.Time(seconds=calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ"))).SerializeToString()


def pod(document: Json) -> bytes:
    """A Pod without its envelope; one that is ``broken`` has a spec that cannot be read."""
    raw: bytes = fill(pb.Pod(), document).SerializeToString()
    return raw + BROKEN_SPEC if document.get("broken") else raw


def envelope(raw: bytes, kind: str = "Pod", api_version: str = "v1", **more: Any) -> bytes:
    """An object in its wire format."""
    name = pb.TypeMeta(api_version=api_version, kind=kind)
    return b"k8s\0" + pb.Unknown(type_meta=name, raw=raw, **more).SerializeToString()


def status(document: Json) -> bytes:
    """A Status in its envelope."""
    return envelope(fill(pb.Status(), document).SerializeToString(), "Status")


def page(documents: list[Json], metadata: Json) -> bytes:
    """A PodList in its envelope."""
    found = pb.List(metadata=fill(pb.ListMeta(), metadata), items=[pod(document) for document in documents])
    return envelope(found.SerializeToString(), "PodList")


def event(kind: str, wrapped: bytes) -> bytes:
    """One event of a watch around an object in its envelope, without its length."""
    found: bytes = pb.WatchEvent(type=kind, object=pb.RawExtension(raw=wrapped)).SerializeToString()
    return found


def framed(data: bytes) -> bytes:
    """An event with its length, in its wire format."""
    return len(data).to_bytes(4, "big") + data


def frame(kind: str, document: Json) -> bytes:
    """An event of a watch in its wire format."""
    return framed(event(kind, status(document) if kind == "ERROR" else envelope(pod(document))))
