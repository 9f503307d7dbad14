"""The base of all API objects: the struct, metadata, owners, and quantities as texts.

Structs are narrow on purpose: they declare only the fields that Moorage reads. Unknown fields are skipped while
decoding and cost neither time nor memory. All structs are immutable. A cached object is never changed in place.
"""

from __future__ import annotations

import msgspec


class Object(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """Base of all API structs: immutable, camelCase on the wire, outside the cycle collector (trees have no cycles)."""


Labels = dict[str, str]
"""Labels or annotations. Objects share them, so they must never be changed in place."""

Quantities = dict[str, str | int]
"""Resource name to quantity as in the API (``"500m"``, ``"2Gi"``); parsed by ``moorage.objects.quantity``."""


class Present(Object, frozen=True):
    """A field of which only the presence is read."""


class OwnerReference(Object, frozen=True):
    """One entry of ``metadata.ownerReferences``."""

    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool = False


class ObjectMeta(Object, frozen=True):
    """The part of ``metadata`` that is read. Times are RFC 3339 texts until they are needed as times."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generate_name: str = ""
    generation: int = 0
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    deletion_grace_period_seconds: int | None = None
    labels: Labels = {}
    annotations: Labels = {}
    owner_references: tuple[OwnerReference, ...] = ()
    finalizers: tuple[str, ...] = ()

    def controller(self) -> OwnerReference | None:
        """The controller that owns this object, or None."""
        for owner in self.owner_references:
            if owner.controller:
                return owner
        return None


class Condition(Object, frozen=True):
    """One entry of ``status.conditions``; ``status`` is ``"True"``, ``"False"`` or ``"Unknown"``."""

    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""
    last_transition_time: str | None = None


class KubeObject(Object, frozen=True):
    """An object with metadata; the base of every kind."""

    metadata: ObjectMeta = ObjectMeta()

    @property
    def key(self) -> str:
        """``namespace/name``, or the name alone when cluster-scoped: unique within a kind."""
        meta = self.metadata
        return f"{meta.namespace}/{meta.name}" if meta.namespace else meta.name
