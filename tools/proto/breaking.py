"""The breaking changes of a .proto file for clients of the earlier version, on the wire or in JSON. No I/O.

The rules are those of ``buf breaking`` in its category WIRE_JSON (https://buf.build/docs/breaking/rules). Two of them
are stricter. Nothing may be removed, reserved or not: a pinner refuses an instruction with a field that it does not
know. No type may become another one, compatible or not. Additions break nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
    ServiceDescriptorProto,
)

T = TypeVar("T")

_ENUM_RANGE_END = 1  # an enumeration's reserved range ends with its last number, a message's with the number after it


@dataclass(frozen=True, slots=True)
class Break:
    """A breaking change.

    Attributes:
        where: full name of the message, field, value or method.
        what: the change.
    """

    where: str
    what: str

    def __str__(self) -> str:
        """As text: ``pkg.Message.field: removed``."""
        return f"{self.where}: {self.what}"


def breaks(before: FileDescriptorSet, after: FileDescriptorSet, package: str) -> list[Break]:
    """The breaking changes of a package.

    Args:
        before: the earlier version of the package.
        after: the current version of the package.
        package: its full name, for example ``moorage.pinning.v1``.
    """
    old, new = _Index(before, package), _Index(after, package)
    return [
        *_each(old.messages, new.messages, _message),
        *_each(old.enums, new.enums, _enum),
        *_each(old.services, new.services, _service),
    ]


def additions(before: FileDescriptorSet, after: FileDescriptorSet, package: str) -> list[str]:
    """The full names of a package's additions."""
    known = set(_Index(before, package).names())
    return [name for name in _Index(after, package).names() if name not in known]


class _Index:
    """The declarations of a package by their full names."""

    def __init__(self, files: FileDescriptorSet, package: str) -> None:
        self.messages: dict[str, DescriptorProto] = {}
        self.enums: dict[str, EnumDescriptorProto] = {}
        self.services: dict[str, ServiceDescriptorProto] = {}
        for file in files.file:
            if file.package != package:
                continue
            self.enums |= {f"{package}.{each.name}": each for each in file.enum_type}
            self.services |= {f"{package}.{each.name}": each for each in file.service}
            for message in file.message_type:
                self._add(package, message)

    def _add(self, scope: str, message: DescriptorProto) -> None:
        name = f"{scope}.{message.name}"
        self.messages[name] = message
        self.enums |= {f"{name}.{each.name}": each for each in message.enum_type}
        for nested in message.nested_type:
            self._add(name, nested)

    def names(self) -> Iterator[str]:
        for name, message in self.messages.items():
            yield name
            yield from (f"{name}.{field.name}" for field in message.field)
        for name, enum in self.enums.items():
            yield name
            yield from (f"{name}.{value.name}" for value in enum.value)
        for name, service in self.services.items():
            yield name
            yield from (f"{name}.{method.name}" for method in service.method)


def _each(
    old: Mapping[str, T], new: Mapping[str, T], compare: Callable[[str, T, T], Iterator[Break]]
) -> Iterator[Break]:
    for name, was in old.items():
        if name in new:
            yield from compare(name, was, new[name])
        else:
            yield Break(name, "removed")


# --- messages ---


def _message(name: str, old: DescriptorProto, new: DescriptorProto) -> Iterator[Break]:
    numbers = {field.number: field for field in new.field}
    names = {field.name: field.number for field in new.field}
    for field in old.field:
        where = f"{name}.{field.name}"
        other = numbers.get(field.number)
        if other is not None:
            yield from _field(where, (old, field), (new, other))
        elif field.name in names:
            yield Break(where, f"has number {names[field.name]}, had {field.number}")
        else:
            yield Break(where, "removed")
    used = [(field.name, field.number) for field in new.field]
    yield from _reserved(name, _Reserved.of_message(old), _Reserved.of_message(new), used)


def _field(
    where: str,
    before: tuple[DescriptorProto, FieldDescriptorProto],
    after: tuple[DescriptorProto, FieldDescriptorProto],
) -> Iterator[Break]:
    old, new = before[1], after[1]
    if old.name != new.name:
        yield Break(where, f"number {old.number} is {new.name} now")
    elif old.json_name != new.json_name:
        yield Break(where, f"is {new.json_name} in JSON, was {old.json_name}")
    if _type(old) != _type(new):
        yield Break(where, f"is of type {_type(new)}, was {_type(old)}")
    if _cardinality(old) != _cardinality(new):
        yield Break(where, f"is {_cardinality(new)}, was {_cardinality(old)}")
    if _oneof(*before) != _oneof(*after):
        yield Break(where, f"is in {_oneof(*after)}, was in {_oneof(*before)}")


def _type(field: FieldDescriptorProto) -> str:
    return field.type_name.removeprefix(".") or FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()


def _cardinality(field: FieldDescriptorProto) -> str:
    if field.label == FieldDescriptorProto.LABEL_REPEATED:
        return "repeated"
    return "optional" if field.proto3_optional else "single"


def _oneof(message: DescriptorProto, field: FieldDescriptorProto) -> str:
    if not field.HasField("oneof_index") or field.proto3_optional:
        return "no oneof"
    return f"oneof {message.oneof_decl[field.oneof_index].name}"


# --- enumerations ---


def _enum(name: str, old: EnumDescriptorProto, new: EnumDescriptorProto) -> Iterator[Break]:
    numbers = {value.number: value.name for value in new.value}
    names = {value.name: value.number for value in new.value}
    for value in old.value:
        where = f"{name}.{value.name}"
        if value.name in names and names[value.name] != value.number:
            yield Break(where, f"has number {names[value.name]}, had {value.number}")
        elif value.number in numbers and value.name not in names:
            yield Break(where, f"number {value.number} is {numbers[value.number]} now")
        elif value.name not in names:
            yield Break(where, "removed")
    used = [(value.name, value.number) for value in new.value]
    yield from _reserved(name, _Reserved.of_enum(old), _Reserved.of_enum(new), used)


# --- reserved names and numbers ---


@dataclass(frozen=True, slots=True)
class _Reserved:
    """The reserved names, and the reserved ranges of numbers without their ends."""

    names: frozenset[str]
    ranges: tuple[range, ...]

    @classmethod
    def of_message(cls, message: DescriptorProto) -> _Reserved:
        ranges = tuple(range(each.start, each.end) for each in message.reserved_range)
        return cls(frozenset(message.reserved_name), ranges)

    @classmethod
    def of_enum(cls, enum: EnumDescriptorProto) -> _Reserved:
        ranges = tuple(range(each.start, each.end + _ENUM_RANGE_END) for each in enum.reserved_range)
        return cls(frozenset(enum.reserved_name), ranges)

    def holds(self, number: int) -> bool:
        return any(number in each for each in self.ranges)

    def covers(self, wanted: range) -> bool:
        """Whether every number of a range is reserved. Ranges of one declaration never overlap."""
        inside = (range(max(each.start, wanted.start), min(each.stop, wanted.stop)) for each in self.ranges)
        return sum(max(each.stop - each.start, 0) for each in inside) == wanted.stop - wanted.start


def _reserved(name: str, old: _Reserved, new: _Reserved, used: Sequence[tuple[str, int]]) -> Iterator[Break]:
    for each, number in used:
        if old.holds(number):
            yield Break(f"{name}.{each}", f"uses number {number}, which is reserved")
        if each in old.names:
            yield Break(f"{name}.{each}", "uses a name that is reserved")
    taken = {number for _, number in used}
    for numbers in old.ranges:
        if not new.covers(numbers) and not any(number in numbers for number in taken):
            shown = f"{numbers.start}" if len(numbers) == 1 else f"{numbers.start} to {numbers.stop - 1}"
            yield Break(name, f"{shown} is not reserved any more")
    for gone in sorted(old.names - new.names - {each for each, _ in used}):
        yield Break(name, f"the name {gone} is not reserved any more")


# --- services ---


def _service(name: str, old: ServiceDescriptorProto, new: ServiceDescriptorProto) -> Iterator[Break]:
    methods = {f"{name}.{method.name}": method for method in new.method}
    yield from _each({f"{name}.{method.name}": method for method in old.method}, methods, _method)


def _method(name: str, old: MethodDescriptorProto, new: MethodDescriptorProto) -> Iterator[Break]:
    for what, was, now in (
        ("request", _call(old.input_type, old.client_streaming), _call(new.input_type, new.client_streaming)),
        ("response", _call(old.output_type, old.server_streaming), _call(new.output_type, new.server_streaming)),
    ):
        if was != now:
            yield Break(name, f"the {what} is {now}, was {was}")


def _call(message: str, streaming: bool) -> str:
    return f"{'stream ' if streaming else ''}{message.removeprefix('.')}"
