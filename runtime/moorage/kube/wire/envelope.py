"""The envelopes of protobuf: what stands around every object, and the refusal that may come instead of one. No I/O.

Follows apimachinery's pkg/runtime/serializer/protobuf: four bytes of magic, then a ``runtime.Unknown`` that names the
object's type and holds its bytes. Nothing in the bytes of an object says what it is, so the name is always checked.
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
    """The bytes of the object in an envelope.

    Args:
        data: the envelope.
        api_version: what must be in it.
        kind: what must be in it.

    Raises:
        DecodeError: it is no envelope, or something else is in it.
    """
    if not data.startswith(MAGIC):
        raise DecodeError(f"no object begins with {data[:40]!r}")
    envelope = pb.Unknown.FromString(data[len(MAGIC) :])
    name = envelope.type_meta
    if name.kind != kind or name.api_version != api_version:
        raise DecodeError(f"this is {text(name.api_version)} {text(name.kind)}, not {api_version} {kind}")
    if envelope.content_encoding:
        raise DecodeError(f"its encoding is {text(envelope.content_encoding)}, which was not asked for")
    return envelope.raw


def wrap(raw: bytes, api_version: str, kind: str) -> bytes:
    """Put the bytes of an object into an envelope."""
    return _label(api_version, kind) + pb.Unknown(raw=raw).SerializeToString()


@cache
def _label(api_version: str, kind: str) -> bytes:
    """The beginning of an envelope: a message may come in parts, one after the other."""
    return MAGIC + pb.Unknown(type_meta=pb.TypeMeta(api_version=api_version, kind=kind)).SerializeToString()


def read_status(data: bytes, struct: type[S]) -> S:
    """A ``metav1.Status`` in its envelope, as a struct with its fields.

    Raises:
        DecodeError: it is none.
    """
    convert: Converter[S] = _status_converter(struct)
    return convert(pb.Status.FromString(unwrap(data, "v1", "Status")))


@cache
def _status_converter(struct: type[Any]) -> Converter[Any]:
    return Converter(struct, pb.Status.DESCRIPTOR)
