"""Protobuf messages of ``schemas/proto/moorage/kube`` to structs: the same values as JSON would have given. No I/O.

The API server writes every field of a message, also empty ones, except for pointers that are nil; JSON leaves out most
empty ones. So an empty text stands for the struct's default, which is what a JSON decoder puts for a missing field.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from functools import lru_cache
from operator import attrgetter
from sys import intern
from typing import Any, Generic, TypeVar, get_args

import msgspec
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from ._generated import kubernetes_pb2 as pb

S = TypeVar("S", bound=msgspec.Struct)

Convert = Callable[[Any], Any]

UNREADABLE = (DecodeError, OverflowError)
"""What is raised for bytes that are no such message, and for a time that no calendar has."""

_NOT_UTF8 = re.compile("[\udc80-\udcff]")
_ENTRIES: dict[Any, Convert] = {
    pb.StringEntry.DESCRIPTOR: attrgetter("value"),
    pb.QuantityEntry.DESCRIPTOR: attrgetter("value.string"),
}
"""How the value of a map's entry is found."""


class Converter(Generic[S]):
    """Makes structs of one type from messages of one type; fields are matched by name when it is built.

    Fields that are declared as ``repeated bytes`` are passed over: whoever reads the message reads them apart.

    Args:
        struct: the type to make.
        message: the Descriptor of the messages it is made from.

    Raises:
        TypeError: the message has a field that the struct has not.
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
        """The struct.

        Raises:
            DecodeError, OverflowError: a time in it is none.
        """
        return self._struct(**self._values(message))

    def _values(self, message: Message) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for field, value in message.ListFields():
            number = field.number
            if number in self._texts:
                name, keep_empty = self._texts[number]
                if value or keep_empty:
                    found[name] = text(value)
            elif number in self._others:
                name, convert = self._others[number]
                found[name] = convert(value)
            elif number in self._inline:
                found |= self._inline[number]._values(value)
        return found


def _is_apart(field: FieldDescriptor) -> bool:
    return field.type == FieldDescriptor.TYPE_BYTES and field.is_repeated


def _conversion(field: FieldDescriptor, annotation: Any) -> Convert:
    """How the value of a field becomes what a struct holds.

    Args:
        field: describes the value.
        annotation: type of the struct's field: a struct, perhaps None, or a tuple of structs.
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
    """A text; what is not UTF-8 comes as bytes, and every bad byte of it becomes U+FFFD as in the API server's JSON.

    Kubelets and others that write protobuf can store such texts; Go does not check.
    """
    if isinstance(value, str):
        return value
    return _NOT_UTF8.sub("\ufffd", value.decode("utf-8", "surrogateescape"))


@lru_cache(maxsize=4096)  # an object's times are mostly equal to each other, and to its siblings'
def timestamp(value: bytes) -> str | None:
    """A ``metav1.Time`` as its JSON has it: whole seconds in RFC 3339, UTC; None when it is not set.

    Raises:
        DecodeError: it is none.
        OverflowError: no calendar has it.
    """
    if not value:
        return None
    try:
        moment = time.gmtime(pb.Time.FromString(value).seconds)
    except OSError as error:  # the C library's word for it
        raise OverflowError(str(error)) from error
    return intern(
        f"{moment.tm_year:04d}-{moment.tm_mon:02d}-{moment.tm_mday:02d}"
        f"T{moment.tm_hour:02d}:{moment.tm_min:02d}:{moment.tm_sec:02d}Z"
    )
