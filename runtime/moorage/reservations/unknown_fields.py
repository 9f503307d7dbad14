"""Fields that a newer version has written: they stay when this version changes a reservation.

Fields of the spec that are not known are not named in a merge patch, and stay by that. An entry of a list goes as a
whole: what is not known of it is put back, by what the entry is about.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple

import msgspec

from .model import Nomination, Pin, Record, Slot


class _Entries(NamedTuple):
    kind: type[msgspec.Struct]
    about: Callable[[Any], Hashable]


_LISTS: Mapping[str, _Entries] = {
    "pins": _Entries(Pin, lambda pin: pin.uid),
    "nominations": _Entries(Nomination, lambda nomination: nomination.uid),
    "slots": _Entries(Slot, lambda slot: (slot.owner, frozenset(slot.requests.items()))),
    "instructions": _Entries(Record, lambda record: record.id),
}
_KNOWN = {
    name: frozenset(field.encode_name for field in msgspec.structs.fields(entries.kind))
    for name, entries in _LISTS.items()
}


def keeping(stored: object, changes: Mapping[str, object]) -> dict[str, object]:
    """Return changes of a spec with the unknown fields of list entries put back.

    Args:
        stored: the spec as the API server has it.
        changes: the merge patch that is to be sent.

    Returns:
        The same merge patch, with that.
    """
    patch = dict(changes)
    for name in _LISTS.keys() & changes.keys():
        after = changes[name]
        unknown = _unknown(name, stored.get(name) if isinstance(stored, Mapping) else None)
        if unknown and isinstance(after, (list, tuple)):
            patch[name] = [{**unknown.get(_about(name, entry), {}), **entry} for entry in after]
    return patch


def _unknown(name: str, entries: object) -> dict[Hashable, dict[str, object]]:
    """The unknown fields of entries, by what identifies the entry."""
    fields: dict[Hashable, dict[str, object]] = {}
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, Mapping) and (more := entry.keys() - _KNOWN[name]):
            fields[_about(name, entry)] = {key: entry[key] for key in more}
    return fields


def _about(name: str, entry: object) -> Hashable:
    try:
        return _LISTS[name].about(msgspec.convert(entry, _LISTS[name].kind))
    except (msgspec.ValidationError, RecursionError):
        return None  # it is read as if it were not there, and is not written again
