"""The protobuf envelope around every object, and the Status that may be in it. No I/O.

Follows apimachinery's pkg/runtime/serializer/protobuf: four magic bytes, then a ``runtime.Unknown`` with the object's
type and bytes. The bytes do not contain their type, so it is always checked.
"""

from __future__ import annotations

from functools import cache
from typing import Any, TypeVar

import msgspec
from google.protobuf.message import DecodeError

from ._generated import kubernetes_pb2 as pb
from .messages import Converter, text

S = TypeVar("S", bound=msgspec.Struct)

MAGIC = b"k8s\x00"
CONTENT_TYPE = "application/vnd.kubernetes.protobuf"


def unwrap(data: bytes, api_version: str, kind: str) -> bytes:
    """Return the bytes of the object in an envelope.

    Args:
        data: the envelope.
        api_version: the expected version.
        kind: the expected kind.

    Raises:
        DecodeError: the data is not an envelope, or it holds another type.
    """
    if not data.startswith(MAGIC):
        raise DecodeError(f"not an envelope: it begins with {data[:40]!r}")
    envelope = pb.Unknown.FromString(data[len(MAGIC) :])
    name = envelope.type_meta
    if name.kind != kind or name.api_version != api_version:
        raise DecodeError(f"the object is a {text(name.api_version)} {text(name.kind)}, not a {api_version} {kind}")
    if envelope.content_encoding:
        raise DecodeError(f"the encoding {text(envelope.content_encoding)} is not supported")
    return envelope.raw


def wrap(raw: bytes, api_version: str, kind: str) -> bytes:
    """Put the bytes of an object into an envelope."""
    return _label(api_version, kind) + pb.Unknown(raw=raw).SerializeToString()


@cache
def _label(api_version: str, kind: str) -> bytes:
    """The beginning of an envelope. A protobuf message may be concatenated from parts."""
    return MAGIC + pb.Unknown(type_meta=pb.TypeMeta(api_version=api_version, kind=kind)).SerializeToString()


def read_status(data: bytes, struct: type[S]) -> S:
    """Decode a ``metav1.Status`` in its envelope into a struct.

    Raises:
        DecodeError: the data is not a Status.
    """
    convert: Converter[S] = _status_converter(struct)
    return convert(pb.Status.FromString(unwrap(data, "v1", "Status")))


@cache
def _status_converter(struct: type[Any]) -> Converter[Any]:
    return Converter(struct, pb.Status.DESCRIPTOR)
