"""What every API object shares: the struct base, metadata, owners, and quantities as they are written.

Structs are narrow on purpose: they declare the fields that Moorage reads, unknown fields are skipped while decoding,
and what is not declared costs neither time nor memory. All are immutable; nothing in a cache is ever changed in place.
"""

from __future__ import annotations

import msgspec


class Object(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """Base of all API structs: immutable, camelCase on the wire, outside the cycle collector (trees have no cycles)."""


Labels = dict[str, str]
"""Label or annotation map. Shared between objects, therefore never to be changed in place."""

Quantities = dict[str, str | int]
"""Resource name to quantity as written in the API (``"500m"``, ``"2Gi"``); parsed by ``moorage.objects.quantity``."""


class Present(Object, frozen=True):
    """Something is set, and that is all that is read of it."""


class OwnerReference(Object, frozen=True):
    """One entry of ``metadata.ownerReferences``."""

    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool = False


class ObjectMeta(Object, frozen=True):
    """The part of ``metadata`` that is read; times stay RFC 3339 text until somebody needs them as times."""

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
        """The owner that manages this object, or None."""
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
    """An object with metadata; every kind below derives from it."""

    metadata: ObjectMeta = ObjectMeta()

    @property
    def key(self) -> str:
        """``namespace/name``, or the name alone when cluster-scoped: unique within a kind."""
        meta = self.metadata
        return f"{meta.namespace}/{meta.name}" if meta.namespace else meta.name
