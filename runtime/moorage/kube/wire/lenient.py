"""Decodes JSON in which a missing value may be ``null``, and the readable part of an object that does not match.

Go writes a nil list or map as ``null`` if its field has no ``omitempty``: ``topologyKeys`` of a CSINode, ``containers``
of a Pod in a bookmark. Every field of a struct has a default, and ``null`` means the default. The bytes are first
decoded as they are, at no extra cost. Only if that fails, the nulls are removed.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

_PATH = re.compile(r" - at `\$((?:\.\w+)+)")
"""The path of fields in msgspec's message. Indexes and the text after them are ignored."""


def decode(data: bytes | msgspec.Raw, decoder: msgspec.json.Decoder[T]) -> T:
    """Decode a struct. A field that is null counts as missing.

    Args:
        data: the JSON.
        decoder: decodes the struct.

    Raises:
        ValidationError: the JSON does not match the struct.
        DecodeError, UnicodeDecodeError, RecursionError: the data is not JSON.
    """
    try:
        return decoder.decode(data)
    except msgspec.ValidationError:
        return decoder.decode(msgspec.json.encode(_without_nulls(msgspec.json.decode(data))))


def decode_rest(data: bytes | msgspec.Raw, decoder: msgspec.json.Decoder[T]) -> tuple[T, tuple[str, ...]]:
    """Decode a struct without the fields that ``decode`` refuses.

    Args:
        data: the JSON.
        decoder: decodes the struct.

    Returns:
        The struct, and the paths of the fields that were removed (``spec.nodeName``).

    Raises:
        ValidationError: the data is not an object.
    """
    value = _without_nulls(msgspec.json.decode(data))
    left_out: list[str] = []
    while True:  # each pass removes one field
        try:
            return decoder.decode(msgspec.json.encode(value)), tuple(left_out)
        except msgspec.ValidationError as error:
            path = _PATH.search(str(error))
            if path is None:
                raise
            *parents, field = path[1].removeprefix(".").split(".")
            holder = value
            for parent in parents:
                holder = holder[parent]
            del holder[field]
            left_out.append(".".join((*parents, field)))


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value
