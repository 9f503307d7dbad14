"""Objects that the server has and that do not fully decode, with the fields that do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from moorage.objects import KubeObject, ObjectMeta

T = TypeVar("T", bound=KubeObject)


@dataclass(frozen=True, slots=True)
class Unreadable(Generic[T]):
    """An object that does not decode into its struct.

    Attributes:
        key: ``namespace/name``.
        uid: the object's uid.
        resource_version: the object's resourceVersion, at which the watch continues.
        reason: the field and what is wrong with it.
        rest: the object with the readable fields, at least its name and uid.
        fields: paths of the missing fields (``spec.nodeName``). A parent stands for all fields below it.
        refused: whether the object decoded, and a subscriber failed over it. Its state in that subscriber may be
            incomplete.
    """

    key: str
    uid: str
    resource_version: str
    reason: str
    rest: T
    fields: tuple[str, ...]
    refused: bool = False

    def lacks(self, field: str) -> bool:
        """Whether a field, a field below it, or a parent of it is missing."""
        return any(_within(field, missing) or _within(missing, field) for missing in self.fields)


def _within(field: str, other: str) -> bool:
    return field == other or field.startswith(f"{other}.")


MISSING_META = tuple(f"metadata.{field}" for field in ("annotations", "ownerReferences", "deletionTimestamp"))
"""The fields of metadata, besides names and labels, that placement reads."""


def paths(kind: type[msgspec.Struct], inside: str = "", *, but: str = "") -> tuple[str, ...]:
    """The paths of all fields of a struct, except for one."""
    names = (field.encode_name for field in msgspec.structs.fields(kind))
    return tuple(f"{inside}.{name}" if inside else name for name in names if name != but)


def outline(obj: T) -> tuple[T, tuple[str, ...]]:
    """Reduce an object to its names and its node; also returns the paths of the missing fields.

    Args:
        obj: an object whose other fields are not to be trusted.
    """
    meta = obj.metadata
    kept = ObjectMeta(name=meta.name, namespace=meta.namespace, uid=meta.uid, resource_version=meta.resource_version)
    outline = type(obj)(metadata=kept)
    missing = ("metadata.labels", *MISSING_META, *paths(type(obj), but="metadata"))
    node = getattr(getattr(obj, "spec", None), "node_name", "")
    if not node:
        return outline, missing
    spec = msgspec.structs.replace(outline.spec, node_name=node)  # type: ignore[attr-defined]
    others = (field for field in missing if field != "spec")
    return msgspec.structs.replace(outline, spec=spec), (*others, *paths(type(spec), "spec", but="nodeName"))
