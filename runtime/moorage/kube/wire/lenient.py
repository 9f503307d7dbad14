"""JSON as Go writes it: what is not there may be ``null``. And what can be read of what is not as promised.

Go writes a list or map that is nil as ``null`` wherever its field has no ``omitempty``: ``topologyKeys`` of a CSINode,
``containers`` of a Pod in a bookmark. Every field of a struct has a default, so ``null`` means that. Bytes are decoded
as they stand first, which costs nothing more; only when that fails is ``null`` taken out.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

_PATH = re.compile(r" - at `\$((?:\.\w+)+)")
"""The fields that lead to what is wrong, as msgspec names it; indexes and what follows them do not matter."""


def decode(data: bytes | msgspec.Raw, decoder: msgspec.json.Decoder[T]) -> T:
    """Decode a struct; a field that is null counts as left out.

    Args:
        data: the JSON.
        decoder: of the struct.

    Raises:
        ValidationError: it is not what the struct promises.
        DecodeError, UnicodeDecodeError, RecursionError: it is no JSON.
    """
    try:
        return decoder.decode(data)
    except msgspec.ValidationError:
        return decoder.decode(msgspec.json.encode(_without_nulls(msgspec.json.decode(data))))


def decode_rest(data: bytes | msgspec.Raw, decoder: msgspec.json.Decoder[T]) -> tuple[T, tuple[str, ...]]:
    """Decode what can be read of a struct that ``decode`` refuses, without the fields that cannot.

    Args:
        data: the JSON.
        decoder: of the struct.

    Returns:
        The struct, and the paths of the fields that were left out (``spec.nodeName``).

    Raises:
        ValidationError: it is no object at all.
    """
    value = _without_nulls(msgspec.json.decode(data))
    left_out: list[str] = []
    while True:  # each time a field less
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
