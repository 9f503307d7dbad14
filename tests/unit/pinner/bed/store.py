"""The API server's objects with one resourceVersion counter, and each change for watchers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from .refusals import Json


class Change(NamedTuple):
    """One change of one kind's objects."""

    version: int
    at: float
    kind: str
    object: Json

    def line(self) -> bytes:
        """As it goes over the wire."""
        return msgspec.json.encode({"type": self.kind, "object": self.object}) + b"\n"


class Store:
    """Objects by kind (plural) and key (``namespace/name``, or the name alone).

    Objects are replaced, never changed in place, so returned objects stay unchanged.

    Args:
        now: seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.version = 1000
        self.objects: defaultdict[str, dict[str, Json]] = defaultdict(dict)
        self.history: defaultdict[str, list[Change]] = defaultdict(list)
        self.oldest = 0
        self.listeners: list[Callable[[str, Change], None]] = []
        self._uids = 0

    def uid(self) -> str:
        """A uid that no object had before."""
        self._uids += 1
        return f"00000000-0000-4000-8000-{self._uids:012d}"

    def get(self, plural: str, key: str) -> Json | None:
        """A copy of an object."""
        found = self.objects[plural].get(key)
        return None if found is None else copied(found)

    def put(self, plural: str, found: Json) -> Json:
        """Store an object as given, under a new resourceVersion; one that has not changed keeps its own."""
        key = key_of(found)
        known = self.objects[plural].get(key)
        if known is not None and known == {**found, "metadata": {**found["metadata"], **_version(known)}}:
            return known
        self.version += 1
        found["metadata"]["resourceVersion"] = str(self.version)
        self.objects[plural][key] = found
        self._changed(plural, "ADDED" if known is None else "MODIFIED", found)
        return found

    def remove(self, plural: str, key: str) -> Json:
        """Remove an object; its last state carries the resourceVersion of its end, as in etcd."""
        self.version += 1
        found = self.objects[plural].pop(key)
        last = {**found, "metadata": {**found["metadata"], "resourceVersion": str(self.version)}}
        self._changed(plural, "DELETED", last)
        return last

    def _changed(self, plural: str, kind: str, found: Json) -> None:
        change = Change(self.version, self._now(), kind, found)
        self.history[plural].append(change)
        for listener in self.listeners:
            listener(plural, change)


def copied(found: Any) -> Any:
    """A copy of JSON values. ``copy.deepcopy`` takes eight times as long, and a day makes many copies."""
    return msgspec.json.decode(msgspec.json.encode(found))


def key_of(found: Json) -> str:
    """``namespace/name``, or the name alone."""
    meta = found["metadata"]
    return f"{meta['namespace']}/{meta['name']}" if meta.get("namespace") else str(meta["name"])


def _version(found: Json) -> Json:
    return {"resourceVersion": found["metadata"]["resourceVersion"]}
