"""Converts protobuf messages of ``schemas/proto/moorage/kube`` into structs with the same values as JSON. No I/O.

The API server writes every field of a message, even empty ones, except nil pointers. JSON leaves most empty fields out.
So an empty text becomes the struct's default, as a JSON decoder does for a missing field.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from functools import lru_cache
from operator import attrgetter
from typing import Any, Generic, TypeVar, get_args

import msgspec
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from moorage.kube.compact import share_text

from ._generated import kubernetes_pb2 as pb

S = TypeVar("S", bound=msgspec.Struct)

Convert = Callable[[Any], Any]

UNREADABLE = (DecodeError, OverflowError)
"""Exceptions for bytes that are not such a message, and for a time outside the calendar."""

_NOT_UTF8 = re.compile("[\udc80-\udcff]")
_ENTRIES: dict[Any, Convert] = {
    pb.StringEntry.DESCRIPTOR: attrgetter("value"),
    pb.QuantityEntry.DESCRIPTOR: attrgetter("value.string"),
}
"""Returns the value of a map entry."""


class Converter(Generic[S]):
    """Creates structs of one type from messages of one type. Fields are matched by name once, in the constructor.

    Fields declared as ``repeated bytes`` are skipped: the caller reads them.

    Args:
        struct: the type of the structs.
        message: the Descriptor of the messages.

    Raises:
        TypeError: the message has a field that the struct lacks.
    """

    def __init__(self, struct: type[S], message: Any) -> None:
        self._struct = struct
        fields = {field.name: field for field in msgspec.structs.fields(struct)}
        self._texts: dict[int, tuple[str, bool]] = {}
        self._others: dict[int, tuple[str, Convert]] = {}
        self._inline: dict[int, Converter[S]] = {}
        for field in message.fields:
            if _is_apart(field):
                continue
            if field.message_type is not None and field.message_type.name == "VolumeSource":
                self._inline[field.number] = Converter(struct, field.message_type)
            elif field.name not in fields:
                raise TypeError(f"{struct.__name__} has no field {field.name}, which {message.full_name} has")
            elif field.type == FieldDescriptor.TYPE_STRING and not field.is_repeated:
                self._texts[field.number] = (field.name, fields[field.name].default is None)
            else:
                self._others[field.number] = (field.name, _conversion(field, fields[field.name].type))

    def __call__(self, message: Message) -> S:
        """Convert a message.

        Raises:
            DecodeError, OverflowError: it holds an invalid time.
        """
        return self._struct(**self._values(message))

    def _values(self, message: Message) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for field, value in message.ListFields():
            number = field.number
            if number in self._texts:
                name, keep_empty = self._texts[number]
                if value or keep_empty:
                    result[name] = text(value)
            elif number in self._others:
                name, convert = self._others[number]
                result[name] = convert(value)
            elif number in self._inline:
                result |= self._inline[number]._values(value)
        return result


def _is_apart(field: FieldDescriptor) -> bool:
    return field.type == FieldDescriptor.TYPE_BYTES and field.is_repeated


def _conversion(field: FieldDescriptor, annotation: Any) -> Convert:
    """Return the function that converts the value of a field.

    Args:
        field: the field of the message.
        annotation: the type of the struct's field: a struct, which may be optional, or a tuple of structs.
    """
    message = field.message_type
    if message in _ENTRIES:
        return lambda entries, value=_ENTRIES[message]: {text(e.key): text(value(e)) for e in entries}  # type: ignore[misc]
    if message is not None:
        structs = [kind for kind in (annotation, *get_args(annotation)) if _is_struct(kind)]
        inner: Converter[Any] = Converter(structs[0], message)
        return (lambda messages: tuple([inner(each) for each in messages])) if field.is_repeated else inner
    if field.type == FieldDescriptor.TYPE_STRING:
        return lambda texts: tuple([text(each) for each in texts])
    return timestamp if field.type == FieldDescriptor.TYPE_BYTES else _itself


def _is_struct(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _itself(value: Any) -> Any:
    return value


def text(value: str | bytes) -> str:
    """A text. Text that is not UTF-8 arrives as bytes; each bad byte becomes U+FFFD, as in the API server's JSON.

    Clients that write protobuf, such as the kubelet, can store such texts, because Go does not check them.
    """
    if isinstance(value, str):
        return value
    return _NOT_UTF8.sub("\ufffd", value.decode("utf-8", "surrogateescape"))


@lru_cache(maxsize=4096)  # most times of an object, and of pods of one controller, are equal
def timestamp(value: bytes) -> str | None:
    """A ``metav1.Time`` as in JSON: RFC 3339, whole seconds, UTC; None when it is not set.

    Raises:
        DecodeError: the bytes are not a time.
        OverflowError: the time is outside the calendar.
    """
    if not value:
        return None
    try:
        moment = time.gmtime(pb.Time.FromString(value).seconds)
    except OSError as error:  # from the C library
        raise OverflowError(str(error)) from error
    return share_text(
        f"{moment.tm_year:04d}-{moment.tm_mon:02d}-{moment.tm_mday:02d}"
        f"T{moment.tm_hour:02d}:{moment.tm_min:02d}:{moment.tm_sec:02d}Z"
    )
