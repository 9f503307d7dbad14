"""Objects that the server has and that cannot be read, or not wholly: what is known of them all the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from moorage.objects import KubeObject, ObjectMeta

T = TypeVar("T", bound=KubeObject)


@dataclass(frozen=True, slots=True)
class Unreadable(Generic[T]):
    """An object that the server has and that does not decode into its struct.

    Attributes:
        key: ``namespace/name``.
        uid: whose name it is now.
        resource_version: where the stream stands after it.
        reason: the field and what is wrong with it.
        rest: what can be read of it, its name and uid at least.
        fields: paths of what is missing there (``spec.nodeName``); a parent stands for all below it.
        refused: whether it was read, and then a subscriber failed over it: what that one keeps may be half done.
    """

    key: str
    uid: str
    resource_version: str
    reason: str
    rest: T
    fields: tuple[str, ...]
    refused: bool = False

    def lacks(self, field: str) -> bool:
        """Whether a field, something in it or what it stands in is missing."""
        return any(_within(field, missing) or _within(missing, field) for missing in self.fields)


def _within(field: str, other: str) -> bool:
    return field == other or field.startswith(f"{other}.")


MISSING_META = tuple(f"metadata.{field}" for field in ("annotations", "ownerReferences", "deletionTimestamp"))
"""What placement reads of metadata beside names and labels."""


def paths(kind: type[msgspec.Struct], inside: str = "", *, but: str = "") -> tuple[str, ...]:
    """The paths of all fields of a struct, except for one."""
    names = (field.encode_name for field in msgspec.structs.fields(kind))
    return tuple(f"{inside}.{name}" if inside else name for name in names if name != but)


def outline(obj: T) -> tuple[T, tuple[str, ...]]:
    """The least of an object: its names and its node; and the paths of what is missing there.

    Args:
        obj: read, and not to be trusted in anything else.
    """
    meta = obj.metadata
    kept = ObjectMeta(name=meta.name, namespace=meta.namespace, uid=meta.uid, resource_version=meta.resource_version)
    found = type(obj)(metadata=kept)
    missing = ("metadata.labels", *MISSING_META, *paths(type(obj), but="metadata"))
    node = getattr(getattr(obj, "spec", None), "node_name", "")
    if not node:
        return found, missing
    spec = msgspec.structs.replace(found.spec, node_name=node)  # type: ignore[attr-defined]
    others = (field for field in missing if field != "spec")
    return msgspec.structs.replace(found, spec=spec), (*others, *paths(type(spec), "spec", but="nodeName"))
