"""What one kind of the API is to a client: its place in paths, its struct, and how its bytes become objects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import quote

from moorage.objects import KubeObject

T = TypeVar("T", bound=KubeObject)


@dataclass(frozen=True, slots=True)
class ProtobufReader(Generic[T]):
    """How one kind is read from its bytes.

    Attributes:
        whole: the object; raises one of ``wire.messages.UNREADABLE`` when it cannot be read.
        rest: what can be read of it then, and the paths of what cannot; raises DecodeError when it is no object at all.
    """

    whole: Callable[[bytes], T]
    rest: Callable[[bytes], tuple[T, tuple[str, ...]]]


@dataclass(frozen=True, slots=True)
class Resource(Generic[T]):
    """One kind of the API.

    Attributes:
        group_version: ``"v1"`` or ``"group/version"``.
        plural: the name in paths.
        kind: the name in objects and messages.
        type: the struct its objects decode into.
        namespaced: whether its objects live in namespaces.
        compact: makes an object decoded from JSON share what many objects have in common; or None.
        protobuf: reads such objects in protobuf; None for kinds that are read in JSON.
    """

    group_version: str
    plural: str
    kind: str
    type: type[T]
    namespaced: bool = True
    compact: Callable[[T], T] | None = None
    protobuf: ProtobufReader[T] | None = None

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The request path of a collection (all namespaces when none is named), an object, or its subresource.

        Raises:
            ValueError: when a name is given for a namespaced kind without its namespace, or when a part is ``.`` or
                ``..``: quoting does not protect those, and a DELETE would go to what is above.
        """
        if not {".", ".."}.isdisjoint((namespace, name, subresource)):
            raise ValueError(f"{self.kind} {namespace}/{name}: '.' and '..' are no names")
        if name and self.namespaced and not namespace:
            raise ValueError(f"{self.kind} {name!r} needs a namespace")
        root = "/api" if "/" not in self.group_version else "/apis"
        parts = [root, self.group_version]
        if self.namespaced and namespace:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        parts += [quote(part, safe="") for part in (name, subresource) if part]
        return "/".join(parts)
