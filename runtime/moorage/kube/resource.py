"""A kind of the API: its paths, its struct, and how its bytes are decoded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import quote

from moorage.objects import KubeObject

T = TypeVar("T", bound=KubeObject)


@dataclass(frozen=True, slots=True)
class ProtobufReader(Generic[T]):
    """Decodes the protobuf form of one kind.

    Attributes:
        whole: decodes the object. Raises one of ``wire.messages.UNREADABLE`` when it cannot.
        rest: decodes the readable fields, and returns the paths of the others. Raises DecodeError when nothing is
            readable.
    """

    whole: Callable[[bytes], T]
    rest: Callable[[bytes], tuple[T, tuple[str, ...]]]


@dataclass(frozen=True, slots=True)
class Resource(Generic[T]):
    """One kind of the API.

    Attributes:
        group_version: ``"v1"`` or ``"group/version"``.
        plural: the resource name in paths.
        kind: the name in objects and messages.
        type: the struct.
        namespaced: whether the objects are in namespaces.
        compact: lets an object decoded from JSON share parts with others; or None.
        protobuf: decodes protobuf; None for kinds that are read in JSON.
    """

    group_version: str
    plural: str
    kind: str
    type: type[T]
    namespaced: bool = True
    compact: Callable[[T], T] | None = None
    protobuf: ProtobufReader[T] | None = None

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The request path of a collection, an object or a subresource. An empty namespace means all namespaces.

        Raises:
            ValueError: a namespaced object has no namespace, or a part is ``.`` or ``..``. Quoting does not protect
                these, and a DELETE would go to the parent path.
        """
        if not {".", ".."}.isdisjoint((namespace, name, subresource)):
            raise ValueError(f"{self.kind} {namespace}/{name}: '.' and '..' are not valid names")
        if name and self.namespaced and not namespace:
            raise ValueError(f"{self.kind} {name!r} needs a namespace")
        root = "/api" if "/" not in self.group_version else "/apis"
        parts = [root, self.group_version]
        if self.namespaced and namespace:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        parts += [quote(part, safe="") for part in (name, subresource) if part]
        return "/".join(parts)
