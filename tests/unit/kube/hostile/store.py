"""The content of the fake API server: one kind's objects, their history, and ways to lose it."""

from __future__ import annotations

import copy
import json
from typing import Any

Json = dict[str, Any]
State = dict[str, tuple[str, str]]
"""Key to uid and resourceVersion: enough to compare with a cache."""

FIRST_VERSION = 100


class Store:
    """Objects by key (``namespace/name``) with one resourceVersion counter for all, as etcd has.

    Attributes:
        version: the newest resourceVersion given out.
        oldest: events at or below this resourceVersion are compacted: a watch from before it answers 410.
        history: resourceVersion, event type and object of each change since.
    """

    def __init__(self) -> None:
        self.version = FIRST_VERSION
        self.oldest = FIRST_VERSION
        self.objects: dict[str, Json] = {}
        self.history: list[tuple[int, str, Json]] = []
        self._uids = 0

    def put(self, name: str, *, namespace: str = "ns", node: str = "", owner: str = "", **more: Any) -> Json:
        """Create or change a pod; ``more`` becomes further top-level fields."""
        key = f"{namespace}/{name}"
        old = self.objects.get(key)
        if old is None:
            self._uids += 1
        self.version += 1
        owners = [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "uid": owner, "controller": True}]
        obj: Json = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "uid": old["metadata"]["uid"] if old else f"uid-{self._uids}",
                "resourceVersion": str(self.version),
                "ownerReferences": owners if owner else [],
            },
            "spec": {"nodeName": node},
            **more,
        }
        self.objects[key] = obj
        self.history.append((self.version, "MODIFIED" if old else "ADDED", obj))
        return obj

    def delete(self, name: str, *, namespace: str = "ns") -> None:
        """Remove a pod; its last state carries the resourceVersion of the deletion, as in etcd."""
        self.version += 1
        obj = copy.deepcopy(self.objects.pop(f"{namespace}/{name}"))
        obj["metadata"]["resourceVersion"] = str(self.version)
        self.history.append((self.version, "DELETED", obj))

    def compact(self) -> None:
        """Forget the history, after objects of other kinds moved the counter: whoever follows must list again."""
        self.version += 1
        self.oldest = self.version
        self.history.clear()

    def backup(self) -> Store:
        """A copy to go back to."""
        return copy.deepcopy(self)

    def restore(self, backup: Store) -> None:
        """Go back to a copy: the counter goes back too, while uids stay unique, as random ones do."""
        uids = self._uids
        self.__dict__.update(copy.deepcopy(backup).__dict__)
        self._uids = uids

    def state(self) -> State:
        """The expected content of a cache of this store."""
        return {key: (obj["metadata"]["uid"], obj["metadata"]["resourceVersion"]) for key, obj in self.objects.items()}


def line(kind: str, obj: Json) -> bytes:
    """A watch event in its wire format."""
    return json.dumps({"type": kind, "object": obj}, separators=(",", ":")).encode() + b"\n"


def status(code: int, reason: str, message: str = "", **details: Any) -> Json:
    """A ``metav1.Status`` that refuses."""
    found: Json = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    found |= {"message": message or reason, "reason": reason, "code": code}
    return found | ({"details": details} if details else {})


EXPIRED = status(410, "Expired", "too old resource version: 1 (100)")
